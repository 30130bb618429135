"""From overrides to the container that `parse` takes: Hydra composes the YAML of conf, with one spelling for all."""

import functools
import os
import pathlib
import pickle
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xinit
from xinit.core.custom import name_of
from xinit.core.errors import InputError
from xinit.core.names import SETTINGS, usual_value
from xinit.data.array_files import from_python
from xinit.settings.hydra_errors import translated_errors

_COMPOSING = threading.Lock()  # the parsers of Hydra and OmegaConf fill tables that all threads share

# Groups that are not in the defaults list of conf/run.yaml, so Hydra wants a plus in front of them.
APPENDED = ("scheme", "experiment")

SLICE = re.compile(r"(\w+\s*\+\s*)*\w+\[[\w:%.-]*\](\s*\+\s*\w+(\[[\w:%.-]*\])?)*")  # of TFDS: train[:80%]+test[5:]
ROOT = re.compile(r"[\w.]+/sqrt\(\w+\)")  # 1/sqrt(L), where Hydra would look for a function sqrt

FUNCTION = re.compile(r"[A-Za-z_][\w.]*\\?:[A-Za-z_]\w*")  # a sweeper of Hydra's puts a backslash before the colon
OWN_FUNCTION = re.compile(r"[a-z_]+\.fn=[^=]*:")  # a group's fn is one of the user's, or some are of a list or a sweep

MOST_NUMBERS = 10_000  # in an array that is a setting: no list of widths, seeds or values is longer

NOT_TEXT = ("null", "true", "false", "inf", "nan")  # words that mean something else unless they are quoted


def conf_dir() -> pathlib.Path:
    """The folder of the YAML files: inside an installed package, beside it in a clone."""
    package = pathlib.Path(xinit.__file__).resolve().parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def normalise(arguments: Sequence[str]) -> list[str]:
    """Hydra's spelling of the arguments: `scheme=xavier` becomes `+scheme=xavier`, `activation=[tanh,relu]` a value.

    Single settings get `++`, so that a misspelt one reaches `parse`, which knows what is allowed. Slices such as
    `data.train=train[:80%]`, and `network.scale=1/sqrt(L)`, get the quotes without which Hydra cannot read them. A
    function of the user's, as in `activation.fn=jax.nn:silu` or `activation=jax.nn:silu`, also chooses the group's
    custom.yaml. Names that other libraries have for the same, `scheme=glorot` or `lr=0.1`, become ours.
    """
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    own = {folder.parent.name for folder in conf_dir().glob("*/custom.yaml")}

    def one(argument: str) -> list[str]:
        match = re.match(r"([A-Za-z_][\w.]*)=(.?)", argument)
        if not match or match[1].startswith("hydra"):
            return [argument]
        key, _, value = argument.partition("=")
        if key == "activation" and match[2] == "[":
            return [f"++activation.fn={value}"]
        if key in own and FUNCTION.fullmatch(value):
            return [*one(f"{key}=custom"), f"++{key}.fn={value}"]
        if key in groups:
            return [f"+{argument}" if key in APPENDED else argument]
        if not set("'\"") & set(value):
            if key.startswith("data."):
                value = SLICE.sub(r"'\g<0>'", value)
            elif key.startswith("network."):
                value = ROOT.sub(r"'\g<0>'", value)
        return [f"++{key}={value}"]

    arguments = [_in_our_names(argument) for argument in arguments]
    chosen = {argument.lstrip("+").partition("=")[0] for argument in arguments}
    normalised = []
    for argument in arguments:
        group = argument.partition(".fn=")[0]
        if OWN_FUNCTION.match(argument) and group in own - chosen:  # not before flags such as -m
            normalised += one(f"{group}=custom")
        normalised += one(argument) if argument not in ("scheme=null", "experiment=null") else []
    return normalised


def _in_our_names(argument: str) -> str:
    """`scheme=glorot` as `scheme=xavier`, `lr=0.1` as `optimizer.learning_rate=0.1`."""
    given, equals, value = argument.partition("=")
    key = given.lstrip("+")
    if not equals or key.startswith(("-", "hydra")):
        return argument
    group = "scheme" if key == "schemes" else key.removesuffix(".fn")
    return f"{given.removesuffix(key)}{SETTINGS.get(key, key)}={usual_value(group, value)}"


