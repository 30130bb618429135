"""What a choice of an optimizer or a schedule means: a function of ours by its name, or one of the user's.

A user's function is tried before any work: its signature with the config's own numbers, and an update abstractly, with
numbers that are traced as they are in training.
"""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Int, PyTree

from xinit.core import custom
from xinit.core.errors import InputError
from xinit.core.factories import call_with_options, check_options, find_factory
from xinit.networks.network import Params
from xinit.schemes import Hyper
from xinit.settings.config import Config, OptimizerConfig, ScheduleConfig
from xinit.training import optimizers, schedules

Optimizer = Callable[[Hyper], optax.GradientTransformationExtraArgs]
Schedule = Callable[[Hyper, Int[Array, ""]], Hyper]  # the numbers at a step, the first being 1
Number = float | tuple[float, ...]

SETTINGS = ("weight_decay", "clip")  # numbers that every optimizer has, where they are given
MASKS = ("mask", "weight_decay_mask")  # arguments by which optax's functions are told what to decay
STEP = "step"  # among the numbers with which a schedule is tried
NEEDS_PLAIN = (  # what jax raises where Python wants the value of a traced number
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def numbers_of(config: Config) -> dict[str, Array]:
    """The traced numbers of a run: gain, learning rate and those of optimizer and schedule."""
    return _arrays({"gain": config.scheme.gain, **_numbers(config.optimizer), **_numbers(config.schedule)})


def _numbers(config: OptimizerConfig | ScheduleConfig) -> dict[str, Number]:
    """The numbers of a choice by their names among those of a run."""
    if isinstance(config, ScheduleConfig):
        return {f"schedule.{name}": value for name, value in config.numbers.items()}
    given = {name: getattr(config, name) for name in SETTINGS if getattr(config, name) is not None}
    numbers: dict[str, Number] = {f"optimizer.{name}": value for name, value in {**given, **config.numbers}.items()}
    return {"learning_rate": config.learning_rate} | numbers


def optimizer_of(config: OptimizerConfig) -> Optimizer:
    """The optimizer as a function of the run's numbers; made once with the config's own, to check their names.

    Decay and clipping surround it. A function that has an argument `weight_decay` or `clip` is given that number, and a
    mask, if it takes one, by which it decays what we would.

    Raises:
      InputError: there is none of that name, its settings are wrong, or it makes no optimizer.
    """
    make = _function("optimizer", config.fn, optimizers)
    arguments = _arguments("optimizer", config.fn, make)
    keys = {key.removeprefix("optimizer."): key for key in _numbers(config)}
    around = {name for name in SETTINGS if name in keys and name not in arguments}
    inside = {name: key for name, key in keys.items() if name not in around}
    parts = ("kernel", "bias") if config.decay_biases else ("kernel",)
    decayed = lambda params: jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in parts, params)
    fixed = dict(config.options) | _masks(arguments, decayed)

    def optimizer(hyper: Mapping[str, Any]) -> optax.GradientTransformationExtraArgs:
        made = make(**{name: hyper[key] for name, key in inside.items()}, **fixed)
        before = [optax.clip_by_global_norm(hyper[keys["clip"]])] if "clip" in around else []
        after = []
        if "weight_decay" in around:
            after = [optax.add_decayed_weights(-hyper["learning_rate"] * hyper[keys["weight_decay"]], decayed)]
        return optax.with_extra_args_support(optax.chain(*before, made, *after) if before or after else made)

    _check_made(config, make, arguments, {name: _numbers(config)[key] for name, key in inside.items()} | fixed)
    return optimizer


