"""Is this initialisation sound? Rules over stored readings, each giving OK, WARN or FAIL in one sentence.

Thresholds come from conf/verdict with their reasons. Nothing is computed here that a run did not measure; what theory
expects, and the remedy it has, are among what is stored.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from xinit.analysis.finding import LEVELS, Finding
from xinit.analysis.layout import Layout, layout_of
from xinit.analysis.learned import learned
from xinit.analysis.over_depth import over_depth
from xinit.core.readings import EDGES

NOTHING: Mapping[str, Any] = MappingProxyType({})
REMEDIED = ("signal", "gradient", "saturated", "absorbed", "copies")  # rules that another initialisation may satisfy


def judge(readings: Mapping[str, np.ndarray], facts: Mapping[str, Any], limits: Mapping[str, float]) -> list[Finding]:
    """The findings of every rule that has something to look at in a run, worst first.

    >>> judge({}, {"diverged_at": 30, "learning_rate": 1.0}, limits)[0].sentence
    'the loss became infinite or not a number at step 30 at learning rate 1'

    Args:
      readings: arrays by name, leading axis probe point, the first of them at step 0.
      facts: test_error, chance_error, test_examples, learning_rate, steps, examples, and diverged_at (a step) or None;
        where they are known, sound_examples, within which a sound network leaves chance on this set, usual_rate of this
        optimizer, its schedule, and error_is, "1 - R^2" where the errors are of regression. Of a network that is no
        plain stack of layers also what `judge_start` is told of it.
      limits: the thresholds of conf/verdict.
    """
    findings: list[Finding] = []
    if "act_std" in readings and readings["step"][0] == 0:
        at = lambda i: {name: readings[name][i] for name in readings if name not in EDGES} | _whole(readings)
        findings += judge_start(_networks(readings), limits, facts)
        if len(readings["step"]) > 1:
            findings += [*_at_end(at(-1), limits, facts), *_updates(readings, facts, limits)]
    return _worst_first([learned(facts, readings, findings, limits), *findings])


def _at_end(readings: Mapping[str, np.ndarray], limits: Mapping[str, float], about: Mapping[str, Any]) -> list[Finding]:
    layout = layout_of(readings, about.get("layers", ()))
    with np.errstate(invalid="ignore"):  # as at the start
        return [
            *_flat_layers(readings, layout, "at the end", limits),
            *_dead(readings, layout, "at the end", limits),
            *_unreached(readings, layout, "at the end"),
        ]


def judge_start(
    networks: Mapping[str, np.ndarray], limits: Mapping[str, float], about: Mapping[str, Any] = NOTHING
) -> list[Finding]:
    """The findings at initialisation, worst first; every reading but those in EDGES has a leading axis of networks.

    With several networks a rule over depth fails where its whole interval, 95 % for their mean, is out of bounds.

    >>> networks = {name: values[:1] for name, values in outcomes[0].readings.items()}  # of one run, at step 0
    >>> all(finding.at_start for finding in judge_start(networks, limits))
    True

    Args:
      networks: arrays by name.
      limits: the thresholds of conf/verdict.
      about: of a network that is no plain stack of layers, where they are known: the names of its layers and weights,
        and unpredicted, why theory says nothing of it.
    """
    with np.errstate(invalid="ignore"):  # a signal may have left the range of floats
        return _worst_first([finding._replace(at_start=True) for finding in _at_start(networks, limits, about)])


def _at_start(
    networks: Mapping[str, np.ndarray], limits: Mapping[str, float], about: Mapping[str, Any]
) -> list[Finding]:
    mean = {name: np.mean(values, axis=0) for name, values in networks.items() if name not in EDGES} | _whole(networks)
    layout, void = layout_of(networks, about.get("layers", ())), str(about.get("unpredicted") or "")
    return [
        *(over_depth(rule, networks, layout, limits, void) for rule in ("signal", "gradient")),
        *_flat_layers(mean, layout, "at initialisation", limits),
        *_dead(mean, layout, "at initialisation", limits),
        *_unreached(mean, layout, "at initialisation"),
        *_copies(mean, layout, limits),
        *_alike(mean, layout, limits),
        *_spectrum(mean, limits),
        *_unpredicted(void),
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


def _flat_layers(
    readings: Mapping[str, np.ndarray], layout: Layout, when: str, limits: Mapping[str, float]
) -> Iterator[Finding]:
    """Layers that sit where f is flat: absorbed into one tail, or saturated on both sides.

    Only where f saturates. A layer absorbed into a tail can have few units beyond the cut, so its mean slope decides.
    Where a skip leads past f more of it may be flat, and neither is more than a warning.
    """
    slope, mean, saturated = (readings[name] for name in ("act_slope", "act_mean", "act_saturated"))
    low, high = readings["act_low"], readings["act_high"]
    scale = np.where(np.isinf(low) | np.isinf(high), np.minimum(np.abs(low), np.abs(high)), high - low)
    in_tail = np.minimum(mean - low, high - mean) < limits["range_end"] * scale
    saturates = ~np.isnan(saturated)
    absorbed = saturates & in_tail & (slope < limits["slope_absorbed"])
    most = np.full(len(saturated), limits["saturated_warn"])
    most[layout.skipped] = limits["saturated_skipped"] if layout.skipped.any() else most[layout.skipped]
    too_saturated = saturates & ~absorbed & (saturated > most)
    if absorbed.any():
        l = int(np.argmax(absorbed))
        detail = f"mean activation {mean[l]:.2f}, mean slope {slope[l]:.2f} of its maximum"
        level = "WARN" if layout.skipped[absorbed].all() else "FAIL"
        yield Finding(level, "absorbed", f"{layout.listed(absorbed)} absorbed into a flat tail {when} ({detail})")
    if too_saturated.any():
        level = "FAIL" if when == "at initialisation" and not layout.skipped[too_saturated].all() else "WARN"
        detail = f"up to {100 * saturated[too_saturated].max():.0f} % of units"
        yield Finding(level, "saturated", f"{layout.listed(too_saturated)} saturated {when} ({detail})")


def _unreached(readings: Mapping[str, np.ndarray], layout: Layout, when: str) -> Iterator[Finding]:
    """Layers within branches that no gradient comes to, while it passes beside them: a scale or weights there are 0."""
    gradient, main = readings["grad_pre_std"], layout.main
    cut_off = ~main & (gradient == 0)
    if not cut_off.any() or not np.all(gradient[main] > 0):
        return
    n = len(set(layout.branch[cut_off].tolist()))
    branches = "1 branch" if n == 1 else f"{n} branches"
    if when == "at the end":
        yield Finding("WARN", "reach", f"no gradient comes into {branches} at the end: what is 0 there has not moved")
    else:
        words = "before the scales or weights at their ends, which are 0, have moved"
        yield Finding("OK", "reach", f"no gradient comes into {branches} {words}")


def _unpredicted(void: str) -> Iterator[Finding]:
    """Whether theory had something to say of a network that is no plain stack."""
    if void:
        yield Finding("OK", "theory", f"this rests on measurement alone, since theory is silent: {void}")


def _dead(
    readings: Mapping[str, np.ndarray], layout: Layout, when: str, limits: Mapping[str, float]
) -> Iterator[Finding]:
    """Rectifiers whose units are off on every example, against the share that a sound network of that depth has."""
    if "act_dead_expected" not in readings:
        return
    dead, expected = readings["act_dead"], readings["act_dead_expected"]
    too_dead = dead > expected + limits["dead_excess"]
    if too_dead.any():
        l = int(np.argmax(dead - expected))
        detail = f"{dead[l]:.0%} of {layout.name(l)}, where {expected[l]:.0%} is to be expected at that depth"
        yield Finding("WARN", "dead", f"units are dead {when}: {detail}")


def _copies(readings: Mapping[str, np.ndarray], layout: Layout, limits: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the units of a layer are copies of each other, which no gradient can tell apart."""
    share = readings.get("act_copies", np.zeros(len(layout.branch)))
    # Behind a normalisation a unit that is off on every example is still told by how much the others of its layer err.
    share = np.where(layout.normalised, share - np.nan_to_num(readings.get("act_dead", 0.0)), share)
    for level, chosen in (("FAIL", share > limits["copies_fail"]), ("WARN", share > limits["copies_warn"])):
        if chosen.any():
            detail = f"{share[chosen].max():.0%} of a layer's units add nothing"
            where = f"{layout.listed(chosen)} made of copies"
            yield Finding(level, "copies", f"{where}, which stay so while it trains ({detail})")
            return


