"""A sweep from its folder: its runs, those that differ in their seeds alone as a group, and the best rate of each kind.

As in `sources`, what is read is text and numbers; nothing in the folder is imported or called.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis import sweeps
from xinit.analysis.intervals import Interval, mean_interval
from xinit.analysis.running import RUNNING
from xinit.analysis.sweeps import SCORES
from xinit.analysis.swept import SEEDS, as_text, label
from xinit.core import files
from xinit.core.errors import InputError
from xinit.core.extra import NOTHING, Extra
from xinit.core.files import DamagedError
from xinit.runs import record

DATA = ("kind", "name", "data.kind", "data.name")  # errors on different data are not compared
RATES = ("learning_rate", "optimizer.learning_rate")
SHARES = ("test_error_mean", "test_error_std", "test_error_low", "test_error_high")
COUNTS = ("n", "diverged", "unfinished")
RESULTS = (*SHARES, *COUNTS, "verdicts")  # of a cell, beside what was swept


class Member(NamedTuple):
    """A run of a sweep that came to its end: where it lies from the sweep's folder, and its place in the readings."""

    path: str
    settings: dict[str, Any]
    scores: dict[str, float | None]
    level: str
    place: int

    @property
    def diverged(self) -> bool:
        """Whether it has no test error."""
        return self.scores["test_error"] is None


class Group(NamedTuple):
    """Runs that differ in their seeds alone; `settings` is what was swept but the seeds."""

    settings: dict[str, Any]
    members: list[Member]

    @property
    def label(self) -> str:
        """Its settings in words."""
        return label(self.settings) or "all runs"

    def errors(self, name: str = "test_error") -> Interval[float]:
        """Of the runs that did not diverge, as in every table of a sweep."""
        scores = [member.scores[name] for member in self.members if not member.diverged]
        return mean_interval([score for score in scores if score is not None])

    def valid(self) -> float:
        """The mean validation error at the end, by which it is chosen: a run that diverged counts as chance."""
        key = lambda member: "chance_error" if member.diverged else "final_valid_error"
        return float(np.mean([member.scores[key(member)] for member in self.members]))

    def rank(self) -> tuple[bool, float]:
        """The best come first: by the validation error, those of which no run is left after all others."""
        return self.diverged == len(self.members), self.valid()

    @property
    def places(self) -> list[int]:
        """In the readings, of its runs that did not diverge, else of all."""
        return [member.place for member in self.members if not member.diverged] or [m.place for m in self.members]

    @property
    def chance(self) -> float:
        """The mean error of the best constant answer."""
        return float(np.mean([member.scores["chance_error"] for member in self.members]))

    @property
    def diverged(self) -> int:
        """How many of its runs have no test error."""
        return sum(member.diverged for member in self.members)


class Choice(NamedTuple):
    """Groups that differ in the learning rate alone: the best of them, and whether it is at an end of the rates."""

    settings: dict[str, Any]
    best: Group
    end: str  # "<" or ">" where a rate beyond those that were tried may be better


class Cell(NamedTuple):
    """A row of the sweep's own table, of runs that did not come to their end too: what was swept, and the results."""

    settings: dict[str, Any]
    results: dict[str, Any]


class Sweep(NamedTuple):
    """A sweep's folder: runs in order, the table of its cells, and readings with a leading axis of runs.

    `error_is` says what an error is; "" where it is not of one kind, or the sweep does not say.
    """

    path: pathlib.Path
    members: list[Member]
    cells: list[Cell]
    readings: dict[str, np.ndarray]
    extra: Extra = NOTHING  # of these, the user's own
    error_is: str = ""


