"""Elementwise operations of a traced program as functions of one number: their values, their names, their slopes.

NumPy computes the values: nothing has to be compiled for it, and a function takes a few milliseconds.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

from xinit.tracing.structure.program import OWN_RULES, Operation, Program, Value

Points = Float[np.ndarray, " points"]

ENDS, STEP = 20.0, 1 / 256
NEAR = 8.0  # names are given by what a function does up to here
FLAT = 0.05  # of the largest slope, below which a side is flat; as in `act_saturated`
EXACT, ROUNDED = 1e-4, 1e-2  # share of the largest value by which a function may differ from one that has a name

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "abs": np.abs,
    "max": np.maximum, "min": np.minimum, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "square": np.square,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "cbrt": np.cbrt, "pow": np.power, "exp": np.exp,
    "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sinh": np.sinh,
    "cosh": np.cosh, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "logistic": scipy.special.expit,
    "erf": scipy.special.erf, "erfc": scipy.special.erfc, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "and": np.logical_and, "or": np.logical_or,
    "not": np.logical_not, "is_finite": np.isfinite, "clamp": lambda low, x, high: np.clip(x, low, high),
    "select_n": lambda which, *cases: np.choose(np.asarray(which, int), cases), "round": np.round,
}  # fmt: skip
UNCHANGED = {"copy", "copy_p", "reduce_precision", "name", "optimization_barrier", "sharding_constraint"}
OF_ONE_NUMBER = {"broadcast_in_dim", "reshape", "squeeze"}  # which leave the same number everywhere


class Shape(NamedTuple):
    """The properties of a function f of one number that measurements need, read off a table of its values.

    `slopes` are abs f' in each cell of the table. `bounded`: abs f' has a maximum. `is_rectifier`: f' is 0
    on a whole side of zero. `crossing`: f' changes its sign. `flattens`: f comes to a limit on a side at least.
    """

    name: str
    slopes: Points
    slope_max: float
    bounded: bool
    is_rectifier: bool
    crossing: bool
    flattens: bool

    @property
    def saturates(self) -> bool:
        """Whether abs f' far below its maximum means that a unit is saturated."""
        return self.bounded and self.flattens and not self.is_rectifier and not self.crossing


def is_elementwise(operation: Operation) -> bool:
    """Whether what an operation gives at a place follows from what it reads there."""
    name = str(operation.primitive)
    if operation.primitive in OWN_RULES:
        body = operation.bodies[0]
        return all(is_elementwise(inner) or str(inner.primitive) in OF_ONE_NUMBER for inner in body.operations)
    return name in ARITHMETIC or name in UNCHANGED or name in ("convert_element_type", "integer_pow")


def computed(operation: Operation, arguments: Sequence[Any]) -> list[Any]:
    """What an elementwise operation gives, in double precision whatever its own is."""
    name, params = str(operation.primitive), operation.params
    if operation.primitive in OWN_RULES:
        return evaluated(operation.bodies[0], arguments)
    if name == "convert_element_type":
        kind = np.dtype(params["new_dtype"]).kind
        return [np.trunc(arguments[0]) if kind in "iu" else np.asarray(arguments[0], bool if kind == "b" else float)]
    if name == "integer_pow":
        return [np.power(np.asarray(arguments[0], float), params["y"])]
    if name in UNCHANGED or name in OF_ONE_NUMBER:
        return list(arguments[:1])
    return [ARITHMETIC[name](*arguments)]


def evaluated(program: Program, arguments: Sequence[Any]) -> list[Any]:
    """The outputs of a program of elementwise operations."""
    values = {value: np.asarray(constant, float) for value, constant in program.constants.items()}
    values |= dict(zip(program.inputs, arguments, strict=True))
    for operation in program.operations:
        given = computed(operation, [values[value] for value in operation.reads])
        values |= dict(zip(operation.gives, given, strict=True))
    return [values[value] for value in program.outputs]


def tabulated(
    operations: Sequence[Operation], start: Value, numbers: Mapping[Value, float], points: Points
) -> dict[Value, Points]:
    """Every value that elementwise operations make of `start` at some points; `numbers` are the constants."""
    values: dict[Value, Any] = {start: points}
    with np.errstate(all="ignore"):
        for operation in operations:
            read = [values[value] if value in values else np.float64(numbers[value]) for value in operation.reads]
            given = computed(operation, read)
            values |= {v: np.broadcast_to(a, points.shape) for v, a in zip(operation.gives, given, strict=True)}
    return values


@functools.cache
def grid() -> Points:
    """The ends of the cells of a table; kinks, which usually lie at whole numbers and halves, are among them."""
    return np.arange(-ENDS, ENDS + STEP, STEP)


@functools.cache
def _near() -> np.ndarray:
    return np.abs(grid()) <= NEAR


def is_affine(values: Points, of: Points) -> bool:
    """Whether values are a + b of, to rounding, with a b other than 0."""
    if bool in (values.dtype, of.dtype):
        return False
    near = _near()
    values, of = values[near], of[near]
    if not (np.all(np.isfinite(values)) and np.all(np.isfinite(of))):
        return False
    centred = of - of.mean()
    if not np.any(centred) or np.ptp(values) == 0:
        return False
    slope = centred @ values / (centred @ centred)
    return slope != 0 and bool(np.max(np.abs(values - values.mean() - slope * centred)) <= 1e-6 * np.ptp(values))


