"""The page of several saved probes: verdicts beside each other, lines on common axes, a table by the layers' names."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from xinit.analysis import layer_marks, saved_probes
from xinit.analysis.probe_report import Report
from xinit.report import charts, probe, probe_charts, probe_tables, wiring
from xinit.report import page as html
from xinit.report.findings import severity

MOST = len(charts.SERIES)  # probes that are drawn
ROWS = 300  # layers in the table
OVER = (
    "A line for each probe, its layers in the order of their calls. Point at a layer for its name. Bad signs are "
    "lines that fall or rise over depth."
)
BY_NAME = (
    "Layers of the same name are in one row: z, the root mean square of what the layer gives, then dL/dz, then n_in "
    "Var W. A layer that a probe lacks has an empty cell."
)


def page(paths: Sequence[pathlib.Path]) -> str:
    """The page of the probes that were saved in these folders.

    Raises:
      InputError: a folder cannot be read.
    """
    reports = dict(zip(labels(paths), map(saved_probes.load, paths), strict=True))
    shown = dict(list(reports.items())[:MOST])
    limited = [html.paragraph(f"Of {len(reports)} probes {MOST} have figures.", "quiet")] if len(reports) > MOST else []
    content = [
        html.section("Verdicts", html.table([_row(label, report) for label, report in reports.items()])),
        *[html.details(f"{label}: all findings", *probe.verdict(report)) for label, report in reports.items()],
        *limited,
        _over_layers(shown),
        _by_name(shown),
        html.section("Wiring", *[html.details(label, wiring.drawing(report)) for label, report in shown.items()]),
        html.section("How to judge", probe_tables.limits()),
    ]
    return html.whole(f"{len(reports)} probes compared", content, "Made by xinit.report.")


def labels(paths: Sequence[pathlib.Path]) -> list[str]:
    """The folders' names, with as much of what lies above as tells them apart."""
    resolved = [path.resolve() for path in paths]
    for n in range(1, max(len(path.parts) for path in resolved) + 1):
        labels = ["/".join(path.parts[-n:]) for path in resolved]
        if len(set(labels)) == len(set(resolved)):
            break
    return [label if label not in labels[:i] else f"{label} ({i + 1})" for i, label in enumerate(labels)]


def _row(label: str, report: Report) -> dict[str, object]:
    worst = min(report.findings, key=lambda one: severity(one.level))
    chance = "-" if report.chance_loss is None else f"{report.chance_loss:.4g}"
    return {
        "probe": label,
        "verdict": html.level(worst.level),
        "what was found": f"{worst.sentence}.",
        "loss": f"{report.loss:.4g}",
        "uniform answer": chance,
        "layers": str(len(report.names)),
        "depth": str(max(report.depths)),
        "not seen": str(len(report.unseen)),
    }


def _over_layers(reports: Mapping[str, Report]) -> Markup:
    of = lambda values: {label: (report, values(report)) for label, report in reports.items()}
    figures = [
        html.figure("Signal", probe_charts.sizes(of(layer_marks.signal), "z, root mean square"), OVER),
        html.figure("Gradient", probe_charts.sizes(of(layer_marks.gradient), "dL/dz, root mean square"), OVER),
        html.figure("n_in Var W", probe_charts.variances(reports), probe.VARIANCES),
    ]
    missing = lambda report: report.readings.get("grad_pre_zero_units", np.full(len(report.names), np.nan))
    figures.append(html.figure("Units without gradient", probe_charts.shares(of(missing)), probe.SHARES))
    return html.section("Over the layers", html.figures(*figures))


def _by_name(reports: Mapping[str, Report]) -> Markup:
    """A row for each layer's name, the columns of all probes beside each other."""
    places = {label: {name: l for l, name in enumerate(report.names)} for label, report in reports.items()}
    names = list(dict.fromkeys(name for report in reports.values() for name in report.names))
    columns = {"z": layer_marks.signal, "dL/dz": layer_marks.gradient, "n_in Var W": layer_marks.variances}
    values = {(label, head): of(report) for head, of in columns.items() for label, report in reports.items()}
    rows = [
        {"layer": probe_tables.broken(name)}
        | {
            f"{head}, {label}": probe_tables.number(float(values[label, head][places[label][name]]))
            if name in places[label]
            else ""
            for head in columns
            for label in reports
        }
        for name in names[:ROWS]
    ]
    table = html.table(rows)
    folded = table if len(rows) <= probe_tables.OPEN else html.details(f"{len(rows)} layers", table)
    return html.section("The layers in numbers", html.paragraph(BY_NAME, "quiet"), folded)