def load(path: pathlib.Path) -> Sweep:
    """What a sweep's folder holds.

    Raises:
      InputError: as `sweeps.load`.
    """
    stored, file = sweeps.load(path), path / "sweep.json"
    try:
        members = [_member(one, i) for i, one in enumerate(stored.described["runs"])]
        cells = [_cell(one) for one in stored.described["cells"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{file} is no file of a sweep: {' '.join(repr(error).split())}.") from None
    measured = {name: a for name, a in stored.readings.items() if name not in SCORES}
    errors = str(stored.attributes.get("error_is", ""))
    if not len(measured.get("step", ())):
        return Sweep(path, members, cells, {}, {}, errors)
    return Sweep(path, members, cells, measured, stored.extra, errors)


def running(path: pathlib.Path) -> list[Member]:
    """The runs of a sweep that is being trained, as they were listed before the first; what came of them is not known.

    Raises:
      InputError: the list is damaged, a link, or cannot be read.
    """
    unknown = dict.fromkeys((*SCORES, "verdict"), None)
    try:
        return [_member({**unknown, **one}, i) for i, one in enumerate(files.read_json(path, RUNNING)["runs"])]
    except (KeyError, TypeError, ValueError) as error:
        fault = files.printable(" ".join(repr(error).split()))
        raise DamagedError(f"{path / RUNNING} is no list of a sweep's runs: {fault}.") from None


def folder_of(sweep: pathlib.Path, member: str) -> pathlib.Path | None:
    """The folder of a run of a sweep, where its files may be read; None where it lies elsewhere.

    It is one in the sweep's own folder, or <out>/<name>/<hash> where the sweep is <out>/[<name>/]sweeps/<hash>. None of
    these names is opened as a link.
    """
    parts = pathlib.PurePath(member).parts
    if parts[:2] != ("..", ".."):
        return files.inside(sweep, member) if len(parts) == 1 and parts != ("..",) else None
    is_run = record.HASH.fullmatch(parts[-1]) and len(parts) <= 4 and ".." not in parts[2:]
    real = pathlib.Path(os.path.realpath(sweep))
    return (
        files.inside(sweep / ".." / "..", os.path.join(*parts[2:])) if is_run and real.parent.name == "sweeps" else None
    )


def _member(raw: Mapping[str, Any], place: int) -> Member:
    settings = {name: _plain(value) for name, value in raw.items() if name not in ("path", "verdict", *SCORES)}
    scores = {name: None if raw[name] is None else float(raw[name]) for name in SCORES}
    return Member(str(raw["path"]), settings, scores, str(raw["verdict"]), place)


def _cell(raw: Mapping[str, Any]) -> Cell:
    settings = {name: _plain(value) for name, value in raw.items() if name not in RESULTS}
    shares = {name: None if raw[name] is None else float(raw[name]) for name in SHARES}
    counts = {name: int(raw[name]) for name in COUNTS if name in raw}
    return Cell(settings, shares | counts | {"verdicts": str(raw["verdicts"])})


def _plain(value: Any) -> Any:
    """A setting's value as a number, or as text."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else as_text(value)


def groups(members: Sequence[Member]) -> list[Group]:
    """The runs by what was swept but the seeds, in their order."""
    found: dict[str, Group] = {}
    for member in members:
        settings = {name: value for name, value in member.settings.items() if name not in SEEDS}
        found.setdefault(repr(settings), Group(settings, [])).members.append(member)
    return list(found.values())


def rate(settings: Mapping[str, Any]) -> str | None:
    """The name of the learning rate among what was swept."""
    return next((name for name in RATES if name in settings), None)


def choices(groups: Sequence[Group]) -> list[Choice]:
    """For each combination of settings but the learning rate the group of the least validation error."""
    kinds: dict[str, list[Group]] = {}
    for group in groups:
        kinds.setdefault(repr(_but_rate(group)), []).append(group)
    return [_choice(same_kind) for same_kind in kinds.values()]


def _but_rate(group: Group) -> dict[str, Any]:
    return {name: value for name, value in group.settings.items() if name != rate(group.settings)}


def _choice(same_kind: Sequence[Group]) -> Choice:
    best = min(same_kind, key=Group.rank)
    rates: list[Any] = [group.settings.get(rate(group.settings) or "") for group in same_kind]
    at = rates[same_kind.index(best)]
    end = "" if len(same_kind) == 1 else "<" if at == min(rates) else ">" if at == max(rates) else ""
    return Choice(_but_rate(best), best, end)
