"""Where the choice matters: networks trained from every scheme, each at its best learning rate.

Rates are chosen on validation error over the search's seeds, scores are test errors on fresh seeds, and differences are
paired by seed, as `xinit.compare` does. Runs lie below the study's folder and are not done twice.
"""

import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, NotRun, exact, over_runs
from xinit.analysis.comparison import Choice, Trial, choose_rates
from xinit.analysis.intervals import mean_interval
from xinit.commands import sweeping
from xinit.core.errors import InputError
from xinit.settings.compose import compose, overrides_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINE = "standard"  # the label of what the paper's gains are over
GENERATED = ("shapeset", "synthetic")  # data that need no folder


class Cell(NamedTuple):
    """One comparison: a setting of the tier with one of its profiles, and the settings of a run under each scheme."""

    setting: str
    profile: str
    rates: tuple[float, ...]
    raws: Mapping[str, Mapping[str, Any]]


def prepare(tier: Mapping[str, Any], out: pathlib.Path) -> list[Cell]:
    """The comparisons of a tier whose data are at hand, every config checked; none where the tier trains nothing.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    from xinit.training.problem import plan

    schemes = {label: compose("train", [f"scheme={name}"])["scheme"] for label, name in _schemes(tier).items()}
    cells = [
        Cell(name, profile, tuple(map(float, own["rates"])), _raws(tier, name, profile, schemes, out))
        for name, own in tier["trained"]["settings"].items()
        if name not in missing(tier)
        for profile in own["profiles"]
    ]
    for cell in cells:
        plan(sweeping.parse_all(list(cell.raws.values()))[:1])  # finds the data; schemes are checked by name elsewhere
    return cells


def missing(tier: Mapping[str, Any]) -> dict[str, str]:
    """The settings that cannot be trained, and why."""
    stored = [name for name, own in tier["trained"]["settings"].items() if own["data"] not in GENERATED]
    return {} if tier["data_dir"] else dict.fromkeys(stored, "needs its data: data_dir=FOLDER")


def _schemes(tier: Mapping[str, Any]) -> dict[str, str]:
    return {BASELINE: tier["trained"]["baseline"], **tier["schemes"]}


def _raws(
    tier: Mapping[str, Any], name: str, profile: str, schemes: Mapping[str, Any], out: pathlib.Path
) -> dict[str, dict[str, Any]]:
    own = tier["trained"]["settings"][name]
    shared = {key: value for key, value in own.items() if key not in ("profiles", "rates")}
    shared |= {"profile": tier["profiles"][profile], "probe": "off", "out": str(out / "runs")}
    shared |= {} if own["data"] in GENERATED else {"data.dir": tier["data_dir"]}
    shared |= {} if shared["profile"] == "constant" else {"profile.ratio": tier["ratio"]}
    raw = compose("train", overrides_from(shared))
    return {label: raw | {"scheme": scheme, "name": f"{name}-{profile}-{label}"} for label, scheme in schemes.items()}


def run(tier: Mapping[str, Any], cells: Sequence[Cell]) -> dict[str, Any]:
    """What came of each comparison."""
    counts = tier["trained"]["search_seeds"], tier["trained"]["score_seeds"]
    return {
        "schemes": list(_schemes(tier)),
        "settings": {name: list(own["profiles"]) for name, own in tier["trained"]["settings"].items()},
        "titles": {
            name: f"{own['data']}, {own['depth']} {own['activation']} layers"
            for name, own in tier["trained"]["settings"].items()
        },
        "missing": missing(tier),
        "cells": {f"{cell.setting}.{cell.profile}": _compare(cell, *counts) for cell in cells},
    }


def _compare(cell: Cell, search_seeds: int, score_seeds: int) -> dict[str, Any]:
    """Search a rate for every scheme, then score the schemes at their rates on seeds the choice has not seen."""
    schemes, seeds = tuple(cell.raws), range(search_seeds, search_seeds + score_seeds)
    search, _ = _trials(cell, itertools.product(schemes, cell.rates, range(search_seeds)), "valid_error")
    choices = choose_rates(search, schemes, cell.rates)
    at_best = [(scheme, choices[scheme].learning_rate, seed) for scheme in schemes for seed in seeds]
    scores, outcome = _trials(cell, at_best, "test_error")
    return {
        "chance": 100 * outcome.summary["chance_error"],
        "budget": f"{outcome.config.steps:,} steps of {outcome.config.batch_size}",
        "schemes": {scheme: _scheme(scheme, choice, search, scores) for scheme, choice in choices.items()},
    }


def _trials(cell: Cell, asked: Iterable[tuple[str, float, int]], error: str) -> tuple[list[Trial], Any]:
    """Train the runs asked for: their errors, a diverged one's being chance, and the first outcome."""
    asked = list(asked)
    configs = sweeping.parse_all([_one(cell.raws[scheme], rate, seed) for scheme, rate, seed in asked])
    outcomes = sweeping.run_all(configs)
    if unfinished := [outcome for outcome in outcomes if not outcome.summary]:
        raise InputError(f"{len(unfinished)} runs are {unfinished[0].state}; the same command goes on with them.")
    trials = []
    for run, outcome in zip(asked, outcomes, strict=True):
        own = outcome.summary[error]
        trials.append(Trial(*run, outcome.summary["chance_error"] if own is None else own, own is None))
    return trials, outcomes[0]


def _one(raw: Mapping[str, Any], rate: float, seed: int) -> dict[str, Any]:
    optimizer = {**raw["optimizer"], "learning_rate": rate}
    return {**raw, "optimizer": optimizer, "seed": seed, "init_seed": seed, "data_seed": seed}


def _scheme(scheme: str, choice: Choice, search: Sequence[Trial], scores: Sequence[Trial]) -> dict[str, Any]:
    """Its rate and test errors in percent, seed by seed and with Student's interval, and how many runs diverged."""
    own = [trial for trial in (*search, *scores) if trial.scheme == scheme]
    errors = [100 * trial.error for trial in scores if trial.scheme == scheme]
    interval = mean_interval(errors)
    return {
        "rate": choice.learning_rate,
        "edge": choice.edge,
        "valid": 100 * choice.error,
        "runs": len(own),
        "diverged": sum(trial.diverged for trial in own),
        "scores": errors,
        **{name: float(getattr(interval, name)) for name in ("mean", "low", "high")},
        "n": interval.n,
    }


def metrics(results: Mapping[str, Any]) -> Metrics:
    """Differences between schemes in points of the test error, paired by seed, and the share of a scheme's runs lost.

    `<setting>.<profile>.<a>-<b>`; `<setting>.<a>-<b>`, the mean over the setting's profiles; what the zig-zag adds to
    the taper's, `<setting>.alternating-taper.<a>-<b>`; and `<setting>.<profile>.<scheme>.diverged`.
    """
    found: dict[str, Any] = {setting: NotRun(reason) for setting, reason in results["missing"].items()}
    for setting in results["settings"].keys() - results["missing"].keys():
        cells = {profile: results["cells"][f"{setting}.{profile}"] for profile in results["settings"][setting]}
        for profile, cell in cells.items():
            for scheme, own in cell["schemes"].items():
                found[f"{setting}.{profile}.{scheme}.diverged"] = exact(own["diverged"] / own["runs"])
        for a, b in itertools.permutations(results["schemes"], 2):
            paired = _paired(cells, a, b)
            found |= {f"{setting}{where}.{a}-{b}": over_runs(mean_interval(own)) for where, own in paired.items()}
    return found


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


def draw(results: Mapping[str, Any]) -> "Figure":
    """Test error of every scheme at its best rate, with its interval: a panel for each setting, a group a profile."""
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
