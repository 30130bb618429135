"""A user's own function, named as "module:function": its source, which is part of a run's identity, and itself.

Every choice takes one: a scheme, an activation, data, a loss, an optimizer, a schedule, a reading. Python may give the
function itself, which must then have a name at the top of its module, of the script that runs, or of a notebook.
"""

import importlib
import importlib.util
import inspect
import pathlib
import sys
import time
import types
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import xinit
from xinit.core.errors import InputError

T = TypeVar("T")

_imported: dict[str, float] = {}  # a user's package, and when we imported it


def is_custom(fn: Any) -> bool:
    """Whether a choice names a function of the user's, rather than one of ours."""
    return isinstance(fn, str) and ":" in fn


def name_of(path: str, function: Callable[..., Any]) -> str:
    """The "module:function" by which `import_function` finds a function that Python has given.

    Of the public names that its package gives it the shortest: jax.nn:silu.

    Raises:
      InputError: it has no name at the top of a module.
    """
    home = getattr(function, "__module__", None) or "__main__"
    root = home.partition(".")[0]
    public = [name for name in sys.modules if name.partition(".")[0] == root and "._" not in name]
    for module in (*sorted(public, key=len), home):
        for name, value in list(vars(sys.modules.get(module, types.ModuleType(module))).items()):
            if value is function:
                return f"{module}:{name}"
    raise InputError(
        f"{path} is {function!r}; a function must have a name at the top of a module, a script or a notebook: its "
        "source is part of what a run is."
    )


def sources_of(functions: Iterable[tuple[str, str]]) -> str:
    """The sources behind the functions of a config, given as (setting, fn); each text once.

    Raises:
      InputError: as `source_of`.
    """
    return "".join(dict.fromkeys(source_of(path, fn) for path, fn in functions))


def source_of(path: str, fn: str) -> str:
    """The source behind a user's function, so that an edited one is another run; "" for a name of ours.

    All modules of its top-level package, since the function may come from any of them; of an installed package, or a
    module that stands alone, its own file. Of a notebook, the function and those of the notebook that it calls. `path`
    is the setting that names the function, such as scheme.fn.

    Raises:
      InputError: there is no such module.
    """
    if not is_custom(fn):
        return ""
    module, _, name = fn.partition(":")
    if module == "__main__" and not hasattr(sys.modules[module], "__file__"):
        return _source_in_notebook(path, getattr(sys.modules[module], name, None), set())
    return "".join(file.read_text("utf-8", "backslashreplace") for file in _files(path, fn))


def _source_in_notebook(path: str, value: Any, seen: set[int]) -> str:
    """The source of a function defined in a notebook, with the functions and numbers of the notebook that it uses."""
    if not inspect.isfunction(function := inspect.unwrap(value) if callable(value) else value):
        return repr(value) if isinstance(value, int | float | str | tuple) else ""
    if id(function) in seen or function.__module__ != "__main__":
        return ""
    seen.add(id(function))
    try:
        source = inspect.getsource(function)
    except OSError:
        raise InputError(f"{path} is {function!r}, whose source is not to be found; put it into a module.") from None
    used = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    return source + "".join(_source_in_notebook(path, other, seen) for other in used)


def import_function(path: str, fn: str) -> Callable[..., Any]:
    """The function itself, from the source as it is now: a module edited in a live session is imported anew.

    Raises:
      InputError: the module cannot be imported or has no such function.
    """
    module_name, _, name = fn.partition(":")
    files = [] if module_name == "__main__" else _files(path, fn)
    if _is_users(files):
        _forget_if_edited(module_name.partition(".")[0], files)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module does when it is imported
        raise InputError(
            f"{path} is {fn!r}; importing {module_name!r} failed with {type(error).__name__}: {_first_line(error)}."
        ) from error
    if not callable(getattr(module, name, None)):
        raise InputError(f"{path} is {fn!r}; the module {module_name} has no function {name!r}.")
    function: Callable[..., Any] = getattr(module, name)
    return function


def _forget_if_edited(package: str, files: list[pathlib.Path]) -> None:
    """Let a package be imported anew if a file of it changed since, unless it is the program itself that runs.

    Else there would be two of every class in it, one of what was imported before and one of what comes after.
    """
    importlib.invalidate_caches()
    changed = max(file.stat().st_mtime for file in files) > _imported.get(package, xinit._LOADED_AT)
    running = getattr(sys.modules["__main__"], "__package__", None) or ""
    if changed and running.partition(".")[0] != package:
        for loaded in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
            del sys.modules[loaded]
    _imported[package] = time.time()


def calling(path: str, fn: str, function: Callable[..., T], *arguments: object, **named: object) -> T:
    """`function(*arguments, **named)` of a user's; whatever it raises becomes an InputError."""
    try:
        return function(*arguments, **named)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} {fn!r} failed with {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _files(path: str, fn: str) -> list[pathlib.Path]:
    module = fn.partition(":")[0]
    if module == "__main__":
        return [pathlib.Path(sys.modules[module].__file__ or "")]
    try:
        package, spec = (importlib.util.find_spec(name) for name in (module.partition(".")[0], module))
    except Exception:  # finding a.b imports a, which may do anything
        package = spec = None
    if package is None or spec is None:
        raise InputError(
            f"{path} is {fn!r}; there is no module {module!r} that can be imported. It must be module:function, "
            "with the module importable from the current folder."
        )
    own = [file for file in [pathlib.Path(spec.origin or "")] if file.suffix == ".py"]
    if not package.submodule_search_locations or not _is_users(own):
        return own
    return sorted(file for place in package.submodule_search_locations for file in pathlib.Path(place).rglob("*.py"))


def _is_users(files: list[pathlib.Path]) -> bool:
    """Whether the files are somebody's own, rather than installed or of Python itself."""
    installed = [pathlib.Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    return bool(files) and not any(files[0].resolve().is_relative_to(prefix) for prefix in installed)
