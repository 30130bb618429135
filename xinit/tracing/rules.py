"""Is the initialisation of this model sound? Rules over a report, each giving OK, WARN or FAIL in one sentence.

What a layer does over depth is judged in `rules_depth`.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from xinit.analysis.layer_marks import signal
from xinit.analysis.probe_limits import CONFIDENT, DEAD_FAIL, DEAD_SIGMAS, INPUT_SIZE, NOTHING_ADDED
from xinit.analysis.probe_report import Report
from xinit.analysis.verdict import LEVELS, Finding
from xinit.settings.thresholds import thresholds
from xinit.tracing.rules_depth import about, compared, depth_is_known, over_depth
from xinit.tracing.rules_depth import trend as trend

AT_ONE_ZERO = "is zero, and lets none through before it has"
NOT_CHOSEN = "it is in no layer that was chosen"
ELSEWHERE = "nothing at initialisation explains a failure to train: look at the learning rate, the data and the loss"
MOST_NAMED = 8  # paths or patterns of paths in one sentence


def judge(report: Report) -> tuple[Finding, ...]:
    """What every rule found, worst first; a rule that cannot look at this model says nothing."""
    rules = (
        _finite, _inputs, _labels, _confident, _reach, _copies, over_depth, _dead, _saturated, _alike, _branches,
        _scope, _unseen,
    )  # fmt: skip
    findings = [finding for rule in rules for finding in rule(report)]
    if all(finding.level == "OK" for finding in findings) and _is_all_seen(report):
        findings.append(Finding("OK", "elsewhere", ELSEWHERE))
    return tuple(sorted(findings, key=lambda finding: -LEVELS.index(finding.level)))


def _is_all_seen(report: Report) -> bool:
    """Whether every layer was seen both ways, and enough of them, so that no cause is left out."""
    return depth_is_known(report) and not unseen_of(report) and not unreached_layers(report).any()


def _finite(report: Report) -> Iterable[Finding]:
    """The first layer from which on there are infinities or no numbers."""
    for reading, words in (("pre_std", "the output"), ("grad_pre_std", "the gradient")):
        wrong = ~np.isfinite(report.readings.get(reading, 0))
        if wrong.any():
            yield about("FAIL", "finite", f"{words} of {_named(report, wrong)} is infinite or not a number", wrong)
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


def unreached_layers(report: Report) -> np.ndarray:
    """Whether a layer has no gradient, and its kernel none from another call either."""
    learns = np.array([row.grad_norm > 0 for row in report.kernels])
    return (report.readings["grad_pre_std"] == 0) & ~learns


def _reach(report: Report) -> Iterable[Finding]:
    """Layers that no gradient reaches: for good, or until a zero kernel or scale has moved, or ignored by the loss."""
    unreached = unreached_layers(report)
    if not unreached.any():
        return
    zeros = [row for row in report.parameters if row.zero and set(row.roles) & {"product", "scaled"}]
    moving = [row.path for row in zeros if row.grad_norm > 0]
    if moving:
        are_zero = "are zero, and let none through before they have" if len(moving) > 1 else AT_ONE_ZERO
        why = f"{_listed(moving)} {are_zero} moved; past_zeros=True looks past it"
        passes = _first_are_reached(report, unreached)
        words = f"no gradient reaches {_named(report, unreached)}: {why}"
        yield about("OK" if passes else "WARN", "reach", words, unreached)
        return
    ignored = unreached & ~_leads_to_reached(report, unreached)
    if ignored.any() and not ignored.all():
        words = f"no gradient reaches {_named(report, ignored)}: nothing that the loss depends on reads what it gives"
        yield about("WARN", "reach", words, ignored)
    stuck = unreached if ignored.all() or unreached.all() else unreached & ~ignored
    if stuck.any():
        yield about("FAIL", "reach", f"no gradient reaches {_named(report, stuck)}: it cannot learn", stuck)


def _first_are_reached(report: Report, unreached: np.ndarray) -> bool:
    """Whether the gradient comes to a layer that no other feeds, past what is zero in branches."""
    return any(depth == 1 and not blocked for depth, blocked in zip(report.depths, unreached, strict=True))


def _leads_to_reached(report: Report, unreached: np.ndarray) -> np.ndarray:
    """For each layer whether one behind it has a gradient, which it then had to come through."""
    leads = np.zeros(len(report.names), bool)
    for number in reversed(range(len(report.names))):
        if not unreached[number] or leads[number]:
            for source in report.fed_by[number]:
                leads[source] = True
    return leads


def _copies(report: Report) -> Iterable[Finding]:
    """Layers all of whose units have the same weights and gradients, as under a constant initialisation."""
    copies = [row.path for row in report.parameters if row.copies]
    if copies:
        words = f"all units of a layer are copies of each other and stay so: {_listed(copies)}"
        yield about("FAIL", "copies", words, [paths[0].partition("[")[0] in copies for paths in report.paths])


def _dead(report: Report) -> Iterable[Finding]:
    """More dead units than symmetric weights can give: each is off for all examples with a chance of at most 1/2."""
    dead, reached = report.readings["grad_pre_zero_units"], report.readings["grad_pre_std"] > 0
    most = 0.5 + DEAD_SIGMAS * np.sqrt(0.25 / np.array(report.widths))
    too_many = compared(report) & reached & (dead > most)
    if too_many.any():
        share = f"up to {dead[too_many].max():.0%} of units"
        words = f"{share} are dead, passing no gradient, in {_named(report, too_many)}"
        yield about("FAIL" if (dead[too_many] > DEAD_FAIL).any() else "WARN", "dead", words, too_many)


def _saturated(report: Report) -> Iterable[Finding]:
    """Layers most of whose units lie in the flat parts of the function that is applied to them."""
    if "act_saturated" not in report.readings:
        return
    saturated, limits = report.readings["act_saturated"], thresholds()
    most = limits["saturated_skipped" if report.skips else "saturated_warn"]
    too_many = np.isfinite(saturated) & (saturated > most)
    if too_many.any():
        share, function = saturated[too_many].max(), report.functions[int(np.argmax(np.where(too_many, saturated, 0)))]
        words = f"up to {share:.0%} of units are saturated, in the flat parts of {function or 'their function'}"
        yield about("WARN", "saturated", f"{words}, in {_named(report, too_many)}", too_many)


def _alike(report: Report) -> Iterable[Finding]:
    """Whether examples that differ at first still do so in what the last layer reads."""
    cosine = report.readings["input_cosine_mean"][compared(report)]
    cosine = cosine[np.isfinite(cosine)]
    if len(cosine) > 1 and cosine[0] < thresholds()["cosine_warn"] < cosine[-1]:
        words = f"their mean cosine is {cosine[0]:.3f} in the first layer and {cosine[-1]:.5f} in the last"
        words = f"different examples become alike over depth: {words}"
        yield about("WARN", "cosine", words, report.readings["input_cosine_mean"] > thresholds()["cosine_warn"])


def _branches(report: Report) -> Iterable[Finding]:
    """Branches that add next to nothing to the stream they end in, where not by zeros, which are meant.

    Layers of one width that feed the same layer past skips are taken for the terms of a sum. Behind a
    normalisation the size of z says nothing of what is added.
    """
    if not report.skips:
        return
    size = signal(report)
    little = np.zeros(len(report.names), bool)
    for sources in report.fed_by:
        terms = [l for l in sources if not report.recurrent[l] and report.normalised[l] is None]
        for number in terms:
            same_width = [l for l in terms if report.widths[l] == report.widths[number]]
            stream = [size[l] for l in same_width if report.depths[l] < report.depths[number]]
            little[number] |= bool(stream) and 0 < size[number] < NOTHING_ADDED * max(stream)
    if little.any():
        words = "adds less than 1/256 to the stream that it ends in, which bfloat16 rounds away"
        yield about("WARN", "branches", f"{_named(report, little)} {words}", little)


def _scope(report: Report) -> Iterable[Finding]:
    """What the theory of plain stacks of layers cannot speak of."""
    kinds = sorted({kind for kind in report.normalised if kind})
    causes = [*(["skips"] if report.skips else []), *(f"{kind} normalisation" for kind in kinds)]
    if causes:
        words = (
            f"the theory of plain networks does not hold here ({', '.join(causes)}): this is measured, not predicted"
        )
        yield Finding("OK", "scope", words)


def unseen_of(report: Report) -> dict[str, str]:
    """By the path of a parameter why its product was not seen; also of the kernels in layers that were not chosen."""
    seen = {path.partition("[")[0] for paths in report.paths for path in paths}
    left = [row.path for row in report.parameters if "product" in row.roles and row.path not in seen]
    return dict.fromkeys(left, NOT_CHOSEN) | report.unseen


def _unseen(report: Report) -> Iterable[Finding]:
    """What could not be seen, so that no verdict speaks of it."""
    unseen = unseen_of(report)
    for reason in sorted(set(unseen.values())):
        paths = [path for path, why in unseen.items() if why == reason]
        words = f"not seen, so that this verdict does not speak of what they do: {_listed(paths)}; {reason}"
        yield Finding("WARN", "unseen", words)


def _listed(paths: Sequence[str]) -> str:
    named = collapsed(paths)
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    return ", ".join([*named[:MOST_NAMED], *more])


def collapsed(paths: Sequence[str]) -> list[str]:
    """Paths that differ in numbers alone as one pattern with how many they are.

    >>> collapsed(["blocks/0/mlp/kernel", "blocks/1/mlp/kernel", "head/kernel"])
    ['blocks/*/mlp/kernel (2)', 'head/kernel']
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[re.sub(r"\d+", "*", path)].append(path)
    return [group[0] if len(group) == 1 else f"{_pattern(group)} ({len(group)})" for group in groups.values()]


def _pattern(paths: Sequence[str]) -> str:
    """The pattern of paths that differ in numbers alone, with a star where they do."""
    columns = zip(*(re.split(r"(\d+)", path) for path in paths), strict=True)
    return "".join(column[0] if len(set(column)) == 1 else "*" for column in columns)


def _named(report: Report, chosen: np.ndarray) -> str:
    names = [name for name, one in zip(report.names, chosen, strict=True) if one]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more of {len(report.names)} layers"
