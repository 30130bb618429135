"""The multilayer perceptron: layers one behind the other, with a normalisation before each nonlinearity or without."""

from collections.abc import Sequence

from jax import Array
from jaxtyping import Float

from xinit.networks.contract import Activation
from xinit.networks.draft import Draft
from xinit.networks.network import Frame, Network, Params

__all__ = ["mlp"]


def mlp(frame: Frame, norm: str = "none") -> Network:
    """z_l = h_{l-1} W_l + b_l, h_l = f_l(norm(z_l)) for l = 1..d, logits = h_d W_{d+1} + b_{d+1}.

    >>> network = mlp(Frame((784,), (256, 256), (xinit.activations.tanh(),) * 2, 10))
    >>> [weight.shape for weight in network.weights]
    [(784, 256), (256, 256), (256, 10)]

    Args:
      frame: what every network is told.
      norm: "none"; "layer" (Ba et al. 2016) or "rms" (Zhang & Sennrich 2019), over the units of an example; or "batch"
        (Ioffe & Szegedy 2015), over the examples of a batch, with running averages for evaluation.

    Raises:
      InputError: another norm.
    """
    draft = Draft(frame, "mlp")
    for width, activation in zip(frame.widths, frame.activations, strict=True):
        draft.multiply(width)
        draft.normalise(norm)
        draft.activate(activation)
    draft.multiply(frame.n_outputs, last=True)
    return draft.network()


def plain(widths: Sequence[int], activations: Sequence[Activation], precision: str = "float32") -> Network:
    """The MLP of these widths, from inputs to classes: d + 2 numbers for d activations."""
    n_inputs, *hidden, n_outputs = widths
    return mlp(Frame((n_inputs,), tuple(hidden), tuple(activations), n_outputs, precision))


def make_params(kernels: Sequence[Float[Array, "_ _"]], biases: Sequence[Float[Array, " _"]]) -> Params:
    """The parameter tree of an MLP from its kernels (I, O) and biases (O,), first layer first."""
    layers = zip(kernels, biases, strict=True)
    return {"layers": {l: {"kernel": kernel, "bias": bias} for l, (kernel, bias) in enumerate(layers)}}
