"""Is this initialisation sound? Rules over stored readings, each giving OK, WARN or FAIL in one sentence.

Thresholds come from conf/verdict with their reasons. Nothing is computed here that a run did not measure.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

LEVELS = ("OK", "WARN", "FAIL")


class Finding(NamedTuple):
    """What one rule found: its level, the rule's name, and the sentence (without the level)."""

    level: str
    rule: str
    sentence: str


def judge(readings: Mapping[str, np.ndarray], facts: Mapping[str, Any], limits: Mapping[str, float]) -> list[Finding]:
    """The findings of every rule that has something to look at, worst first.

    Args:
      readings: arrays by name, leading axis probe point, the first of them at step 0.
      facts: test_error, chance_error, test_examples, learning_rate, examples, and diverged_at (a step) or None.
      limits: the thresholds of conf/verdict.
    """
    findings = [_learned(facts, limits)]
    if "act_std" in readings and readings["step"][0] == 0:
        signal, gradient = readings["act_std"][0], readings["grad_pre_std"][0][::-1]
        findings += [
            _over_depth("signal", "at layer {depth} is {ratio} of layer 1's", signal, limits),
            _over_depth("gradient", "at layer 1 is {ratio} of layer {depth}'s", gradient, limits),
            *_flat_layers(readings, 0, "at initialisation", limits),
        ]
        findings += _flat_layers(readings, -1, "at the end", limits) if len(readings["step"]) > 1 else []
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def sentence(findings: list[Finding]) -> str:
    """The verdict in one sentence: its level, and what was found at that level."""
    level = findings[0].level
    return f"{level}: {'; '.join(finding.sentence for finding in findings if finding.level == level)}."


def _learned(facts: Mapping[str, Any], limits: Mapping[str, float]) -> Finding:
    """Whether the test error has left chance, by more than sampling noise and by a share worth naming."""
    if facts["diverged_at"] is not None:
        where = f"at step {facts['diverged_at']:,} at learning rate {facts['learning_rate']:g}"
        return Finding("FAIL", "diverged", f"the loss became infinite or not a number {where}")
    error, chance = facts["test_error"], facts["chance_error"]
    noise = limits["chance_sigmas"] * math.sqrt(chance * (1 - chance) / facts["test_examples"])
    at = f"at learning rate {facts['learning_rate']:g} after {facts['examples']:,} examples"
    words = f"test error {error:.1%}, chance {chance:.1%}, {at}"
    if error > chance - max(noise, limits["chance_gain"] * chance):
        return Finding("FAIL", "chance", f"it is stuck at chance: {words}")
    return Finding("OK", "chance", f"it learns: {words}")


def _over_depth(rule: str, compared: str, std_L: np.ndarray, limits: Mapping[str, float]) -> Finding:
    """How the std of the signal or gradient changes from the first to the last entry, in all and per layer."""
    depth = len(std_L)
    if not np.all(np.isfinite(std_L)) or not np.all(std_L > 0):
        return Finding("FAIL", rule, f"the {rule} is zero or not finite in some layer at initialisation")
    if depth < 2:
        return Finding("OK", rule, f"the {rule} has no depth to change over")
    ratio = float(std_L[-1] / std_L[0])
    rate = ratio ** (1 / (depth - 1))
    change, change_rate = max(ratio, 1 / ratio), max(rate, 1 / rate)
    per_layer = f"x {rate:.2f} a layer"
    detail = f"over depth: at initialisation its std {compared.format(depth=depth, ratio=f'{ratio:.2g}')} ({per_layer})"
    if change > limits["signal_fail"] and change_rate > limits["rate_fail"]:
        return Finding("FAIL", rule, f"the {rule} {'vanishes' if ratio < 1 else 'explodes'} {detail}")
    if change > limits["signal_warn"]:
        return Finding("WARN", rule, f"the {rule} {'fades' if ratio < 1 else 'grows'} {detail}")
    return Finding("OK", rule, f"the {rule} keeps its size over depth ({per_layer})")


def _flat_layers(readings: Mapping[str, np.ndarray], at: int, when: str, limits: Mapping[str, float]) -> list[Finding]:
    """Layers that sit where f is flat: absorbed into one tail, or saturated on both sides.

    Only where f saturates. A layer absorbed into a tail can have few units beyond the cut, so its mean slope decides.
    """
    slope, mean, saturated = (readings[name][at] for name in ("act_slope", "act_mean", "act_saturated"))
    low, high = readings["act_low"], readings["act_high"]
    scale = np.where(np.isinf(low) | np.isinf(high), np.minimum(np.abs(low), np.abs(high)), high - low)
    in_tail = np.minimum(mean - low, high - mean) < limits["range_end"] * scale
    saturates = ~np.isnan(saturated)
    absorbed = saturates & in_tail & (slope < limits["slope_absorbed"])
    too_saturated = saturates & ~absorbed & (saturated > limits["saturated_warn"])
    findings = []
    if absorbed.any():
        l = int(np.argmax(absorbed))
        words = f"mean activation {mean[l]:.2f}, mean slope {slope[l]:.2f} of its maximum"
        findings.append(Finding("FAIL", "absorbed", f"{_layers(absorbed)} absorbed into a flat tail {when} ({words})"))
    if too_saturated.any():
        level = "FAIL" if at == 0 else "WARN"
        words = f"up to {100 * saturated[too_saturated].max():.0f} % of units"
        findings.append(Finding(level, "saturated", f"{_layers(too_saturated)} saturated {when} ({words})"))
    return findings


def _layers(chosen: np.ndarray) -> str:
    numbers = [str(l + 1) for l in np.flatnonzero(chosen)]
    return f"layer {numbers[0]} is" if len(numbers) == 1 else f"layers {', '.join(numbers)} are"
