"""What the values of settings must satisfy, and the checked dataclass that a mapping of them becomes.

A rule stands beside the type of a field: `Annotated[int, at_least(1)]`. Nothing here knows any setting.
"""

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from xinit.core import folders
from xinit.core.custom import is_custom
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Checked = TypeVar("Checked", bound="DataclassInstance")


class Rule(NamedTuple):
    """What a value must satisfy beyond its type, and the words for it."""

    holds: Callable[[Any], bool]
    words: str


def at_least(least: int) -> Rule:
    """The rule of a count."""
    return Rule(lambda v: v >= least, f"a whole number, at least {least}")


def at_most(most: int, reason: str) -> Rule:
    """The rule of a number with an upper bound, and the reason for the bound."""
    return Rule(lambda v: v <= most, f"at most {most}: {reason}")


LEAST_FLOAT32, MOST_FLOAT32 = 2.0**-126, (2 - 2.0**-23) * 2.0**127
MOST_BELOW_1 = 1 - 2.0**-24  # a larger share is 1 in float32
IN_FLOAT32 = Rule(
    lambda v: v == 0 or LEAST_FLOAT32 <= abs(v) <= MOST_FLOAT32,
    f"of a size from {LEAST_FLOAT32:.3g} to {MOST_FLOAT32:.3g}: programs compute in float32, which holds no other",
)
INDEX = at_most(2**31 - 1, "no array of jax is longer")
WAIT = at_most(10**9, "that is 32 years")

Count = Annotated[int, at_least(1), INDEX]
Seed = Annotated[int, Rule(lambda v: 0 <= v < 2**32, "a whole number from 0 to 4294967295")]
Number = Annotated[float, Rule(math.isfinite, "a finite number"), IN_FLOAT32]
Positive = Annotated[float, Rule(lambda v: 0 < v < math.inf, "a finite number above 0"), IN_FLOAT32]
NotNegative = Annotated[float, Rule(lambda v: 0 <= v < math.inf, "a finite number, at least 0"), IN_FLOAT32]
Seconds = Annotated[float, Rule(lambda v: 0 <= v < math.inf, "a number of seconds, at least 0"), WAIT]
Range = Annotated[
    tuple[float, float],
    Rule(lambda v: v[0] < v[1], "two numbers, the lower one first"),
    Rule(lambda v: all(map(IN_FLOAT32.holds, v)), f"two numbers, each 0 or {IN_FLOAT32.words}"),
]
Flag = Annotated[bool, Rule(lambda v: True, "true or false")]
Text = Annotated[str, Rule(bool, "a text")]
Functions = Annotated[
    tuple[str, ...], Rule(lambda v: all(map(is_custom, v)), "a list of functions of yours, each as module:function")
]
Folder = Annotated[str, Rule(folders.can_be_folder, folders.WORDS)]


def one_of(*values: str) -> Rule:
    """The rule of a text that must be one of the given ones."""
    return Rule(lambda v: v in values, "one of " + ", ".join(values))


def mapping(value: Any, path: str) -> dict[str, Any]:
    """The settings of a choice, `path` being where it stands in the config.

    Raises:
      InputError: the value is no mapping.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{path} is {value!r}; it must be one of the choices in conf/{path}, as in {path}=NAME.")
    return dict(value)


def build(cls: type[Checked], raw: Any, path: str, made: Collection[str] = ()) -> Checked:
    """The dataclass from a mapping, every field checked; those named in `made` are built already.

    Raises:
      InputError: an unknown key, a missing one, or a value that its field's rules do not allow.
    """
    raw = mapping(raw, path)
    all_hints = typing.get_type_hints(cls, include_extras=True)  # also those of a protocol that it implements
    hints = {field.name: all_hints[field.name] for field in dataclasses.fields(cls)}
    prefix = f"{path}." if path else ""
    for key in raw:
        if key not in hints:
            settable = [name for name in hints if name not in ("options", "numbers")]
            raise InputError(f"Unknown setting {prefix}{key}; {allowed_words(str(key), settable)}")
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.name not in raw and required:
            raise InputError(f"The setting {prefix}{field.name} is missing.")
    checked = {key: value if key in made else typed(value, hints[key], prefix + key) for key, value in raw.items()}
    make: Callable[..., Checked] = cls
    return make(**checked)


def build_with_rest(cls: type[Checked], raw: Any, path: str, rest: str) -> Checked:
    """As `build`, with the keys that are no fields kept in the field `rest`: the options of a factory."""
    raw = mapping(raw, path)
    fields = {field.name for field in dataclasses.fields(cls)} - {rest}
    options = {key: raw.pop(key) for key in list(raw) if key not in fields}
    return build(cls, raw | {rest: options}, path, made={rest})


def typed(value: Any, hint: Any, path: str) -> Any:
    """The value as the hinted type, which lists its rules: `Annotated[int, at_least(1)]`, or that `| None`.

    Raises:
      InputError: the value is of another type, or a rule does not hold; in the words of the rule.
    """
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    base, *rules = typing.get_args(hint)
    converted = _convert(value, base)
    for rule in rules:
        if converted is None or not rule.holds(converted):
            raise InputError(f"{path} is {_shown(value)}; it must be {rule.words}.")
    return converted


def _shown(value: Any) -> str:
    """A value in a message, which stays a line to read."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _convert(value: Any, base: Any) -> Any:
    """The value as `base` where nothing is lost by it, else None."""
    if isinstance(base, types.UnionType):
        return next((fit for part in typing.get_args(base) if (fit := _convert(value, part)) is not None), None)
    if base == tuple[str, ...]:
        texts = isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
        return tuple(value) if texts else None
    if typing.get_origin(base) is tuple:
        parts = [_convert(part, float) for part in value] if isinstance(value, list | tuple) else []
        return tuple(parts) if len(parts) == len(typing.get_args(base)) and None not in parts else None
    if base in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if base is int:
            return int(value) if isinstance(value, int) or value.is_integer() else None
        return float(value) if abs(value) <= sys.float_info.max else math.inf
    return value if base in (bool, str) and isinstance(value, base) else None
