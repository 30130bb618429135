"""Readings of several seeds as those of one network, and readings of several networks at the same steps."""

from collections.abc import Mapping, Sequence

import numpy as np

from xinit.core.extra import BEYOND_DEPTH, NOTHING, Extra
from xinit.core.readings import EDGES, READINGS
from xinit.report.charts import chosen

Readings = Mapping[str, np.ndarray]


def mean(stacked: Readings, places: Sequence[int], extra: Extra = NOTHING) -> dict[str, np.ndarray]:
    """Means over the runs at `places` of the leading axis, of what is finite; without what none of them has.

    `extra` describes the readings of the user's.

    Histograms are brought to edges that hold those of all. Steps and layers that belong to other runs are left out.
    """
    own = {name: values[list(places)] for name, values in stacked.items() if name != "step"}
    found = {name: _mean(values) for name, values in own.items() if not np.all(np.isnan(values))}
    ends = {"act_low": np.fmin, "act_high": np.fmax}  # may be infinite
    found |= {name: pick.reduce(own[name]) for name, pick in ends.items() if name in found}
    for name in [name for name in found if name.endswith("_hist") and name not in extra]:
        edges = name.replace("_hist", "_edges")
        found[edges], found[name] = _common(own[edges], own[name])
    return _trimmed(found, stacked["step"], {**READINGS, **extra})


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the leading axis, of what is finite; nan where nothing is."""
    finite = np.isfinite(values)
    n = finite.sum(axis=0)
    total = np.where(finite, values, 0).sum(axis=0, dtype=float)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _common(edges_RLE: np.ndarray, shares_RTLB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges over the range of all runs, and the mean shares between them."""
    low_L, high_L = np.fmin.reduce(edges_RLE[..., 0]), np.fmax.reduce(edges_RLE[..., -1])
    edges_LE = np.linspace(low_L, high_L, edges_RLE.shape[-1], axis=-1)
    moved = [
        np.stack([_moved(shares_TLB[:, l], edges_LE[l], edges) for l, edges in enumerate(own_LE)], axis=1)
        for own_LE, shares_TLB in zip(edges_RLE, shares_RTLB, strict=True)
    ]
    return edges_LE, _mean(np.stack(moved))


def _moved(shares_TB: np.ndarray, to: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Shares in other bins, as if each bin were filled evenly."""
    inside = np.minimum(edges[1:, None], to[None, 1:]) - np.maximum(edges[:-1, None], to[None, :-1])
    width = np.diff(edges)[:, None]
    return shares_TB @ np.divide(np.maximum(inside, 0), width, out=np.zeros_like(inside), where=width > 0)


def _trimmed(readings: Readings, step: np.ndarray, known: Extra) -> dict[str, np.ndarray]:
    """Without the steps and layers that have nothing; `known`: the readings at steps, the others have none."""
    courses = [values.reshape(len(step), -1) for name, values in readings.items() if name in known]
    measured = np.isfinite(np.concatenate(courses, axis=1)).any(axis=1) if courses else np.zeros(len(step), bool)
    lengths = _lengths(readings)
    trimmed = {"step": step[measured]}
    for name, values in readings.items():
        axes = known[name][0] if name in known else EDGES[name][0]
        cut = tuple(slice(lengths.get(axis)) for axis in axes)
        trimmed[name] = values[measured][:, *cut] if name in known else values[cut]
    return trimmed


def _lengths(readings: Readings) -> dict[str, int]:
    """How long the axes of depth are; over skips a Jacobian leads from one sum to the next."""
    depth = int((~np.isnan(readings["act_low"])).sum()) if "act_low" in readings else 0
    lengths = {axis: depth + more for axis, more in BEYOND_DEPTH.items()}
    if "act_branch" in readings:
        lengths["jacobian"] = int((readings["act_branch"] == 0).sum()) - 1
    return lengths


def common_steps(networks: Sequence[Readings], most: int) -> np.ndarray:
    """At most so many of all the steps at which one of them was probed, the first and the last among them."""
    steps = np.unique(np.concatenate([own["step"] for own in networks]))
    return steps[chosen(len(steps), most)]


def at_steps(readings: Readings, steps: np.ndarray) -> dict[str, np.ndarray]:
    """The readings as they last were at each of these steps."""
    last = np.maximum(np.searchsorted(readings["step"], steps, side="right") - 1, 0)
    return {name: values if name in EDGES else values[last] for name, values in readings.items()} | {"step": steps}
