"""Which initialisation for which network: a table from the kept results of `modern`, a line for each kind of network.

A line is empty where no claim about it PASSes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments import kept, page, publishing, study
from experiments.claims import PASS, Checked, number
from experiments.modern import choices
from xinit.analysis.intervals import Interval

STUDY = "modern"
PAGE = f"experiments/{STUDY}/results/page.md#what-to-use"
COLUMNS = (
    "start from",
    "what `standard` loses to it, points",
    "worst start - best start, points",
    "claims that passed",
)


def table() -> str:
    """The table in Markdown, each line linked to the claims behind it."""
    own = study.load(STUDY)
    _, found = publishing.read(own, own.results)
    return page.table(rows(found["choices"]["models"], kept.results(STUDY)[1]))


def rows(models: Mapping[str, Any], checked: Sequence[Checked]) -> list[dict[str, str]]:
    """A line for each kind of network: the scheme of least validation error, and how much the choice matters."""
    return [{"network": model["title"]} | _cells(label, model, checked) for label, model in models.items()]


def _cells(label: str, model: Mapping[str, Any], checked: Sequence[Checked]) -> dict[str, str]:
    passed = [one for one in checked if one.state == PASS and one.claim.metric.startswith(f"choices.{label}.")]
    if not passed:
        return dict.fromkeys(COLUMNS, "")
    best = choices.best(model)
    links = ", ".join(f"[{one.claim.id}]({PAGE})" for one in passed)
    cells = (f"`{best}`", _points(choices.lost(model, best)), _points(choices.spread(model)), links)
    return dict(zip(COLUMNS, cells, strict=True))


def _points(interval: Interval[float]) -> str:
    return f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"
