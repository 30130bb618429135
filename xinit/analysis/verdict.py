"""Is this initialisation sound? Rules over stored readings, each giving OK, WARN or FAIL in one sentence.

Thresholds come from conf/verdict with their reasons. Nothing is computed here that a run did not measure; what theory
expects, and the remedy it has, are among what is stored.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xinit.analysis.finding import LEVELS, Finding
from xinit.analysis.intervals import mean_interval
from xinit.analysis.learned import learned
from xinit.core.readings import EDGES

REMEDIED = ("signal", "gradient", "saturated", "absorbed", "copies")  # rules that another initialisation may satisfy


def judge(readings: Mapping[str, np.ndarray], facts: Mapping[str, Any], limits: Mapping[str, float]) -> list[Finding]:
    """The findings of every rule that has something to look at in a run, worst first.

    >>> judge({}, {"diverged_at": 30, "learning_rate": 1.0}, limits)[0].sentence
    'the loss became infinite or not a number at step 30 at learning rate 1'

    Args:
      readings: arrays by name, leading axis probe point, the first of them at step 0.
      facts: test_error, chance_error, test_examples, learning_rate, steps, examples, and diverged_at (a step) or None;
        where they are known, sound_examples, within which a sound network leaves chance on this set, usual_rate of this
        optimizer, its schedule, and error_is, "1 - R^2" where the errors are of regression.
      limits: the thresholds of conf/verdict.
    """
    findings: list[Finding] = []
    if "act_std" in readings and readings["step"][0] == 0:
        at = lambda i: {name: readings[name][i] for name in readings if name not in EDGES} | _whole(readings)
        findings += judge_start(_networks(readings), limits)
        if len(readings["step"]) > 1:
            findings += [*_at_end(at(-1), limits), *_updates(readings, facts, limits)]
    return _worst_first([learned(facts, readings, findings, limits), *findings])


def _at_end(readings: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> list[Finding]:
    with np.errstate(invalid="ignore"):  # as at the start
        return [*_flat_layers(readings, "at the end", limits), *_dead(readings, "at the end", limits)]


def judge_start(networks: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> list[Finding]:
    """The findings at initialisation, worst first; every reading but those in EDGES has a leading axis of networks.

    With several networks a rule over depth fails where its whole interval, 95 % for their mean, is out of bounds.

    >>> networks = {name: values[:1] for name, values in outcomes[0].readings.items()}  # of one run, at step 0
    >>> all(finding.at_start for finding in judge_start(networks, limits))
    True
    """
    with np.errstate(invalid="ignore"):  # a signal may have left the range of floats
        return _worst_first([finding._replace(at_start=True) for finding in _at_start(networks, limits)])


def _at_start(networks: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> list[Finding]:
    mean = {name: np.mean(values, axis=0) for name, values in networks.items() if name not in EDGES} | _whole(networks)
    signal, gradient = networks["act_std"], networks["grad_pre_std"][:, ::-1]
    return [
        _over_depth("signal", "at layer {depth} is {ratio} of layer 1's", signal, limits),
        _over_depth("gradient", "at layer 1 is {ratio} of layer {depth}'s", gradient, limits),
        *_flat_layers(mean, "at initialisation", limits),
        *_dead(mean, "at initialisation", limits),
        *_copies(mean, limits),
        *_alike(mean, limits),
        *_spectrum(mean, limits),
    ]


def sentence(findings: list[Finding], remedy: str | None = None) -> str:
    """The verdict in one sentence: its level, and what was found at that level; the remedy, if any, in another.

    >>> sentence([Finding("FAIL", "chance", "it is stuck at chance"), Finding("OK", "signal", "the signal is sound")])
    'FAIL: it is stuck at chance.'
    """
    level = findings[0].level
    text = f"{level}: {sentences_at(findings, level)}."
    return f"{text} {remedy}" if remedy and calls_for_remedy(findings) else text


def sentences_at(findings: list[Finding], level: str) -> str:
    """What was found at a level, without a full stop.

    >>> sentences_at([Finding("WARN", "dead", "units are dead"), Finding("WARN", "alike", "inputs are alike")], "WARN")
    'units are dead; inputs are alike'
    """
    return "; ".join(finding.sentence for finding in findings if finding.level == level)


def calls_for_remedy(findings: list[Finding]) -> bool:
    """Whether something failed at initialisation that another initialisation may mend.

    >>> calls_for_remedy([Finding("FAIL", "signal", "the signal vanishes", at_start=True)])
    True
    """
    return any(finding.level == "FAIL" and finding.at_start and finding.rule in REMEDIED for finding in findings)


def _whole(readings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: readings[name] for name in EDGES if name in readings}


def _networks(readings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A run's readings at step 0 as those of one network."""
    return {name: values if name in EDGES else values[:1] for name, values in readings.items()}


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def _over_depth(rule: str, compared: str, std_SL: np.ndarray, limits: Mapping[str, float]) -> Finding:
    """How the std of the signal or gradient changes from the first to the last entry, in all and per layer."""
    depth = std_SL.shape[1]
    if not np.all(np.isfinite(std_SL)) or not np.all(std_SL > 0):
        return Finding("FAIL", rule, f"the {rule} is zero or not finite in some layer at initialisation")
    if depth < 2:
        return Finding("OK", rule, f"the {rule} has no depth to change over")
    change = mean_interval(np.log(std_SL[:, -1].astype(float) / std_SL[:, 0]))
    several = change.n > 1
    surely = min(abs(change.low), abs(change.high)) * (change.low * change.high > 0) if several else abs(change.mean)
    rate = lambda log_change: math.exp(log_change / (depth - 1))
    per_layer = f"x {rate(change.mean):.2f} a layer"
    per_layer += f" [{rate(change.low):.2f}, {rate(change.high):.2f}] in {change.n} networks" if several else ""
    ratio = f"{math.exp(change.mean):.2g}"
    detail = f"over depth: at initialisation its std {compared.format(depth=depth, ratio=ratio)} ({per_layer})"
    if surely > math.log(limits["signal_fail"]) and surely > (depth - 1) * math.log(limits["rate_fail"]):
        return Finding("FAIL", rule, f"the {rule} {'vanishes' if change.mean < 0 else 'explodes'} {detail}")
    if abs(change.mean) > math.log(limits["signal_warn"]):
        return Finding("WARN", rule, f"the {rule} {'fades' if change.mean < 0 else 'grows'} {detail}")
    return Finding("OK", rule, f"the {rule} keeps its size over depth ({per_layer})")


