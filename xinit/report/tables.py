"""The tables of a sweep's page: the best learning rates, all combinations of settings, all runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from xinit.analysis.swept import as_text
from xinit.report import page as html
from xinit.report.groups import Cell, Choice, Group, Member, Sweep, rate
from xinit.report.page import Markup

LISTED = 500  # runs in the table of all
CHOSEN = (
    "The learning rate of the least mean validation error over the seeds, where a run that diverged counts as chance. "
    "The test error, its 95 % interval (of the mean, Student's t) and n are of the runs that did not diverge. < or > "
    "marks a rate at the end of those that were tried: one beyond it may be better. A fair comparison chooses and "
    "measures on different seeds: python -m xinit.compare."
)
CELLS = "Mean, standard deviation and 95 % interval of the mean (Student's t), of the n runs that did not diverge."


def best(choices: Sequence[Choice], filters: html.Filters) -> list[Markup]:
    """The best learning rates; nothing where none was swept."""
    if not any(rate(choice.best.settings) for choice in choices):
        return []
    kinds = [kind(filters, choice.best.settings) for choice in choices]
    rows = html.table([_best_row(choice) for choice in choices], kinds)
    return [html.section("The best learning rate", html.paragraph(CHOSEN, "quiet"), rows)]


def _best_row(choice: Choice) -> dict[str, str]:
    group = choice.best
    name = rate(group.settings)
    chosen = f"{choice.end} {as_text(group.settings[name])}".strip() if name else "-"
    return texts(choice.settings) | {"best rate": chosen, "valid error": f"{group.valid():.1%}"} | _errors(group)


def _errors(group: Group) -> dict[str, str]:
    interval = group.errors()
    low, high = (interval.low, interval.high) if interval.n > 1 else (None, None)
    mean = float(interval.mean) if interval.n else None
    found = {"test error": _share(mean), "95 % interval": _ends(low, high), "n": str(interval.n)}
    return found | {"diverged": str(group.diverged)}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None else f"[{low:.1%}, {high:.1%}]"


def all_of(sweep: Sweep, filters: html.Filters) -> list[Markup]:
    """All combinations of settings, and all runs."""
    cells = html.table(list(map(_cell_row, sweep.cells)), [kind(filters, cell.settings) for cell in sweep.cells])
    members = sweep.members[:LISTED]
    runs = html.table(list(map(_run_row, members)), [kind(filters, member.settings) for member in members])
    first = f", the first {LISTED}" if len(sweep.members) > LISTED else ""
    return [
        html.section("Test error of all combinations", html.paragraph(CELLS, "quiet"), cells),
        html.details(f"All {len(sweep.members)} runs{first}", runs),
    ]


def _cell_row(cell: Cell) -> dict[str, str]:
    """As `console.cell_rows` has it."""
    own = cell.results
    ends = _ends(own["test_error_low"], own["test_error_high"])
    found = {"test error": _share(own["test_error_mean"]), "sd": _share(own["test_error_std"]), "95 % interval": ends}
    counts = {name: str(own[name]) for name in ("n", "diverged", "unfinished") if name in own}
    return texts(cell.settings) | found | counts | {"verdicts": own["verdicts"]}


def _run_row(member: Member) -> dict[str, Any]:
    scores = member.scores
    error = "diverged" if member.diverged else _share(scores["test_error"])
    found = {"test error": error, "valid error": _share(scores["final_valid_error"])}
    return texts(member.settings) | found | {"verdict": html.level(member.level), "folder": member.path}


def texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as a table has them."""
    return {name: as_text(value) for name, value in settings.items()}


def kind(filters: html.Filters, settings: Mapping[str, Any]) -> str:
    """The classes by which what has these settings is filtered."""
    return filters.kind(texts(settings))
