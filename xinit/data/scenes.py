"""Shapeset-3x2: one or two grey shapes on a grey ground, drawn afresh on the device, to be named.

The task of Glorot & Bengio 2010, section 2.1: triangles, parallelograms and ellipses, nine classes. The distribution
and the pixels are those of the authors' program (github.com/glorotxa/Shapeset, commit f8851a1). Everything is a pure
function of a key, without transfers to or from the host, so it runs inside `jit`, `vmap` and `lax` loops.

Axes: N scenes, O = 2 objects (rear first), D draws, V = 20 corners, E = 20 edges, X and Y pixels.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from xinit.core.errors import InputError

SIDES = (3, 4, 20)  # a triangle, a parallelogram and an ellipse, before they are stretched and turned
LABEL_OF_PAIR = ((6, 3, 5), (3, 7, 4), (5, 4, 8))
N_CLASSES = 9
PRIOR = (1 / 6,) * 3 + (1 / 9,) * 3 + (1 / 18,) * 3
CHANCE_ERROR = 1 - max(PRIOR)

SCALES = (0.2, 0.8)  # diameter over image size, along either axis
MARGIN = 1.0  # pixels between a shape and the border
MAX_OVERLAP = 0.5
MAX_DRAWS = 50  # the authors give the second object up after this many rejections: .000 002 of the pairs
DARK, BRIGHT = (0, 114), (140, 255)
ROTATIONS = 255  # steps in a full turn
MIN_SIZE = 10  # below it the largest shape and its margins do not fit: .8 size + 2 > size


class Scenes(NamedTuple):
    """What the images show; objects are ordered from the rear, and zeros (kind: -1) stand for an absent second one.

    vertices: float32 (N, 2, 20, 2), corners (x, y) in pixels, padded with the last one.
    foreground: uint8 (N, 2), the grey level of each object.
    background: uint8 (N,), the grey level behind them.
    n_objects: int32 (N,), 1 or 2.
    shape_ids: int32 (N, 2), 0 triangle, 1 parallelogram, 2 ellipse.
    labels: int32 (N,), 0-2 one such object, 3-5 a mixed pair (01, 12, 02), 6-8 a pair of one kind.
    """

    vertices: Array
    foreground: Array
    background: Array
    n_objects: Array
    shape_ids: Array
    labels: Array


class _Shape(NamedTuple):
    """Where a regular polygon in the circle of diameter 1 lands: corner (p, q) at p u + q v + centre, in pixels."""

    u_x: Array
    u_y: Array
    v_x: Array
    v_y: Array
    centre_x: Array | float
    centre_y: Array | float


def _regular(n: int) -> np.ndarray:
    """Corners of the regular n-gon in the circle of diameter 1, symmetric about the second axis: (n, 2)."""
    angle = 2 * math.pi * ((np.arange(n) + 0.5) / n + 0.25)
    return 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


POLYGONS = tuple(_regular(n) for n in SIDES)
CORNERS = np.stack([p[np.minimum(np.arange(max(SIDES)), len(p) - 1)] for p in POLYGONS]).astype(np.float32)
AREA_RATIOS = tuple(n * math.sin(2 * math.pi / n) / (2 * math.pi) for n in SIDES)  # to the circumscribed ellipse


def _by_kind(kind: Array, values: Sequence[Any] | np.ndarray) -> Array:
    """One of three values, each a number or broadcastable to `kind`."""
    return jnp.where(kind == 0, values[0], jnp.where(kind == 1, values[1], values[2]))


def _support(kind: Array, p: Array, q: Array) -> Array:
    """Largest product of (p, q) with a corner of the unit polygon; by symmetry the right half and |p| suffice."""
    halves = [polygon[polygon[:, 0] > -1e-9].tolist() for polygon in POLYGONS]  # the triangle's tip is at 0, rounded
    return _by_kind(kind, [functools.reduce(jnp.maximum, [a * jnp.abs(p) + b * q for a, b in half]) for half in halves])


def _reach(kind: Array, shape: _Shape, x: Array | float, y: Array | float) -> Array:
    """How far a shape extends from its centre along (x, y), times the length of (x, y)."""
    return _support(kind, shape.u_x * x + shape.u_y * y, shape.v_x * x + shape.v_y * y)


def _area(kind: Array, shape: _Shape) -> Array:
    """Area up to the factor pi / 4 common to all."""
    return (shape.u_x * shape.v_y - shape.u_y * shape.v_x) * _by_kind(kind, AREA_RATIOS)


def _first_rotation(kind: Array, uniform: Array) -> Array:
    """The authors' grid for phi1, about (-pi/n, pi/n): the upper half of the steps wraps round to below zero."""
    step = jnp.floor(uniform * _by_kind(kind, [float(ROTATIONS // n) for n in SIDES]))
    wrapped = jnp.minimum(step - _by_kind(kind, [float((ROTATIONS - 1) // n) for n in SIDES]), -1.0)
    upper = step > _by_kind(kind, [float((ROTATIONS - 1) // (2 * n)) for n in SIDES])
    return 2 * math.pi / ROTATIONS * jnp.where(upper, wrapped, step)


def _place(kind: Array, phi1: Array, phi3: Array, uniforms: Array, size: int) -> _Shape:
    """A shape of the given kind and rotations, with scales and position from four uniforms: uniforms (4, N, D).

    Corners are P R(phi1) diag(s_x, s_y) R(phi2) R(phi3) + centre, as row vectors. phi2 turns the first row of
    R(phi1) diag(s_x, s_y) back onto the x axis, so R(phi1) diag(s_x, s_y) R(phi2) = [[a, 0], [b, s_x s_y / a]] and
    phi2 itself is not needed.
    """
    scales = size * (SCALES[0] + (SCALES[1] - SCALES[0]) * uniforms[:2])
    s_x, s_y = jnp.maximum(scales[0], scales[1]), jnp.minimum(scales[0], scales[1])
    cos, sin = jnp.cos(phi1), jnp.sin(phi1)
    a = jnp.sqrt((cos * s_x) ** 2 + (sin * s_y) ** 2)
    b, c = cos * sin * (s_y**2 - s_x**2) / a, s_x * s_y / a
    cos, sin = jnp.cos(phi3), jnp.sin(phi3)
    shape = _Shape(a * cos, a * sin, b * cos - c * sin, b * sin + c * cos, 0.0, 0.0)
    left, right = MARGIN + _reach(kind, shape, -1.0, 0.0), size - MARGIN - _reach(kind, shape, 1.0, 0.0)
    low, high = MARGIN + _reach(kind, shape, 0.0, -1.0), size - MARGIN - _reach(kind, shape, 0.0, 1.0)
    return shape._replace(centre_x=left + uniforms[2] * (right - left), centre_y=low + uniforms[3] * (high - low))


def _hides(front_kind: Array, front: _Shape, rear_kind: Array, rear: _Shape) -> Array:
    """Whether the front shape may hide too much of the rear one: the authors' estimate, not the exact overlap.

    With d the distance of the centres and p the sum of both shapes' reach towards each other, the overlap is taken
    as 1 - 2^(-(p - d) / d) of the front shape's area. Rejected when that exceeds half of the rear shape's area.
    """
    # The authors keep earlier centres in an integer array, so the fraction is lost.
    anchor_x, anchor_y = jnp.floor(rear.centre_x), jnp.floor(rear.centre_y)
    x, y = front.centre_x - anchor_x, front.centre_y - anchor_y
    shift = (rear.centre_x - anchor_x) * x + (rear.centre_y - anchor_y) * y
    reach = _reach(rear_kind, rear, x, y) + shift + _reach(front_kind, front, -x, -y)
    overlap = 1 - jnp.exp2(1 - reach / (x**2 + y**2))
    return _area(front_kind, front) * overlap > MAX_OVERLAP * _area(rear_kind, rear)


def _objects(kind_NO: Array, phi1_NO: Array, phi3_NO: Array, key: Array, size: int) -> tuple[_Shape, Array]:
    """Both shapes (fields N, O), and whether a place for the second was found.

    A rejected second object draws scales and position again. All its draws are made at once and the first that fits
    is taken: it has the distribution of the authors' loop, including their bound, without a loop.
    """
    uniforms_4ND = jax.random.uniform(key, (4, kind_NO.shape[0], 1 + MAX_DRAWS))
    rear_kind, front_kind = kind_NO[:, :1], kind_NO[:, 1:]
    rear = _place(rear_kind, phi1_NO[:, :1], phi3_NO[:, :1], uniforms_4ND[..., :1], size)
    front = _place(front_kind, phi1_NO[:, 1:], phi3_NO[:, 1:], uniforms_4ND[..., 1:], size)
    fits_ND = ~_hides(front_kind, front, rear_kind, rear)
    first = jnp.argmax(fits_ND, axis=1, keepdims=True)
    chosen = jax.tree.map(lambda field: jnp.take_along_axis(field, first, axis=1), front)
    both = jax.tree.map(lambda r, f: jnp.concatenate([r, f], axis=1), rear, chosen)
    return both, fits_ND.any(axis=1)


def _corners(kind_NO: Array, shape: _Shape) -> Array:
    """Vertices (N, O, V, 2) in pixels."""
    p, q = (_by_kind(kind_NO[:, :, None], CORNERS[:, None, None, :, axis]) for axis in (0, 1))
    u_x, u_y, v_x, v_y, centre_x, centre_y = (jnp.asarray(field)[:, :, None] for field in shape)
    return jnp.stack([p * u_x + q * v_x + centre_x, p * u_y + q * v_y + centre_y], axis=-1)


def _grey(uniform: Array, bright: Array) -> Array:
    """A grey level of the bright or the dark range, both ends included."""
    low, high = jnp.where(bright, BRIGHT[0], DARK[0]), jnp.where(bright, BRIGHT[1], DARK[1])
    return (low + jnp.floor(uniform * (high - low + 1))).astype(jnp.uint8)


def _check(n: int, size: int) -> None:
    if not isinstance(n, int) or n < 1:
        raise InputError(f"The number of Shapeset images is {n!r}; it must be a whole number, at least 1.")
    if not isinstance(size, int) or size < MIN_SIZE:
        raise InputError(f"The Shapeset image size is {size!r}; it must be a whole number, at least {MIN_SIZE} pixels.")


def sample(key: Array, n: int, size: int = 32) -> Scenes:
    """`n` scenes of Shapeset-3x2, as the authors' program draws them.

    One or two objects, equally likely; each of three kinds, equally likely, with scales U(.2, .8) size, rotations on
    a grid of 255 steps, and a place at least 1 px from the border. A second object that would hide too much of the
    first draws scales and place again, 50 times at most; then it is left out, as the authors do.

    Raises:
      InputError: n below 1, or size below 10.

    Reference: Glorot & Bengio 2010, section 2.1, and the authors' program.
    """
    _check(n, size)
    scene_key, object_key, place_key = jax.random.split(key, 3)
    is_bright, behind, count = jax.random.uniform(scene_key, (3, n))
    which, before, after, grey = jax.random.uniform(object_key, (4, n, 2))
    kind_NO = jnp.floor(len(SIDES) * which).astype(jnp.int32)
    # The last of the 255 steps is never drawn for the final rotation.
    phi3_NO = 2 * math.pi / ROTATIONS * jnp.floor((ROTATIONS - 1) * after)
    shapes, found = _objects(kind_NO, _first_rotation(kind_NO, before), phi3_NO, place_key, size)
    pair = (count >= 0.5) & found
    present_NO = jnp.stack([jnp.ones_like(pair), pair], axis=1)
    bright = is_bright > 0.5
    return Scenes(
        vertices=jnp.where(present_NO[:, :, None, None], _corners(kind_NO, shapes), 0.0),
        foreground=jnp.where(present_NO, _grey(grey, bright[:, None]), jnp.uint8(0)),
        background=_grey(behind, ~bright),
        n_objects=1 + pair.astype(jnp.int32),
        shape_ids=jnp.where(present_NO, kind_NO, -1),
        labels=jnp.where(pair, jnp.asarray(LABEL_OF_PAIR)[kind_NO[:, 0], kind_NO[:, 1]], kind_NO[:, 0]),
    )


def _spans(vertices_NE2: Array, size: int) -> tuple[Array, Array]:
    """First and last x of a convex polygon in each pixel row y, two float arrays (N, Y); last < first in empty rows.

    Corners are cut to whole pixels; in a row, each edge that meets it gives the x of the meeting point, rounded down.
    """
    x, y = jnp.floor(vertices_NE2[..., 0]), jnp.floor(vertices_NE2[..., 1])
    x_before, y_before = jnp.roll(x, 1, axis=1), jnp.roll(y, 1, axis=1)
    level = y == y_before
    slope = jnp.where(level, 0.0, (x - x_before) / jnp.where(level, 1.0, y - y_before))
    # Meeting points are multiples of 1 / (y - y_before): half the smallest step keeps rounding errors from counting.
    x = x + 0.5 / size
    x, y, y_before, slope = (values[:, :, None] for values in (x, y, y_before, slope))
    row = jnp.arange(size, dtype=jnp.float32)[None, None, :]
    meets_NEY = (jnp.minimum(y, y_before) <= row) & (row <= jnp.maximum(y, y_before))
    x_NEY = jnp.floor(x + slope * (row - y))
    return jnp.where(meets_NEY, x_NEY, float(size)).min(axis=1), jnp.where(meets_NEY, x_NEY, -1.0).max(axis=1)


def rasterise(vertices: Array, foreground: Array, background: Array, n_objects: Array, size: int = 32) -> Array:
    """Images uint8 (N, size, size) of scenes, indexed [x, y] as the authors store them; arguments as in `Scenes`.

    Filled convex polygons without smoothing, by the authors' pixel rule, later objects in front of earlier ones.
    """
    column = jnp.arange(size, dtype=jnp.int16)[None, :, None]

    def paint(image_NXY, an_object):
        vertices_NE2, grey_N, present_N = an_object
        first, last = _spans(vertices_NE2, size)
        last = jnp.where(present_N[:, None], last, -1.0)
        first, last = (span.astype(jnp.int16)[:, None, :] for span in (first, last))
        return jnp.where((first <= column) & (column <= last), grey_N[:, None, None], image_NXY), None

    present = jnp.arange(vertices.shape[1])[:, None] < n_objects[None, :]
    ground = jnp.broadcast_to(background[:, None, None], (background.shape[0], size, size))
    # A loop, not two unrolled steps: fused with what comes before and after, XLA repeats work for every pixel on a CPU.
    return lax.scan(paint, ground, (vertices.swapaxes(0, 1), foreground.T, present))[0]


def draw(key: Array, n: int, size: int = 32) -> tuple[Array, Array]:
    """Images uint8 (n, size * size), flattened from [x, y], and labels int32 (n,).

    Raises:
      InputError: n below 1, or size below 10.
    """
    scenes = sample(key, n, size)
    images = rasterise(scenes.vertices, scenes.foreground, scenes.background, scenes.n_objects, size)
    return images.reshape(n, size * size), scenes.labels
