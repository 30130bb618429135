"""Networks that are written down step by step: their parameters, and the one function that goes through the steps."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.initializers.kernel import Kernel
from xinit.networks.contract import Activation
from xinit.networks.network import (
    BRANCH_END,
    FIRST,
    HIDDEN,
    LAST,
    Activate,
    Apply,
    Branch,
    Frame,
    Image,
    Join,
    Layer,
    Multiply,
    Network,
    Normalise,
    Outputs,
    Params,
    Passage,
    Pool,
    Shift,
    Site,
    State,
    Step,
    Tap,
    Weight,
)

EPSILON = 1e-6  # that normalisations add to a variance


class NoKeys:
    """In the place of `nnx.Rngs` for layers that start from constants.

    `nnx.Rngs` counts its keys in a variable, and each count searches all that was traced before: the square of the
    depth, 13 s at 400 layers.
    """

    def params(self) -> None:
        """No key."""


KEYS: Any = NoKeys()
ZERO = nnx.initializers.zeros_init()
NORMS = {
    "layer": lambda n: nnx.LayerNorm(n, epsilon=EPSILON, rngs=KEYS),
    "rms": lambda n: nnx.RMSNorm(n, epsilon=EPSILON, rngs=KEYS),
    "batch": lambda n: nnx.BatchNorm(n, momentum=0.9, rngs=KEYS),
}


def check_norm(kind: str) -> None:
    """InputError unless there is such a normalisation; "none" is one."""
    if kind not in ("none", *NORMS):
        raise InputError(f"network.norm is {kind!r}; it must be one of none, {', '.join(NORMS)}.")


class Stack(nnx.Module):
    """The parameters of a network, in lists by what they are; a list that would be empty is not there."""

    def __init__(self, layers: Sequence[nnx.Module], norms: Sequence[nnx.Module], learned: dict[str, list[float]]):
        """`learned`: scalars by the name of their list, what they start from."""
        self.layers = nnx.List(layers)
        if norms:
            self.norms = nnx.List(norms)
        for name, starts in learned.items():
            setattr(self, name, nnx.List([nnx.Param(jnp.float32(start)) for start in starts]))


def walk(
    stack: Stack, steps: Sequence[Step], x: Float[Array, "batch ..."], tap: Tap, train: bool
) -> tuple[Float[Array, "batch outputs"], Outputs]:
    """The signal x through all steps: logits and `Outputs`, whose entries are the `Activate` steps."""
    h, main, seen = x, x, x
    pre, post, into = [], [], []
    for step in steps:
        match step:
            case Multiply(weight):
                seen = h = tap(Site("weight", weight), stack.layers[weight](h))
            case Normalise(number, kind):
                options = {"use_running_average": not train} if kind == "batch" else {}
                h = stack.norms[number](h, **options)
            case Activate(f, weight):
                into.append(h)
                h = f.function(h) if f.learned is None else f.learned.function(h, stack.layers[weight].slope[...])
                pre.append(seen)
                post.append(h)
            case Branch():
                main = h
            case Join(number, skip, scale, learned):
                factor = stack.scales[number][...] if learned else scale
                seen = h = tap(Site("sum", number), _scaled(skip, fitted(main, h.shape)) + _scaled(factor, h))
            case Shift(number):
                h = h + stack.shifts[number][...]
            case Pool():
                h = jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))
            case Image(shape):
                h = h.reshape(len(h), *shape)
    return h, Outputs(tuple(pre), tuple(post), tuple(into))


def _scaled(factor: Array | float, h: Array) -> Array:
    """factor x h; nothing is multiplied by 1."""
    return h if isinstance(factor, float | int) and factor == 1 else factor * h


def fitted(h: Float[Array, "batch ..."], shape: Sequence[int]) -> Float[Array, "batch ..."]:
    """h in another shape: every second position where there are half as many, units cut off or filled up with 0."""
    if h.shape == tuple(shape):
        return h
    for axis in range(1, h.ndim - 1):
        step = -(-h.shape[axis] // shape[axis])
        h = h[(slice(None),) * axis + (slice(None, None, step),)]
    more = shape[-1] - h.shape[-1]
    return h[..., : shape[-1]] if more < 0 else jnp.pad(h, [(0, 0)] * (h.ndim - 1) + [(0, more)])


def untouched(site: Site, z: Array) -> Array:
    """The tap that changes nothing."""
    return z


class Draft:
    """A network of that name as it is being written down, one step after the other."""

    def __init__(self, frame: Frame, name: str) -> None:
        self.frame, self.name = frame, name
        self.units = math.prod(frame.inputs)
        self.steps: list[Step] = []
        self._weights: list[Weight] = []
        self._norms: list[tuple[str, int]] = []
        self._scales: list[float] = []
        self._shifts = 0
        self._branch: int | None = None
        self._branches = 0
        self._reads: Activation | None = None
        self._strides: list[int] = []
        self._sides: list[int] = []

    def multiply(self, units: int, *, end: bool = False, last: bool = False, window: int = 0, stride: int = 1) -> None:
        """A weight with so many outputs; `end` of a branch, `last` of the network, a convolution with a window."""
        if window and min(self._sides) < window:
            sides = " x ".join(map(str, self._sides))
            raise InputError(
                f"Convolution {len(self._weights) + 1} of network={self.name} would read an image of {sides}; an image "
                f"must be at least as large as the window, {window} x {window}: halve the resolution fewer times "
                "(network.halve), or give larger images."
            )
        self._sides = [-(-side // stride) for side in self._sides]
        place, shape = len(self._weights), (*[window] * (2 if window else 0), self.units, units)
        role = LAST if last else BRANCH_END if end else FIRST if place == 0 else HIDDEN
        names: tuple[str | int, ...] = ("layers", place)
        paths = (*names, "kernel"), (*names, "bias")
        weight = Weight(paths[0], Kernel(shape), self._reads, role, place, self._branch, paths[1])
        self._weights.append(weight)
        self._strides.append(stride)
        self.units = units
        self.steps.append(Multiply(place))

    def normalise(self, kind: str) -> None:
        """A normalisation, or nothing where `kind` is "none"."""
        check_norm(kind)
        if kind != "none":
            self.steps.append(Normalise(len(self._norms), kind))
            self._norms.append((kind, self.units))

    def activate(self, activation: Activation) -> None:
        """A nonlinearity."""
        self.steps.append(Activate(activation, len(self._weights) - 1))
        self._reads = activation

    def branch(self) -> None:
        """From here on, the branch."""
        self._branch = self._branches
        self.steps.append(Branch(self._branch))

    def join(self, skip: float = 1.0, scale: float = 1.0, learned: bool = False) -> None:
        """The end of the branch."""
        self.steps.append(Join(self._branches, skip, scale, learned))
        self._scales.append(scale)
        self._branch, self._branches = None, self._branches + 1

    def shift(self) -> None:
        """A scalar that is added."""
        self.steps.append(Shift(self._shifts))
        self._shifts += 1

    def image(self) -> None:
        """The row of inputs as the image that it is."""
        self.steps.append(Image(self.frame.inputs))
        *self._sides, self.units = self.frame.inputs

    def pool(self) -> None:
        """The mean over positions."""
        self.steps.append(Pool())

    def network(self) -> Network:
        """The network that was written down."""
        steps = tuple(self.steps)
        learned = any(isinstance(step, Join) and step.learned for step in steps)
        scalars = {"scales": self._scales} if learned else {}
        if self._shifts:
            scalars["shifts"] = [0.0] * self._shifts
        slopes = {step.weight: step.activation.learned for step in steps if isinstance(step, Activate)}
        precision = self.frame.precision

        def module() -> Stack:
            layers = [
                _layer(weight, stride, precision) for weight, stride in zip(self._weights, self._strides, strict=True)
            ]
            for weight, own in slopes.items():
                if own is not None:
                    layers[weight].slope = nnx.Param(jnp.float32(own.start))
            return Stack(layers, [NORMS[kind](units) for kind, units in self._norms], scalars)

        graph, *_ = jax.eval_shape(lambda: nnx.split(module(), nnx.Param, ...))  # abstract: allocates no weights

        def start(key: Array) -> tuple[Params, State]:
            _, params, state = nnx.split(module(), nnx.Param, ...)
            return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

        def apply(
            params: Params,
            state: State,
            x: Float[Array, "batch inputs"],
            tap: Tap | None = None,
            key: Array | None = None,
            train: bool = False,
        ) -> tuple[Float[Array, "batch outputs"], Outputs, State]:
            stack: Stack = nnx.merge(graph, params, state)
            logits, outputs = walk(stack, steps, x, tap or untouched, train)
            if train and state:
                state = nnx.to_pure_dict(nnx.state(stack, nnx.BatchStat))
            return logits, outputs, state

        def passage(params: Params, state: State) -> Passage:
            stack: Stack = nnx.merge(graph, params, state)
            return lambda first, end, h: walk(stack, steps[first:end], h, untouched, False)[0]

        made: Apply = apply
        return Network(
            self.name,
            math.prod(self.frame.inputs),
            self.frame.n_outputs,
            tuple(self._weights),
            _layers(steps, self._weights),
            made,
            start,
            steps,
            passage=passage,
        )


def _layer(weight: Weight, stride: int, precision: str) -> Any:
    *window, n_in, n_out = weight.shape
    options: dict[str, Any] = {"precision": precision, "kernel_init": ZERO, "rngs": KEYS}
    if window:
        return nnx.Conv(n_in, n_out, tuple(window), strides=stride, padding="SAME", **options)
    return nnx.Linear(n_in, n_out, **options)


def _layers(steps: Sequence[Step], weights: Sequence[Weight]) -> tuple[Layer, ...]:
    """The entries of `Outputs`: one for each `Activate`."""
    layers, place, site, branch, inside = [], 0, Site("weight", 0), None, None
    for step in steps:
        match step:
            case Multiply(weight):
                place, site, inside = weight, Site("weight", weight), branch
            case Branch(number):
                branch = number
            case Join(number):
                site, branch, inside = Site("sum", number), None, None
            case Activate(f):
                name = f"sum {site.number + 1}" if site.kind == "sum" else weight_name(weights, place)
                layers.append(Layer(name, weights[place].units, f, place, site, inside))
    return tuple(layers)


def weight_name(weights: Sequence[Weight], place: int) -> str:
    """What people call a weight, and the layer behind it: "layer 2", "conv 2"; "input", "branch 3, weight 1", "output".

    The first has a name of its own where there are residual branches, the last there and behind convolutions.
    """
    weight, first = weights[place], place
    if weight.branch is not None:
        while weights[first - 1].branch == weight.branch:
            first -= 1
        return f"branch {weight.branch + 1}, weight {place - first + 1}"
    residual = any(other.branch is not None for other in weights)
    if weight.role == LAST and (residual or any(other.kernel.window for other in weights)):
        return "output"
    return "input" if residual else f"{'conv' if weight.kernel.window else 'layer'} {place + 1}"
