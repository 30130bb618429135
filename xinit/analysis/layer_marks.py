"""What figures and pages show of each layer of a probe: its sizes, and the findings that are about it."""

import numpy as np
from jaxtyping import Bool, Float

from xinit.analysis.probe_report import Report

Marks = dict[str, Bool[np.ndarray, " layer"]]


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
    """The layers that WARN and FAIL findings are about, by rule; a finding about the whole model marks no layer.

    >>> marks(report)
    {}
    """
    found: Marks = {}
    for finding in report.findings:
        if finding.level != "OK" and finding.layers:
            marked = np.isin(np.arange(len(report.names)), finding.layers)
            found[finding.rule] = found.get(finding.rule, np.zeros(len(marked), bool)) | marked
    return found


def by_layer(found: Marks, n_layers: int) -> list[list[str]]:
    """For each layer the rules that mark it.

    >>> by_layer({"dead": np.array([False, True])}, 2)
    [[], ['dead']]
    """
    return [[rule for rule, marked in found.items() if marked[l]] for l in range(n_layers)]
