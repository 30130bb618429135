"""The multilayer perceptron, which returns every pre- and post-activation along with its logits."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from xinit.networks.activations import Activation

# {"layers": {0: {"kernel": (I, O), "bias": (O,)}, ...}}: the module's state as a plain pytree. A layer before an
# activation that learns a number has it as a third part, "slope": ().
Params = dict[str, dict[int, dict[str, Array]]]


class Outputs(NamedTuple):
    """Pre-activations z and post-activations f(z) of the hidden layers, each (B, width), first layer first."""

    pre: tuple[Float[Array, "batch _"], ...]
    post: tuple[Float[Array, "batch _"], ...]


class LearnedLinear(nnx.Linear):
    """A layer before an activation that learns a number, which is trained with the layer's weights."""

    def __init__(self, inputs: int, outputs: int, start: float, *, precision: str, rngs: nnx.Rngs) -> None:
        """`start` is what training starts from."""
        super().__init__(inputs, outputs, precision=precision, rngs=rngs)
        self.slope = nnx.Param(jnp.float32(start))


class MLP(nnx.Module):
    """z_l = h_{l-1} W_l + b_l, h_l = f_l(z_l) for l = 1..d, logits = h_d W_{d+1} + b_{d+1}."""

    def __init__(
        self, widths: Sequence[int], activations: Sequence[Activation], *, precision: str, rngs: nnx.Rngs
    ) -> None:
        """`widths` runs from the inputs to the classes: d + 2 numbers for d activations."""
        layers: list[nnx.Linear] = []
        for (i, o), f in itertools.zip_longest(itertools.pairwise(widths), activations):
            learned = f.learned if f else None
            if learned is None:
                layers.append(nnx.Linear(i, o, precision=precision, rngs=rngs))
            else:
                layers.append(LearnedLinear(i, o, learned.start, precision=precision, rngs=rngs))
        self.layers = nnx.List(layers)
        self.functions = tuple(f.function for f in activations)
        self.learned = tuple(f.learned.function if f.learned else None for f in activations)

    def __call__(
        self, x_BI: Float[Array, "batch inputs"], taps: Sequence[Float[Array, "batch _"]] | None = None
    ) -> tuple[Float[Array, "batch outputs"], Outputs]:
        """Logits and `Outputs`; `taps`, one (B, O) a weight layer, are added to the pre-activations."""
        pre, post, h = [], [], x_BI
        for l, layer in enumerate(self.layers):
            z = layer(h) if taps is None else layer(h) + taps[l]
            if l < len(self.functions):
                learned = self.learned[l]
                if learned is not None and isinstance(layer, LearnedLinear):
                    h = learned(z, layer.slope[...])
                else:
                    h = self.functions[l](z)
                pre.append(z)
                post.append(h)
        return z, Outputs(tuple(pre), tuple(post))


@runtime_checkable
class Apply(Protocol):
    """A network as a pure function; see `MLP.__call__`."""

    def __call__(
        self,
        params: Params,
        x_BI: Float[Array, "batch inputs"],
        taps: Sequence[Float[Array, "batch _"]] | None = None,
    ) -> tuple[Float[Array, "batch outputs"], Outputs]:
        """Logits and `Outputs`."""


def make_apply(widths: Sequence[int], activations: Sequence[Activation], precision: str = "float32") -> Apply:
    """The MLP as a pure function `apply(params, x_BI, taps=None) -> (logits, Outputs)`."""

    def split() -> tuple[nnx.GraphDef[MLP], nnx.State[Any, Any]]:
        return nnx.split(MLP(widths, activations, precision=precision, rngs=nnx.Rngs(0)))

    graph, _ = jax.eval_shape(split)  # abstract: allocates no weights

    def apply(
        params: Params, x_BI: Float[Array, "batch inputs"], taps: Sequence[Float[Array, "batch _"]] | None = None
    ) -> tuple[Float[Array, "batch outputs"], Outputs]:
        network: MLP = nnx.merge(graph, params)
        return network(x_BI, taps)

    return apply


def make_params(kernels: Sequence[Float[Array, "_ _"]], biases: Sequence[Float[Array, " _"]]) -> Params:
    """The parameter tree of an MLP from its kernels (I, O) and biases (O,), first layer first."""
    layers = zip(kernels, biases, strict=True)
    return {"layers": {l: {"kernel": kernel, "bias": bias} for l, (kernel, bias) in enumerate(layers)}}


def with_learned(params: Params, activations: Sequence[Activation]) -> Params:
    """The parameters, with what activations learn at its start; what a scheme draws does not have it."""
    layers = dict(params["layers"])
    for l, f in enumerate(activations):
        if f.learned is not None:
            layers[l] = {**layers[l], "slope": jnp.float32(f.learned.start)}
    return {**params, "layers": layers}
