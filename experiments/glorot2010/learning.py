"""Errors of trained models: what Figures 11 and 12, Table 1 and the gains over width profiles are made of."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, runs
from experiments.claims import Measured, Metrics, NotRun, exact, number, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EDGES = {"lowest": "<", "highest": ">", "": ""}  # a best rate that is an end of its grid
UNITS = {"thousands": 1e3, "millions": 1e6}
# A look each, everywhere.
ORDER = ("sigmoid", "sigmoid4", "tanh", "tanh_n", "softsign", "softsign_n", "pretraining", "tanh_p")


def look(model: str) -> drawing.Look:
    """The look of a model in every figure."""
    return drawing.look(ORDER.index(model) if model in ORDER else len(ORDER))


def errors(campaign: Mapping[str, Any], model: str) -> np.ndarray | NotRun:
    """Test errors of a model at its best rate in percent, by seed; or why there are none."""
    return runs.unfinished(campaign) or np.array(campaign["models"][model]["test"])


def test_errors(part: str, stages: Sequence[str], found: Mapping[str, Any]) -> Metrics:
    """`<part>.<stage>.<model>`, test error in percent, and `<part>.<stage>.<a>-<b>`, differences paired by seed."""
    metrics: dict[str, Measured | NotRun] = {}
    for stage in stages:
        if stage not in found:
            metrics[f"{part}.{stage}"] = runs.NO_DATA
            continue
        metrics |= compared(f"{part}.{stage}", {model: errors(found[stage], model) for model in found[stage]["models"]})
    return metrics


def compared(prefix: str, scores: Mapping[str, np.ndarray | NotRun]) -> Metrics:
    """`<prefix>.<model>`, the mean of its scores, and `<prefix>.<a>-<b>`, paired; or why there are none."""
    if unfinished := [own for own in scores.values() if isinstance(own, NotRun)]:
        return {prefix: unfinished[0]}
    found = scores | {f"{a}-{b}": scores[a] - scores[b] for a, b in itertools.permutations(scores, 2)}
    return {f"{prefix}.{name}": over_seeds(values) for name, values in found.items()}


def over_seeds(values_S: np.ndarray) -> Measured:
    """A mean over seeds with its interval; the value of a single seed, which has none."""
    if len(values_S) == 1:
        return exact(float(values_S[0]))._replace(n=1)
    return over_runs(mean_interval(values_S))


def errors_at(campaign: Mapping[str, Any], model: str, examples: float) -> np.ndarray | NotRun:
    """Validation errors of a model at its best rate after so many examples, percent, by seed; or why there are none."""
    updates, own = examples / campaign["batch_size"], campaign["models"][model]
    if campaign["done"] < updates:
        return NotRun(f"{campaign['done'] * campaign['batch_size']:,} examples seen; it needs {examples:,.0f}")
    at = int(np.searchsorted(own["step"], updates, side="right")) - 1
    return np.array(own["valid_error"])[:, at]


def curve(axes: "Axes", campaign: Mapping[str, Any], model: str, unit: str = "thousands") -> None:
    """Validation error of a model against examples seen: the mean over seeds, and all seeds as a band."""
    own = campaign["models"][model]
    examples = np.array(own["step"][1:]) * campaign["batch_size"] / UNITS[unit]
    errors_ST = np.array(own["valid_error"])[:, 1:]
    style = look(model)
    axes.plot(examples, errors_ST.mean(0), color=style.colour, ls=style.dashes, lw=1.3, marker=style.marker, ms=3.5,
              markevery=max(1, len(examples) // 8), label=own["label"])  # fmt: skip
    axes.fill_between(examples, errors_ST.min(0), errors_ST.max(0), color=style.colour, alpha=0.15, lw=0)
    axes.set_xlabel(f"examples seen, {unit}")


def seeds(campaign: Mapping[str, Any]) -> str:
    """What the lines of a figure are, for its caption."""
    return "One seed." if campaign["seeds"] == 1 else "Lines: means over seeds, bands: all seeds."


def scale(campaigns: Iterable[Mapping[str, Any]]) -> str:
    """How the campaigns of a figure were scaled, for its caption: what several share is said once."""
    rates: dict[str, list[str]] = {}
    for campaign in campaigns:
        rates.setdefault(_size(campaign), []).append(_rates(campaign))
    return " ".join(f"{size}; learning rates by validation error {'; '.join(own)}." for size, own in rates.items())


def _size(campaign: Mapping[str, Any]) -> str:
    width = f"{campaign['width']} units"
    if campaign["profile"] != "constant":
        width = f"up to {width}, profile {campaign['profile']}"
    stopped = "" if campaign["done"] == campaign["steps"] else f", of which {campaign['done']:,} are done"
    low, high = campaign["pixel_range"]
    n = "1 seed" if campaign["seeds"] == 1 else f"{campaign['seeds']} seeds"
    budget = f"{campaign['steps']:,} updates of {campaign['batch_size']}{stopped}"
    return f"{campaign['data']}: layers of {width}, {budget}, {n}, pixels in [{low:g}, {high:g}]"


def _rates(campaign: Mapping[str, Any]) -> str:
    chosen = ", ".join(
        f"{own['label']} {EDGES[own['edge']]}{number(own['rate'])}" for own in campaign["models"].values()
    )
    return f"from {', '.join(map(number, campaign['rates']))}: {chosen}"
