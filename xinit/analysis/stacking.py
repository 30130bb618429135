"""The readings of many runs in one array each, along an axis replica."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from xinit.core.extra import NOTHING, Extra
from xinit.core.readings import EDGES, READINGS


def stacked(runs: Sequence[Mapping[str, np.ndarray]], extra: Extra = NOTHING) -> dict[str, np.ndarray]:
    """Arrays with a leading axis replica; where runs differ in steps, depth or width of an axis, the rest is nan.

    So is all of a run that lacks a reading, or has it over another number of axes. `extra`: the axes of the user's.

    >>> short, long = [{"step": np.arange(n), "train_loss": np.ones(n)} for n in (2, 3)]
    >>> stacked([short, long])["train_loss"]
    array([[ 1.,  1., nan],
           [ 1.,  1.,  1.]], dtype=float32)
    """
    steps = np.unique(np.concatenate([np.asarray(run.get("step", []), np.int64) for run in runs]))
    axes = {name: ("step", *axes) for name, (axes, _) in {**READINGS, **extra}.items()}
    axes |= {name: axes for name, (axes, _) in EDGES.items()}
    fits = lambda name, values: name in axes and np.ndim(values) == len(axes[name])
    kept = [{name: values for name, values in run.items() if name == "step" or fits(name, values)} for run in runs]
    names = dict.fromkeys(name for run in kept for name in run if name != "step")
    sizes = _sizes(kept, {name: axes[name] for name in names}) | {"step": len(steps)}
    stacked = {name: _stack(name, kept, steps, [sizes[axis] for axis in axes[name]]) for name in names}
    return ({"step": steps} if len(steps) else {}) | stacked


def _sizes(runs: Sequence[Mapping[str, np.ndarray]], axes: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """The length of each axis, that of the largest run: a reading that this one lacks is as long."""
    sizes: dict[str, int] = {}
    for run, name in itertools.product(runs, axes):
        for axis, n in zip(axes[name], np.shape(run.get(name, ())), strict=False):
            sizes[axis] = max(n, sizes.get(axis, 0))
    return sizes


def _stack(name: str, runs: Sequence[Mapping[str, np.ndarray]], steps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    stacked = np.full((len(runs), *shape), np.nan, np.float32)
    for r, run in enumerate(runs):
        if name in run:
            place: list[slice | np.ndarray] = [slice(n) for n in np.shape(run[name])]
            if name not in EDGES:
                place[0] = np.searchsorted(steps, run["step"])
            stacked[(r, *place)] = run[name]
    return stacked
