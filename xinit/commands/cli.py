"""The command line that every entry shares: jobs of Hydra, mistakes as sentences, exit codes, completion."""

import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import xinit
from xinit.commands import help
from xinit.core import interrupts, names
from xinit.core.errors import InputError
from xinit.settings import compose
from xinit.settings.hydra_errors import translate

DONE, BAD_INPUT, DIVERGED, FAILED, WARNED = 0, 2, 3, 4, 5  # 1 is a crash, Python's own


def complain(message: str) -> int:
    """Print a mistake on stderr; the exit code for it."""
    print(f"xinit: {message}", file=sys.stderr)
    return BAD_INPUT


def refuse(message: str) -> NoReturn:
    """What an argument parser calls instead of printing its usage.

    Raises:
      InputError: always.
    """
    raise InputError(f"This command line cannot be read: {message}; {_without_dashes(message)}.")


def _without_dashes(message: str) -> str:
    """How a setting that was given as an option is written; where none was, what shows it."""
    unknown = re.search(r"unrecognized arguments: .*?--([A-Za-z_][\w.-]*)(=\S+)?", message)
    if unknown is None:
        return "--help shows how it is written"
    known = {setting.name for file in compose.conf_dir().glob("*.yaml") for setting in help.settings_in(file)}
    word = unknown[1].replace("-", "_")
    name = word if word in known else names.SETTINGS.get(word) or names.meant(word, known)
    return f"settings have no dashes here: {name}{unknown[2] or '=VALUE'}" if name else "--help shows how it is written"


def hydra_main(job: Callable[[dict[str, Any]], Any], config_name: str) -> int:
    """Run `job(container)` for each config the command line asks for; BAD_INPUT if one was refused, else DONE.

    A mistake becomes one sentence on stderr, without a traceback; the other jobs of a sweep go on.
    """
    if "-sc" in sys.argv and not sys.argv[-1].startswith("query="):
        return _install_completion(sys.argv[-1])
    if which := help.asked(sys.argv[1:]):
        print(help.text(config_name, which, sys.argv[1:]))
        return DONE
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets exceptions through instead of Hydra's own report and exit code
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    refused: list[int] = []

    def attempt(config: Any) -> Any:
        try:  # inside the job: what leaves it, Hydra reports in its own way first
            return job(compose.container(config))
        except InputError as error:
            refused.append(complain(str(error)))
        except OmegaConfBaseException as error:
            refused.append(complain(translate(error)))

    try:
        if "-sc" in sys.argv:
            _normalise_line_to_complete()
        else:
            sys.argv[1:] = compose.normalise(in_order(sys.argv[1:]))
        hydra.main(str(compose.conf_dir()), config_name, version_base="1.3")(attempt)()
    except KeyboardInterrupt:  # of a run that has left a checkpoint, or a launcher that has stopped its workers
        return interrupts.say()
    except InputError as error:  # of the order of arguments, or a launcher, which checks all jobs before the first
        return complain(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        return complain(translate(error))
    except BrokenPipeError:  # of what Hydra prints itself
        raise
    except (ValueError, TypeError, OSError, AssertionError) as error:
        if _passed_through_us(error):  # a crash, not what Hydra says of a command line or a sweep's folder
            raise
        return complain(translate(error))
    except SystemExit as left:
        if left.code == 1:  # --cfg was asked for a package that there is not, as Hydra has said
            return BAD_INPUT
        raise
    return BAD_INPUT if refused else DONE


def settings_of_job(*but: str) -> list[str]:
    """The settings of the command line that made this job, as a person writes them, without some."""
    from hydra.core.hydra_config import HydraConfig

    given = (
        [str(setting).lstrip("+") for setting in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []
    )
    return [setting for setting in given if setting.partition("=")[0] not in but]


def exit_code_of(level: str, strict: bool = False) -> int:
    """The exit code for the level of a verdict or of claims: FAILED where it is FAIL, WARNED for WARN where strict."""
    return FAILED if level == "FAIL" else WARNED if level == "WARN" and strict else DONE


def in_order(arguments: Sequence[str]) -> list[str]:
    """The options first, then the settings: Hydra reads them only where no option stands between them.

    Raises:
      InputError: an unknown option, one without its value, or one that would execute what lies in a file.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]  # argparse would print and exit
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
    os.environ["COMP_LINE"] = " ".join([*compose.normalise(words), last])


def _passed_through_us(error: Exception) -> bool:
    """Whether the error came through a module of ours other than those that compose a job."""
    ours = pathlib.Path(xinit.__file__).resolve().parent
    composing = {pathlib.Path(file).resolve() for file in (__file__, compose.__file__)}
    files = {pathlib.Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)}
    return any(file.is_relative_to(ours) for file in files - composing)