def compose(config_name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved container of a config, composed as the command line would.

    Raises:
      InputError: Hydra refuses an override.
    """
    return compose_many(config_name, [overrides])[0]


def compose_many(config_name: str, jobs: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """The resolved containers of a config under the overrides of each job; errors as `compose`.

    `hydra.initialize` would take Hydra's globals from a caller who runs under Hydra: we have a loader of our own.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.types import RunMode

    with translated_errors(), _COMPOSING:
        loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
        load = functools.partial(loader.load_configuration, config_name, run_mode=RunMode.RUN, from_shell=False)
        return compose_all([normalise(job) for job in jobs], lambda choices: load(list(choices)))


def compose_all(jobs: Sequence[Sequence[str]], compose_one: Callable[[Sequence[str]], Any]) -> list[dict[str, Any]]:
    """The resolved container of every job, given by its overrides.

    Hydra composes (`compose_one`, 65 ms) once for each choice of groups; values, `++key=value`, are set in the result.
    """
    composed: dict[tuple[str, ...], bytes] = {}
    containers = []
    for job in jobs:
        values = [override for override in job if _sets_a_value(override)]
        choices = tuple(override for override in job if not _sets_a_value(override))
        if choices not in composed:
            composed[choices] = pickle.dumps(_without_hydra(compose_one(choices)))  # copied faster than by deepcopy
        containers.append(_with_values(pickle.loads(composed[choices]), values))
    return containers


def _sets_a_value(override: str) -> bool:
    return override.startswith("++") and not override.startswith("++hydra")


def container(config: Any) -> dict[str, Any]:
    """A Hydra config as plain dicts and lists, interpolations resolved."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # of a mapping a dict
    return dict(plain)


def _without_hydra(config: Any) -> Any:
    """A composed config without Hydra's own node, its interpolations kept."""
    from omegaconf import OmegaConf

    container: Any = OmegaConf.to_container(config, resolve=False)  # of a mapping a dict
    return OmegaConf.create({key: value for key, value in container.items() if key != "hydra"})


def _with_values(config: Any, overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved container of a config with overrides such as ++seed=3, as Hydra would set them."""
    from omegaconf import OmegaConf

    for override in overrides:
        key, value = _parsed(override)
        OmegaConf.update(config, key, value, merge=True, force_add=True)
    return container(config)


@functools.cache
def _parsed(override: str) -> tuple[str, Any]:
    """Key and value; a sweep repeats its overrides, and parsing one takes a millisecond."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(override)
    return parsed.key_or_group, parsed.value()


def overrides_from(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keyword arguments as overrides that mean these values: `scheme="xavier", optimizer={"learning_rate": .1}`.

    A function stands for its name, as in `activation=my_function`, and arrays, as in `data=(x, y)`, for their checksum.

    Raises:
      InputError: a value that no setting can have.
    """
    overrides = []
    for key, value in settings.items():
        if prefix + key == "data" and (of_arrays := from_python(value)):
            overrides += ["data=arrays", *overrides_from(of_arrays, "data.")]
        elif isinstance(value, Mapping):
            overrides += overrides_from(value, f"{prefix}{key}.")
        else:
            overrides.append(f"{prefix}{key}={_as_text(value, prefix + key)}")
    return overrides


def _as_text(value: Any, path: str) -> str:
    if getattr(value, "size", 0) > MOST_NUMBERS:
        raise InputError(f"{path} is an array of shape {value.shape}; only data takes examples, as in data=(x, y).")
    if hasattr(value, "tolist"):  # NumPy's and jax's numbers and arrays
        value = value.tolist()
    if callable(value):
        return name_of(path, value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        plain = re.fullmatch(r"[A-Za-z/][\w./:+-]*", text, re.ASCII) and text.lower() not in NOT_TEXT
        return text if plain else _quoted(text)
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_as_text(item, path)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple | range):
        return f"[{','.join(_as_text(item, path) for item in value)}]"
    allowed = "a text, a number, true, false, null, a function, or a list or mapping of these"
    raise InputError(f"{path} is {value!r}; it must be {allowed}.")


def _quoted(text: str) -> str:
    """A text in quotes, as Hydra reads it: a backslash is one, but before a quote, where two stand for one.

    So are those before `${`, which OmegaConf takes for another setting's value unless one more stands there.
    """
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", literal)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
