"""Where the choice matters: networks trained from every scheme, each at its best learning rate.

Rates are chosen on validation error over the search's seeds, scores are test errors on fresh seeds, and differences are
paired by seed, as `xinit.compare` does. Runs lie below the study's folder and are not done twice.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import drawing, runs
from experiments.claims import Metrics, NotRun, exact, number, over_runs, with_interval
from experiments.compromise import linear
from experiments.study import Place
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("trained",)
BASELINE = "standard"  # the label of what the paper's gains are over
EDGES = {"lowest": "<", "highest": ">", "": ""}  # a best rate that is an end of its grid


class Cell(NamedTuple):
    """One comparison: a setting of the tier with one of its profiles, and the config of each scheme there."""

    setting: str
    profile: str
    models: Mapping[str, Mapping[str, Any]]


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What trains the comparisons whose data are at hand, every config checked.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    linear.check(settings)
    missing = {
        label: runs.NO_DATA.why
        for label, own in settings[name]["settings"].items()
        if runs.lacks_data(own["data"], place)
    }
    cells = [
        Cell(label, profile, _models(settings, label, profile, place))
        for label, own in settings[name]["settings"].items()
        if label not in missing
        for profile in own["profiles"]
    ]
    for cell in cells:
        runs.check(runs.grid(cell.models, _rates(settings, cell)[:1], [0]))
    return functools.partial(measure, settings, cells, missing)


def _schemes(tier: Mapping[str, Any]) -> dict[str, str]:
    return {BASELINE: tier["trained"]["baseline"], **tier["schemes"]}


def _rates(tier: Mapping[str, Any], cell: Cell) -> list[float]:
    return tier["trained"]["settings"][cell.setting]["rates"]


def _models(tier: Mapping[str, Any], name: str, profile: str, place: Place) -> dict[str, dict[str, Any]]:
    own = tier["trained"]["settings"][name]
    shared = {key: value for key, value in own.items() if key not in ("profiles", "rates")}
    shared["profile"] = tier["profiles"][profile]
    shared |= {} if shared["profile"] == "constant" else {"profile.ratio": tier["ratio"]}
    return {
        label: runs.config(f"{name}-{profile}-{label}", {**shared, "scheme": scheme}, place)
        for label, scheme in _schemes(tier).items()
    }


def measure(tier: Mapping[str, Any], cells: Sequence[Cell], missing: Mapping[str, str]) -> dict[str, Any]:
    """What came of each comparison; where training was stopped early, how far it got."""
    settings = tier["trained"]["settings"]
    compared = {f"{cell.setting}.{cell.profile}": _compare(tier, cell) for cell in cells}
    if cut := next(filter(runs.unfinished, compared.values()), None):
        return cut
    return {
        "schemes": list(_schemes(tier)),
        "settings": {name: list(own["profiles"]) for name, own in settings.items()},
        "titles": {name: f"{own['data']}, {own['depth']} {own['activation']} layers" for name, own in settings.items()},
        "missing": dict(missing),
        "cells": compared,
    }


def _compare(tier: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """Search a rate for every scheme, then score the schemes at their rates on seeds the choice has not seen."""
    own, settings = tier["trained"], tier["trained"]["settings"][cell.setting]
    seeds = range(own["search_seeds"]), range(own["search_seeds"], own["search_seeds"] + own["score_seeds"])
    search, scores = runs.search_and_score(cell.models, _rates(tier, cell), *seeds)
    progress = runs.progress(search | scores, settings["steps"])
    if runs.unfinished(progress):
        return progress
    best = runs.at_best_rate(search, scores)
    return {
        "chance": next(iter(best.values()))["chance"],
        "budget": f"{settings['steps']:,} steps of {settings['batch_size']}",
        "schemes": {scheme: _scheme(found) for scheme, found in best.items()},
    }


def _scheme(found: Mapping[str, Any]) -> dict[str, Any]:
    """Its rate and test errors, seed by seed and with Student's interval, and how many runs diverged."""
    interval = mean_interval(found["test"])
    return {
        **{name: found[name] for name in ("rate", "edge", "runs", "diverged")},
        "valid": found["valid"][f"{found['rate']:g}"],
        "scores": found["test"],
        **{name: float(getattr(interval, name)) for name in ("mean", "low", "high")},
        "n": interval.n,
    }


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Differences between schemes in points of the test error, paired by seed, and the share of a scheme's runs lost.

    `trained.<setting>.<profile>.<a>-<b>`; `trained.<setting>.<a>-<b>`, the mean over the setting's profiles; what the
    zig-zag adds to the taper's, `trained.<setting>.alternating-taper.<a>-<b>`; and
    `trained.<setting>.<profile>.<scheme>.diverged`.
    """
    results = found["trained"]
    metrics: dict[str, Any] = {f"trained.{setting}": NotRun(reason) for setting, reason in results["missing"].items()}
    for setting in results["settings"].keys() - results["missing"].keys():
        cells = {profile: results["cells"][f"{setting}.{profile}"] for profile in results["settings"][setting]}
        for profile, cell in cells.items():
            for scheme, own in cell["schemes"].items():
                metrics[f"trained.{setting}.{profile}.{scheme}.diverged"] = exact(own["diverged"] / own["runs"])
        for a, b in itertools.permutations(results["schemes"], 2):
            paired = _paired(cells, a, b)
            prefix = f"trained.{setting}"
            metrics |= {f"{prefix}{where}.{a}-{b}": over_runs(mean_interval(own)) for where, own in paired.items()}
    return metrics


def _paired(cells: Mapping[str, Any], a: str, b: str) -> dict[str, np.ndarray]:
    """Score of a minus score of b, seed by seed: at each profile, their mean, and the zig-zag's beyond the taper's."""
    scores = {
        profile: [np.array(cell["schemes"][scheme]["scores"]) for scheme in (a, b)] for profile, cell in cells.items()
    }
    paired = {f".{profile}": first - second for profile, (first, second) in scores.items()}
    found = paired | {"": np.mean(list(paired.values()), axis=0)}
    if {".alternating", ".taper"} <= paired.keys():
        found[".alternating-taper"] = paired[".alternating"] - paired[".taper"]
    return found


def draw(found: Mapping[str, Any]) -> "Figure":
    """Test error of every scheme at its best rate, with its interval: a panel for each setting, a group a profile."""
    results = found["trained"]
    shown = [setting for setting in results["settings"] if setting not in results["missing"]]
    figure = drawing.figure(11, 4)
    ratios = [1.3 + len(results["settings"][setting]) for setting in shown]
    panels = figure.subplots(1, len(shown), width_ratios=ratios, squeeze=False)[0]
    for axes, setting in zip(panels, shown, strict=True):
        _panel(axes, results, setting)
    panels[0].set_ylabel("test error, %")
    drawing.legend(figure, panels[0])
    return figure


def _panel(axes: "Axes", results: Mapping[str, Any], setting: str) -> None:
    profiles = results["settings"][setting]
    cells = [results["cells"][f"{setting}.{profile}"] for profile in profiles]
    axes.axhline(cells[0]["chance"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    names = results["schemes"]
    for i, scheme in enumerate(names):
        own = [cell["schemes"][scheme] for cell in cells]
        at = np.arange(len(cells)) + 0.12 * (i - (len(names) - 1) / 2)
        look = drawing.look(i - 1) if scheme != BASELINE else drawing.Look("0.55", "x", "-")
        drawing.points(axes, at, *([one[part] for one in own] for part in ("mean", "low", "high")), look, scheme)
    axes.set_xticks(range(len(profiles)), profiles)
    title = results["titles"][setting].replace(", ", ",\n", 1)  # in two lines, since a panel may be narrow
    axes.set_title(f"{title}\n{cells[0]['budget']}")
    axes.set_xlim(-0.5, len(profiles) - 0.5)
    if min(one["low"] for cell in cells for one in cell["schemes"].values()) < cells[0]["chance"] / 4:
        drawing.logarithmic(axes.yaxis)


def table(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A line for each comparison: test error and best rate of every scheme."""
    results = found["trained"]
    return [_row(results["titles"], name, cell) for name, cell in results["cells"].items()]


def _row(titles: Mapping[str, str], name: str, cell: Mapping[str, Any]) -> dict[str, str]:
    setting, profile = name.split(".")
    scores = {
        scheme: f"{with_interval(own)} at {EDGES[own['edge']]}{number(own['rate'])}"
        for scheme, own in cell["schemes"].items()
    }
    return {"networks": titles[setting], "profile": profile, **scores, "chance": number(cell["chance"])}