def is_even(values: Callable[[Points], Points]) -> bool:
    """Whether f(-x) = f(x), as of a square."""
    x = np.linspace(0.1, 3, 30)
    return bool(np.allclose(values(x), values(-x), rtol=1e-6))


def _positive(x: Points) -> Points:
    return np.maximum(x, 0)


def _negative(x: Points) -> Points:
    return np.minimum(x, 0)


def _sigmoid(x: Points) -> Points:
    return np.asarray(scipy.special.expit(x))


def _softplus(x: Points) -> Points:
    return np.logaddexp(x, 0)


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, eq. 14
NAMES: tuple[tuple[str, Callable[[Points], Points]], ...] = (
    ("tanh", np.tanh),
    ("sigmoid", _sigmoid),
    ("relu", _positive),
    ("gelu", lambda x: x / 2 * (1 + scipy.special.erf(x / math.sqrt(2)))),
    ("gelu", lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    ("quick gelu", lambda x: x * _sigmoid(1.702 * x)),
    ("silu", lambda x: x * _sigmoid(x)),
    ("softplus", _softplus),
    ("elu", lambda x: _positive(x) + np.expm1(_negative(x))),
    ("selu", lambda x: SELU_SCALE * (_positive(x) + SELU_ALPHA * np.expm1(_negative(x)))),
    ("softsign", lambda x: x / (1 + np.abs(x))),
    ("relu6", lambda x: np.clip(x, 0, 6)),
    ("hard tanh", lambda x: np.clip(x, -1, 1)),
    ("hard sigmoid", lambda x: np.clip(x + 3, 0, 6) / 6),
    ("hard swish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("mish", lambda x: x * np.tanh(_softplus(x))),
    ("log sigmoid", lambda x: -_softplus(-x)),
    ("squared relu", lambda x: _positive(x) ** 2),
    ("squareplus", lambda x: (x + np.sqrt(x**2 + 4)) / 2),
    ("lecun tanh", lambda x: 1.7159 * np.tanh(2 / 3 * x)),
    ("erf", scipy.special.erf),
    ("sin", np.sin),
    ("cos", np.cos),
    ("exp", np.exp),
    ("square", np.square),
    ("abs", np.abs),
)
UNKNOWN = "elementwise"


@functools.cache
def _known() -> tuple[tuple[str, Points], ...]:
    x = grid()[_near()]
    return tuple((name, function(x)) for name, function in NAMES)


def name_of(values: Points, rounded: bool) -> str:
    """What a function is called whose values on the grid these are; `rounded` where its constants are of 16 bits."""
    x, values = grid()[_near()], values[_near()]
    if not np.all(np.isfinite(values)):
        return UNKNOWN
    slope = values[0] / x[0]
    leaky = [("leaky relu", _positive(x) + slope * _negative(x))] if 0.001 < slope < 1 else []
    differences = [
        (float(np.max(np.abs(values - known)) / np.max(np.abs(known))), name) for name, known in (*_known(), *leaky)
    ]
    least, name = min(differences)
    return name if least <= (ROUNDED if rounded else EXACT) else UNKNOWN


def shape_of_function(values: Points, name: str) -> Shape:
    """The shape of a function, from its values at the ends of the table's cells."""
    x = grid()
    middle = (x[1:] + x[:-1]) / 2
    with np.errstate(all="ignore"):
        signed = np.nan_to_num(np.diff(values) / np.diff(x), posinf=np.finfo(float).max, neginf=np.finfo(float).min)
    slopes = np.abs(signed)
    top = float(np.max(slopes))
    half = np.abs(middle) <= ENDS / 2
    matter = signed[slopes > 1e-6 * top]
    none = slopes <= 1e-9 * top
    sides = none[middle < -STEP].all(), none[middle > STEP].all()
    ends = ((slopes[0], slopes[np.argmax(half)]), (slopes[-1], slopes[len(half) - 1 - np.argmax(half[::-1])]))
    return Shape(
        name,
        slopes,
        top,
        bounded=bool(np.max(slopes[half]) >= top * (1 - 1e-3)),
        is_rectifier=any(sides) and not all(sides),
        crossing=bool(len(matter) and np.any(matter > 0) and np.any(matter < 0)),
        flattens=any(last <= 1e-6 * top or (last < FLAT * top and last < 0.5 * inner) for last, inner in ends),
    )


def slope_at(shape: Shape, u: np.ndarray) -> np.ndarray:
    """abs f' at some values, that of the cell below at the end of two; beyond the table that at its end; nan of nan."""
    u = np.asarray(u, float)
    within = np.clip(np.nan_to_num(u, nan=0.0), -ENDS, ENDS)
    cells = np.ceil((within + ENDS) / STEP) - 1
    slopes = shape.slopes[np.clip(cells, 0, len(shape.slopes) - 1).astype(int)]
    return np.where(np.isnan(u), np.nan, slopes)
