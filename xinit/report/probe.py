"""The page of one saved probe: its findings with advice, and its layers and parameters."""

import pathlib
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from xinit.analysis import layer_marks, saved_probes
from xinit.analysis.probe_report import Report
from xinit.core.readings import READINGS
from xinit.report import page as html
from xinit.report import probe_charts, probe_tables, wiring

SCALE = "Scale the weights so that n_in Var W is what the function needs: 2 for relu, 1 for tanh; or normalise."
# What to do about each rule's finding, where it is not OK.
ADVICE: Mapping[str, str] = {
    "finite": "Make the weights of the layers up to the one that is named smaller, or its inputs.",
    "inputs": "Scale and centre the inputs before the model, or begin it with a normalisation.",
    "labels": "Probe a batch with several classes.",
    "confident": "Make the last layer's weights smaller, or 0.",
    "reach": "Look at what lies behind the layer: a cut gradient, a mask, a flat function, or weights of 0.",
    "copies": "Draw the weights at random: xinit.initialize(model, \"he\") or another scheme.",
    "signal": SCALE,
    "gradient": SCALE,
    "dip": "Normalise deep within the network, or use an optimizer with a step for each weight, such as Adam.",
    "branches": "Make the last layer of these branches larger, or 0 on purpose, with a scale that is learned.",
    "dead": "Look at the biases and the mean of what the layer reads: both can shift units to where they are off.",
    "saturated": "Make the weights or the inputs smaller, so that z stays where the function is not flat.",
    "cosine": "Centre the inputs; give rectifiers n_in Var W = 2 and no more; normalise; or take fewer layers.",
    "unseen": "Look at these parameters yourself; the list below says why each was not seen.",
}  # fmt: skip
ABOUT_SIGNAL, ABOUT_GRADIENT = (
    ("finite", "signal", "cosine", "branches"),
    ("finite", "gradient", "reach", "dip"),
)  # rules of a chart
SIGNAL = (
    "Root mean square of each layer's output (z) and input (h), on a logarithmic axis. Layers that a finding is about "
    "have a red background. Bad signs are lines that fall or rise from layer to layer."
)
GRADIENT = (
    "Root mean square of dL/dz, per example. The gradient travels from right to left. Bad signs are lines that fall "
    "or rise from layer to layer."
)
BANDS = (
    "The middle 98, 90 and 50 % of each layer's output z, and the median. Bad signs are bars that shrink or grow over "
    "depth."
)
SHARES = (
    "The share of units through which no example passes a gradient, and the share of values in the flat parts of the "
    "function, where it was recognised. Symmetric weights turn off about half of the units at most. Bad signs are "
    "shares near 100 %."
)
VARIANCES = (
    "The dashed lines keep the size of a signal: 1 through linear layers, 2 through rectifiers. A kernel of 0 has no "
    "point."
)


def page(path: pathlib.Path) -> str:
    """The page of the probe that was saved in this folder.

    Raises:
      InputError: the folder cannot be read.
    """
    report = saved_probes.load(path)
    name = path.resolve().name
    content = [
        *verdict(report),
        html.card(facts(report)),
        wiring.section(report),
        _over_layers(report),
        probe_tables.layers(report),
        probe_tables.parameters(report),
        *probe_tables.unseen(report),
        html.section(
            "How to judge", probe_tables.limits(), html.details("What the readings are", _definitions(report))
        ),
    ]
    return html.whole(f"Probe of {name}", content, f"Made by xinit.report from {name}.")


def verdict(report: Report) -> list[Markup]:
    """The findings, worst first; the remedy that was seen to help; what to do about each finding."""
    found = html.findings([(one.level, f"{one.sentence[:1].upper()}{one.sentence[1:]}.") for one in report.findings])
    rules = [one.rule for one in report.findings if one.level != "OK"]
    advice = list(dict.fromkeys(ADVICE[rule] for rule in rules if rule in ADVICE))
    helped = [Markup("<p>Seen to help: <code>{}</code></p>").format(report.remedy)] if report.remedy else []
    items = Markup("").join(Markup("<li>{}</li>").format(words) for words in advice)
    todo = [Markup("<h3>What to do</h3><ul>{}</ul>").format(items)] if advice else []
    return [found, *helped, *todo]


def facts(report: Report) -> dict[str, Any]:
    """The probe in a few lines."""
    kinds = {kind: report.kinds.count(kind) for kind in dict.fromkeys(report.kinds)}
    numbers = sum(_size(row.shape) for row in report.parameters)
    return {
        "loss": loss(report),
        "layers": f"{len(report.names)} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})",
        "depth": f"{max(report.depths)} layers on the longest way{', with skips' if report.skips else ''}",
        "parameters": f"{numbers:,} in {len(report.parameters)} arrays",
        "functions": ", ".join(sorted({one for one in report.functions if one})) or "none recognised",
        "normalisation": ", ".join(sorted({one for one in report.normalised if one})) or "none seen",
        "batch": f"{report.n_examples:,} examples{_moments(report)}",
    }


def loss(report: Report) -> str:
    """The loss, beside that of the uniform answer where there is one."""
    chance = "" if report.chance_loss is None else f"; the uniform answer has {report.chance_loss:.4g}"
    return f"{report.loss:.4g}{chance}"


def _moments(report: Report) -> str:
    if report.x_moments is None:
        return ""
    mean, std, cosine = report.x_moments
    return f", mean {mean:.3g}, standard deviation {std:.3g}, mean cosine between examples {cosine:.3g}"


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for length in shape:
        n *= length
    return n


def _over_layers(report: Report) -> Markup:
    """The charts over the layers."""
    sizes = {"z, given": (report, layer_marks.signal(report)), "h, read": (report, layer_marks.inputs(report))}
    gradient = {"dL/dz": (report, layer_marks.gradient(report))}
    figures = [
        html.figure("Signal", probe_charts.sizes(sizes, "root mean square", ABOUT_SIGNAL), SIGNAL),
        html.figure("Gradient", probe_charts.sizes(gradient, "dL/dz, root mean square", ABOUT_GRADIENT), GRADIENT),
        html.figure("n_in Var W", probe_charts.variances({"n_in E W^2": report}), VARIANCES),
    ]
    if shares := probe_charts.measured_shares(report):
        figures.append(html.figure("Units without gradient", probe_charts.shares(shares), SHARES))
    if "pre_quantile" in report.readings:
        figures.append(html.figure("Where z lies", probe_charts.bands(report, "pre", "z"), BANDS))
    if "grad_pre_quantile" in report.readings:
        figures.append(
            html.figure("Where dL/dz lies", probe_charts.bands(report, "grad_pre", "dL/dz"), "The same of dL/dz.")
        )
    return html.section("Over the layers", html.figures(*figures))


def _definitions(report: Report) -> Markup:
    words = {name: saved_probes.described_as(name)[1] for name in report.readings}
    return html.card({name: said for name, said in words.items() if said or name in READINGS})
