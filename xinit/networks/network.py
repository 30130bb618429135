"""What a network is to this package: data about its weights, and one pure function.

A scheme reads the weights, the theory reads the path, training and probes call `apply`. Nothing else needs to know what
kind of network it is.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PyTree

from xinit.initializers.kernel import Kernel
from xinit.networks.contract import Activation
from xinit.networks.sites import Site as Site
from xinit.networks.sites import Tap as Tap

# Nested dicts, the module's state as a plain pytree; of our own networks {"layers": {0: {"kernel": ..., "bias": ...}}}
# and, where a network has them, "norms" and "scales". An activation that learns a number has it as the "slope" of the
# layer in front of it.
Params = dict[str, Any]
State = dict[str, Any]  # what a network changes while it trains, beside its parameters: batch statistics; mostly empty
Path = tuple[str | int, ...]  # of an array in the parameters: ("layers", 0, "kernel")

FIRST, HIDDEN, BRANCH_END, LAST = ROLES = ("first", "hidden", "branch end", "last")


class Frame(NamedTuple):
    """What every network is told: the shape of an example, the hidden layers, the outputs, and the precision."""

    inputs: tuple[int, ...]
    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    n_outputs: int
    precision: str = "float32"


class Weight(NamedTuple):
    """One kernel of a network, as a scheme sees it: z = h W + b, or a convolution.

    `reads` is the activation whose output h is, None where it reads the inputs. `role` is one of ROLES; a branch end is
    the last weight of a residual branch. `place` counts the weights in the order in which a signal meets them, from 0:
    the key of a weight is `split(key, n)[place]`. `branch` counts the branches, None for a weight on none. `bias` is
    the path of its bias, None where it has none. `stack` are the axes of a kernel along which those of several layers
    lie, as in a module that loops over its blocks: each of these has a `Site` of its own.
    """

    path: Path
    kernel: Kernel
    reads: Activation | None
    role: str
    place: int
    branch: int | None = None
    bias: Path | None = None
    stack: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the kernel."""
        return self.kernel.shape

    @property
    def fan_in(self) -> int:
        """The number of weights into a unit, the places of a window included."""
        return self.kernel.fan_in

    @property
    def fan_out(self) -> int:
        """The number of weights that an input is multiplied with, those of its own group."""
        return self.kernel.fan_out

    @property
    def units(self) -> int:
        """The number of outputs, of all groups."""
        return self.kernel.size(self.kernel.outputs)

    def over_sites(self, of_site: Callable[["Site"], Array]) -> Array:
        """A number for each of its sites, as an array that the kernel can be multiplied with."""
        if not self.stack:
            return of_site(Site("weight", self.place))
        sizes = [n if axis in self.stack else 1 for axis, n in enumerate(self.shape)]
        numbers = [of_site(Site("weight", self.place, part)) for part in range(self.kernel.size(self.stack))]
        return jnp.stack(numbers).reshape(sizes)


class Layer(NamedTuple):
    """One entry of `Outputs`: what a nonlinearity reads, and what it gives.

    `weight` is the place of the weight in front of it, `site` where its dL/dz is taken: at the output of that weight,
    or at the sum behind it. `branch` is the number of the branch that it lies within, None on the main path: there the
    signal of the whole network passes, and only there a rule over depth compares sizes.
    """

    name: str
    width: int
    activation: Activation
    weight: int
    site: Site
    branch: int | None = None


class Outputs(NamedTuple):
    """What passes the layers of a network, first layer first; (B, units), of a convolution (B, height, width, units).

    `pre`: z, or the sum that ends a residual branch. `into`: what the nonlinearity reads, which is z itself unless a
    normalisation lies in between. `post`: f of that.
    """

    pre: tuple[Float[Array, "batch ..."], ...]
    post: tuple[Float[Array, "batch ..."], ...]
    into: tuple[Float[Array, "batch ..."], ...]


# What a signal meets on its way, step by step.


class Multiply(NamedTuple):
    """h <- h W + b, with the weight of this place."""

    weight: int


class Normalise(NamedTuple):
    """h <- (h - mean) / std over the units of each example ("layer"), h / rms ("rms"), or over a batch ("batch")."""

    number: int
    kind: str


class Activate(NamedTuple):
    """h <- f(h); a number that f learns lies in the layer of the weight of this place."""

    activation: Activation
    weight: int


class Branch(NamedTuple):
    """The main path is kept aside; what follows, up to the next `Join`, happens on the branch of this number."""

    number: int


class Join(NamedTuple):
    """h <- skip x main path + scale x branch. `learned`: the scale is a parameter that starts at `scale`.

    A main path that has not the branch's shape is cut, or filled up with zeros, and thinned out where the branch halves
    the resolution.
    """

    number: int
    skip: float = 1.0
    scale: float = 1.0
    learned: bool = False


class Shift(NamedTuple):
    """h <- h + a scalar that is learned from 0 on, as Fixup has them."""

    number: int


