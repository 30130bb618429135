"""Whether a run has learned, is stuck at chance, or was too short to tell.

A run that ends at chance is stuck where something else explains it, or where it was as long as a sound network needs
with much to spare. In any other case nothing is known yet: the finding says by which step it will be.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis.finding import Finding
from xinit.core.readings import ERROR_IS

SLOW = 10  # a learning rate this many times below its optimizer's usual one is named as the reason
RISEN = 1.1  # a training loss this many times the loss at the start: the biases of a sound network alone lower it


class Course(NamedTuple):
    """The loss of the training batches: over the last half of the steps, and by how much it fell to that.

    `fell` and `noise`, its standard error, are of the mean over the last half after that over the steps before, back
    to an eighth; `steps` lie between the middles of the two.
    """

    last: float
    fell: float
    noise: float
    steps: float


def learned(
    facts: Mapping[str, Any],
    readings: Mapping[str, np.ndarray],
    others: Sequence[Finding],
    limits: Mapping[str, float],
) -> Finding:
    """OK where the test error has left chance; FAIL where it is stuck there, WARN where it is too early to tell.

    >>> facts = {"diverged_at": None, "test_error": 0.83, "chance_error": 5 / 6, "test_examples": 10_000}
    >>> facts |= {"learning_rate": 0.03, "steps": 500, "examples": 5_000, "sound_examples": 12_000}
    >>> learned(facts, {}, [], limits)[:2]
    ('WARN', 'early')
    >>> learned(facts | {"steps": 20_000, "examples": 200_000}, {}, [], limits)[:2]
    ('FAIL', 'chance')

    Args:
      facts: of `verdict.judge`.
      readings: of the run, of which train_loss, valid_loss and step are looked at.
      others: what the other rules found; whatever FAILs there explains an error at chance.
      limits: the thresholds of conf/verdict.
    """
    if facts["diverged_at"] is not None:
        where = f"at step {facts['diverged_at']:,} at learning rate {facts['learning_rate']:g}"
        return Finding("FAIL", "diverged", f"the loss became infinite or not a number {where}")
    at = f"at learning rate {facts['learning_rate']:g} after {facts['examples']:,} examples"
    if not math.isfinite(facts["test_error"]):
        return Finding("FAIL", "diverged", f"the test error is not a number {at}")
    scores = f"{in_words(facts['test_error'], facts)}, {at}"
    if facts["test_error"] <= needed_error(facts, limits):
        return Finding("OK", "chance", f"it learns: {scores}")
    worse = facts["test_error"] > 2 * facts["chance_error"] - needed_error(facts, limits)
    stuck = f"it errs more than by chance: {scores}" if worse else f"it is stuck at chance: {scores}"
    if any(finding.level == "FAIL" for finding in others):
        return Finding("FAIL", "chance", stuck)
    tell = steps_to_tell(facts, readings, limits)
    if tell > facts["steps"]:
        return Finding("WARN", "early", f"too early to tell: {scores}; {_when(facts, readings, limits)}")
    enough = f"{_rounded(_sound_steps(facts, limits)):,} steps are enough for a sound network"
    rise = _rise(readings)
    return Finding("FAIL", "chance", f"{stuck}, where {enough}{f'; {rise}: lower the rate' if rise else ''}")


def in_words(error: float, facts: Mapping[str, Any]) -> str:
    """A test error beside chance, as the share misclassified or as that of the variance which is left.

    >>> in_words(0.654, {"chance_error": 5 / 6})
    'test error 65.4%, chance 83.3%'
    >>> in_words(0.31, {"chance_error": 1.0, "error_is": "1 - R^2"})
    'test error 31.0% of the variance (1 - R^2), chance 100.0%'
    """
    of = " of the variance (1 - R^2)" if facts.get("error_is") == ERROR_IS["values"] else ""
    return f"test error {error:.1%}{of}, chance {facts['chance_error']:.1%}"


def needed_error(facts: Mapping[str, Any], limits: Mapping[str, float]) -> float:
    """The test error below which a network has left chance: by more than sampling noise and by a share worth naming.

    chance - max(chance_sigmas s, chance_gain chance), s the standard error of the chance error over the test set:
    sqrt(chance (1 - chance) / n) of a share, chance sqrt(2 / n) of a mean square of Gaussian targets.

    >>> facts = {"chance_error": 5 / 6, "test_examples": 10_000}
    >>> f"{needed_error(facts, limits):.4f}"  # 3 % of 5 / 6 is more than two standard errors, 0.75 %
    '0.8083'
    """
    chance, n = facts["chance_error"], facts["test_examples"]
    is_variance = facts.get("error_is") == ERROR_IS["values"]
    standard_error = chance * math.sqrt(2 / n) if is_variance else math.sqrt(chance * (1 - chance) / n)
    return chance - max(limits["chance_sigmas"] * standard_error, limits["chance_gain"] * chance)


def steps_to_tell(facts: Mapping[str, Any], readings: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> int:
    """The step by which a run that is at chance has left it, if its network is sound; one in the past if it is stuck.

    First the set's own scale says it, with room for other networks than the measured one. A run that is longer than
    that, and whose loss falls by more than its noise, is given until its loss has fallen as much further as its error
    has to: near chance both are about the same share of what they are there.

    >>> steps_to_tell({"steps": 100, "examples": 1_000, "learning_rate": 0.1, "sound_examples": 12_000}, {}, limits)
    4800
    """
    steps, budget = facts["steps"], _rounded(_sound_steps(facts, limits))
    course = loss_course(facts, readings)
    falls = course is not None and course.fell > limits["chance_sigmas"] * course.noise and not _rose(readings)
    if steps < budget or course is None or not falls:
        return budget
    to_fall = course.last * (facts["test_error"] - needed_error(facts, limits)) / facts["chance_error"]
    predicted = steps + course.steps * to_fall / course.fell
    return _rounded(predicted) if predicted <= limits["course_ahead"] * steps else budget


def _sound_steps(facts: Mapping[str, Any], limits: Mapping[str, float]) -> float:
    """The steps within which even slow sound networks leave chance, from the scale of the set, if it has one."""
    batch = min(facts["examples"] / facts["steps"], limits["sound_batch"])
    examples = facts.get("sound_examples") or limits["sound_examples"]
    slowness = max(1.0, _slowness(facts) / limits["sound_rates"])
    return limits["sound_factor"] * slowness * examples / batch


def _slowness(facts: Mapping[str, Any]) -> float:
    """How many times below its optimizer's usual rate a run's learning rate is, where that is known."""
    return (facts.get("usual_rate") or facts["learning_rate"]) / facts["learning_rate"]


def loss_course(facts: Mapping[str, Any], readings: Mapping[str, np.ndarray]) -> Course | None:
    """How the loss went lately; None where too few probe points measured it.

    The loss of an example near chance scatters by no more than sqrt(2) times its mean, as the square of a Gaussian
    target does; so the mean over n of them has a standard error of at most sqrt(2 / n) times it.

    >>> readings = {"step": np.array([0, 25, 50, 100]), "train_loss": np.array([np.nan, 2.2, 2.1, 1.9])}
    >>> course = loss_course({"steps": 100, "examples": 1_000}, readings)
    >>> course.last, round(course.fell, 2), course.steps
    (1.9, 0.2, 37.5)
    """
    if "train_loss" not in readings or len(readings["step"]) < 3:
        return None
    step, loss = readings["step"].astype(float), readings["train_loss"][1:].astype(float)
    length, middle, end = np.diff(step), (step[1:] + step[:-1]) / 2, facts["steps"]
    last, before = middle > end / 2, (middle > end / 8) & (middle <= end / 2)
    if not last.any() or not before.any() or not np.all(np.isfinite(loss[last | before])):
        return None
    mean = lambda values, part: float(np.average(values[part], weights=length[part]))
    examples = lambda part: float(length[part].sum()) * facts["examples"] / facts["steps"]
    now, then = mean(loss, last), mean(loss, before)
    noise = math.sqrt(2 * now**2 / examples(last) + 2 * then**2 / examples(before))
    return Course(now, then - now, noise, mean(middle, last) - mean(middle, before))


def _when(facts: Mapping[str, Any], readings: Mapping[str, np.ndarray], limits: Mapping[str, float]) -> str:
    """By which step it can be told, and what to change where waiting is no remedy."""
    tell, slow = steps_to_tell(facts, readings, limits), _slowness(facts)
    if facts["steps"] >= _rounded(_sound_steps(facts, limits)):
        return f"its loss is falling, so that it can be told by step {tell:,}"
    if slow >= SLOW:
        usual = f"the rate is {_rounded(slow):,} times below the usual {facts['usual_rate']:g}"
        return f"{usual}, and a sound network takes up to {tell:,} steps to leave chance: raise the rate"
    if rise := _rise(readings):
        return f"{rise}, and more steps will not mend that: lower the rate"
    where = "on this set" if facts.get("sound_examples") else "even on a hard set"
    most = _rounded(tell / limits["sound_factor"])
    if facts["steps"] >= most:
        return f"the slowest sound networks have left chance {where} by step {tell:,}"
    return f"most sound networks have left chance {where} by step {most:,}, the slowest by step {tell:,}"


def _rose(readings: Mapping[str, np.ndarray]) -> bool:
    """Whether the loss of the validation examples is above that at the start."""
    loss = readings.get("valid_loss", np.zeros(1))
    return bool(loss[-1] > loss[0])


def _rise(readings: Mapping[str, np.ndarray]) -> str:
    """That the training loss is well above the loss at the start, where it is."""
    if "valid_loss" not in readings or readings["step"][0] != 0:
        return ""
    first, last = float(readings["valid_loss"][0]), float(readings["train_loss"][-1])
    return f"the loss has risen from {first:.3g} to {last:.3g}" if last > RISEN * first else ""


def _rounded(steps: float) -> int:
    """Rounded up to two digits: more would claim too much."""
    unit = 10 ** max(0, len(str(math.ceil(steps))) - 2)
    return math.ceil(round(steps / unit, 9)) * unit
