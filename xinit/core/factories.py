"""From the name and options in a YAML file to the thing they mean: `fn: taper, ratio: 4` is `profiles.taper(ratio=4)`.

A choice is one factory in a module and one YAML file; there is no registry between them.
"""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xinit.core import names
from xinit.core.errors import InputError


def allowed_words(word: str, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown word: the close one, if there is one, and the list of what is allowed."""
    allowed = sorted(set(allowed))
    close = names.meant(word, allowed) or next(iter(difflib.get_close_matches(word, allowed, n=1)), None)
    return (f"did you mean {close}? " if close else "") + f"Allowed: {', '.join(allowed)}."


def call_factory(
    modules: types.ModuleType | Sequence[types.ModuleType],
    fn: Any,
    options: Mapping[str, Any],
    path: str,
    also: Sequence[str] = (),
) -> Any:
    """`fn(**options)`, fn a public function of one of the modules (the first that has it).

    `path` is where the choice stands in the config, `also` names the settings there that are no options.

    Raises:
      InputError: no such function, or options it does not take or of the wrong type.
    """
    return call_with_options(find_factory(modules, fn, path), options, path, also)


def find_factory(modules: types.ModuleType | Sequence[types.ModuleType], fn: Any, path: str) -> Callable[..., Any]:
    """The public function of that name, of the first module that has it.

    Raises:
      InputError: there is none.
    """
    modules = [modules] if isinstance(modules, types.ModuleType) else modules
    public = {name: f for module in reversed(modules) for name, f in _public_functions(module).items()}
    if fn not in public:
        complete = [name for name, f in public.items() if not _required(f)]  # what a name alone can choose
        raise InputError(f"Unknown {path} {fn!r}; {allowed_words(str(fn), complete or public)}")
    return public[fn]


def call_with_options(
    function: Callable[..., Any], options: Mapping[str, Any], path: str, also: Sequence[str] = ()
) -> Any:
    """`function(**options)`, with the options checked against its signature first, with the errors of that."""
    check_options(function, options, path, also)
    return function(**options)


def check_options(
    function: Callable[..., Any], options: Mapping[str, Any], path: str, also: Sequence[str] = ()
) -> None:
    """Check options against the signature of a function, which is not called.

    `**keywords: Unpack[...]` are for Python alone: what an array's axes are is no setting of a choice.

    Raises:
      InputError: there is an option that it does not take or of the wrong type, or one that it needs is missing.
    """
    parameters = dict(inspect.signature(function).parameters)
    keywords = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    open_ended = keywords is not None and typing.get_origin(keywords.annotation) is not typing.Unpack
    if keywords is not None:
        del parameters[keywords.name]
    for key, value in options.items():
        if key not in parameters and not open_ended:
            raise InputError(f"Unknown setting {path}.{key}; {allowed_words(str(key), ['fn', *also, *parameters])}")
        if key in parameters and not _fits(value, parameters[key].annotation):
            words = getattr(parameters[key].annotation, "__name__", str(parameters[key].annotation))
            raise InputError(f"{path}.{key} is {value!r}; it must be of type {words}.")
    missing = _required(function) - set(options)
    if missing:
        name = getattr(function, "__name__", "of yours")
        raise InputError(f"{path} {name} needs {', '.join(f'{path}.{key}' for key in sorted(missing))}.")


def _public_functions(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """Those of the module's own, or for a package those that it takes from its modules."""
    public = {name: f for name, f in vars(module).items() if inspect.isfunction(f) and not name.startswith("_")}
    return {name: f for name, f in public.items() if f"{f.__module__}.".startswith(f"{module.__name__}.")}


def _required(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name for p in parameters if p.default is p.empty and p.kind not in variable}


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value from YAML fits an annotation; annotations that YAML cannot express fit everything."""
    if isinstance(annotation, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(annotation))
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation in (int, str, bool):
        return type(value) is annotation
    if typing.get_origin(annotation) is Sequence:
        return isinstance(value, list | tuple)
    return True
