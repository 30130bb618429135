"""Which initialisation for which network: a table from the kept results of `modern`, a line for each kind of network.

A line is empty where no claim about it PASSes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments import kept, page, publishing, study
from experiments.claims import DIRECTION, PASS, Checked, number
from experiments.modern import choices, trained
from xinit.analysis.intervals import Interval, mean_interval

STUDY = "modern"
PAGE = f"experiments/{STUDY}/results/page.md#what-to-use"
NEAR_CHANCE = 0.9  # of the error of chance: a network with more has learned nothing
COLUMNS = ("start from", "test error, %", "points that `standard` loses", "points between best and worst", "claim")


def table() -> str:
    """The table in Markdown, each line linked to the claims behind it."""
    own = study.load(STUDY)
    _, found = publishing.read(own, own.results)
    return page.table(rows(found["choices"]["models"], kept.results(STUDY)[1]))


def rows(models: Mapping[str, Any], checked: Sequence[Checked]) -> list[dict[str, str]]:
    """A line for each kind of network: the scheme of least validation error, and how much the choice matters."""
    return [{"network": model["title"]} | _cells(label, model, checked) for label, model in models.items()]


def _cells(label: str, model: Mapping[str, Any], checked: Sequence[Checked]) -> dict[str, str]:
    passed = [
        one for one in checked if one.state in (PASS, DIRECTION) and one.claim.metric.startswith(f"choices.{label}.")
    ]
    if not passed:
        return dict.fromkeys(COLUMNS, "")
    best = choices.best(model)
    lost, error = choices.lost(model, best), mean_interval(choices.tests_of(model)[best])
    advice = f"`{best}`" if lost.low > 0 else "any of them"
    if error.mean > NEAR_CHANCE * trained.rows_at_gain_1(model)[best]["chance"]:
        advice = "none of them trains"
    links = ", ".join(f"[{one.claim.id}]({PAGE})" for one in passed)
    return dict(zip(COLUMNS, (advice, *map(_words, (error, lost, choices.spread(model))), links), strict=True))


def _words(interval: Interval[float]) -> str:
    return f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"
