"""Schedules against optax's, which come from elsewhere, and what holds of all of them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xinit.core.errors import InputError
from xinit.settings.compose import compose
from xinit.settings.config import ScheduleConfig
from xinit.settings.parse import parse
from xinit.training import schedules
from xinit.training.optimization import schedule_of

STEPS = 40


def factors(fn, **numbers):
    """The factor of each step, the numbers traced."""
    function = jax.jit(lambda step, numbers: getattr(schedules, fn)(step, STEPS, **numbers))
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
    return np.array([function(jnp.int32(step), arrays) for step in range(STEPS)])


def rise_and(n, fall):
    """optax's warm-up of n steps, a step ahead, since its own begins with a step that does nothing; then a decay."""
    rise = optax.linear_schedule(0.0, 1.0, n) if n else optax.constant_schedule(1.0)
    return np.array([rise(step + 1) if step < n else fall(step - n) for step in range(STEPS)])


CASES = {
    "warmup": ("warmup", {"warmup": 0.25}, lambda: rise_and(10, optax.constant_schedule(1.0))),
    "cosine": ("cosine", {"warmup": 0.0, "end": 0.0}, lambda: rise_and(0, optax.cosine_decay_schedule(1.0, 40))),
    "cosine after a warm-up": (
        "cosine",
        {"warmup": 0.3, "end": 0.1},
        lambda: rise_and(12, optax.cosine_decay_schedule(1.0, 28, alpha=0.1)),
    ),
    "linear": ("linear", {"warmup": 0.0, "end": 0.2}, lambda: rise_and(0, optax.linear_schedule(1.0, 0.2, 40))),
    "linear after a warm-up": (
        "linear",
        {"warmup": 0.55, "end": 0.0},  # 0.55 x 40 is above 22 in float32, and 22 steps are meant
        lambda: rise_and(22, optax.linear_schedule(1.0, 0.0, 18)),
    ),
    "steps": (
        "steps",
        {"warmup": 0.1, "at": [0.5, 0.75], "factor": 0.1},
        lambda: rise_and(4, lambda step: optax.piecewise_constant_schedule(1.0, {20: 0.1, 30: 0.1})(step + 4)),
    ),
    "one step": (
        "steps",
        {"warmup": 0.0, "at": 0.3, "factor": 0.5},
        lambda: rise_and(0, optax.piecewise_constant_schedule(1.0, {12: 0.5})),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_schedules_are_optaxs(name):
    fn, numbers, expected = CASES[name]
    np.testing.assert_allclose(factors(fn, **numbers), expected(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "fn", [name for name, _ in inspect.getmembers(schedules, inspect.isfunction) if name[0] != "_"]
)
def test_every_schedule_has_a_yaml_file_and_begins_above_0_and_never_exceeds_1(fn):
    config = parse(compose("train", [f"schedule={fn}"])).schedule
    made = factors(config.fn, **config.numbers)
    assert config.fn == fn
    assert 0 < made[0] <= made.max() <= 1 + 1e-6
    assert (made >= 0).all()


@pytest.mark.parametrize("warmup", [0.0, 0.01, 1.0])
def test_a_warm_up_of_no_step_one_step_or_all_steps(warmup):
    made = factors("linear", warmup=warmup, end=0.0)
    assert made[0] == pytest.approx(1 / 40 if warmup == 1 else 1)
    assert made[-1] == pytest.approx(1 if warmup == 1 else 1 / 40, abs=1e-3)


def test_the_learning_rate_of_the_first_step_has_the_factor_of_step_0():
    config = ScheduleConfig("linear", {"warmup": 0.0, "end": 0.0})
    hyper = {"learning_rate": jnp.float32(0.5), "schedule.warmup": jnp.float32(0), "schedule.end": jnp.float32(0)}
    schedule = schedule_of(config, 4)
    rates = [float(schedule(hyper, jnp.int32(number))["learning_rate"]) for number in (1, 2, 3, 4)]
    assert rates == [0.5, 0.375, 0.25, 0.125]
    assert schedule(hyper, jnp.int32(2)).keys() == hyper.keys()


def test_constant_adds_nothing_to_the_program():
    hyper = {"learning_rate": jnp.float32(0.5)}
    assert schedule_of(ScheduleConfig(), 4)(hyper, jnp.int32(3)) is hyper


USERS = """
import jax.numpy as jnp

def halved(step, steps, after=0.5):
    return jnp.where(step < after * steps, 1.0, 0.5)

def a_plain_number(step, steps): return 2

def asks(step, steps): return 1.0 if step < 5 else 0.1

def asks_for_a_setting(step, steps, after=0.5): return jnp.where(step < 5, 1.0, 0.1) if after > 0.1 else 1.0

def many(step, steps): return jnp.ones(3)

def breaks(step, steps): raise RuntimeError("broken")
"""
BAD = {  # the choice -> words of the message
    ("asks", ()): "schedule 'users_schedules:asks' needs the value of step when it is compiled, where it has none:",
    ("asks_for_a_setting", (("after", 0.3),)): "needs the value of schedule.after when it is compiled",
    ("many", ()): "returns an array of shape (3,); it must be one number.",
    ("breaks", ()): "schedule 'users_schedules:breaks' failed with RuntimeError: broken",
    ("halved", (("before", 0.3),)): "Unknown setting schedule.before; Allowed: after, fn.",
}


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_schedules.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("users_module")
def test_a_users_schedule_and_its_numbers():
    schedule = schedule_of(ScheduleConfig("users_schedules:halved", {"after": 0.25}), 8)
    hyper = {"learning_rate": jnp.float32(1), "schedule.after": jnp.float32(0.25)}
    rates = [float(schedule(hyper, jnp.int32(number))["learning_rate"]) for number in range(1, 9)]
    assert rates == [1, 1, *[0.5] * 6]
    plain = schedule_of(ScheduleConfig("users_schedules:a_plain_number"), 8)
    assert float(plain(hyper, jnp.int32(1))["learning_rate"]) == 2


@pytest.mark.usefixtures("users_module")
@pytest.mark.parametrize(("name", "numbers"), BAD)
def test_what_is_no_schedule_is_one_sentence(name, numbers):
    with pytest.raises(InputError) as raised:
        schedule_of(ScheduleConfig(f"users_schedules:{name}", dict(numbers)), 8)
    assert BAD[name, numbers] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_functions_that_are_something_else_are_one_sentence():
    with pytest.raises(InputError, match="'optax:cosine_decay_schedule' returns function; it must be one number"):
        schedule_of(ScheduleConfig("optax:cosine_decay_schedule"), 8)
    with pytest.raises(InputError, match=r"which takes \(x\); a schedule takes \(step, steps\)"):
        schedule_of(ScheduleConfig("math:sqrt"), 8)
