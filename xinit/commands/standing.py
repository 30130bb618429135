"""How the settings of a sweep fare while it goes on, in one line: no run's luck, but the median over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis.swept import SEEDS, label, swept
from xinit.settings.config import Config

RATE = "learning_rate"


class Place(NamedTuple):
    """A run's place in the sweep: what it is shown as, and its cell, the settings that it shares but for the seeds."""

    shown: str
    cell: str


class Measured(NamedTuple):
    """The validation error of a run, inf where it diverged, and the share of its steps that it has done."""

    error: float
    done: float


class Score(NamedTuple):
    """The median validation error of n runs that have done this share of their steps."""

    error: float
    done: float
    n: int


class Standing:
    """The validation errors of a sweep's runs so far.

    Each combination of swept settings but the seeds has the median over its seeds, where a run that diverged is worse
    than any other. Where anything beside learning rates is swept, it is shown at its best rate so far.
    """

    def __init__(self, configs: Mapping[str, Config]) -> None:
        settings = dict(zip(configs, swept(list(configs.values())), strict=True))
        names = dict.fromkeys(name for own in settings.values() for name in own if name not in SEEDS)
        shown = [name for name in names if not name.endswith(RATE)] or [*names]
        self._at_best_rate = len(shown) < len(names)
        self._places = {run: _place(own, shown) for run, own in settings.items()}
        self._steps = {run: config.steps for run, config in configs.items()}
        self._measured: dict[str, Measured] = {}
        self._chances: set[float] = set()
        self._least_gain = 0.0

    def chance_is(self, chance: float, least_gain: float) -> None:
        """Note the error of the best constant answer, and the share of it below which an error is still at chance."""
        self._chances.add(round(chance, 3))
        self._least_gain = least_gain

    def add(self, members: Sequence[str], step: int, error_R: np.ndarray, diverged_R: np.ndarray) -> None:
        """Note the validation errors of runs that are at `step`."""
        errors = np.where(diverged_R | np.isnan(error_R), np.inf, error_R)
        for run, error in zip(members, errors.tolist(), strict=True):
            self._measured[run] = Measured(error, step / self._steps[run])

    def line(self, most: int) -> str:
        """What still trains and then what is over, the best first, as many as `most` characters have room for.

        Beside them stands chance. Where none has left it, none is the best: they stand in their order, and it says so.
        Of settings some of whose runs are ahead of others, as where they train in turn, those furthest ahead count.
        Empty before anything was measured.
        """
        scores = {shown: score for shown in self._shown() if (score := self._score(shown))}
        if not scores:
            return ""
        chance = next(iter(self._chances)) if len(self._chances) == 1 else None  # data sets may differ in theirs
        best = min(score.error for score in scores.values())
        at_chance = chance is not None and best > (1 - self._least_gain) * chance
        rank = lambda shown: (scores[shown].done == 1, 0 if at_chance else scores[shown].error)
        ranked = sorted(scores, key=rank)
        some_train = any(score.done < 1 for score in scores.values())
        words = [_words(shown, scores[shown].error, some_train and scores[shown].done == 1) for shown in ranked]
        how = self._how([score.n for score in scores.values()])
        if chance is not None:
            how += f", chance {chance:.1%}" + (": none has left it" if at_chance and len(scores) > 1 else "")
        for shown in range(len(words), 0, -1):
            more = [f"and {len(words) - shown} more"] if shown < len(words) else []
            text = f"valid {', '.join([*words[:shown], *more])}{how}"
            if len(text) <= most:
                break
        return text

    def _shown(self) -> list[str]:
        return list(dict.fromkeys(place.shown for place in self._places.values()))

    def _score(self, shown: str) -> Score | None:
        """The median of the best cell of these settings; None before any of their runs was measured."""
        runs = [run for run, place in self._places.items() if place.shown == shown and run in self._measured]
        if not runs:
            return None
        furthest = max(self._measured[run].done for run in runs)
        cells: dict[str, list[float]] = {}
        for run in runs:
            if self._measured[run].done == furthest:
                cells.setdefault(self._places[run].cell, []).append(self._measured[run].error)
        best = min(cells.values(), key=lambda errors: float(np.median(errors)))
        return Score(float(np.median(best)), furthest, len(best))

    def _how(self, counts: Sequence[int]) -> str:
        """Over how many runs, and what was chosen."""
        several = str(max(counts)) if len(set(counts)) == 1 else f"up to {max(counts)}"
        median = [f"median of {several}"] if max(counts) > 1 else []
        best = ["best rate"] if self._at_best_rate else []
        return f" ({', '.join([*median, *best])})" if median or best else ""


def _place(settings: Mapping[str, Any], shown: Sequence[str]) -> Place:
    values = {name: settings[name] for name in shown if name in settings}
    cell = {name: value for name, value in settings.items() if name not in SEEDS}
    scheme = str(values.pop("scheme", "")).rpartition(":")[2]  # of a user's function its name
    return Place(f"{scheme} {label(values)}".strip(), repr(cell))


def _words(shown: str, error: float, is_over: bool) -> str:
    percent = "diverged" if np.isinf(error) else f"{error:.1%}"
    return f"{shown} {percent}".strip() + (" when done" if is_over else "")
