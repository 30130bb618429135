"""The page of a sweep that is being trained: how far each run is, and what the runs have shown so far.

It is made from the list that was written before the first run began (`analysis.running`), and from the folders of the
runs. A sweep that has come to its end has the page of `sweep`.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xinit.analysis.layout import part
from xinit.analysis.stacking import stacked
from xinit.analysis.sweeps import error_is
from xinit.analysis.swept import SEEDS
from xinit.core.extra import merged
from xinit.report import charts, differences, extra, findings, groups, multiples, outcomes, seeds, sources, tables
from xinit.report import page as html
from xinit.report.groups import Group, Member, Sweep
from xinit.report.multiples import MOST, Network
from xinit.report.page import Markup
from xinit.report.sources import Run
from xinit.runs import record

READ = 24  # runs whose readings are shown, evenly spaced over those that have some
NOT_BEGUN = "not begun"
PROGRESS = "Errors are those that were measured last, on 1,000 validation examples, and at the end on the test set."
COURSES = (
    "So far, means over the seeds on 1,000 validation examples, with 95 % intervals; the dashed line is chance, where "
    "it is known. A bad sign is a line that stays where it began, or leaves it late."
)
LAYERS = "Below, each small figure is of one combination of settings: the mean over its seeds, so far."


def page(path: pathlib.Path) -> str:
    """The page of the sweep in this folder, whose runs are not all over.

    Raises:
      InputError: the list of the runs, or the folder of one, cannot be read.
    """
    members = groups.running(path)
    states = [_state(path, member) for member in members]
    runs = _read(path, members)
    swept = findings.swept(Sweep(path, members, [], {}))
    table = _table(members, states, runs)
    is_short = len(members) <= READ
    content = [
        html.paragraph(_how_far(states)),
        *map(html.paragraph, findings.what_errors_are(error_is([run.summary for run in runs.values()]))),
        html.card({"swept": findings.range_words(swept) or "nothing", "runs": len(members)}),
        *([html.section("How far the runs are", *table)] if is_short else []),
        *_figures(members, runs),
        *([] if is_short else [html.details(f"How far the {len(members)} runs are", *table)]),
    ]
    names = findings.listed([name for name in swept if name not in SEEDS] or [*swept] or ["one run"])
    return html.whole(f"Sweep of {names}", content, f"Made by xinit.report from {path.resolve().name}.")


def begun(path: pathlib.Path) -> list[Member]:
    """Those runs of the sweep in this folder that have begun."""
    return [member for member in groups.running(path) if _has(path, member, "config.yaml")]


def _has(path: pathlib.Path, member: Member, name: str) -> bool:
    folder = groups.folder_of(path, member.path)
    return folder is not None and os.path.lexists(folder / name)


def _state(path: pathlib.Path, member: Member) -> str:
    """As `RunDirectory.write_status` has it."""
    folder = groups.folder_of(path, member.path)
    return str(record.read_status(folder).get("state", NOT_BEGUN)) if folder else "elsewhere"


def _read(path: pathlib.Path, members: Sequence[Member]) -> dict[int, Run]:
    """Some of the runs that have readings, by their place among all."""
    measured = [i for i, member in enumerate(members) if _has(path, member, "readings.nc")]
    chosen = [measured[i] for i in charts.chosen(len(measured), READ)] if measured else []
    folders = {i: groups.folder_of(path, members[i].path) for i in chosen}
    return {i: sources.load(folder) for i, folder in folders.items() if folder is not None}


def _how_far(states: Sequence[str]) -> str:
    over = sum(state in record.OVER for state in states)
    waiting = states.count(NOT_BEGUN)
    parts = {"over": over, "begun": len(states) - over - waiting, "waiting": waiting}
    counts = ", ".join(f"{n} {word}" for word, n in parts.items() if n)
    return f"This sweep has not come to its end. Of its {findings.count(len(states), 'run')}: {counts}."


def _table(members: Sequence[Member], states: Sequence[str], runs: Mapping[int, Run]) -> list[Markup]:
    """A row for each run."""
    pairs = list(zip(members, states, strict=True))[: tables.LISTED]
    rows = [
        tables.texts(member.settings) | {"state": state} | _progress(runs.get(i))
        for i, (member, state) in enumerate(pairs)
    ]
    first = f" The first {tables.LISTED} are listed." if len(members) > tables.LISTED else ""
    return [html.paragraph(PROGRESS + first, "quiet"), html.table(rows)]


def _progress(run: Run | None) -> dict[str, Any]:
    if run is None or not run.readings:
        return {"measured at step": "", "valid error": "", "test error": "", "verdict": ""}
    valid = run.readings.get("valid_error", np.array([np.nan]))[-1]
    test = run.summary.get("test_error")
    verdict = str(run.summary.get("verdict", "")).partition(":")[0]
    return {
        "measured at step": f"{run.readings['step'][-1]:,} of {run.config['steps']:,}",
        "valid error": f"{valid:.1%}" if np.isfinite(valid) else "",
        "test error": "" if test is None else f"{test:.1%}",
        "verdict": html.level(verdict) if verdict else "",
    }


def _figures(members: Sequence[Member], runs: Mapping[int, Run]) -> list[Markup]:
    """Errors and layers of the runs that were read, those that differ in their seeds alone as one."""
    measured = {i: run for i, run in runs.items() if run.readings}
    if not measured:
        return []
    more = merged([run.extra for run in measured.values()])
    readings = stacked([run.readings for run in measured.values()], more)
    found = groups.groups(
        [members[i]._replace(place=place, scores=_scores(measured[i])) for place, i in enumerate(measured)]
    )
    shown = [found[i] for i in charts.chosen(len(found), MOST)]
    names = differences.names([tables.texts(group.settings) for group in shown], [group.label for group in shown])
    named = dict(zip(names, shown, strict=True))
    networks = [Network(name, "", part(seeds.mean(readings, group.places, more))) for name, group in named.items()]
    parts = [*multiples.sections(networks), *extra.beside(networks, more)]
    chances = [run.summary["chance_error"] for run in measured.values() if run.summary]
    return [*_errors(readings, named, chances), *([html.paragraph(LAYERS, "quiet"), *parts] if parts else [])]


def _scores(run: Run) -> dict[str, float | None]:
    """As of a member of a sweep: no test error says that the run diverged."""
    return {"test_error": None if run.state == "diverged" else np.nan}


def _errors(readings: Mapping[str, np.ndarray], named: Mapping[str, Group], chances: Sequence[float]) -> list[Markup]:
    followed = outcomes.followed(readings, named)
    if not followed:
        return []
    courses = {name: outcomes.course(readings, group) for name, group in followed.items()}
    words = COURSES + outcomes.left_out(len(followed))
    drawn = html.figure("Validation error over training", outcomes.over_training(courses, chances), words)
    return [html.section("Errors", html.figures(drawn))]
