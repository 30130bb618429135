"""Optimizers from optax whose numbers are traced: one compiled step serves every learning rate.

Each takes its numbers by name and returns an `optax.GradientTransformation`. Gradients g are those of the mean loss
over the mini-batch. Decay of the weights and clipping of the gradients are settings of every optimizer and not in here.
To add one: a function here and a YAML file in `conf/optimizer`.
"""

import optax
from jax import Array

Number = float | Array


def sgd(learning_rate: Number) -> optax.GradientTransformation:
    """W <- W - learning_rate g: what Glorot & Bengio (2010) used."""
    return optax.sgd(learning_rate)


def momentum(learning_rate: Number, momentum: Number) -> optax.GradientTransformation:
    """m <- momentum m + g; W <- W - learning_rate m (heavy ball)."""
    return optax.sgd(learning_rate, momentum=momentum)


def nesterov(learning_rate: Number, momentum: Number) -> optax.GradientTransformation:
    """m <- momentum m + g; W <- W - learning_rate (g + momentum m).

    Reference: Nesterov, 1983, in the form of Sutskever et al., "On the importance of initialization and momentum in
    deep learning", 2013.
    """
    return optax.sgd(learning_rate, momentum=momentum, nesterov=True)


def adam(learning_rate: Number, b1: Number, b2: Number, eps: Number) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with bias correction."""
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)


def adamw(learning_rate: Number, b1: Number, b2: Number, eps: Number) -> optax.GradientTransformation:
    """Adam, whose YAML file sets optimizer.weight_decay: W <- W - learning_rate (Adam's update + weight_decay W).

    Reference: Loshchilov & Hutter, "Decoupled weight decay regularization", 2019, Algorithm 2, whose decay has a factor
    of its own in place of the learning rate.
    """
    return adam(learning_rate, b1, b2, eps)


def rmsprop(learning_rate: Number, decay: Number, eps: Number) -> optax.GradientTransformation:
    """v <- decay v + (1 - decay) g^2; W <- W - learning_rate g / sqrt(v + eps) (Tieleman & Hinton 2012)."""
    return optax.rmsprop(learning_rate, decay=decay, eps=eps)


def adagrad(learning_rate: Number, initial_accumulator: Number, eps: Number) -> optax.GradientTransformation:
    """v <- v + g^2, from v = initial_accumulator; W <- W - learning_rate g / sqrt(v + eps).

    Reference: Duchi, Hazan & Singer, "Adaptive subgradient methods", 2011, the diagonal case.
    """
    return optax.adagrad(learning_rate, initial_accumulator_value=initial_accumulator, eps=eps)


def lion(learning_rate: Number, b1: Number, b2: Number) -> optax.GradientTransformation:
    """W <- W - learning_rate sign(b1 m + (1 - b1) g); m <- b2 m + (1 - b2) g.

    Reference: Chen et al., "Symbolic discovery of optimization algorithms", 2023, Algorithm 2.
    """
    return optax.chain(optax.scale_by_lion(b1, b2), optax.scale_by_learning_rate(learning_rate))


def muon(learning_rate: Number, momentum: Number, rms: Number) -> optax.GradientTransformation:
    """Kernels: W <- W - learning_rate rms sqrt(max(n_in, n_out)) O; biases: Adam. Both with Nesterov's momentum.

    O is U V^T of the momentum's singular value decomposition U S V^T, by five iterations of Newton and Schulz, so that
    the root mean square of an update is about rms: at 0.2 that of Adam's, and biases do with the same learning rate.
    Kernels are those of all layers, the first and the last too, which Jordan et al. leave to Adam.

    References: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the factor: Liu et al.,
    "Muon is scalable for LLM training", 2025, eq. 4.
    """
    return optax.contrib.muon(learning_rate, beta=momentum, consistent_rms=rms)
