"""Shapeset-3x2 against 10,000 scenes drawn by the authors' program, and what must hold without them."""

import functools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.conftest import shared
from xinit.core.errors import InputError
from xinit.data import scenes as shapeset

N = 20_000
# Keys are fixed, so a test passes or fails for good; one in a thousand right generators would fail each.
P_MIN = 1e-3
LABELS = {(1, 0, 0): 0, (0, 1, 0): 1, (0, 0, 1): 2, (1, 1, 0): 3, (0, 1, 1): 4, (1, 0, 1): 5}
LABELS |= {(2, 0, 0): 6, (0, 2, 0): 7, (0, 0, 2): 8}

sample = jax.jit(shapeset.sample, static_argnums=(1, 2))
rasterise = jax.jit(shapeset.rasterise, static_argnums=4)
draw = jax.jit(shapeset.draw, static_argnums=(1, 2))


@functools.cache
def reference() -> dict[str, np.ndarray]:
    with np.load(shared("shapeset_reference.npz")) as arrays:
        return dict(arrays)


@functools.cache
def ours(size: int = 32) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in sample(jax.random.key(1), N, size)._asdict().items()}


def is_pair(scenes) -> np.ndarray:
    return scenes["n_objects"] == 2


def areas(scenes) -> np.ndarray:
    """Exact polygon areas (N, O) by the shoelace formula; the padding adds nothing."""
    v = scenes["vertices"].astype(np.float64)
    w = np.roll(v, -1, axis=2)
    return np.abs((v[..., 0] * w[..., 1] - v[..., 1] * w[..., 0]).sum(2)) / 2


def silhouette(scenes, o: int) -> np.ndarray:
    """Pixels of object o alone: bool (N, X, Y)."""
    white = np.full((len(scenes["n_objects"]), 2), 255, np.uint8)
    alone = np.where(scenes["n_objects"] > o, 1, 0)
    return np.asarray(rasterise(scenes["vertices"][:, [o, o]], white, np.zeros(len(white), np.uint8), alone)) > 0


def covered(scenes) -> np.ndarray:
    return (silhouette(scenes, 0) | silhouette(scenes, 1)).sum((1, 2))


def area_ratio(scenes) -> np.ndarray:
    area = areas(scenes)[is_pair(scenes)]
    return area[:, 1] / area[:, 0]


def visible_rear(scenes) -> np.ndarray:
    rear, front = silhouette(scenes, 0)[is_pair(scenes)], silhouette(scenes, 1)[is_pair(scenes)]
    return (rear & ~front).sum((1, 2)) / rear.sum((1, 2))


def elongation(scenes) -> np.ndarray:
    """Longest edge squared over area, which sees the scales and the first rotation."""
    edges = np.linalg.norm(np.diff(scenes["vertices"][:, 0], axis=1, append=scenes["vertices"][:, 0, :1]), axis=-1)
    return edges.max(1) ** 2 / areas(scenes)[:, 0]


STATISTICS = {
    "rear grey level": lambda s: s["foreground"][:, 0],
    "front grey level": lambda s: s["foreground"][is_pair(s), 1],
    "background": lambda s: s["background"],
    "covered area": covered,
    "rear area": lambda s: areas(s)[:, 0],
    "front area": lambda s: areas(s)[is_pair(s), 1],
    "area ratio": area_ratio,
    "visible share of the rear object": visible_rear,
    "elongation": elongation,
    "place of the front object": lambda s: s["vertices"][is_pair(s), 1, 0, 0],
}


@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)
def test_distribution_is_the_authors(statistic):
    assert stats.ks_2samp(statistic(reference()), statistic(ours())).pvalue > P_MIN


def test_rasteriser_on_the_authors_vertices():
    r = reference()
    images = rasterise(r["vertices"], r["foreground"], r["background"], r["n_objects"])
    assert images.dtype == jnp.uint8
    # One of ten million differs: there the stored float32 corner rounds up to a whole pixel.
    assert np.mean(np.asarray(images) != r["images"]) < 1e-6


