"""How signal and gradient change over the depth of a network, and what its own kind allows.

In a plain stack sizes multiply from layer to layer. Over skips variances add up, so sizes grow like a power of the
number of branches in a sound network, and only what multiplies at every branch is at fault.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from xinit.analysis.finding import Finding
from xinit.analysis.intervals import Interval, mean_interval
from xinit.analysis.layout import Layout

SIZES = {"signal": "act_std", "gradient": "grad_pre_std"}
PREDICTED = {"signal": "act_rms_predicted", "gradient": "grad_pre_rms_predicted"}
MEASURED_ALONE = ", measured, not predicted"
SURE = 2.0  # standard errors of a slope over depth


class Bounds(NamedTuple):
    """What a kind of network may change by: in all, and a layer or branch."""

    warn: float
    fail: float
    rate: float


def over_depth(
    rule: str, readings: Mapping[str, np.ndarray], layout: Layout, limits: Mapping[str, float], void: str = ""
) -> Finding:
    """How the std of the "signal" or "gradient" changes over the main path, in the direction in which it travels.

    >>> from xinit.analysis.layout import layout_of
    >>> readings = {"act_std": np.ones((1, 3)), "grad_pre_std": np.ones((1, 3))}
    >>> over_depth("signal", readings, layout_of(readings), limits).sentence
    'the signal keeps its size over depth (x 1.00 a layer)'

    Args:
      rule: "signal" or "gradient".
      readings: at initialisation, a leading axis of networks but for those in EDGES.
      layout: of the network.
      limits: the thresholds of conf/verdict.
      void: why theory says nothing of the network, or "".
    """
    std_SL = sizes(rule, readings, layout)[:, layout.main]
    std_SL = std_SL if rule == "signal" else std_SL[:, ::-1]
    finite, some = bool(np.all(np.isfinite(std_SL))), std_SL > 0
    harmless = None if layout.is_plain or rule == "signal" or some.any() else _before_it_moves(readings, layout)
    if finite and harmless:
        return harmless
    if not layout.is_known and finite:
        return _in_order(rule, std_SL, limits)
    if not finite or not some.all():
        return Finding("FAIL", rule, f"the {rule} is zero or not finite in some layer at initialisation")
    if std_SL.shape[1] < 2:
        return Finding("OK", rule, f"the {rule} has no depth to change over")
    changes: list[float] = np.log(std_SL[:, -1].astype(float) / std_SL[:, 0]).tolist()
    change = mean_interval(changes)
    beside = _theory(rule, readings, layout, void)
    if layout.has_skips:
        return _over_branches(rule, change, std_SL.shape[1] - 1, limits, beside)
    return _over_layers(rule, change, std_SL.shape[1], _bounds(layout, limits), beside)


def sizes(rule: str, readings: Mapping[str, np.ndarray], layout: Layout) -> Float[np.ndarray, "step layer"]:
    """The std by layer that says how the "signal" or "gradient" changes over depth.

    The signal is what the activation functions give. Of a module of the user's it is what the layers themselves give:
    some of them are followed by an activation function and others are not, so that activations are not comparable.

    >>> from xinit.analysis.layout import layout_of
    >>> readings = {"act_std": np.ones((1, 2)), "pre_std": np.full((1, 2), 3.0), "act_branch": np.full(2, np.nan)}
    >>> sizes("signal", readings, layout_of(readings))
    array([[3., 3.]])

    Args:
      rule: "signal" or "gradient".
      readings: with a leading axis of networks or of steps.
      layout: of the network.
    """
    name = SIZES[rule] if layout.is_known or rule == "gradient" else "pre_std"
    return readings[name]


def _bounds(layout: Layout, limits: Mapping[str, float]) -> Bounds:
    rate = limits["rate_fail_normalised" if layout.normalised.any() else "rate_fail"]
    return Bounds(limits["signal_warn"], limits["signal_fail"], rate)


def _over_layers(rule: str, change: Interval[float], depth: int, bounds: Bounds, beside: str) -> Finding:
    """Of layers one behind the other."""
    rate = lambda log_change: math.exp(log_change / (depth - 1))
    per_layer = f"x {rate(change.mean):.2f} a layer"
    per_layer += f" [{rate(change.low):.2f}, {rate(change.high):.2f}] in {change.n} networks" if change.n > 1 else ""
    per_layer += beside
    ends = f"layer {depth} is", "layer 1's"
    ends = ends if rule == "signal" else ("layer 1 is", f"layer {depth}'s")
    ratio = f"{math.exp(change.mean):.2g}"
    detail = f"over depth: at initialisation its std at {ends[0]} {ratio} of {ends[1]} ({per_layer})"
    level = _level(change, depth - 1, bounds)
    if level == "OK":
        return Finding("OK", rule, f"the {rule} keeps its size over depth ({per_layer})")
    return Finding(level, rule, f"the {rule} {_verb(level, change.mean)} {detail}")


def _over_branches(rule: str, change: Interval[float], n: int, limits: Mapping[str, float], beside: str) -> Finding:
    """Over so many residual branches, where sizes may grow like a power of their number."""
    allowed = (1 + n) ** limits["branch_power"]
    bounds = Bounds(limits["signal_warn"] * allowed, limits["signal_fail"] * allowed, limits["rate_fail"])
    level = _level(change, n, bounds)
    branches = f"{n} branch" if n == 1 else f"{n} branches"
    rate = lambda log_change: f"{math.exp(log_change / n):.2f}"
    per_branch = f"x {rate(change.mean)} a branch"
    per_branch += f" [{rate(change.low)}, {rate(change.high)}] in {change.n} networks" if change.n > 1 else ""
    total = f"x {math.exp(change.mean):.2g} in all"
    if level != "OK":
        way = "" if rule == "signal" else " on its way back"
        changes = "shrinks" if change.mean < 0 else "grows"
        detail = f"at initialisation its std {changes} by {per_branch}{way} ({total}{beside})"
        return Finding(level, rule, f"the {rule} {_verb(level, change.mean)} over {branches}: {detail}")
    if change.mean > math.log(limits["signal_warn"]):
        grown = f"the {rule} grows over {branches} no faster than their number"
        return Finding("OK", rule, f"{grown} ({per_branch}, {total}{beside})")
    return Finding("OK", rule, f"the {rule} keeps its size over {branches} ({per_branch}{beside})")


def _level(change: Interval[float], steps: int, bounds: Bounds) -> str:
    """FAIL where the change is surely beyond both bounds: of several networks the whole interval of their mean."""
    several = change.n > 1
    surely = min(abs(change.low), abs(change.high)) * (change.low * change.high > 0) if several else abs(change.mean)
    if surely > math.log(bounds.fail) and surely > steps * math.log(bounds.rate):
        return "FAIL"
    return "WARN" if abs(change.mean) > math.log(bounds.warn) else "OK"


def _verb(level: str, log_change: float) -> str:
    less, more = ("vanishes", "explodes") if level == "FAIL" else ("fades", "grows")
    return less if log_change < 0 else more


def _theory(rule: str, readings: Mapping[str, np.ndarray], layout: Layout, void: str) -> str:
    """What theory says beside the rate; of a plain stack it stands in the table."""
    if void:
        return MEASURED_ALONE
    rms = readings.get(PREDICTED[rule])
    if not layout.has_skips or rms is None or len(rms) != len(layout.branch):
        return ""
    rms = rms[layout.main] if rule == "signal" else rms[layout.main][::-1]
    if not np.all(np.isfinite(rms)) or not np.all(rms > 0):
        return ""
    return f", predicted x {(rms[-1] / rms[0]) ** (1 / (len(rms) - 1)):.2f} a branch"


def _before_it_moves(readings: Mapping[str, np.ndarray], layout: Layout) -> Finding | None:
    """Where the last weights are 0, no gradient passes them until they have moved: no fault if they do."""
    moves = np.any(readings.get("grad_w_norm", np.zeros(1)) > 0)
    if not moves or not np.all(readings["act_std"][:, layout.main] > 0):
        return None
    words = "no gradient comes below the last weights, which are 0, before their first step, which they take"
    return Finding("OK", "gradient", words)


def _in_order(rule: str, std_SL: Float[np.ndarray, "network layer"], limits: Mapping[str, float]) -> Finding:
    """Of layers in the order of their calls, with whatever lies between them: the slope of a line through all sizes.

    What is zero, as the gradient in front of weights that start at 0, is left out.
    """
    chosen = np.all(std_SL > 0, axis=0)
    n = int(chosen.sum())
    if n < 3:
        return Finding("OK", rule, f"the {rule} has too few layers to change over{MEASURED_ALONE}")
    place = np.flatnonzero(chosen) - np.flatnonzero(chosen).mean()
    logs = np.log(std_SL[:, chosen].astype(float))
    slopes = logs @ place / (place @ place)
    left = logs - logs.mean(axis=1, keepdims=True) - slopes[:, None] * place
    error = SURE * math.sqrt(np.mean(np.sum(left**2, axis=1)) / max(n - 2, 1) / (place @ place))
    steps = std_SL.shape[1] - 1
    mean = float(np.mean(slopes)) * steps
    change = Interval(mean, 0.0, mean - error * steps, mean + error * steps, 2)
    allowed = (1 + steps) ** limits["branch_power"]
    bounds = Bounds(limits["signal_warn"] * allowed, limits["signal_fail"] * allowed, limits["rate_fail"])
    level = _level(change, steps, bounds)
    per_layer = f"x {math.exp(mean / steps):.2f} a layer in the order of their calls{MEASURED_ALONE}"
    if level == "OK" or change.low * change.high <= 0:
        return Finding("OK", rule, f"the {rule} changes over depth by no more than skips would make it ({per_layer})")
    way = "" if rule == "signal" else " on its way back"
    detail = f"over depth: its std changes by x {math.exp(mean):.2g} in all{way} ({per_layer})"
    return Finding(level, rule, f"the {rule} {_verb(level, mean)} {detail}")
