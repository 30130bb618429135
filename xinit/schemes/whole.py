"""Schemes that look at the whole network: its data, its pairs of units, its widths, its own initialisers."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, Inexact

from xinit.core.errors import InputError
from xinit.initializers import Kernel, Law, LawfulInitializer, independent, lawful, orthogonal, variance_scaling
from xinit.networks.activations import Activation
from xinit.networks.network import FIRST, LAST, Network, Params, Site, Weight, completed
from xinit.schemes.contract import Batch, Hyper, Laws, Scheme, layerwise, per_weight, unscaled
from xinit.settings.optimizer_kinds import LIKE

__all__ = ["looks_linear", "lsuv", "mup", "own"]


def lsuv() -> Scheme:
    """Orthonormal weights, then layer by layer W <- W / std(z) on the batch: Var z = 1 (Mishkin & Matas 2015).

    One number a layer, over batch x units and of a convolution also over positions, the logits' layer included; z is
    what the weight gives, before any normalisation and before a branch is scaled. The authors repeat this on further
    mini-batches until abs(Var z - 1) < 0.1; on one batch, z being linear in W, the first division ends it. A layer that
    is silent on the whole batch keeps its orthonormal weights. Biases are 0. `gain` multiplies the finished kernels.

    >>> x = jax.random.normal(jax.random.key(0), (100, 8))
    >>> batch = x, jnp.zeros(100, int)
    >>> network = xinit.networks.mlp.plain((8, 16, 4), [xinit.activations.tanh()], "highest")
    >>> params, _ = lsuv()(jax.random.key(1), network, {"gain": 1.0}, batch)
    >>> f"{jnp.std(x @ params['layers'][0]['kernel']):.3f}"
    '1.000'

    Reference: Mishkin & Matas, "All you need is a good init", 2015, Algorithm 1.
    """
    orthogonal_weights = layerwise(orthogonal())

    def scheme(key: Array, network: Network, hyper: Hyper, batch: Batch) -> tuple[Params, Float[Array, " weight"]]:
        orthonormal, lr_scale = orthogonal_weights(key, network, {"gain": 1.0}, batch)
        params, state = network.start(key)
        stds: dict[Site, Array] = {}

        def divided(site: Site, z: Array) -> Array:
            if site.kind != "weight":
                return z
            if site not in stds:  # a weight that is used again has its number already
                stds[site] = jnp.where(jnp.any(z != 0), jnp.std(z), 1.0)
            return z / stds[site]

        network.apply(completed(params, orthonormal), state, jnp.asarray(batch[0], jnp.float32), divided, key, True)
        divisors = [weight.over_sites(lambda site: stds.get(site, jnp.float32(1))) for weight in network.weights]
        kernels = zip(network.kernels(orthonormal), divisors, strict=True)
        finished = [hyper["gain"] * (kernel / divisor) for kernel, divisor in kernels]
        return network.with_weights(orthonormal, finished), lr_scale

    return scheme


def looks_linear() -> Scheme:
    """Mirrored blocks of an orthonormal W0: a rectifier network that computes a linear map (Balduzzi et al. 2017).

    First layer [W0, -W0], hidden layers [[W0, -W0], [-W0, W0]], last layer [[W0], [-W0]]. Hidden units come in pairs
    z and -z, and f(z) - f(-z) = (1 + a) z for a rectifier of negative slope a, so W0 is divided by 1 + a behind it. W0
    has half the rows and columns on every side that is hidden: with equal widths all singular values of the network
    from its first hidden layer to its last are 1, at any depth. The first layer keeps all of the input if it has at
    least twice as many units, else a random projection of it; the last reads a random projection off.

    >>> network = xinit.networks.mlp.plain((8, 16, 4), [xinit.activations.relu()])
    >>> [law.structure for law in looks_linear().law(network)]
    ['mirrored', 'mirrored']

    Raises:
      InputError: when weights are drawn, an activation that is no rectifier, or a hidden layer of odd width.
    """

    def choose(weight: Weight, network: Network) -> LawfulInitializer:
        if not network.is_plain:
            raise InputError(
                f"scheme looks_linear mirrors the layers of network=mlp without a norm; network={network.name} has "
                "other steps."
            )
        slopes = [_negative_slope(activation) for activation in network.activations]
        behind = 1 + slopes[weight.place - 1] if weight.reads else 1.0
        return _mirrored(inputs=weight.reads is not None, outputs=weight.role != LAST, scale=1 / behind)

    return per_weight(choose)


def _negative_slope(activation: Activation) -> float:
    if activation.negative_slope is None:
        raise InputError(
            f"scheme looks_linear needs f(z) - f(-z) proportional to z, but the activation is {activation.name}; use "
            "relu or leaky_relu."
        )
    return activation.negative_slope


def _mirrored(inputs: bool, outputs: bool, scale: float) -> LawfulInitializer:
    """scale x W0 with its negative beside it: `inputs` come in pairs, `outputs` come in pairs, or both."""
    block = orthogonal()
    signs = jnp.array([[1, -1], [-1, 1]])[: 1 + inputs, : 1 + outputs]

    def block_shape(shape: Sequence[int]) -> tuple[int, int]:
        n_in, n_out = shape
        for n, paired in ((n_in, inputs), (n_out, outputs)):
            if paired and n % 2:
                raise InputError(f"scheme looks_linear pairs hidden units, but a layer has {n}; give even widths.")
        return n_in // (1 + inputs), n_out // (1 + outputs)

    def draw(key: Array, kernel: Kernel, dtype: DTypeLike) -> Inexact[Array, "inputs outputs"]:
        return scale * jnp.kron(signs.astype(dtype), block(key, block_shape(kernel.shape), dtype))

    def law(kernel: Kernel) -> Law:
        variance = scale**2 * block.law(*block_shape(kernel.shape)).variance
        return Law(variance, structure="mirrored")

    return lawful(draw, law)


# Learning rates of the first, the hidden and the last layers at widths (i, o), base n: Yang et al. 2022, Table 3.
LR_FACTORS: dict[str, tuple[Callable[[int, int, int], float], ...]] = {
    "sgd": (lambda i, o, n: o / n, lambda i, o, n: 1.0, lambda i, o, n: n / i),
    "adam": (lambda i, o, n: 1.0, lambda i, o, n: n / i, lambda i, o, n: n / i),
}


def mup(base_width: int = 256, optimizer: str = "sgd") -> Scheme:
    """muP: activations and their updates keep their size as the network is widened, and so does the best learning rate.

    W normal, Var W = 1/n_in, in the last layer base_width/n_in^2, and learning rates times (Yang et al. 2022, Table 3)

      sgd and the like:   first n_out/base_width   hidden 1                last base_width/n_in
      adam and the like:  first 1                  hidden base_width/n_in  last base_width/n_in

    momentum and nesterov are like sgd: their updates are linear in the gradients. adamw, rmsprop, adagrad and lion are
    like adam: they normalise each entry. A decay of the weights has the same factors, being a part of the update.

    Widths are numbers of units, of a convolution those of channels: its window is a part of the fan-in that 1/n_in has,
    and of no learning rate. At the base width this is `lecun` with one learning rate. Table 3 leaves constants free:
    for relu take gain sqrt(2). Biases share the factor of their layer's kernel, where Table 3 gives them the first
    layer's.

    >>> laws = mup(base_width=64).law(xinit.networks.mlp.plain((32, 256, 256, 10), [xinit.activations.relu()] * 2))
    >>> [law.variance for law in laws]  # the last layer's is 4 times smaller than 1/n_in
    [0.03125, 0.00390625, 0.0009765625]

    Args:
      base_width: the hidden width at which the learning rate was chosen.
      optimizer: "sgd" or "adam": which of them the optimizer is like. `optimizers_of` the scheme tells.

    Raises:
      InputError: a base width below 1, another optimizer.
    """
    if base_width < 1 or optimizer not in LR_FACTORS:
        raise InputError(
            f"scheme mup has base_width {base_width} and optimizer {optimizer!r}; they must be at least 1, and one of "
            f"{', '.join(LR_FACTORS)}."
        )
    hidden = variance_scaling(1.0, "in", "normal")

    def choose(weight: Weight, network: Network) -> LawfulInitializer:
        if weight.role != LAST:
            return hidden
        width, _ = _widths(weight)
        return independent(lambda i, o: base_width / (i * width), "normal")

    def lr_scale(network: Network) -> Sequence[float]:
        first, middle, end = LR_FACTORS[optimizer]
        factors = [{FIRST: first, LAST: end}.get(weight.role, middle) for weight in network.weights]
        pairs = zip(factors, network.weights, strict=True)
        return [factor(*_widths(weight), base_width) for factor, weight in pairs]

    return per_weight(choose, lr_scale, LIKE[optimizer])


def _widths(weight: Weight) -> tuple[int, int]:
    """The fans without the places of a window."""
    places = weight.kernel.size(weight.kernel.window)
    return weight.fan_in // places, weight.fan_out // places


def own() -> Scheme:
    """The kernels as the network's own initialisers draw them, with one learning rate for all.

    It is for modules of the user's. Our networks have no initialisers: their weights are for a scheme to draw. `gain`
    multiplies the kernels; everything else is as the module has it.

    >>> own().law(xinit.networks.mlp.plain((8, 16, 4), [xinit.activations.tanh()]))
    Traceback (most recent call last):
        ...
    xinit.core.errors.InputError: scheme own keeps the weights that a module of yours draws, and network=mlp draws none;
    use network=custom, or another scheme.

    Raises:
      InputError: when weights are drawn, a network of ours.
    """

    def check(network: Network) -> None:
        if network.path is not None:
            raise InputError(
                f"scheme own keeps the weights that a module of yours draws, and network={network.name} draws none; "
                "use network=custom, or another scheme."
            )

    def scheme(key: Array, network: Network, hyper: Hyper, batch: object) -> tuple[Params, Float[Array, " weight"]]:
        check(network)
        drawn = network.kernels(network.start(key)[0])
        kernels = [(hyper["gain"] * kernel).astype(kernel.dtype) for kernel in drawn]
        return network.with_weights({}, kernels), jnp.array(unscaled(network), jnp.float32)

    def law(network: Network) -> Laws | None:
        check(network)
        return None

    vars(scheme).update(law=law)
    return scheme
