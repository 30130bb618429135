"""The table and the notes of an inspection, for a terminal."""

import math
from collections.abc import Sequence

import numpy as np

from xinit.analysis.inspection import HORIZON, Inspection, Reach, growth_over_branches, measured, predicted
from xinit.analysis.intervals import mean_interval
from xinit.analysis.layout import Layout

TABLED = (("act", "act_second", "{:.3g}"), ("dL/dz", "grad_pre_second", "{:.1e}"))
SUMS = (("pre", "pre_second", "{:.3g}"), TABLED[1])  # of a residual network, which adds up what lies before f


def rows(inspection: Inspection, within: bool = False) -> list[dict[str, str]]:
    """One row a layer: root mean squares of activations and dL/dz and the cosine, predicted beside measured.

    Of a residual network those on the main path, with its sums, the pre-activations, in place of activations; or those
    `within` branches. Readings of the user's, by layer, come last.
    """
    table, by_layer, layout = [], _extra(inspection, ("layer",)), inspection.layout
    for l in np.flatnonzero(layout.main != within).tolist():
        row = _called(layout, l) | {"width": str(inspection.widths[l + 1])}
        for heading, name, form in SUMS if layout.has_skips else TABLED:
            row[f"{heading} pred."] = _with_band(predicted(inspection, name), l, form)
            row[f"{heading} meas."] = _with_band(measured(inspection, name), l, form)
            row[f"{heading} z"] = _number(inspection.scores[name][l], "{:+.1f}")
        row["cosine"] = _number(inspection.prediction.values["act_cosine"][l], "{:.3f}")
        row["measured"] = _number(measured(inspection, "act_cosine")[0][l], "{:.3f}")
        row |= {name: _with_band(band, l, "{:.3g}") for name, band in by_layer.items()}
        table.append(row)
    return table


def notes(inspection: Inspection) -> list[str]:
    """What the table means, and how deep such a network could be."""
    n = len(next(iter(inspection.measured.values())))
    lines = [
        "rms over units and examples, geometric mean over networks. predicted: 95 % of networks lie within ±, or x÷ a "
        f"factor; measured: {n} networks, the 95 % interval of their mean; z: the difference of the logarithms in "
        "standard errors.",
        f"variances of the weights {inspection.source}.",
    ]
    lines += [f"{name}: {_with_band(band, 0, '{:.3g}')}." for name, band in _extra(inspection, ()).items()]
    if inspection.about.get("unpredicted"):
        lines.append(f"nothing is predicted: {inspection.prediction.void}. All of this rests on measurement alone.")
    elif inspection.prediction.void:
        lines.append(f"where nothing is predicted, theory does not hold: {inspection.prediction.void}.")
    if inspection.prediction.unbounded:
        lines.append(f"no band and no z: {inspection.prediction.unbounded}.")
    lines += _over_branches(inspection)
    if inspection.reach:
        lines.append(f"{_reach(inspection.reach)}; asked: {len(inspection.widths) - 2}.")
    return lines


def _over_branches(inspection: Inspection) -> list[str]:
    """How signal and gradient go over the main path of a residual network."""
    lines = []
    for words, name in (("signal", "pre_second"), ("gradient", "grad_pre_second")):
        found = [growth_over_branches(inspection, name, side) for side in (measured, predicted)]
        if found[0]:
            theory = f" (predicted: {found[1].words})" if found[1] else ""
            lines.append(f"from the input on the {words} goes like {found[0].words}{theory}.")
    return lines


def _called(layout: Layout, l: int) -> dict[str, str]:
    """The first cell of a row: in a residual network the sum that a layer reads, or the branch it lies within."""
    if not layout.has_skips:
        return {"layer": layout.names[l] if layout.names else str(l + 1)}
    kind = "sum" if layout.main[l] else "branch"
    return {kind: layout.names[l].removeprefix(f"{kind} ").replace(", weight ", ".")}


def _extra(inspection: Inspection, axes: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """Of the user's readings over these axes the mean over networks, and the 95 % interval of it."""
    names = [name for name, (own, _) in inspection.extra.items() if own == axes]
    intervals = {name: mean_interval(inspection.extra_measured[name]) for name in names}
    return {name: [np.atleast_1d(part) for part in own[0:1] + own[2:4]] for name, own in intervals.items()}


def _reach(reach: Reach) -> str:
    layers = lambda n: f"{n} layer" if n == 1 else f"{n} layers"
    products = layers(reach.products) if reach.products < HORIZON else f"{HORIZON} layers and more"
    deep = f"for {layers(round(reach.correlation))} (6 xi_c)" if math.isfinite(reach.correlation) else "without end"
    bounds = f"trainable depth: signal and gradient stay within bounds for {products}"
    return f"{bounds}, inputs can be told apart {deep}"


def _with_band(band: Sequence[np.ndarray], l: int, form: str) -> str:
    """With the half-width of the band in percent, or as a factor where it is none of a few percent."""
    value, low, high = (values[l] for values in band)
    if not (value > 0 and np.isfinite(high - low)):
        return _number(value, form)
    share = (high - low) / 2 / value
    return form.format(value) + (
        f" ±{share:.0%}" if share < 1 else f" x÷{math.sqrt(high / low):.2g}" if low > 0 else ""
    )


def _number(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else ""
