"""The tiers of a study: YAML in conf/experiment/<study>/<tier>.yaml, any of its settings changed as key=value."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims import TIERS
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words
from xinit.settings.compose import conf_dir
from xinit.settings.hydra_errors import translated_errors

MOST_TIMES = 1000  # as much as a tier has of anything, at the most: what takes seconds takes an hour then


def folder(study: str) -> pathlib.Path:
    """Where the tiers of a study lie."""
    return conf_dir() / "experiment" / study


def names(study: str) -> list[str]:
    """The tiers of a study, the smallest first."""
    return [name for name in TIERS if (folder(study) / f"{name}.yaml").exists()]


def load(study: str, tier: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a tier; a change must name one of them and keep its type.

    Raises:
      InputError: no such tier, no such setting, or a value of another type.
    """
    from omegaconf import OmegaConf

    if tier not in names(study):
        raise InputError(f"Unknown tier {tier!r}; {allowed_words(tier, names(study))}")
    with translated_errors():
        settings = OmegaConf.to_container(OmegaConf.load(folder(study) / f"{tier}.yaml"))
        asked = OmegaConf.to_container(OmegaConf.from_dotlist(list(changes)))
    return _changed(settings, asked)


def _changed(settings: Mapping[str, Any], asked: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    for key in asked:
        if key not in settings:
            raise InputError(f"Unknown setting {path}{key}; {allowed_words(str(key), settings)}")
    changed = {key: _value(settings[key], value, f"{path}{key}") for key, value in asked.items()}
    return {**settings, **changed}


def _value(default: Any, value: Any, path: str) -> Any:
    """The value in place of the default, if it is of its kind; what is null by default takes a text."""
    if isinstance(default, Mapping):
        if not isinstance(value, Mapping):
            raise InputError(f"{path} is {value!r}; it must be a mapping, as in {path}.{next(iter(default))}=VALUE.")
        return _changed(default, value, f"{path}.")
    if isinstance(default, list):
        if not isinstance(value, list) or not value:
            raise InputError(f"{path} is {value!r}; it must be a list, as in {path}=[{default[0]}].")
        return [_value(default[0], one, path) for one in value]
    kinds = {int: (int,), float: (float, int), bool: (bool,)}.get(type(default), (str, type(default)))
    is_number = type(default) in (int, float)
    least = (
        0 if is_number and default > 0 else -math.inf
    )  # counts and rates are above 0, the end of a range need not be
    if type(value) not in kinds or (is_number and not least < value < math.inf):
        bound = "above 0" if least == 0 else "that is finite"
        words = {int: f"a whole number {bound}", float: f"a number {bound}", bool: "true or false"}
        raise InputError(f"{path} is {value!r}; it must be {words.get(type(default), 'a text')}.")
    most = MOST_TIMES * default if least == 0 else math.inf
    if is_number and value > most:
        raise InputError(f"{path} is {value}; it must be at most {most:g}, {MOST_TIMES} times what the tier has.")
    return value
