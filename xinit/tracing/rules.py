"""Is the initialisation of this model sound? Rules over a report, each giving OK, WARN or FAIL in one sentence."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy import stats

from xinit.analysis.probe_report import Report
from xinit.analysis.verdict import LEVELS, Finding
from xinit.settings.thresholds import thresholds

# Thresholds beyond those of conf/verdict, each with its reason.
INPUT_SIZE = (0.1, 10.0)  # root mean square of the inputs: initialisers take it to be 1, and bytes have some 130
DEAD_SIGMAS = 4.0  # symmetric weights without bias leave a unit off for every example with p <= 1/2, at any depth
DEAD_FAIL = 0.9  # and here hardly a unit is left
CONFIDENT = 2.0  # a loss this many times that of the uniform answer: the logits are large, and wrong
SURE = 0.05  # p-value below which a slope over depth is one


class Trend(NamedTuple):
    """How a size changes over depth: by `rate` a layer, by `change` in all; `sure` if scatter does not explain it."""

    rate: float
    change: float
    sure: bool


def judge(report: Report) -> tuple[Finding, ...]:
    """What every rule found, worst first; a rule that cannot look at this model says nothing."""
    rules = (
        _finite, _inputs, _labels, _confident, _reach, _copies, _signal, _gradient, _dead, _alike, _scope, _unseen,
    )  # fmt: skip
    findings = [finding for rule in rules for finding in rule(report)]
    if all(finding.level == "OK" for finding in findings):
        findings.append(Finding("OK", "elsewhere", _elsewhere(report)))
    return tuple(sorted(findings, key=lambda finding: -LEVELS.index(finding.level)))


def _elsewhere(report: Report) -> str:
    """What to say where no rule found anything."""
    return "nothing at initialisation explains a failure to train: look at the learning rate, the data and the loss"


def _finite(report: Report) -> Iterable[Finding]:
    """The first layer from which on there are infinities or no numbers."""
    for reading, words in (("pre_std", "the output"), ("grad_pre_std", "the gradient")):
        wrong = ~np.isfinite(report.readings.get(reading, 0))
        if wrong.any():
            yield Finding("FAIL", "finite", f"{words} of {_named(report, wrong)} is infinite or not a number")
            return
    if not math.isfinite(report.loss):
        yield Finding("FAIL", "finite", "the loss is infinite or not a number, though every layer is finite")


def _inputs(report: Report) -> Iterable[Finding]:
    """Inputs far from the unit size that initialisers take for granted, or hardly different from each other."""
    if report.x_moments is None:
        return
    mean, std, cosine = report.x_moments
    low, high = INPUT_SIZE
    if not low <= math.hypot(mean, std) <= high:
        words = f"the inputs have mean {mean:.3g} and std {std:.3g}; initialisers take them to be of size 1: scale them"
        yield Finding("WARN", "inputs", words)
    if cosine > thresholds()["cosine_warn"]:
        words = f"the inputs of different examples are almost parallel (mean cosine {cosine:.4f}): centre them"
        yield Finding("WARN", "inputs", words)


def _labels(report: Report) -> Iterable[Finding]:
    if report.one_class:
        yield Finding("WARN", "labels", "all labels of the batch are the same class")


def _confident(report: Report) -> Iterable[Finding]:
    if report.chance_loss is not None and report.loss > CONFIDENT * report.chance_loss:
        words = f"the loss is {report.loss:.3g} where the uniform answer has {report.chance_loss:.3g}"
        yield Finding("WARN", "confident", f"{words}: the logits are too large")


def _reach(report: Report) -> Iterable[Finding]:
    """Layers that no gradient reaches: for good, or until a zero kernel or scale has moved, if it can."""
    unreached = report.readings["grad_pre_std"] == 0
    if not unreached.any():
        return
    zeros = [row for row in report.parameters if row.zero and row.roles != ("added",)]
    moving = [row.path for row in zeros if row.grad_norm > 0]
    why = f"{moving[-1]} is zero, and lets none through before it has moved" if moving else "it cannot learn"
    yield Finding("WARN" if moving else "FAIL", "reach", f"no gradient reaches {_named(report, unreached)}: {why}")


def _copies(report: Report) -> Iterable[Finding]:
    """Layers all of whose units have the same weights and gradients, as under a constant initialisation."""
    copies = [row.path for row in report.parameters if row.copies]
    if copies:
        words = f"all units of a layer are copies of each other and stay so: {', '.join(copies)}"
        yield Finding("FAIL", "copies", words)


def _signal(report: Report) -> Iterable[Finding]:
    """The size sqrt(E z^2) of what the layers give."""
    size = np.hypot(report.readings["pre_mean"], report.readings["pre_std"])
    return _over_depth("signal", report, size, upwards=True)


def _gradient(report: Report) -> Iterable[Finding]:
    """The size of dL/dz over all positions of a unit, so that pooling, which shares it among more, does not count."""
    positions = [math.prod(shape[1:]) / width for shape, width in zip(report.shapes, report.widths, strict=True)]
    return _over_depth("gradient", report, report.readings["grad_pre_std"] * np.sqrt(positions), upwards=False)


def _over_depth(rule: str, report: Report, size: np.ndarray, upwards: bool) -> Iterable[Finding]:
    """How a size changes in the direction in which it travels."""
    chosen = _compared(report) & np.isfinite(size) & (size > 0)
    found = trend(np.array(report.depths)[chosen] * (1 if upwards else -1), size[chosen])
    if found is None:
        return [Finding("OK", rule, f"the {rule} has too few layers to change over")]
    change, rate = max(found.change, 1 / found.change), max(found.rate, 1 / found.rate)
    per_layer = f"x {found.rate:.2f} a layer"
    if not found.sure:
        return [Finding("OK", rule, f"the {rule} changes over depth by no more than its scatter ({per_layer})")]
    way = "from the first layer to the last" if upwards else "from the last layer to the first"
    detail = f"over depth: x {found.change:.2g} {way} ({per_layer})"
    if change > thresholds()["signal_fail"] and rate > thresholds()["rate_fail"]:
        return [Finding("FAIL", rule, f"the {rule} {'vanishes' if found.rate < 1 else 'explodes'} {detail}")]
    if change < thresholds()["signal_warn"]:
        return [Finding("OK", rule, f"the {rule} keeps its size over depth ({per_layer})")]
    # Over skips and between normalisations sizes drift like a power of depth, which is no harm.
    level = "OK" if report.skips or any(report.normalised) else "WARN"
    return [Finding(level, rule, f"the {rule} {'fades' if found.rate < 1 else 'grows'} slowly {detail}")]


def _compared(report: Report) -> np.ndarray:
    """Whether a layer is one that the rules over depth look at: no table, and none that feeds itself."""
    pairs = zip(report.kinds, report.recurrent, strict=True)
    return np.array([kind != "lookup" and not recurrent for kind, recurrent in pairs])


def trend(depth: Num[np.ndarray, " layer"], size: Float[np.ndarray, " layer"]) -> Trend | None:
    """The line through log size against depth, by least squares; None with fewer than three depths."""
    if len(set(depth.tolist())) < 3:
        return None
    line = stats.linregress(depth, np.log(size))
    span = float(depth.max() - depth.min())
    return Trend(math.exp(line.slope), math.exp(line.slope * span), bool(line.pvalue < SURE))


def _dead(report: Report) -> Iterable[Finding]:
    """More dead units than symmetric weights can give: each is off for all examples with a chance of at most 1/2."""
    dead, reached = report.readings["grad_pre_zero_units"], report.readings["grad_pre_std"] > 0
    most = 0.5 + DEAD_SIGMAS * np.sqrt(0.25 / np.array(report.widths))
    too_many = _compared(report) & reached & (dead > most)
    if too_many.any():
        words = (
            f"up to {dead[too_many].max():.0%} of units are dead, passing no gradient, in {_named(report, too_many)}"
        )
        yield Finding("FAIL" if (dead[too_many] > DEAD_FAIL).any() else "WARN", "dead", words)


def _alike(report: Report) -> Iterable[Finding]:
    """Whether examples that differ at first still do so in what the last layer reads."""
    cosine = report.readings["input_cosine_mean"][_compared(report)]
    cosine = cosine[np.isfinite(cosine)]
    if len(cosine) > 1 and cosine[0] < thresholds()["cosine_warn"] < cosine[-1]:
        words = f"their mean cosine is {cosine[0]:.3f} in the first layer and {cosine[-1]:.5f} in the last"
        yield Finding("WARN", "cosine", f"different examples become alike over depth: {words}")


def _scope(report: Report) -> Iterable[Finding]:
    """What the theory of plain stacks of layers cannot speak of."""
    kinds = sorted({kind for kind in report.normalised if kind})
    causes = [*(["skips"] if report.skips else []), *(f"{kind} normalisation" for kind in kinds)]
    if causes:
        words = (
            f"the theory of plain networks does not hold here ({', '.join(causes)}): this is measured, not predicted"
        )
        yield Finding("OK", "scope", words)


def _unseen(report: Report) -> Iterable[Finding]:
    """What could not be seen, so that no verdict speaks of it."""
    for reason in sorted(set(report.unseen.values())):
        paths = [path for path, why in report.unseen.items() if why == reason]
        words = f"not seen, so that this verdict does not speak of what they do: {', '.join(paths)}; {reason}"
        yield Finding("WARN", "unseen", words)


def _named(report: Report, chosen: np.ndarray) -> str:
    names = [name for name, one in zip(report.names, chosen, strict=True) if one]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more of {len(report.names)} layers"
