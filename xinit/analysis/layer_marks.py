"""Which layers of a probed model a finding is about, for figures and pages that mark them; their sizes."""

import numpy as np
from jaxtyping import Bool, Float

from xinit.analysis.probe_report import Report
from xinit.settings.thresholds import thresholds

Marks = dict[str, Bool[np.ndarray, " layer"]]
DEAD_SIGMAS = 4.0  # above the half of units that symmetric weights leave off at most


def signal(report: Report) -> Float[np.ndarray, " layer"]:
    """The root mean square of what each layer gives.

    >>> signal(report).shape
    (3,)
    """
    return np.hypot(report.readings["pre_mean"], report.readings["pre_std"])


def gradient(report: Report) -> Float[np.ndarray, " layer"]:
    """The root mean square of dL/dz, per example.

    >>> gradient(report).shape
    (3,)
    """
    return np.hypot(report.readings["grad_pre_mean"], report.readings["grad_pre_std"])


def inputs(report: Report) -> Float[np.ndarray, " layer"]:
    """The root mean square of what each layer reads; nan of a lookup.

    >>> round(float(inputs(report)[0]), 6)
    0.5
    """
    missing = np.full(len(report.names), np.nan)
    return np.hypot(report.readings.get("input_mean", missing), report.readings.get("input_std", missing))


def variances(report: Report) -> Float[np.ndarray, " layer"]:
    """n_in Var W of each layer's kernel; nan where it has no fan-in.

    >>> variances(report).tolist()
    [1.0, 1.0, 1.0]
    """
    return np.array([np.nan if row.in_variance is None else row.in_variance for row in report.kernels])


def positive(values: np.ndarray) -> np.ndarray:
    """The values that have a logarithm, the others as nan.

    >>> positive(np.array([2.0, 0.0, np.inf])).tolist()
    [2.0, nan, nan]
    """
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def marks(report: Report) -> Marks:
    """By rule, of those that found something bad, the layers that it is about; one about the whole model has none.

    >>> marks(report)
    {}
    """
    found: Marks = {}
    for finding in report.findings:
        if finding.level == "OK":
            continue
        marked = _marked(report, finding.rule, finding.level)
        if marked is None:  # a rule of which nothing is known here: the layers that its sentence names
            words = finding.sentence.replace(",", " ").replace(";", " ").replace(":", " ").split()
            marked = np.array([name in words for name in report.names])
        if marked.any():
            found[finding.rule] = found.get(finding.rule, np.zeros(len(marked), bool)) | marked
    return found


def by_layer(found: Marks, n_layers: int) -> list[list[str]]:
    """For each layer the rules that mark it.

    >>> by_layer({"dead": np.array([False, True])}, 2)
    [[], ['dead']]
    """
    return [[rule for rule, marked in found.items() if marked[l]] for l in range(n_layers)]


def _marked(report: Report, rule: str, level: str) -> Bool[np.ndarray, " layer"] | None:
    read, none = report.readings, np.zeros(len(report.names), bool)
    limits = thresholds()
    factor = limits["signal_fail" if level == "FAIL" else "signal_warn"]
    reading = lambda name: read.get(name, np.full(len(none), np.nan))
    if rule == "finite":
        wrong = ~np.isfinite(read["pre_std"])
        return wrong if wrong.any() else ~np.isfinite(read["grad_pre_std"])
    if rule == "reach":
        return np.asarray(read["grad_pre_std"] == 0)
    if rule == "signal":
        return _apart(signal(report), np.argsort(report.depths, kind="stable")[0], factor)
    if rule == "gradient":
        return _apart(gradient(report), np.argsort(report.depths, kind="stable")[-1], factor)
    if rule == "copies":
        copies = {row.path for row in report.parameters if row.copies}
        return np.array([paths[0].partition("[")[0] in copies for paths in report.paths])
    if rule == "dead":
        most = 0.5 + DEAD_SIGMAS * np.sqrt(0.25 / np.array(report.widths))
        return np.asarray(reading("grad_pre_zero_units") > most) & (read["grad_pre_std"] > 0)
    if rule == "saturated":
        return np.asarray(reading("act_saturated") > limits["saturated_warn"])
    if rule == "cosine":
        return np.asarray(reading("input_cosine_mean") > limits["cosine_warn"])
    return none if rule in ("inputs", "labels", "confident", "unseen", "scope", "few") else None


def _apart(size: np.ndarray, reference: int, factor: float) -> np.ndarray:
    """Where a size is further than a factor from that of the layer in which it starts its way, or 0."""
    start = positive(size)[reference]
    start = start if np.isfinite(start) else np.nanmedian(positive(size)) if np.isfinite(positive(size)).any() else 1.0
    ratio = size / start
    return np.asarray((ratio > factor) | (ratio < 1 / factor))
