"""The shape of an elementwise function, found numerically in float64: range, steepest slope, kinks, flat sides, parity.

Between NEAR and -NEAR the function is looked at on a grid of STEP, beyond on one that thins out up to FAR. A jump is
told from a steep slope by zooming in: cells of the grid are halved, towards the larger change, until they are 1e-12
wide, where only a jump still changes.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jaxtyping import Float

from xinit.networks.contract import INF

NEAR, STEP, FAR = 20.0, 1 / 256, 1e8
ZOOMS = 33  # halvings: STEP / 2^33 is 5e-13
JUMP = 1e-6  # of a function, as a share of its largest size, that is one
SINGLE_JUMP = 1e-3  # and where the function rounds to float32 whatever it is given
MANY = 10  # turns of f', or jumps, between -NEAR and NEAR, beyond which a function counts as turning without end
SAME = 1e-9  # as a share of the size: equal values
CLOSE = 1e-3  # as a share of 1 + size: values far out that have come to a limit

Vectorised = Callable[[np.ndarray], np.ndarray]


class Landmarks(NamedTuple):
    """What `Activation` says of a function, by the same names."""

    slope_max: float
    low: float
    high: float
    saturates: bool
    rectifies: bool
    negative_slope: float | None
    kinks: tuple[float, ...]
    parity: str | None
    wavelength: float | None


@functools.cache
def in_double(function: Callable[[Array], Array]) -> Callable[[Float[np.ndarray, "*points"]], np.ndarray]:
    """The function as one of NumPy's arrays, in double precision on the host."""
    jitted = jax.jit(function)

    def call(x: Float[np.ndarray, "*points"]) -> np.ndarray:
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            return np.asarray(jitted(x), float)

    return call


