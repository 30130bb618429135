"""Readings of the user's, which probe.extra names: what they may be called, and which axes they have.

The same rules hold where a reading is measured and where somebody's file says that it has one.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from xinit.core.readings import EDGES, READINGS, TRACED

Axes = tuple[str, ...]
Extra = Mapping[str, tuple[Axes, str]]  # by name: the axes after `step`, and what it is
NOTHING: Extra = MappingProxyType({})

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
NAME_WORDS = "a letter, then at most 59 letters, digits and underscores"
ATTRIBUTE = "extra"  # of a file: the names of these readings in it, with spaces between
MOST_AXES, MOST_NUMBERS, MOST_READINGS = 2, 100_000, 100
LONGEST = 300  # characters of a definition

# Lengths of our axes, beyond the depth, of a plain network. Along others a reading of the user's has numbers without a
# place of ours.
BEYOND_DEPTH = {"layer": 0, "weight": 1, "jacobian": -1}
# What else stands in a file of a run, a sweep or an inspection: axes, what is known of each run, theory's side.
_INSPECTED = (
    "act_second", "pre_second", "grad_pre_second", "grad_w_second", "weight_second", "bias_second", "act_cosine",
    "act_slope", "act_dead", "jacobian_sv_mean",
)  # fmt: skip
TAKEN = {f"{name}{end}" for name in _INSPECTED for end in ("", "_predicted", "_low", "_high", "_z")} | {
    "step", "seed", "replica", "layer", "weight", "jacobian", "quantile", "bin", "edge", "path", "verdict",
    "test_error", "test_loss", "final_valid_error", "chance_error", "diverged_at", *READINGS, *EDGES, *TRACED,
}  # fmt: skip


def axes_of(name: str, shape: Sequence[int], depth: int, weights: int | None = None) -> Axes:
    """The axes of a reading of which nothing but the shape is known.

    A first axis as long as the network is deep is `layer`, one as long as it has weights (without a number: one more
    than it is deep) `weight`; others are the reading's own.

    >>> axes_of("rank", (5,), 5), axes_of("norm", (6,), 5), axes_of("confusion", (9, 9), 5)
    (('layer',), ('weight',), ('confusion_0', 'confusion_1'))
    """
    first = {depth + 1 if weights is None else weights: "weight", depth: "layer"}
    return tuple(first.get(n, f"{name}_0") if i == 0 else f"{name}_{i}" for i, n in enumerate(shape))


def fault_of_name(name: str) -> str:
    """Why a reading or an axis of the user's cannot have this name, in words; empty where it can."""
    if not NAME.fullmatch(name) or name.startswith("swept_"):
        return f"a name is {NAME_WORDS}, and does not begin with swept_"
    return f"xinit has something else of the name {name}" if name in TAKEN else ""


def fault_of(extra: Extra) -> str:
    """Why readings cannot be so called, or have such axes, in words; empty where they can."""
    for name, (axes, _) in extra.items():
        others = [axis for axis in axes if axis not in BEYOND_DEPTH]
        if fault := next(filter(None, map(fault_of_name, (name, *others))), ""):
            return fault
        if len(axes) > MOST_AXES or len(set(axes)) < len(axes):
            return f"a reading has at most {MOST_AXES} axes, which differ"
        if shared := [axis for axis in others if axis in extra]:
            return f"{shared[0]} cannot be both a reading and an axis"
    return f"there can be at most {MOST_READINGS} readings" if len(extra) > MOST_READINGS else ""


def first_place(axis: str) -> int:
    """The number of the first place along an axis: 1 along ours, 0 along the user's, as of labels and of arrays."""
    return 1 if axis in BEYOND_DEPTH else 0


def over(extra: Extra, *leading: str) -> dict[str, tuple[Axes, str]]:
    """The axes with others in front of them, and the definitions: what a file or a dataset takes."""
    return {name: ((*leading, *axes), words) for name, (axes, words) in extra.items()}


def listed(extra: Extra) -> dict[str, str]:
    """The attribute by which a file says which of its readings are the user's; none without any."""
    return {ATTRIBUTE: " ".join(extra)} if extra else {}


def merged(several: Sequence[Extra]) -> dict[str, tuple[Axes, str]]:
    """The readings of several runs as one dataset has them.

    An axis that is not the same in all of them, or is a reading of another run, is the reading's own; of those with
    another number of axes the first run's counts. Definitions that differ stand one after the other.

    >>> merged([{"size": (("layer",), "a size")}, {"size": (("weight",), "a size")}])
    {'size': (('size_0',), 'a size')}
    """
    names = dict.fromkeys(name for extra in several for name in extra)
    return {name: _merged(name, [extra[name] for extra in several if name in extra], names) for name in names}


def _merged(name: str, described: Sequence[tuple[Axes, str]], names: Collection[str]) -> tuple[Axes, str]:
    first = described[0][0]
    alike = [axes for axes, _ in described if len(axes) == len(first)]
    places = [dict.fromkeys(place) for place in zip(*alike, strict=True)]
    shared = [next(iter(place)) if len(place) == 1 and not place.keys() & set(names) else "" for place in places]
    axes = tuple(axis or f"{name}_{i}" for i, axis in enumerate(shared))
    return axes, "; or: ".join(dict.fromkeys(words for _, words in described))[:LONGEST]


def plain(text: str) -> str:
    """A definition as one line that can be printed anywhere."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:LONGEST]