class Pool(NamedTuple):
    """h <- its mean over all positions."""


class Image(NamedTuple):
    """h <- its values as an image (height, width, channels)."""

    shape: tuple[int, ...]


Step = Multiply | Normalise | Activate | Branch | Join | Shift | Pool | Image


@runtime_checkable
class Apply(Protocol):
    """A network as a pure function.

    `tap` sees what passes each `Site` and may change it; `key` is for what a network draws while it trains, as dropout
    does; `train` tells batch normalisation to use the batch's own statistics, and to keep them in the state.
    """

    def __call__(
        self,
        params: Params,
        state: State,
        x: Float[Array, "batch inputs"],
        tap: Tap | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "batch outputs"], Outputs, State]:
        """Logits, `Outputs` and the new state."""


# (first, end, h): what comes of h on the steps first..end-1 of the path, as the network is evaluated.
Passage = Callable[[int, int, Float[Array, "batch ..."]], Float[Array, "batch ..."]]


@dataclass(frozen=True, eq=False)
class Network:
    """A network: data about its weights and layers, and pure functions.

    `start(key)` makes parameters and state at their start: of a network of ours kernels and biases are 0, for a scheme
    to draw, scales and slopes are what they learn from; one of the user's is as its own initialisers draw it. `path` is
    what a signal meets on its way, and `passage(params, state)` goes through a part of it; both are None where nobody
    knows, as in a module of the user's. `draws`: it needs a key while it trains.
    """

    name: str
    n_inputs: int
    n_outputs: int
    weights: tuple[Weight, ...]
    layers: tuple[Layer, ...]
    apply: Apply
    start: Callable[[Array], tuple[Params, State]]
    path: tuple[Step, ...] | None = None
    draws: bool = False
    passage: Callable[[Params, State], Passage] | None = None

    @property
    def activations(self) -> tuple[Activation, ...]:
        """That of each layer."""
        return tuple(layer.activation for layer in self.layers)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the inputs, the layers, and the outputs."""
        return self.n_inputs, *(layer.width for layer in self.layers), self.n_outputs

    @functools.cached_property
    def like(self) -> tuple[PyTree[jax.ShapeDtypeStruct], PyTree[jax.ShapeDtypeStruct]]:
        """Shapes and types of the parameters and of the state."""
        shapes: tuple[Any, Any] = jax.eval_shape(self.start, jax.random.key(0))
        return shapes

    @property
    def is_plain(self) -> bool:
        """Whether it is a stack of layers and nothing else, of which widths and activations say everything."""
        kinds = (Multiply, Activate)
        return self.path is not None and all(isinstance(step, kinds) for step in self.path)

    @property
    def n_branches(self) -> int:
        """How many residual branches it has."""
        return len({weight.branch for weight in self.weights} - {None})

    def kernels(self, params: Params) -> list[Array]:
        """The kernels of all weights, in their order, or whatever a tree of the same form has in their place."""
        return [at(params, weight.path) for weight in self.weights]

    def biases(self, params: Params) -> list[Array | None]:
        """The biases of all weights, None where there is none."""
        return [None if weight.bias is None else at(params, weight.bias) for weight in self.weights]

    def with_weights(self, params: Params, kernels: Sequence[Array], biases: Sequence[Array | None] = ()) -> Params:
        """The parameters with other kernels, and other biases where they are given."""
        for weight, kernel in zip(self.weights, kernels, strict=True):
            params = put(params, weight.path, kernel)
        for weight, bias in zip(self.weights, biases, strict=False):
            params = params if weight.bias is None or bias is None else put(params, weight.bias, bias)
        return params

    def scaled(self, updates: Params, factors: Float[Array, " weight"]) -> Params:
        """A tree like the parameters, with what belongs to the module of a weight times that weight's factor."""
        owners = {path: w.place for w in self.weights for path in (w.path[:-1], w.path)}
        owner: Callable[[Path], int | None] = lambda path: owners.get(path, owners.get(path[:-1]))
        scale = lambda path, update: update if (place := owner(path)) is None else update * factors[place]
        scaled: Params = _mapped(updates, scale)
        return scaled


def at(tree: Any, path: Path) -> Any:
    """What lies at a path of a nested dict."""
    for name in path:
        tree = tree[name]
    return tree


def put(tree: Mapping[Any, Any], path: Path, value: Any) -> dict[Any, Any]:
    """A nested dict with another value at a path."""
    name, *rest = path
    return {**tree, name: put(tree.get(name, {}), tuple(rest), value) if rest else value}


def completed(start: Any, drawn: Any) -> Any:
    """What was drawn, with what it lacks as it starts."""
    if not isinstance(start, Mapping) or not isinstance(drawn, Mapping):
        return drawn
    return {name: completed(value, drawn[name]) if name in drawn else value for name, value in start.items()}


def _mapped(tree: Any, function: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    if not isinstance(tree, Mapping):
        return function(path, tree)
    return {name: _mapped(below, function, (*path, name)) for name, below in tree.items()}
