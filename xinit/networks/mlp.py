"""The multilayer perceptron, which returns every pre- and post-activation along with its logits."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from xinit.networks.activations import Activation

# {"layers": {0: {"kernel": (I, O), "bias": (O,)}, ...}}: the module's state as a plain pytree.
Params = dict[str, dict[int, dict[str, Array]]]


class Outputs(NamedTuple):
    """Pre-activations z and post-activations f(z) of the hidden layers, each (B, width), first layer first."""

    pre: tuple[Float[Array, "batch _"], ...]
    post: tuple[Float[Array, "batch _"], ...]


class MLP(nnx.Module):
    """z_l = h_{l-1} W_l + b_l, h_l = f_l(z_l) for l = 1..d, logits = h_d W_{d+1} + b_{d+1}."""

    def __init__(
        self, widths: Sequence[int], activations: Sequence[Activation], *, precision: str, rngs: nnx.Rngs
    ) -> None:
        """`widths` runs from the inputs to the classes: d + 2 numbers for d activations."""
        self.layers = nnx.List(
            [nnx.Linear(i, o, precision=precision, rngs=rngs) for i, o in itertools.pairwise(widths)]
        )
        self.functions = tuple(activation.function for activation in activations)

    def __call__(
        self, x_BI: Float[Array, "batch inputs"], taps: Sequence[Float[Array, "batch _"]] | None = None
    ) -> tuple[Float[Array, "batch classes"], Outputs]:
        """Logits and `Outputs`; `taps`, one (B, O) a weight layer, are added to the pre-activations."""
        pre, post, h = [], [], x_BI
        for l, layer in enumerate(self.layers):
            z = layer(h) if taps is None else layer(h) + taps[l]
            if l < len(self.functions):
                h = self.functions[l](z)
                pre.append(z)
                post.append(h)
        return z, Outputs(tuple(pre), tuple(post))


@runtime_checkable
class Apply(Protocol):
    """A network as a pure function; see `MLP.__call__`."""

    def __call__(self, params: Params, x_BI: Array, taps: Sequence[Array] | None = None) -> tuple[Array, Outputs]:
        """Logits and `Outputs`."""


def make_apply(widths: Sequence[int], activations: Sequence[Activation], precision: str = "float32") -> Apply:
    """The MLP as a pure function `apply(params, x_BI, taps=None) -> (logits, Outputs)`."""

    def split() -> tuple[nnx.GraphDef[MLP], nnx.State[Any, Any]]:
        return nnx.split(MLP(widths, activations, precision=precision, rngs=nnx.Rngs(0)))

    graph, _ = jax.eval_shape(split)  # abstract: allocates no weights

    def apply(params: Params, x_BI: Array, taps: Sequence[Array] | None = None) -> tuple[Array, Outputs]:
        network: MLP = nnx.merge(graph, params)
        return network(x_BI, taps)

    return apply


def make_params(kernels: Sequence[Float[Array, "_ _"]], biases: Sequence[Float[Array, " _"]]) -> Params:
    """The parameter tree of an MLP from its kernels (I, O) and biases (O,), first layer first."""
    layers = zip(kernels, biases, strict=True)
    return {"layers": {l: {"kernel": kernel, "bias": bias} for l, (kernel, bias) in enumerate(layers)}}
