"""Which layers of a network lie on its main path, and which within a residual branch; how people call them.

A plain stack of layers stores nothing of this: all its layers lie on the main path, and are called by their number.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from xinit.core.readings import EDGES, READINGS

MOST_NAMED = 4  # layers that a sentence names, of a network whose layers have names of their own


class Layout(NamedTuple):
    """Where the layers lie.

    `branch`: (layer,) 0 on the main path, else the number of the residual branch that a layer lies within. `skipped`:
    where a skip leads past the activation function. `has_skips`: whether there are branches at all. `is_known`: False
    for a module of the user's, whose skips and normalisations nobody sees. `names` are empty where numbers will do.
    """

    branch: Int[np.ndarray, " layer"]
    skipped: Bool[np.ndarray, " layer"]
    normalised: Bool[np.ndarray, " layer"]
    has_skips: bool
    is_known: bool
    names: tuple[str, ...]

    @property
    def main(self) -> Bool[np.ndarray, " layer"]:
        """Which layers lie on the main path."""
        return self.branch == 0

    @property
    def is_plain(self) -> bool:
        """Whether all layers lie one behind the other, as far as sizes over depth go."""
        return self.is_known and not self.has_skips

    def name(self, l: int) -> str:
        """What a layer is called: "layer 3", "sum 3", "branch 3, weight 1"."""
        return self.names[l] if self.names else f"layer {l + 1}"

    def listed(self, chosen: Bool[np.ndarray, " layer"]) -> str:
        """Several layers as the subject of a sentence, with its verb: "layers 1, 2 are"."""
        numbers = np.flatnonzero(chosen)
        if not self.names:
            shown = ", ".join(str(l + 1) for l in numbers)
            return f"layer {shown} is" if len(numbers) == 1 else f"layers {shown} are"
        named = [self.name(l) for l in numbers[:MOST_NAMED]]
        more = [f"{len(numbers) - MOST_NAMED} more"] if len(numbers) > MOST_NAMED else []
        return f"{'; '.join(named)}{' and ' if more else ''}{''.join(more)} {'is' if len(numbers) == 1 else 'are'}"


def layout_of(readings: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> Layout:
    """The layout of a network whose readings these are.

    >>> places = {"act_std": np.ones((1, 3)), "act_branch": np.array([0, 1, 0])}
    >>> layout_of(places).names
    ('input', 'branch 1, weight 1', 'sum 1')

    Args:
      readings: arrays whose last axis is the layer, act_std among them, with whatever PLACES of `readings` there are.
      names: of all layers, where they are known; those of a residual network follow from its places.
    """
    n = readings["act_std"].shape[-1]
    flags = lambda name: np.asarray(readings.get(name, np.zeros(n))) > 0
    stored = np.asarray(readings.get("act_branch", np.zeros(n)), float)
    is_known = bool(np.isfinite(stored).all())
    branch = np.where(np.isfinite(stored), stored, 0).astype(int)
    has_skips = is_known and "act_branch" in readings
    named = tuple(map(str, names)) if len(names) == n else tuple(_names(branch)) if has_skips else ()
    return Layout(branch, flags("act_skipped"), flags("act_normalised"), has_skips, is_known, named)


def _names(branch: Int[np.ndarray, " layer"]) -> list[str]:
    names, sums, within = [], 0, dict[int, int]()
    for number in branch.tolist():
        if number:
            within[number] = within.get(number, 0) + 1
            names.append(f"branch {number}, weight {within[number]}")
        else:
            names.append(f"sum {sums}" if sums else "input")
            sums += 1
    return names


def part(readings: Mapping[str, np.ndarray], within: bool = False) -> dict[str, np.ndarray]:
    """The readings of the layers on the main path alone, or of those within branches; the rest as it is.

    >>> places = {"step": np.arange(2), "act_std": np.array([[1, 5, 2], [1, 5, 3]]), "act_branch": np.array([0, 1, 0])}
    >>> part(places)["act_std"]
    array([[1, 2],
           [1, 3]])
    """
    if "act_branch" not in readings or not np.isfinite(readings["act_branch"]).all():
        return dict(readings)
    chosen = (np.asarray(readings["act_branch"]) > 0) == within
    axes = {name: ("step", *axes) for name, (axes, _) in READINGS.items()}
    axes |= {name: axes for name, (axes, _) in EDGES.items()}
    place = lambda name: axes[name].index("layer") if "layer" in axes.get(name, ()) else None
    cut = lambda a, axis: a if axis is None else np.compress(chosen, a, axis=axis)
    return {name: cut(values, place(name)) for name, values in readings.items()}


def numbers(readings: Mapping[str, np.ndarray]) -> list[int]:
    """The numbers of the layers as an axis of a figure shows them: 1, 2, .. from the input up.

    On the main path of a residual network 0 is the input layer, and n the sum behind branch n; of the layers within
    branches it is the number of the branch.

    >>> numbers({"act_std": np.ones((1, 3))}), numbers({"act_std": np.ones((1, 2)), "act_branch": np.zeros(2)})
    ([1, 2, 3], [0, 1])
    """
    branch, n = _of_one_kind(readings), readings["act_std"].shape[-1]
    if branch is None:
        return list(range(1, n + 1))
    return branch.tolist() if branch.any() else list(range(n))


def axis_title(readings: Mapping[str, np.ndarray]) -> str:
    """What an axis with `numbers` is called.

    >>> axis_title({"act_std": np.ones((1, 3))}), axis_title({"act_std": np.ones((1, 2)), "act_branch": np.zeros(2)})
    ('layer', 'sum behind branch')
    """
    branch = _of_one_kind(readings)
    return "layer" if branch is None else "branch" if branch.any() else "sum behind branch"


def _of_one_kind(readings: Mapping[str, np.ndarray]) -> Int[np.ndarray, " layer"] | None:
    """The branches of layers that all lie within some, or zeros where all lie on the main path beside branches."""
    branch = np.asarray(readings.get("act_branch", np.nan), float)
    if not np.isfinite(branch).all() or (branch > 0).any() != (branch > 0).all():
        return None
    return branch.astype(int)
