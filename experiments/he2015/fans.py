"""Fan-in or fan-out: what the condition that was not chosen loses telescopes to a ratio of two widths, at any depth.

With fan-in the gradient is off by d_L/c_2 over the layers 2 to L, with fan-out the signal by c_2/d_L (He et al. 2015,
below eq. 14): d_L the width of layer L, c_2 that of what layer 2 reads.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing, untrained
from experiments.claims import Measured, Metrics, exact
from experiments.he2015 import drawn
from xinit.analysis.intervals import bootstrap_interval
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.study import Place

STAGES = ("fans",)
OFF = {"in": "gradient", "out": "signal"}  # what is not kept under each fan
NAMES = {"in": "fan-in", "out": "fan-out", "mean": "their mean"}


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """Networks of every profile and depth under each fan, checked.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    shared = {"data": "synthetic", "data.inputs": own["width"], "activation": "relu", "scheme": "he"}
    shared |= {"probe": "economy", "probe.examples": own["examples"]}
    plans = {}
    for profile, depth in itertools.product(own["profiles"], own["depths"]):
        widths = _widths(profile, own["width"], depth)
        networks = {label: shared | {"width": widths, "scheme.fan": fan} for label, fan in own["fans"].items()}
        plans[profile, depth] = untrained.plans(networks)

    def measure() -> dict[str, Any]:
        cells = []
        for (profile, depth), planned in plans.items():
            widths = next(iter(planned.values())).problem.network.widths[1:-1]
            shape = {"profile": profile, "depth": depth, "widths": list(widths)}
            found = drawn.measured(planned, own["draws"])
            cells += [shape | {"fan": fan} | _moments(moments) for fan, moments in found.items()]
        return {"cells": cells}

    return measure


def _widths(profile: str, width: int, depth: int) -> list[int]:
    """Of hidden layers: `width` and a quarter of it in turn, or a quarter, half and all of it for a third each.

    Raises:
      InputError: another profile is asked for.
    """
    narrow = [max(1, width // 4), max(1, width // 2), width]
    profiles = {
        "alternating": [(width, narrow[0])[l % 2] for l in range(depth)],
        "stages": [narrow[3 * l // depth] for l in range(depth)],
    }
    if profile not in profiles:
        raise InputError(f"Unknown profile {profile!r}; {allowed_words(profile, profiles)}")
    return profiles[profile]


def _moments(measured: Mapping[str, list]) -> dict[str, Any]:
    """Means over networks: second moments of signal and gradient at every layer, over those where each begins."""
    found: dict[str, Any] = {"n": len(measured["signal"])}
    for side, start in (("signal", 0), ("gradient", -1)):
        moments_SL, expected_L = np.array(measured[side]), np.array(measured[f"expected_{side}"])
        interval = bootstrap_interval(moments_SL / moments_SL[:, start, None])
        found[side] = {part: getattr(interval, part).tolist() for part in ("mean", "low", "high")}
        found[side]["expected"] = (expected_L / expected_L[start]).tolist()
    return found


def metrics(found: Mapping[str, Any]) -> Metrics:
    """What is off, over the ratio of end widths that it should telescope to.

    `fans.<fan>.<profile>.<depth>`: means over networks. `fans.<fan>`: of all profiles and depths the furthest from 1,
    the interval from the lowest low to the highest high. `fans.mean.<depth>`: of the mean of both fans on the zig-zag,
    what of the signal eq. 9 leaves.
    """
    own: dict[str, Measured] = {}
    for cell in found["fans"]["cells"]:
        if cell["fan"] in OFF:
            own[f"fans.{cell['fan']}.{cell['profile']}.{cell['depth']}"] = _over_ratio(cell)
        elif cell["profile"] == "alternating":
            own[f"fans.mean.{cell['depth']}"] = exact(cell["signal"]["expected"][-1])
    for fan in OFF:
        cells = [measured for name, measured in own.items() if name.startswith(f"fans.{fan}.")]
        furthest = max(cells, key=lambda measured: abs(np.log(measured.value)))
        ends = min(cell.low for cell in cells), max(cell.high for cell in cells)
        own[f"fans.{fan}"] = Measured(furthest.value, *ends, furthest.n)
    return own


def _over_ratio(cell: Mapping[str, Any]) -> Measured:
    side, at = OFF[cell["fan"]], 0 if cell["fan"] == "in" else -1
    expected = telescoped(cell)
    return Measured(*(cell[side][part][at] / expected for part in ("mean", "low", "high")), cell["n"])


def telescoped(cell: Mapping[str, Any]) -> float:
    """d_L / c_2 of the gradient under fan-in, c_2 / d_L of the signal under fan-out."""
    ratio = cell["widths"][-1] / cell["widths"][0]
    return ratio if cell["fan"] == "in" else 1 / ratio


def draw(found: Mapping[str, Any]) -> "Figure":
    """The kept side and the one that is off, over depth: a column for each profile, the deepest networks."""
    cells = found["fans"]["cells"]
    depth = max(cell["depth"] for cell in cells)
    profiles = list(dict.fromkeys(cell["profile"] for cell in cells))
    figure = drawing.figure(9, 5.2)
    panels = figure.subplots(2, len(profiles), sharex=True, sharey=True, squeeze=False)
    for column, profile in zip(panels.T, profiles, strict=True):
        for cell in cells:
            if (cell["profile"], cell["depth"]) == (profile, depth):
                for axes, side in zip(column, ("signal", "gradient"), strict=True):
                    _curve(axes, cell, side)
        widths = next(cell["widths"] for cell in cells if (cell["profile"], cell["depth"]) == (profile, depth))
        column[0].set_title(f"{profile}: {', '.join(map(str, dict.fromkeys(widths)))} units")
        column[1].set_xlabel("layer")
    panels[0, 0].set_ylabel("signal: E z² over layer 1's")
    panels[1, 0].set_ylabel("gradient: E (dL/dz)²\nover the top layer's")
    drawing.legend(figure, panels[0, 0])
    drawing.caption(
        figure,
        f"He's factor of 2 over one fan or over the mean of both; {depth} rectifier layers at initialisation. Lines: "
        f"eqs. 9 and 13. Markers: means over {cells[0]['n']} networks with 95 % intervals. Crosses: the ratio of end "
        "widths that the product telescopes to.",
    )
    return figure


def _curve(axes: "Axes", cell: Mapping[str, Any], side: str) -> None:
    moments = {part: np.array(values) for part, values in cell[side].items()}
    i = list(NAMES).index(cell["fan"])
    look, layers = drawing.look(i), np.arange(1, len(moments["expected"]) + 1)
    axes.plot(layers, moments["expected"], color=look.colour, ls=look.dashes, lw=1.2)
    shown = np.arange(i, len(layers), max(1, len(layers) // 7))
    drawing.points(axes, layers[shown], *(moments[part][shown] for part in ("mean", "low", "high")), look,
                   NAMES[cell["fan"]])  # fmt: skip
    if OFF.get(cell["fan"]) == side:
        end = 1 if side == "gradient" else len(layers)
        axes.plot(end, telescoped(cell), "x", color="black", ms=8, mew=1.6, zorder=5)
    axes.set_yscale("log")
