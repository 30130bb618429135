"""The identity of a run: the settings that decide what it computes. A field says whether it is one of them.

A field belongs to it, unless it is declared as `field(metadata=OUTSIDE_IDENTITY)`. One that is newer than runs which
are on disk is declared as `field(metadata=unless(VALUE))`: with that value a run is what it was without the field.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

OUTSIDE_IDENTITY = {"identity": False}  # the metadata of a field that changes no result of a run


def unless(value: Any) -> dict[str, Any]:
    """The metadata of a field that belongs to the identity unless it has this value."""
    return {"unless": value}


def names_outside_identity(cls: type) -> set[str]:
    """The names of the fields of a dataclass that change no result of a run."""
    return {field.name for field in dataclasses.fields(cls) if not field.metadata.get("identity", True)}


def identity_of(settings: Any) -> Any:
    """Dataclasses as dicts, with those of their fields that decide results; other values as they are."""
    if dataclasses.is_dataclass(settings):
        outside = names_outside_identity(type(settings))
        fields = [field for field in dataclasses.fields(settings) if field.name not in outside]
        values = {field.name: (getattr(settings, field.name), field.metadata) for field in fields}
        said = {n: value for n, (value, meta) in values.items() if "unless" not in meta or value != meta["unless"]}
        return {name: identity_of(value) for name, value in said.items()}
    if isinstance(settings, list | tuple):
        return [identity_of(value) for value in settings]
    if isinstance(settings, Mapping):
        return {key: identity_of(value) for key, value in settings.items()}
    return settings