def counts(ids) -> tuple[int, ...]:
    counter = Counter(ids.tolist())
    return tuple(counter[kind] for kind in range(3))


@pytest.mark.parametrize("scenes", [reference, ours])
def test_label_counts_the_kinds(scenes):
    s = scenes()
    assert s["labels"].tolist() == [LABELS[counts(ids)] for ids in s["shape_ids"]]
    assert ((s["shape_ids"] >= 0).sum(1) == s["n_objects"]).all()


def test_prior():
    assert math.isclose(sum(shapeset.PRIOR), 1)
    assert math.isclose(shapeset.CHANCE_ERROR, 5 / 6)
    # Many scenes, so that second objects given up too soon would show as single ones.
    keys = jax.random.split(jax.random.key(3), 10)
    labels = jax.jit(lambda keys: jax.lax.map(lambda key: shapeset.sample(key, N).labels, keys))(keys)
    found = np.bincount(labels.ravel(), minlength=shapeset.N_CLASSES)
    assert stats.chisquare(found, labels.size * np.array(shapeset.PRIOR)).pvalue > P_MIN


def test_grey_ranges_are_opposite_and_reach_both_ends():
    s = ours()
    bright = s["background"] >= 140
    assert 0.48 < bright.mean() < 0.52
    for levels, lit in ((s["background"], bright), (s["foreground"][:, 0], ~bright)):
        assert (levels[lit].min(), levels[lit].max()) == (140, 255)
        assert (levels[~lit].min(), levels[~lit].max()) == (0, 114)


def test_absent_object_is_zeros():
    s, r = ours(), reference()
    for name, dtype in {"vertices": np.float32, "foreground": np.uint8, "background": np.uint8}.items():
        assert s[name].dtype == r[name].dtype == dtype
        assert s[name].shape[1:] == r[name].shape[1:]
    single = ~is_pair(s)
    assert (s["vertices"][single, 1] == 0).all()
    assert (s["foreground"][single, 1] == 0).all()
    assert (s["shape_ids"][single, 1] == -1).all()


@pytest.mark.parametrize("scenes", [reference, ours])
def test_front_object_hides_no_more_than_allowed(scenes):
    """The rejection rule, written once more from the corners: with it none is left, without it two in five would be."""
    s = scenes()
    pair = is_pair(s)
    corners, ids, area = s["vertices"][pair].astype(np.float64), s["shape_ids"][pair], areas(s)[pair]
    n = np.array(shapeset.SIDES)[ids]
    there = np.arange(20)[None, None, :] < n[:, :, None]
    centre = (corners * there[..., None]).sum(2) / n[:, :, None]
    anchor = np.floor(centre[:, 0])
    line = centre[:, 1] - anchor
    d = np.linalg.norm(line, axis=1)
    rear = ((corners[:, 0] - anchor[:, None]) @ line[:, :, None])[..., 0].max(1) / d
    front = ((centre[:, 1:2] - corners[:, 1]) @ line[:, :, None])[..., 0].max(1) / d
    hidden = area[:, 1] / area[:, 0] * (1 - 2 ** (-(rear + front - d) / d))
    # A centre within rounding of a whole pixel may be cut to the other side.
    assert (hidden > 0.5 + 1e-3).mean() < 1e-3
    assert (hidden > 0.45).mean() > 0.01


@pytest.mark.parametrize("size", [10, 32, 75])
def test_shapes_keep_the_margin_and_scale_with_the_image(size):
    s = ours(size)
    present = np.arange(2)[None, :] < s["n_objects"][:, None]
    corners = s["vertices"][present]
    assert corners.min() > 1 - 1e-4
    assert corners.max() < size - 1 + 1e-4
    # s_x s_y = E[U]^2, the two scales being independent before they are sorted.
    area_ratio = np.mean([n / (2 * math.pi) * math.sin(2 * math.pi / n) for n in shapeset.SIDES])
    assert areas(s)[:, 0].mean() / size**2 == pytest.approx(math.pi / 4 * 0.25 * area_ratio, rel=0.02)