def _check_made(
    config: OptimizerConfig, make: Callable[..., Any], arguments: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """InputError unless the function takes what it is given and returns an optimizer."""
    also = ("weight_decay", "decay_biases", "clip")
    if not custom.is_custom(config.fn):
        call_with_options(make, given, "optimizer", also)
        return
    wanted = "an optimizer is a function of learning_rate, and of settings of its own, that returns an optax."
    wanted += "GradientTransformation"
    if "learning_rate" not in arguments and not any(a.kind is a.VAR_KEYWORD for a in arguments.values()):
        raise InputError(f"optimizer.fn is {config.fn!r}, which has no argument learning_rate; {wanted}.")
    made = custom.calling("optimizer", config.fn, call_with_options, make, given, "optimizer", also)
    if not isinstance(made, optax.GradientTransformation):
        raise InputError(f"optimizer.fn is {config.fn!r}, which returns {type(made).__name__}; {wanted}.")


def _masks(arguments: Mapping[str, Any], decayed: Callable[[Params], Any]) -> dict[str, Any]:
    """The arguments that say what to decay, for a function that decays; `mask` alone may mean anything."""
    known = MASKS if "weight_decay" in arguments else MASKS[1:]
    return {name: decayed for name in known if name in arguments}


def check_optimizer(config: OptimizerConfig, optimizer: Optimizer, params: PyTree[jax.ShapeDtypeStruct]) -> None:
    """Check that a user's optimizer updates these parameters, which may be abstract; nothing is compiled.

    Raises:
      InputError: it does not.
    """
    if not custom.is_custom(config.fn):
        return

    def update(hyper: Mapping[str, Any], params: Params) -> tuple[optax.OptState, optax.OptState, Params]:
        made = optimizer(hyper)
        state = made.init(params)
        loss: Callable[[Params], Array] = lambda params: optax.tree.norm(params, squared=True)  # any will do
        extra = {"value": loss(params), "grad": params, "value_fn": loss}
        update_of: Callable[..., tuple[Params, optax.OptState]] = made.update
        updates, after = update_of(params, state, params, **extra)
        return state, after, updates

    before, after, updates = _traced("optimizer", config.fn, update, _numbers(config), params)
    if words := _difference(updates, params):
        raise InputError(f"optimizer {config.fn!r} returns an update whose {words}, as that of the parameters.")
    if words := _difference(after, before):
        raise InputError(f"optimizer {config.fn!r} returns a state whose {words}, as it was before the update.")


def _difference(made: Any, needed: Any) -> str:
    """The first part that one tree has not as the other has it, in words; "" where there is none."""
    forms = [
        {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
        for leaves in (jax.tree_util.tree_leaves_with_path(tree) for tree in (made, needed))
    ]
    here, there = forms
    for path in [*there, *here]:
        if here.get(path) != there.get(path):
            part = f"part {path}" if path else "single part"
            return f"{part} is {here.get(path, 'missing')}; it must be {there.get(path, 'absent')}"
    return ""


def schedule_of(config: ScheduleConfig, steps: int) -> Schedule:
    """The schedule of a choice, over so many steps.

    Raises:
      InputError: there is none of that name, its settings are wrong, or it makes no factor.
    """
    function = _function("schedule", config.fn, schedules)
    if function is schedules.constant:
        check_options(functools.partial(function, 0, steps), config.numbers, "schedule")
        return lambda hyper, number: hyper

    def factor(hyper: Mapping[str, Any], step: Int[Array, ""] | int) -> Array:
        numbers = {name: hyper[f"schedule.{name}"] for name in config.numbers}
        made = function(step, steps, **numbers, **config.options)
        if not isinstance(made, int | float | np.number | np.ndarray | Array):
            raise InputError(f"schedule {config.fn!r} returns {type(made).__name__}; it must be one number.")
        return jnp.asarray(made, jnp.float32)

    def schedule(hyper: Hyper, number: Int[Array, ""]) -> Hyper:
        return {**hyper, "learning_rate": hyper["learning_rate"] * factor(hyper, number - 1)}

    _check_schedule(config, function, factor)
    return schedule


def _check_schedule(config: ScheduleConfig, function: Callable[..., Any], factor: Callable[..., Any]) -> None:
    """InputError unless the function takes (step, steps) and the settings, and returns one number."""
    names = list(_arguments("schedule", config.fn, function))
    rest = functools.partial(function, 0, 1)
    try:
        inspect.signature(rest)
    except (TypeError, ValueError):
        raise InputError(
            f"schedule.fn is {config.fn!r}, which takes ({', '.join(names)}); a schedule takes (step, steps), and "
            "settings of its own by name."
        ) from None
    vars(rest)["__name__"] = getattr(function, "__name__", config.fn)  # for messages
    check_options(rest, {**config.numbers, **config.options}, "schedule")
    if custom.is_custom(config.fn):
        of_a_step = lambda numbers, _: factor(numbers, numbers[STEP])
        made = _traced("schedule", config.fn, of_a_step, {STEP: 0, **_numbers(config)}, None)
        if made.shape:
            raise InputError(f"schedule {config.fn!r} returns an array of shape {made.shape}; it must be one number.")


def _function(path: str, fn: str, ours: types.ModuleType) -> Callable[..., Any]:
    return custom.import_function(f"{path}.fn", fn) if custom.is_custom(fn) else find_factory(ours, fn, path)


def _arguments(path: str, fn: str, function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise InputError(f"{path}.fn is {fn!r}, which is no function whose arguments can be read.") from None


def _traced(path: str, fn: str, function: Callable[..., Any], numbers: Mapping[str, Number], params: Any) -> Any:
    """What a user's function of numbers and parameters returns, abstractly: both are traced."""
    arrays = _arrays(numbers)
    try:
        return custom.calling(path, fn, jax.eval_shape, function, arrays, params)
    except InputError as error:
        if not isinstance(error.__cause__, NEEDS_PLAIN):
            raise
        needed = [key for key in numbers if _needs_plain(function, numbers, {key: arrays[key]}, params)]
        named = [key if key == STEP or "." in key else f"{path}.{key}" for key in needed] or ["an argument"]
        raise InputError(
            f"{path} {fn!r} needs the value of {' and '.join(named)} when it is compiled, where it has none: jnp.where "
            "takes the place of if, and jnp that of math and numpy; of its own settings whole numbers and texts are "
            "handed over as they are."
        ) from error.__cause__


def _needs_plain(
    function: Callable[..., Any], numbers: Mapping[str, Number], traced: Mapping[str, Array], params: Any
) -> bool:
    """Whether a function fails where these of its numbers are traced, and no others."""
    try:
        jax.eval_shape(lambda traced, params: function({**numbers, **traced}, params), traced, params)
    except NEEDS_PLAIN:
        return True
    return False


def _arrays(numbers: Mapping[str, Number]) -> dict[str, Array]:
    return {name: jnp.asarray(value, jnp.int32 if name == STEP else jnp.float32) for name, value in numbers.items()}
