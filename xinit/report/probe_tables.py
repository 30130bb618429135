"""The tables of a probe's page: the layers with their distributions, the parameters, what was not seen, the limits."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from xinit.analysis import layer_marks
from xinit.analysis.probe_limits import CONFIDENT, DEAD_FAIL, DEAD_SIGMAS, DIP, EXPLODED, INPUT_SIZE, VANISHED
from xinit.analysis.probe_report import Report
from xinit.report import page as html
from xinit.settings.thresholds import thresholds

LISTED = 300  # layers or parameters in a table
OPEN = 40  # rows of a table that is not folded
BARS, WIDE, HIGH = 24, 96, 26  # of a small histogram: bars, and pixels
SHARES = (("saturated", "act_saturated"), ("dead", "act_dead"), ("no gradient", "grad_pre_zero_units"))
LAYERS = (
    "In the order in which they are called. h: what a layer reads, z: what it gives, with its bias; rms: root mean "
    "square; dL/dz: per example; no gradient: share of units that no example passes a gradient through. n_in Var W: 1 "
    "keeps the size of a signal through linear layers, 2 through rectifiers. The small histograms show roots of "
    "densities, from the least value to the largest; the line is 0. A red word names the finding that is about "
    "the layer."
)
PARAMETERS = (
    "Var W is E W^2. Roles: product, a kernel that the signal is multiplied by and summed over; added, as a bias; "
    "scaled, as the scale of a normalisation. A kernel without fans has axes whose meaning is not certain."
)
UNSEEN = (
    "The verdict says nothing of what these parameters do: the rules look at products of the signal with parameters."
)


def layers(report: Report) -> Markup:
    """A row for each layer, with small histograms of z and dL/dz."""
    rules = layer_marks.by_layer(layer_marks.marks(report), len(report.names))
    shown = range(min(len(report.names), LISTED))
    rows = [_layer(report, l, rules[l]) for l in shown]
    words = LAYERS + (f" The first {LISTED} of {len(report.names)} are listed." if len(report.names) > LISTED else "")
    table = html.table(rows)
    return html.section("The layers", html.paragraph(words, "quiet"), _folded(f"{len(rows)} layers", table, len(rows)))


def _folded(summary: str, table: Markup, n: int) -> Markup:
    return table if n <= OPEN else html.details(summary, table)


def _layer(report: Report, l: int, rules: Sequence[str]) -> dict[str, Any]:
    read, (fan_in, fan_out) = report.readings, report.fans[l]
    shares = {
        heading: _share(read[name][l]) for heading, name in SHARES if name in read and np.isfinite(read[name]).any()
    }
    return {
        "layer": broken(report.names[l]),
        "bad": _bad(rules),
        "kind": report.kinds[l],
        "output": "x".join(map(str, report.shapes[l])),
        "then": ", ".join(filter(None, (report.normalised[l] and f"{report.normalised[l]} norm", report.functions[l]))),
        "fan-in": f"{fan_in:g}",
        "fan-out": f"{fan_out:g}",
        "n_in Var W": number(report.kernels[l].in_variance),
        "h rms": number(layer_marks.inputs(report)[l]),
        "z rms": number(layer_marks.signal(report)[l]),
        "z": histogram(report, "pre", l),
        "dL/dz rms": number(layer_marks.gradient(report)[l]),
        "dL/dz": histogram(report, "grad_pre", l),
        **shares,
    }


def _bad(rules: Sequence[str]) -> Markup:
    return Markup(", ").join(Markup('<span class="level FAIL">{}</span>').format(rule) for rule in rules)


def broken(name: str) -> Markup:
    """A name that may be broken after a slash, in cells that are narrow."""
    return Markup("/<wbr>").join(name.split("/"))


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None or np.isnan(value) else f"{value:#.3g}".rstrip(".")


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.0%}"


def histogram(report: Report, name: str, l: int) -> Markup:
    """A small drawing of how a reading is distributed in one layer; nothing where it was not measured."""
    if f"{name}_hist" not in report.readings:
        return Markup()
    shares, edges = report.readings[f"{name}_hist"][l], report.readings[f"{name}_edges"][l]
    if not (np.isfinite(shares).all() and np.isfinite(edges).all() and shares.sum() > 0 and edges[-1] > edges[0]):
        return Markup()
    groups = np.array_split(shares, min(BARS, len(shares)))
    heights = np.sqrt([part.mean() for part in groups])
    heights = heights / heights.max()
    step = WIDE / len(heights)
    bars = "".join(
        f"M{i * step:.1f} {HIGH}v{-h * (HIGH - 2):.1f}h{step:.1f}V{HIGH}z" for i, h in enumerate(heights) if h > 0
    )
    ends = f"from {edges[0]:.3g} to {edges[-1]:.3g}"
    zero = -edges[0] / (edges[-1] - edges[0]) * WIDE
    line = Markup('<path class="zero" d="M{0:.1f} 0V{1}"/>').format(zero, HIGH) if 0 <= zero <= WIDE else Markup()
    return Markup(
        '<svg class="spark" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        '<title>{2}</title><path class="bars" d="{3}"/>{4}</svg>'
    ).format(WIDE, HIGH, ends, bars, line)


def parameters(report: Report) -> Markup:
    """A row for each parameter."""
    rows = [
        {
            "parameter": broken(row.path),
            "shape": "x".join(map(str, row.shape)),
            "type": row.dtype,
            "role": ", ".join(row.roles) or "never met",
            "mean": number(row.mean),
            "std": number(row.std),
            "fan-in": "" if row.fan_in is None else f"{row.fan_in:g}",
            "fan-out": "" if row.fan_out is None else f"{row.fan_out:g}",
            "n_in Var W": number(row.in_variance),
            "n_out Var W": number(row.out_variance),
            "norm of dL/dW": number(row.grad_norm),
        }
        for row in report.parameters[:LISTED]
    ]
    n = len(report.parameters)
    first = f"the first {LISTED} of " if n > LISTED else ""
    table = html.details(f"{first}{n} parameters", html.table(rows))
    return html.section("Parameters", html.paragraph(PARAMETERS, "quiet"), table)


def unseen(report: Report) -> list[Markup]:
    """The parameters that were not seen, and why; those whose paths differ in a number alone share a row."""
    if not report.unseen:
        return []
    groups: dict[tuple[str, str], list[str]] = {}
    for path, reason in report.unseen.items():
        groups.setdefault((re.sub(r"\d+", "*", path), reason), []).append(path)
    rows = [
        {"parameter": broken(paths[0] if len(paths) == 1 else pattern), "how many": str(len(paths)), "why": reason}
        for (pattern, reason), paths in groups.items()
    ]
    return [html.section("What was not seen", html.paragraph(UNSEEN, "quiet"), html.table(rows))]


def limits() -> Markup:
    """The threshold of each rule, with its reason."""
    at = thresholds()
    rows = [
        ("signal, gradient", f"over depth below x {VANISHED:g} or above x {EXPLODED:g}, and x {at['rate_fail']:g} a "
         "layer; over skips in proportion to the number of layers",
         "what multiplies at each layer leaves the first or last layers nothing to learn from; slower changes train"),
        ("dip", f"a gradient below x {DIP:g} of what it is before and behind", "these layers learn last, if at all"),
        ("branches", "a branch that adds less than 1/256 to its stream", "bfloat16 rounds it away"),
        ("dead", f"more units without a gradient than half and {DEAD_SIGMAS:g} standard errors; FAIL above "
         f"{DEAD_FAIL:.0%}", "a unit under symmetric weights is off for all examples with a chance of a half at most"),
        ("saturated", f"more than {at['saturated_warn']:.0%} of (unit, example) where the function is flat",
         "hardly any gradient passes there; what trains best ends near that share"),
        ("cosine", f"examples with a mean cosine above {at['cosine_warn']:g}",
         "they differ by a seventh of their size or less: the network can hardly tell them apart"),
        ("reach", "a layer whose gradient is 0 for every example", "it does not move before something else does"),
        ("copies", "all units of a layer have equal weights and gradients", "they stay equal, and work as one unit"),
        ("inputs", f"a root mean square below {INPUT_SIZE[0]:g} or above {INPUT_SIZE[1]:g}",
         "initialisations take inputs to be of size 1"),
        ("confident", f"a loss of more than {CONFIDENT:g} times that of the uniform answer",
         "the logits are too large at the start"),
        ("unseen", "parameters whose product is not seen", "nothing can be said of what they do"),
    ]  # fmt: skip
    table = html.table([{"finding": name, "bad": bad, "why": why} for name, bad, why in rows])
    return html.details("What would be bad", table)
