"""Whether a run learned, is stuck, or was too short to tell: planted scores and courses of the loss."""

import math

import numpy as np
import pytest

from xinit.analysis import verdict
from xinit.analysis.finding import Finding
from xinit.analysis.learned import in_words, learned, loss_course, needed_error, steps_to_tell
from xinit.settings.compose import compose, conf_dir
from xinit.settings.parse import parse
from xinit.settings.thresholds import learning_scale, thresholds

LIMITS = thresholds()
CHANCE = 5 / 6
FACTS = {"test_error": CHANCE, "chance_error": CHANCE, "test_examples": 10_000, "learning_rate": 0.03, "steps": 500,
         "examples": 5_000, "diverged_at": None, "sound_examples": 20_000, "usual_rate": 0.03}  # fmt: skip
BUDGET = int(LIMITS["sound_factor"] * 20_000 / 10)  # steps: within them a sound network leaves chance
CAUSE = Finding("FAIL", "gradient", "the gradient vanishes over depth", at_start=True)


def after(steps, batch=10, **changed):
    return FACTS | {"steps": steps, "examples": steps * batch} | changed


def course(end, losses=(2.4, 2.2, 2.2, 2.2, 2.2), valid=(2.3, 2.2)):
    """Readings at step 0 and at five steps that double up to `end`."""
    steps = [0, *(end // 2**i for i in range(4, -1, -1))]
    return {"step": np.array(steps), "train_loss": np.array([np.nan, *losses]), "valid_loss": np.array(valid)}


@pytest.mark.parametrize(
    ("facts", "others", "level", "words"),
    [
        (after(500), [], "WARN", f"too early to tell: test error 83.3%, chance 83.3%, at learning rate 0.03 after "
         f"5,000 examples; most sound networks have left chance on this set by step 2,000, the slowest by step "
         f"{BUDGET:,}"),
        (after(2_000), [], "WARN", f"; the slowest sound networks have left chance on this set by step {BUDGET:,}"),
        (after(BUDGET - 1), [], "WARN", "too early"),
        (after(BUDGET), [], "FAIL", f"it is stuck at chance: test error 83.3%, chance 83.3%, at learning rate 0.03 "
         f"after {BUDGET * 10:,} examples, where {BUDGET:,} steps are enough for a sound network"),
        (after(500), [CAUSE], "FAIL", "it is stuck at chance"),
        (after(500), [CAUSE._replace(level="WARN")], "WARN", "too early"),
        (after(500, test_error=0.7), [CAUSE], "OK", "it learns: test error 70.0%"),
        (after(500, test_error=0.97), [], "WARN", "too early to tell: test error 97.0%"),
        (after(20_000, test_error=0.97), [], "FAIL", "it errs more than by chance: test error 97.0%, chance 83.3%"),
        (after(500, test_error=0.97), [CAUSE], "FAIL", "it errs more than by chance"),
        (after(20_000, learning_rate=1e-6), [], "WARN", "the rate is 30,000 times below the usual 0.03, and a sound "
         f"network takes up to {BUDGET * 10_000:,} steps to leave chance: raise the rate"),
        (after(BUDGET, learning_rate=0.01), [], "FAIL", "stuck"),
        (after(BUDGET, learning_rate=0.005), [], "WARN", f"by step {BUDGET * 2:,}"),
        (after(BUDGET, learning_rate=1.0), [], "FAIL", "stuck"),
        (after(20_000, learning_rate=1e-6, usual_rate=None), [], "FAIL", "stuck"),
        (after(BUDGET - 1, batch=1000), [], "WARN", f"by step {BUDGET:,}"),  # a step is a step
        (after(BUDGET, batch=1), [], "WARN", f"by step {BUDGET * 10:,}"),  # smaller batches say less
        (after(500, sound_examples=10_000), [], "WARN", f"by step {BUDGET // 2:,}"),
        (after(500, test_error=math.nan), [], "FAIL", "the test error is not a number at learning rate 0.03"),
        (after(500, test_error=None, diverged_at=30), [CAUSE], "FAIL", "the loss became infinite or not a number at"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_run_at_chance(facts, others, level, words):
    finding = learned(facts, {}, others, LIMITS)
    assert finding.level == level
    assert words in finding.sentence
    assert finding.rule == {"WARN": "early"}.get(level, "diverged" if "not a number" in words else "chance")


def test_a_set_without_a_scale_takes_that_of_the_slowest():
    without = {name: value for name, value in after(500).items() if name not in ("sound_examples", "usual_rate")}
    assert steps_to_tell(without, {}, LIMITS) == LIMITS["sound_factor"] * LIMITS["sound_examples"] / 10
    assert (
        "most sound networks have left chance even on a hard set by step 2,200"
        in learned(without, {}, [], LIMITS).sentence
    )


@pytest.mark.parametrize(
    ("losses", "valid", "level", "words"),
    [
        ((2.4, 2.2, 2.2, 2.2, 2.2), (2.3, 2.2), "FAIL", "stuck"),  # at the end of a plateau
        ((2.4, 2.2, 2.2, 2.2, 2.16), (2.3, 2.16), "WARN", "its loss is falling, so that it can be told by step "),
        ((2.4, 2.2, 2.2, 2.2, 2.19), (2.3, 2.19), "FAIL", "stuck"),  # within its noise
        ((2.4, 2.2, 2.2, 2.2, 2.16), (2.3, 2.9), "FAIL", "stuck"),  # it learns its training examples alone
        ((2.4, 2.2, 2.2, 2.2, 9.0), (2.3, 9.0), "FAIL", "; the loss has risen from 2.3 to 9: lower the rate"),
        ((2.4, 2.2, 2.2, np.nan, 2.1), (2.3, 2.1), "FAIL", "stuck"),
    ],
)
def test_beyond_the_budget_the_course_of_the_loss_decides(losses, valid, level, words):
    finding = learned(after(100_000), course(100_000, losses, valid), [], LIMITS)
    assert finding.level == level
    assert words in finding.sentence


def test_a_short_run_whose_loss_rises_is_told_to_lower_its_rate_and_not_to_wait():
    finding = learned(after(500), course(500, (2.4, 9.0, 9.0, 9.0, 9.0)), [], LIMITS)
    words = "the loss has risen from 2.3 to 9, and more steps will not mend that: lower the rate"
    assert (finding.level, words in finding.sentence, "by step" in finding.sentence) == ("WARN", True, False)


def test_a_loss_that_falls_is_extrapolated_to_where_the_error_leaves_chance():
    """Means of 2.2 and 2.1 whose middles lie 43,750 apart; an error 3 % from leaving chance takes 3 % of 2.1 more."""
    readings = course(100_000, (2.2, 2.2, 2.2, 2.2, 2.1))
    found = loss_course(after(100_000), readings)
    assert (found.last, found.fell, found.steps) == pytest.approx((2.1, 0.1, 75_000 - 31_250))
    predicted = 100_000 + 0.03 * 2.1 / (0.1 / found.steps)
    assert steps_to_tell(after(100_000), readings, LIMITS) == pytest.approx(predicted, rel=0.1)
    assert steps_to_tell(after(100), course(100, (2.2, 2.2, 2.2, 2.2, 1.1)), LIMITS) == BUDGET


def test_the_standard_error_of_a_mean_loss_covers_losses_of_gaussian_targets():
    rng = np.random.default_rng(0)
    squares = rng.normal(size=(2000, 100)) ** 2
    assert squares.mean(axis=1).std() == pytest.approx(math.sqrt(2 / 100), rel=0.1)


@pytest.mark.parametrize("readings", [{}, course(100) | {"train_loss": np.full(6, np.nan)},
                                      {"step": np.array([0, 100]), "train_loss": np.array([np.nan, 2.0])}])  # fmt: skip
def test_a_loss_that_was_not_measured_has_no_course(readings):
    assert loss_course(after(100), readings) is None


@pytest.mark.parametrize(("error_is", "error", "n", "needed"), [
    ("share misclassified", CHANCE, 10_000, CHANCE * 0.97), (None, 0.5, 100, 0.5 - 0.1),
    ("1 - R^2", 1.0, 10_000, 0.97), ("1 - R^2", 1.0, 200, 0.8),
])  # fmt: skip
def test_the_error_that_has_left_chance(error_is, error, n, needed):
    facts = FACTS | {"chance_error": error, "test_examples": n} | ({"error_is": error_is} if error_is else {})
    assert needed_error(facts, LIMITS) == pytest.approx(needed)


def test_regression_speaks_of_the_variance():
    facts = FACTS | {"test_error": 0.31, "chance_error": 1.0, "error_is": "1 - R^2"}
    finding = learned(facts, {}, [], LIMITS)
    assert (finding.level, in_words(0.31, facts)) == ("OK", "test error 31.0% of the variance (1 - R^2), chance 100.0%")
    assert finding.sentence.startswith("it learns: test error 31.0% of the variance")


def test_a_verdict_names_the_cause_first_and_calls_for_no_other_initialisation_where_there_is_none():
    sound = verdict.judge({}, after(500), LIMITS)
    assert verdict.sentence(sound, "Try this.").startswith("WARN: too early to tell")
    assert "Try this." not in verdict.sentence(sound, "Try this.")


@pytest.mark.parametrize("optimizer", sorted(file.stem for file in (conf_dir() / "optimizer").glob("*.yaml")))
def test_the_scale_of_a_run_is_that_of_its_set_and_optimizer(optimizer):
    own = ["optimizer.fn=optax:lion"] if optimizer == "custom" else []
    config = parse(compose("train", ["data=synthetic", f"optimizer={optimizer}", *own]))
    usual = None if optimizer == "custom" else config.optimizer.learning_rate
    assert learning_scale(config) == {"sound_examples": config.data.sound_examples, "usual_rate": usual}
    assert config.data.sound_examples
