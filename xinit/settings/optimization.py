"""The choices of an optimizer and a schedule, checked, and what a scheme is told of them.

Their numbers are kept apart from their options: numbers are traced, so that runs which differ in them share a program.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from xinit.core.custom import is_custom
from xinit.core.errors import InputError
from xinit.core.rules import IN_FLOAT32, MOST_BELOW_1, NotNegative, Number, Rule, build, mapping, typed
from xinit.settings.config import OptimizerConfig, ScheduleConfig, SchemeConfig
from xinit.settings.optimizer_kinds import LIKE

BELOW_1 = Annotated[float, Rule(lambda v: 0 <= v <= MOST_BELOW_1, "at least 0 and below 1"), IN_FLOAT32]
SHARE = Annotated[float, Rule(lambda v: 0 <= v <= 1, "a share of the run, from 0 to 1")]
# What a number of ours must be, by its name; that of a user's function must be a number, and one of these names what
# it is in optax.
OF_OPTIMIZERS = dict.fromkeys(("momentum", "b1", "b2", "eps"), BELOW_1)
OF_OUR_OPTIMIZERS = {"decay": BELOW_1, "rms": NotNegative, "initial_accumulator": NotNegative}
OF_OUR_SCHEDULES = {"warmup": SHARE, "at": SHARE, "end": NotNegative, "factor": NotNegative}
LISTS = ("at",)  # numbers of ours of which there may be several


def optimizer_settings(raw: Any) -> OptimizerConfig:
    """The choice of an optimizer.

    Raises:
      InputError: a setting of it is missing, or is not what its rule says.
    """
    raw = mapping(raw, "optimizer")
    fields = {field.name for field in dataclasses.fields(OptimizerConfig)} - {"numbers", "options"}
    rules = OF_OPTIMIZERS | ({} if is_custom(raw.get("fn")) else OF_OUR_OPTIMIZERS)
    rest = _numbers_and_options(raw, fields, "optimizer", rules)
    return build(OptimizerConfig, {key: raw[key] for key in raw if key in fields} | rest, "optimizer", made=rest)


def schedule_settings(raw: Any) -> ScheduleConfig:
    """The choice of a schedule, with the errors of `optimizer_settings`."""
    raw = mapping(raw, "schedule")
    rules = {} if is_custom(raw.get("fn")) else OF_OUR_SCHEDULES
    rest = _numbers_and_options(raw, {"fn"}, "schedule", rules)
    return build(ScheduleConfig, {key: raw[key] for key in raw if key == "fn"} | rest, "schedule", made=rest)


def _numbers_and_options(
    raw: Mapping[str, Any], fields: Collection[str], path: str, rules: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What a choice is told beyond its fields: the numbers, which are traced, and what decides its program.

    Of a function of ours all are numbers. Of a user's those with a decimal point are, and lists with one in them: a
    whole number may count something, such as the steps of an inner loop.
    """
    rest = {key: value for key, value in raw.items() if key not in fields}
    ours = not is_custom(raw.get("fn"))
    traced = [key for key, value in rest.items() if ours or _has_a_point(value)]
    numbers = {key: _number(rest[key], f"{path}.{key}", rules.get(key), not ours or key in LISTS) for key in traced}
    return {"numbers": numbers, "options": {key: rest[key] for key in rest if key not in traced}}


def _has_a_point(value: Any) -> bool:
    """Whether it is a number that is not whole by its type, or a list of numbers with such a one in it."""
    if not isinstance(value, list | tuple):
        return isinstance(value, float)
    return all(type(part) in (int, float) for part in value) and any(isinstance(part, float) for part in value)


def _number(value: Any, path: str, rule: Any, may_be_list: bool) -> float | tuple[float, ...]:
    if may_be_list and isinstance(value, list | tuple):
        return tuple(_one_number(part, path, rule) for part in value)
    return _one_number(value, path, rule)


def _one_number(value: Any, path: str, rule: Any) -> float:
    number: float = typed(value, Number, path)
    return number if rule is None else typed(number, rule, path)


def told(scheme: SchemeConfig, optimizer: OptimizerConfig) -> SchemeConfig:
    """The scheme; one of ours that asks for the optimizer, as muP does, is told what the network is trained with.

    Raises:
      InputError: the scheme is told of another optimizer, or it is not known what this one is like.
    """
    if is_custom(scheme.fn) or "optimizer" not in scheme.options:
        return scheme
    asked = scheme.options["optimizer"]
    like = next((kind for kind, names in LIKE.items() if optimizer.fn in names), None)
    if like is None and asked is None:
        raise InputError(
            f"scheme {scheme.label} has learning rates for optimizers like {' and '.join(LIKE)}, and it is not known "
            f"which of them {optimizer.fn} is like; say so by scheme.optimizer={' or '.join(LIKE)}."
        )
    if like is not None and asked not in (None, like):
        raise InputError(
            f"scheme.optimizer is {asked!r}; the network is trained with {optimizer.fn}, so it "
            f"must be {like}, as it is by default."
        )
    return dataclasses.replace(scheme, options={**scheme.options, "optimizer": like or asked})
