"""Coordinate checks over width (Yang et al. 2022, Figure 5): how much a few steps change what each layer gives."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics
from experiments.mup2022.checked import judged
from experiments.mup2022.schemes import WORDS
from xinit.analysis.coordinates import CHANGE, START, Coordinates, Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("coordinates",)
SHOWN = {-2: "last hidden layer", -1: "output"}
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """p in change = constant x width^p, over the steps of the check.

    `coordinates.<check>.furthest`: of the layer with the largest |p|, its interval from the lowest to the highest end
    of all layers. `coordinates.<check>.least`: the least p of the layers behind the first. `coordinates.<check>.first`
    and `.output`: that of the first layer, and of the output.
    """
    own: dict[str, Measured] = {}
    for label, check in found["coordinates"].items():
        result, name = judged(check), f"coordinates.{label}"
        fits = _fits(result, CHANGE)
        furthest = max(fits, key=lambda fit: abs(fit.exponent))
        low, high = min(fit.low for fit in fits), max(fit.high for fit in fits)
        own[f"{name}.furthest"] = Measured(furthest.exponent, low, high, check["seeds"])
        own[f"{name}.least"] = _exponent(min(fits[1:], key=lambda fit: fit.low), check)
        own[f"{name}.first"], own[f"{name}.output"] = _exponent(fits[0], check), _exponent(fits[-1], check)
    return own


def _fits(result: Coordinates, quantity: str) -> list[Fit]:
    return [result.fit(layer, quantity) for layer in result.sizes.layers]


def _exponent(fit: Fit, check: Mapping[str, Any]) -> Measured:
    return Measured(fit.exponent, fit.low, fit.high, check["seeds"])


def draw(found: Mapping[str, Any]) -> "Figure":
    """The change of the last hidden layer and of the output against width, a line for each step."""
    figure = drawing.figure(10.5, 5.6)
    checks = found["coordinates"]
    panels = figure.subplots(2, len(checks), sharex=True, sharey="row", squeeze=False)
    for column, check in zip(panels.T, checks.values(), strict=True):
        for axes, layer in zip(column, SHOWN, strict=True):
            _panel(axes, check, layer)
        column[0].set_title(title(check))
        column[-1].set_xlabel("width")
    for axes, words in zip(panels[:, 0], SHOWN.values(), strict=True):
        axes.set_ylabel(f"change of the {words}")
    drawing.legend(figure, panels[0, 0])
    words = "Root mean squares of z(t) - z(0) on the batch, geometric means over seeds."
    drawing.caption(figure, f"{_scale(checks)} {words}")
    return figure


def _panel(axes: "Axes", check: Mapping[str, Any], layer: int) -> None:
    rms_ST = np.exp(np.log(np.array(check["rms"])[:, :, 1:, layer]).mean(axis=1))
    for step, rms_S in enumerate(rms_ST.T):
        look = drawing.layer_look(step)
        label = f"after {step + 1} step{'s' if step else ''}"
        axes.plot(check["sizes"], rms_S, color=look.colour, marker=look.marker, ms=4, lw=1.2, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter("")
    axes.set_xticks(check["sizes"], [str(size) for size in check["sizes"]])


def title(check: Mapping[str, Any]) -> str:
    """The parametrisation and the optimizer of a check, as panels say it."""
    return f"{WORDS.get(check['scheme'], check['scheme'])}, {OPTIMIZERS.get(check['optimizer'], check['optimizer'])}"


def _scale(checks: Mapping[str, Any]) -> str:
    """What was trained, for a caption."""
    own = next(iter(checks.values()))
    rates = "; ".join(f"{title(check)}: {check['rate']:g}" for check in checks.values())
    return f"{own['steps']} steps on one batch of {own['batch_size']}, {own['seeds']} seeds. Learning rates: {rates}."


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each check: the exponent of every layer's change."""
    return [
        {
            "": title(check),
            **{f"change of {fit.layer}": _words(fit) for fit in _fits(judged(check), CHANGE)},
            "output at step 0": _words(_fits(judged(check), START)[-1]),
        }
        for check in found["coordinates"].values()
    ]


def _words(fit: Fit) -> str:
    return f"{fit.exponent:+.2f} [{fit.low:+.2f}, {fit.high:+.2f}]"
