"""What every entry shares: where the YAML lies, one spelling for arguments, errors as sentences, exit codes."""

import functools
import os
import pathlib
import pickle
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xinit import interrupts
from xinit.conf_files import conf_dir as conf_dir
from xinit.errors import InputError
from xinit.mistakes import BAD_INPUT, complain, in_our_words, refuse, said_in_our_words

DONE, DIVERGED, FAILED, WARNED = 0, 3, 4, 5  # 1 is a crash, Python's own, and 2 BAD_INPUT

_COMPOSING = threading.Lock()  # the parsers of Hydra and OmegaConf fill tables that all threads share

# Groups that are not in the defaults list of conf/train.yaml, so Hydra wants a plus in front of them.
APPENDED = ("scheme", "experiment")

SLICE = re.compile(r"(\w+\s*\+\s*)*\w+\[[\w:%.-]*\](\s*\+\s*\w+(\[[\w:%.-]*\])?)*")  # of TFDS: train[:80%]+test[5:]

NOT_TEXT = ("null", "true", "false", "inf", "nan")  # words that mean something else unless they are quoted


def normalise(arguments: Sequence[str]) -> list[str]:
    """Hydra's spelling of the arguments: `scheme=xavier` becomes `+scheme=xavier`, `activation=[tanh,relu]` a value.

    Single settings get `++`, so that a misspelt one reaches `config.parse`, which knows what is allowed. Slices such as
    `data.train=train[:80%]` get the quotes without which Hydra cannot read them.
    """
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}

    def one(argument: str) -> str:
        match = re.match(r"([A-Za-z_][\w.]*)=(.?)", argument)
        if not match or match[1].startswith("hydra"):
            return argument
        if match[1] == "activation" and match[2] == "[":
            return "++activation.fn=" + argument.partition("=")[2]
        if match[1] in groups:
            return f"+{argument}" if match[1] in APPENDED else argument
        key, _, value = argument.partition("=")
        if key.startswith("data.") and not set("'\"") & set(value):
            value = SLICE.sub(r"'\g<0>'", value)
        return f"++{key}={value}"

    return [one(argument) for argument in arguments if argument not in ("scheme=null", "experiment=null")]


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

    with said_in_our_words(), _COMPOSING:
        loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
        one = lambda choices: loader.load_configuration(config_name, list(choices), RunMode.RUN, from_shell=False)
        return compose_all([normalise(job) for job in jobs], one)


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

    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def _without_hydra(config: Any) -> Any:
    """A composed config without Hydra's own node, its interpolations kept."""
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(config, resolve=False)
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

    Raises:
      InputError: a value that no setting can have, such as a function.
    """
    overrides = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            overrides += overrides_from(value, f"{prefix}{key}.")
        else:
            overrides.append(f"{prefix}{key}={_as_text(value, prefix + key)}")
    return overrides


def _as_text(value: Any, path: str) -> str:
    if hasattr(value, "tolist"):  # NumPy's and jax's numbers and arrays
        value = value.tolist()
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
    words = "a text, a number, true, false, null, or a list or mapping of these"
    raise InputError(f"{path} is {value!r}; it must be {words}.")


def _quoted(text: str) -> str:
    """A text in quotes, as Hydra reads it: a backslash is one, but before a quote, where two stand for one.

    So are those before `${`, which OmegaConf takes for another setting's value unless one more stands there.
    """
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", literal)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def hydra_main(job: Callable[[dict[str, Any]], Any], config_name: str) -> int:
    """Run `job(container)` for each config the command line asks for; BAD_INPUT if one was refused, else DONE.

    A mistake becomes one sentence on stderr, without a traceback; the other jobs of a sweep go on.
    """
    if "-sc" in sys.argv and not sys.argv[-1].startswith("query="):
        return _install_completion(sys.argv[-1])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets exceptions through instead of Hydra's own report and exit code
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    refused: list[int] = []

    def attempt(config: Any) -> Any:
        try:  # inside the job: what leaves it, Hydra reports in its own way first
            return job(container(config))
        except InputError as error:
            refused.append(complain(str(error)))
        except OmegaConfBaseException as error:
            refused.append(complain(in_our_words(error)))

    try:
        if "-sc" in sys.argv:
            _normalise_line_to_complete()
        else:
            sys.argv[1:] = normalise(in_order(sys.argv[1:]))
        hydra.main(str(conf_dir()), config_name, version_base="1.3")(attempt)()
    except KeyboardInterrupt:  # of a run that has left a checkpoint, or a launcher that has stopped its workers
        return interrupts.say()
    except InputError as error:  # of the order of arguments, or a launcher, which checks all jobs before the first
        return complain(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        return complain(in_our_words(error))
    except (ValueError, TypeError, OSError, AssertionError) as error:
        if _passed_through_us(error):  # a crash, not what Hydra says of a command line or a sweep's folder
            raise
        return complain(in_our_words(error))
    except SystemExit as left:
        if left.code == 1:  # --cfg was asked for a package that there is not, as Hydra has said
            return BAD_INPUT
        raise
    return BAD_INPUT if refused else DONE


def in_order(arguments: Sequence[str]) -> list[str]:
    """The options first, then the settings: Hydra reads them only where no option stands between them.

    Raises:
      InputError: an unknown option, one without its value, or one that would execute what lies in a file.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = refuse
    known = parser.parse_intermixed_args(arguments)
    if known.experimental_rerun is not None:
        raise InputError("--experimental-rerun is not taken: it would execute what lies in a file; give the settings.")
    options = list(arguments)
    for setting in known.overrides:
        options.remove(setting)
    return [*options, *known.overrides]


def _install_completion(request: str) -> int:
    """Print what bash evaluates to complete our commands. Hydra's own scripts know no `python -m`."""
    if request != "install=bash":
        return complain(f"{request!r} is no completion that can be installed; it must be -sc install=bash.")
    print(pathlib.Path(__file__).with_name("completion.bash").read_text(), end="")
    return DONE


def _normalise_line_to_complete() -> None:
    """The command line that Hydra completes, in its spelling but for the last word, which is being typed."""
    *words, last = os.environ.get("COMP_LINE", "").split(" ")
    os.environ["COMP_LINE"] = " ".join([*normalise(words), last])


def _passed_through_us(error: Exception) -> bool:
    """Whether the error came through a module of ours other than this one."""
    here = pathlib.Path(__file__).resolve()
    files = {pathlib.Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)}
    return any(file.is_relative_to(here.parent) for file in files - {here})