def derivative(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """f' of an elementwise function, as back-propagation takes it."""

    def slope(x: Array) -> Array:
        value, pull = jax.vjp(function, x)
        (slopes,) = pull(jax.numpy.ones_like(value))
        return jax.numpy.asarray(slopes)

    return slope


def near_zero() -> Float[np.ndarray, " points"]:
    """Where a function is looked at near zero; whole numbers and halves, where kinks usually lie, are among them."""
    return np.arange(-NEAR, NEAR + STEP, STEP)


def find_landmarks(function: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Landmarks:
    """The landmarks of an elementwise function and its derivative, both finite near zero."""
    f, first, second = in_double(function), in_double(slope), in_double(derivative(slope))
    x = near_zero()
    out = np.geomspace(NEAR, FAR, len(x) // 2)
    far = np.concatenate([-out[::-1], out, [FAR]])
    values, slopes = f(x), first(x)
    resolution = SINGLE_JUMP if _rounds(function) else JUMP
    jumps = [_jumps(g, x, resolution) for g in (f, first)]
    turns = max(_turns(x, np.diff(slopes), resolution), *jumps, key=len)
    wavelength = 2 * float(np.mean(np.diff(turns))) if len(turns) > MANY else None
    crossings = _crossings(first, x, resolution)
    bends = _jumps(second, x, max(resolution, 10 * JUMP))
    kinks = () if wavelength else _merged([*jumps, crossings, bends])
    low, high = 0.0 - _supremum(lambda x: -f(x), x, far), _supremum(f, x, far) + 0.0
    slope_max = _supremum(lambda x: np.abs(first(x)), x, far)
    rectifies, negative_slope = _rectifier(x, values, slopes, kinks)
    one_way = not len(crossings) and not wavelength
    flat = any(_flattens(f, first, side * out, slope_max) for side in (-1, 1))
    saturates = one_way and flat and slope_max < INF and not rectifies
    parity = _parity(values, resolution)
    return Landmarks(slope_max, low, high, saturates, rectifies, negative_slope, kinks, parity, wavelength)


def _rounds(function: Callable[[Array], Array]) -> bool:
    """Whether a function computes in less than double precision, whatever it is given."""
    with jax.enable_x64(True):
        return bool(jax.eval_shape(function, jax.ShapeDtypeStruct((1,), np.float64)).dtype != np.float64)


def _jumps(g: Vectorised, x: np.ndarray, resolution: float) -> np.ndarray:
    """Where g changes within a cell of 1e-12 by more than a share of its largest finite size."""
    offset = STEP / 3  # so that no end of a cell is a likely place of a jump
    ends = x[:-1] + offset, x[1:] + offset
    (a, b), (g_a, g_b) = ends, map(g, ends)
    size = np.max(np.abs(g_a[np.isfinite(g_a)]), initial=0.0)
    with np.errstate(invalid="ignore"):
        for _ in range(ZOOMS):
            middle = (a + b) / 2
            g_middle = g(middle)
            left = np.abs(g_middle - g_a) >= np.abs(g_b - g_middle)
            a, b = np.where(left, a, middle), np.where(left, middle, b)
            g_a, g_b = np.where(left, g_a, g_middle), np.where(left, g_middle, g_b)
        return _rounded(b[~(np.abs(g_b - g_a) <= resolution * size)])


def _crossings(g: Vectorised, x: np.ndarray, resolution: float) -> np.ndarray:
    """Where g changes its sign, other than between two values that are zero for all purposes."""
    values = g(x)
    matter = np.flatnonzero(np.abs(values) > SAME * resolution * np.max(np.abs(values)))
    x, signs = x[matter], np.sign(values[matter])
    changed = signs[:-1] != signs[1:]
    if not changed.any():
        return np.empty(0)
    a, b, sign = x[:-1][changed], x[1:][changed], signs[:-1][changed]
    for _ in range(ZOOMS):
        middle = (a + b) / 2
        before = np.sign(g(middle)) == sign
        a, b = np.where(before, middle, a), np.where(before, b, middle)
    return _rounded(b)


def _turns(x: np.ndarray, changes: np.ndarray, resolution: float) -> np.ndarray:
    """Where f' stops rising or falling, to a cell of the grid."""
    matter = np.flatnonzero(np.abs(changes) > resolution * np.max(np.abs(changes)))
    turned = np.flatnonzero(np.diff(np.sign(changes[matter])))
    return x[matter[turned + 1]]


def _rounded(places: np.ndarray) -> np.ndarray:
    """Places to nine digits after the point: a kink at 1 is found at 1 + 1e-13."""
    return np.round(places, 9) + 0.0


def _merged(parts: list[np.ndarray]) -> tuple[float, ...]:
    """All places in order, those within a cell of another left out."""
    places = np.unique(np.concatenate(parts))
    return tuple(float(place) for place in places[np.diff(places, prepend=-INF) > 1e-6])


def _supremum(g: Vectorised, x: np.ndarray, far: np.ndarray) -> float:
    """The least upper bound of g; infinite where g still grows as far out as it can be computed."""
    near, beyond = g(x), g(far)
    if np.any(np.isposinf(beyond)):
        return INF
    computed = ~np.isnan(beyond)
    beyond, distance = beyond[computed], np.abs(far[computed])
    last = np.max(distance, initial=NEAR)
    early = np.max(beyond[distance <= np.sqrt(last)], initial=np.max(near))
    late = np.max(beyond[distance >= last / 100], initial=early)
    if late - early > CLOSE * (1 + abs(early)):
        return INF
    top = _refined(g, x, int(np.argmax(near)))
    return float(f"{np.max(beyond, initial=top):.7g}")  # limits, too: softsign is .99999999 at FAR


def _refined(g: Vectorised, x: np.ndarray, i: int) -> float:
    """The maximum of g beside the i-th point of a grid, on ever finer grids of as many points."""
    best = -INF
    for _ in range(3):
        values = g(x)
        i = int(np.argmax(values)) if best > -INF else i
        best = max(best, float(values[i]))
        x = np.linspace(x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)], len(x))
    return best


def _flattens(f: Vectorised, slope: Vectorised, out: np.ndarray, slope_max: float) -> bool:
    """Whether f comes to a finite value on this side, its slope to nothing."""
    values, slopes = f(out), np.abs(slope(out))
    values, slopes = values[np.isfinite(values)], slopes[np.isfinite(slopes)]
    if not values.size or not slopes.size:
        return False
    tail = values[len(values) // 2 :]
    return bool(np.ptp(tail) <= CLOSE * (1 + abs(tail[-1])) and slopes[-1] <= CLOSE * slope_max)


def _rectifier(
    x: np.ndarray, values: np.ndarray, slopes: np.ndarray, kinks: tuple[float, ...]
) -> tuple[bool, float | None]:
    """Whether f has one constant slope above zero and a smaller one below; and that one, where f(x) = x above."""
    below, above = slopes[x < 0], slopes[x > 0]
    constant = max(np.ptp(below), np.ptp(above)) <= SAME * np.max(np.abs(slopes))
    if kinks != (0.0,) or not constant or not 0 <= below[0] < above[0]:
        return False, None
    if np.ptp(values[np.abs(x) <= STEP]) > 3 * STEP * above[0]:  # a step at zero
        return False, None
    identity = np.allclose(values[x > 0], x[x > 0], rtol=SAME, atol=0)
    return True, float(below[0]) if identity else None


def _parity(values: np.ndarray, resolution: float) -> str | None:
    equal = 1e-3 * resolution * np.max(np.abs(values))
    if np.max(np.abs(values + values[::-1])) <= equal:
        return "odd"
    return "even" if np.max(np.abs(values - values[::-1])) <= equal else None
