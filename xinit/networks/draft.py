"""A network as it is being written down, step by step, and the `Network` that comes of it."""

import math
from collections.abc import Callable, Sequence
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
from xinit.networks.stack import KEYS, NORMS, ZERO, Stack, check_norm, untouched, walk


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

        split: Callable[[], Any] = lambda: nnx.split(module(), nnx.Param, ...)
        graph = jax.eval_shape(split)[0]  # abstract: allocates no weights

        def start(key: Array) -> tuple[Params, State]:
            _, params, state = split()
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
    layers: list[Layer] = []
    place, site = 0, Site("weight", 0)
    branch: int | None = None
    inside: int | None = None
    for step in steps:
        match step:
            case Multiply(weight):
                place, site = weight, Site("weight", weight)
                inside = branch
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
