"""What kind of object a user gives, told without importing the libraries of models that xinit does not depend on."""

import inspect
from typing import Any


def is_haiku(model: Any) -> bool:
    """Whether it is what Haiku's `transform` returns."""
    return isinstance(model, tuple) and getattr(model, "_fields", None) == ("init", "apply")


def is_equinox(model: Any) -> bool:
    """Whether it is a module of Equinox."""
    return not inspect.isclass(model) and any(kind.__module__.startswith("equinox.") for kind in type(model).__mro__)


def kind_of(value: Any) -> str:
    """What a value is, for a message."""
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"