def _alike(readings: Mapping[str, np.ndarray], layout: Layout, limits: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the last hidden layer can still tell its inputs apart."""
    cosine = float(readings["act_cosine_mean"][-1]) if "act_cosine_mean" in readings else 0.0
    if cosine > limits["cosine_warn"]:
        detail = f"the mean cosine between the activations of different examples is {cosine:.4f}"
        yield Finding(
            "WARN", "alike", f"inputs can hardly be told apart at {layout.name(len(layout.branch) - 1)}: {detail}"
        )


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
    """How large the last step was beside the weights; a schedule may end at 0, so then all that were measured count.

    Weights that were 0 before a step have no size to compare it with.
    """
    ratios = readings.get("update_ratio", np.zeros((1, 1)))
    ratios = np.where(np.isfinite(ratios), ratios, 0)
    ratio = ratios[-1]
    largest = ratio.max() if facts.get("schedule", "constant") == "constant" else ratios.max()
    l = int(np.argmax(ratio))
    if ratio[l] > limits["update_high"]:
        names = facts.get("weights") or ()
        name = f"the weights of {names[l]}" if len(names) == len(ratio) else f"weight matrix {l + 1}"
        detail = f"{ratio[l]:.2g} of {name} in one step"
        yield Finding("WARN", "update", f"the last update is large beside the weights ({detail}): lower the rate")
    elif 0 < largest < limits["update_low"]:
        detail = f"at most {largest:.2g} in one step"
        yield Finding("WARN", "update", f"the weights hardly move ({detail}): raise the rate")