def test_draw_is_the_picture_of_a_sample():
    images, labels = draw(jax.random.key(1), N, 10)
    assert (images.shape, images.dtype) == ((N, 100), jnp.uint8)
    assert (labels.shape, labels.dtype) == ((N,), jnp.int32)
    s = ours(10)
    assert (labels == s["labels"]).all()
    pictures = rasterise(s["vertices"], s["foreground"], s["background"], s["n_objects"], 10)
    # The programs round differently, and a corner may fall on the other side of a pixel.
    assert (images != pictures.reshape(N, 100)).mean() < 1e-4


def picture(*corners_of_objects, size=8) -> list[str]:
    """One image, indexed [x, y], as strings; objects are a and b."""
    padded = [list(corners) + [corners[-1]] * (20 - len(corners)) for corners in corners_of_objects]
    vertices = np.array([padded], np.float32)
    grey = np.arange(1, len(padded) + 1, dtype=np.uint8)[None, :]
    image = rasterise(vertices, grey, np.zeros(1, np.uint8), np.array([len(padded)]), size)[0]
    return ["".join(".ab"[value] for value in row) for row in np.asarray(image)]


PICTURES = {
    "both ends of a side belong to it": (
        [[(1, 2), (1, 4), (3, 4), (3, 2)]],
        ["......", "..aaa.", "..aaa.", "..aaa.", "......", "......"],
    ),
    "corners are cut to whole pixels": (
        [[(1.9, 2.9), (1.9, 4.1), (3.1, 4.1), (3.1, 2.9)]],
        ["......", "..aaa.", "..aaa.", "..aaa.", "......", "......"],
    ),
    "x is rounded down in each row": (
        [[(0, 0), (1, 4), (5, 2)]],
        ["aaaa..", ".aaaa.", ".aaa..", "..aa..", "..a...", "..a..."],
    ),
    "the later object is in front": (
        [[(0, 0), (0, 3), (3, 3), (3, 0)], [(2, 2), (2, 5), (5, 5), (5, 2)]],
        ["aaaa..", "aaaa..", "aabbbb", "aabbbb", "..bbbb", "..bbbb"],
    ),
    "what lies outside is clipped": (
        [[(-3, 1), (-3, 2), (9, 2), (9, 1)]],
        [".aa...", ".aa...", ".aa...", ".aa...", ".aa...", ".aa..."],
    ),
}


@pytest.mark.parametrize(("objects", "expected"), PICTURES.values(), ids=PICTURES)
def test_pixel_rule(objects, expected):
    assert picture(*objects, size=6) == expected


def test_deterministic_independent_of_other_keys_and_compiled_once():
    compiled = jax.jit(lambda key: shapeset.draw(key, 400))
    first, again, other = (np.asarray(compiled(jax.random.key(seed))[0]) for seed in (5, 5, 6))
    assert (first == again).all()
    assert len(np.unique(np.concatenate([first, other]), axis=0)) == 800
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("transform", [jax.vmap, lambda f: functools.partial(jax.lax.map, f)], ids=["vmap", "loop"])
def test_inside_transformations(transform):
    keys = jax.random.split(jax.random.key(2), 3)
    images, labels = jax.jit(transform(lambda key: shapeset.draw(key, 400)))(keys)
    for i, key in enumerate(keys):
        solo_images, solo_labels = draw(key, 400, 32)
        assert (labels[i] == solo_labels).all()
        # The programs round differently, and a corner may fall on the other side of a pixel.
        assert (images[i] != solo_images).mean() < 1e-4


@pytest.mark.parametrize("size", [9, 0, -32, 32.0, "32"])
def test_bad_size(size):
    with pytest.raises(InputError, match=f"size is {size!r}; .* at least 10"):
        shapeset.draw(jax.random.key(0), 4, size)


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_bad_number(n):
    with pytest.raises(InputError, match=f"images is {n!r}; .* at least 1"):
        shapeset.sample(jax.random.key(0), n)