def _flat_layers(readings: Mapping[str, np.ndarray], when: str, limits: Mapping[str, float]) -> Iterator[Finding]:
    """Layers that sit where f is flat: absorbed into one tail, or saturated on both sides.

    Only where f saturates. A layer absorbed into a tail can have few units beyond the cut, so its mean slope decides.
    """
    slope, mean, saturated = (readings[name] for name in ("act_slope", "act_mean", "act_saturated"))
    low, high = readings["act_low"], readings["act_high"]
    scale = np.where(np.isinf(low) | np.isinf(high), np.minimum(np.abs(low), np.abs(high)), high - low)
    in_tail = np.minimum(mean - low, high - mean) < limits["range_end"] * scale
    saturates = ~np.isnan(saturated)
    absorbed = saturates & in_tail & (slope < limits["slope_absorbed"])
    too_saturated = saturates & ~absorbed & (saturated > limits["saturated_warn"])
    if absorbed.any():
        l = int(np.argmax(absorbed))
        detail = f"mean activation {mean[l]:.2f}, mean slope {slope[l]:.2f} of its maximum"
        yield Finding("FAIL", "absorbed", f"{_layers(absorbed)} absorbed into a flat tail {when} ({detail})")
    if too_saturated.any():
        level = "FAIL" if when == "at initialisation" else "WARN"
        detail = f"up to {100 * saturated[too_saturated].max():.0f} % of units"
        yield Finding(level, "saturated", f"{_layers(too_saturated)} saturated {when} ({detail})")


def _dead(readings: Mapping[str, np.ndarray], when: str, limits: Mapping[str, float]) -> Iterator[Finding]:
    """Rectifiers whose units are off on every example, against the share that a sound network of that depth has."""
    if "act_dead_expected" not in readings:
        return
    dead, expected = readings["act_dead"], readings["act_dead_expected"]
    too_dead = dead > expected + limits["dead_excess"]
    if too_dead.any():
        l = int(np.argmax(dead - expected))
        detail = f"{dead[l]:.0%} of layer {l + 1}, where {expected[l]:.0%} is to be expected at that depth"
        yield Finding("WARN", "dead", f"units are dead {when}: {detail}")


def _copies(readings: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the units of a layer are copies of each other, which no gradient can tell apart."""
    share = readings.get("act_copies", np.zeros(1))
    for level, chosen in (("FAIL", share > limits["copies_fail"]), ("WARN", share > limits["copies_warn"])):
        if chosen.any():
            detail = f"{share[chosen].max():.0%} of a layer's units add nothing"
            where = f"{_layers(chosen)} made of copies"
            yield Finding(level, "copies", f"{where}, which stay so while it trains ({detail})")
            return


def _alike(readings: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the last hidden layer can still tell its inputs apart."""
    cosine = float(readings["act_cosine_mean"][-1]) if "act_cosine_mean" in readings else 0.0
    if cosine > limits["cosine_warn"]:
        detail = f"the mean cosine between the activations of different examples is {cosine:.4f}"
        yield Finding("WARN", "alike", f"inputs can hardly be told apart at layer {_depth(readings)}: {detail}")


def _spectrum(readings: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the end-to-end Jacobian carries all directions, or few of them; where its spectrum was measured."""
    if "jacobian_total_sv_quantile" not in readings:
        return
    median, top = (float(readings["jacobian_total_sv_quantile"][i]) for i in (4, -1))
    if top > limits["spectrum_warn"] * median:
        times = f"{top / median:.3g} times" if median > 0 else "above 0, unlike"
        detail = f"the 99 % quantile of its singular values is {times} the median"
        yield Finding("WARN", "spectrum", f"the end-to-end Jacobian carries few directions ({detail})")


def _updates(
    readings: Mapping[str, np.ndarray], facts: Mapping[str, Any], limits: Mapping[str, float]
) -> Iterator[Finding]:
    """How large the last step was beside the weights; a schedule may end at 0, so then all that were measured count."""
    ratios = np.nan_to_num(readings.get("update_ratio", np.zeros((1, 1))))  # nan where a matrix is zero
    ratio = ratios[-1]
    largest = ratio.max() if facts.get("schedule", "constant") == "constant" else ratios.max()
    l = int(np.argmax(ratio))
    if ratio[l] > limits["update_high"]:
        detail = f"{ratio[l]:.2g} of weight matrix {l + 1} in one step"
        yield Finding("WARN", "update", f"the last update is large beside the weights ({detail}): lower the rate")
    elif 0 < largest < limits["update_low"]:
        detail = f"at most {largest:.2g} in one step"
        yield Finding("WARN", "update", f"the weights hardly move ({detail}): raise the rate")


def _depth(readings: Mapping[str, np.ndarray]) -> int:
    return len(readings["act_std"])


def _layers(chosen: np.ndarray) -> str:
    numbers = [str(l + 1) for l in np.flatnonzero(chosen)]
    return f"layer {numbers[0]} is" if len(numbers) == 1 else f"layers {', '.join(numbers)} are"
