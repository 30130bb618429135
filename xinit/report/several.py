"""The page of several runs: in what their configs differ, their verdicts, and their figures on common axes."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from xinit.analysis.layout import part
from xinit.analysis.sweeps import error_is
from xinit.core import files
from xinit.core.errors import InputError
from xinit.core.extra import merged
from xinit.report import charts, differences, extra, groups, multiples, outcomes, running_sweep, sources
from xinit.report import page as html
from xinit.report.findings import severity, what_errors_are
from xinit.report.multiples import MOST, Network
from xinit.report.page import Markup
from xinit.report.sources import Run

COURSES = (
    "On 1,000 validation examples, all runs on one axis; the dashed line is chance, the error of the best constant "
    "answer. A bad sign is a line that stays there, or leaves it late."
)
SIZES = (
    "Each line is a run; layer 1 is next to the input. A bad sign is a line that falls or rises over depth by much "
    "more than a factor of two: signals (activations) or gradients (dL/dz) that vanish or explode on their way."
)
BUDGET, RATE = ("steps", "batch_size", "stop_after"), "optimizer."  # settings that errors depend on
FEW = 6  # verdicts that are all read
DEPTHS = {"act_std": "Std of the activations", "grad_pre_std": "Std of dL/dz"}
ENDS = {"at the start": 0, "at the end": -1}


def page(paths: Sequence[pathlib.Path]) -> str:
    """The page of the runs in these folders; a sweep stands for its runs.

    Raises:
      InputError: a folder cannot be read.
    """
    runs = [sources.load(folder) for folder in _folders(paths)]
    settings = [differences.settings(run.config) for run in runs]
    names = differences.names(settings, [run.path.name for run in runs])
    networks = [Network(name, "", part(run.readings)) for name, run in zip(names, runs, strict=True) if run.readings]
    content = [
        html.section("What differs", *_differences(settings, names)),
        html.section("What came of it", *_outcomes(runs, names)),
        *_figures(runs, networks),
    ]
    return html.whole(f"{len(runs)} runs compared", content, "Made by xinit.report.")


def _folders(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Those of all runs, each once."""
    found: dict[pathlib.Path, pathlib.Path] = {}
    for path in paths:
        own: list[pathlib.Path | None] = [path]
        if (kind := sources.kind(path)).endswith("sweep"):
            members = groups.load(path).members if kind == "sweep" else running_sweep.begun(path)
            own = [groups.folder_of(path, member.path) for member in members]
            for member, folder in zip(members, own, strict=True):
                if folder is None or not folder.is_dir():
                    where = files.printable(member.path)
                    raise InputError(f"The sweep {path} has runs that do not lie beside it, such as {where}.")
        found |= {folder.resolve(): folder for folder in own if folder is not None}
    return list(found.values())


def _differences(settings: Sequence[dict[str, str]], names: Sequence[str]) -> list[Markup]:
    """A table of the settings that differ, a column a run; those that all share, in the background."""
    varied = differences.differing(settings)
    rows = [
        {"setting": key} | {name: own.get(key, "") for name, own in zip(names, settings, strict=True)} for key in varied
    ]
    same = [{"setting": key, "value": value} for key, value in settings[0].items() if key not in varied]
    shown = html.table(rows) if rows else html.paragraph("Nothing: the configs are the same.")
    return [
        *map(html.paragraph, _unfair(varied)),
        shown,
        html.details(f"{len(same)} settings that all share", html.table(same)),
    ]


def _unfair(varied: Sequence[str]) -> list[str]:
    """What to beware of where the runs had not the same chances."""
    budget = [name for name in BUDGET if name in varied]
    rates = [name for name in varied if name.startswith(RATE)]
    said = {
        f"Beware: these runs differ in their budgets ({', '.join(budget)}). One that was trained for longer may err "
        "less for that reason alone.": budget,
        f"Beware: these runs differ in how they were updated ({', '.join(rates)}). A scheme is judged fairly at its "
        "own best learning rate, as python -m xinit.compare does.": rates,
    }
    return [sentence for sentence, names in said.items() if names]


def _outcomes(runs: Sequence[Run], names: Sequence[str]) -> list[Markup]:
    """Test errors beside each other, and the verdicts in words, the worst first."""
    rows = [{"run": name} | _outcome(run) for name, run in zip(names, runs, strict=True)]
    judged = [(*_split(run), name) for name, run in zip(names, runs, strict=True) if run.summary.get("verdict")]
    judged.sort(key=lambda one: severity(one[0]))
    words = html.findings([(word, f"{name}: {sentence}") for word, sentence, name in judged])
    kinds = what_errors_are(error_is([run.summary for run in runs]))
    return [
        *map(html.paragraph, kinds),
        html.table(rows),
        words if len(judged) <= FEW else html.details("The verdicts in words", words),
    ]


def _outcome(run: Run) -> dict[str, Any]:
    share = lambda name: f"{run.summary[name]:.1%}" if run.summary.get(name) is not None else "-"
    steps = run.summary.get("steps", run.status.get("step", "-"))
    verdict = html.level(_split(run)[0]) if run.summary.get("verdict") else "-"
    errors = {"test error": share("test_error"), "chance": share("chance_error")}
    return {"state": run.state} | errors | {"steps": str(steps), "verdict": verdict}


def _split(run: Run) -> tuple[str, str]:
    """The level and the words of a verdict."""
    word, _, words = str(run.summary["verdict"]).partition(": ")
    return word, words


def _figures(runs: Sequence[Run], networks: Sequence[Network]) -> list[Markup]:
    """On common axes: errors, sizes over depth, and small figures of the first runs."""
    shown = [networks[i] for i in charts.chosen(len(networks), MOST)] if networks else []
    limited = f"Of {len(networks)} runs {MOST} have figures." if len(networks) > MOST else ""
    own = extra.beside(shown, merged([run.extra for run in runs]))
    parts = [*_errors(runs, shown), *_sizes(shown), *multiples.sections(shown), *own]
    return [html.paragraph(limited, "quiet"), *parts] if limited else parts


def _errors(runs: Sequence[Run], networks: Sequence[Network]) -> list[Markup]:
    courses = {own.label: _course(own.readings) for own in multiples.measured(networks, "valid_error")}
    if not courses:
        return []
    chances = [run.summary["chance_error"] for run in runs if run.summary.get("chance_error") is not None]
    drawn = html.figure(
        "Validation error over training",
        outcomes.over_training(courses, chances),
        COURSES + outcomes.left_out(len(courses)),
    )
    return [html.section("Errors", html.figures(drawn))]


def _course(readings: multiples.Readings) -> dict[str, np.ndarray]:
    error = 100 * readings["valid_error"]
    nothing = np.full(len(error), np.nan)
    return {"step": readings["step"], "error": error, "low": nothing, "high": nothing}


def _sizes(networks: Sequence[Network]) -> list[Markup]:
    """Signal and gradient over depth at the start and at the end, where runs that diverged may have none."""
    drawn = [
        html.figure(f"{title} {when}", multiples.over_depth(multiples.measured(networks, name), name, i, title))
        for name, title in DEPTHS.items()
        for when, i in ENDS.items()
        if any((multiples.size(own.readings, name, i) > 0).any() for own in multiples.measured(networks, name))
    ]
    words = html.paragraph(SIZES + outcomes.left_out(len(networks)), "quiet")
    return [html.section("Signal and gradient over depth", words, html.figures(*drawn))] if drawn else []
