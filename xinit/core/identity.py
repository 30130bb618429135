"""The identity of a run: the settings that decide what it computes. A field says whether it is one of them.

A field belongs to it, unless it is declared as `field(metadata=OUTSIDE_IDENTITY)`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

OUTSIDE_IDENTITY = {"identity": False}  # the metadata of a field that changes no result of a run


def names_outside_identity(cls: type) -> set[str]:
    """The names of the fields of a dataclass that change no result of a run."""
    return {field.name for field in dataclasses.fields(cls) if not field.metadata.get("identity", True)}


def identity_of(settings: Any) -> Any:
    """Dataclasses as dicts, with those of their fields that decide results; other values as they are."""
    if dataclasses.is_dataclass(settings):
        names = [field.name for field in dataclasses.fields(settings)]
        outside = names_outside_identity(type(settings))
        return {name: identity_of(getattr(settings, name)) for name in names if name not in outside}
    if isinstance(settings, list | tuple):
        return [identity_of(value) for value in settings]
    if isinstance(settings, Mapping):
        return {key: identity_of(value) for key, value in settings.items()}
    return settings
