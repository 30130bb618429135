"""What the commands of all studies share: their arguments, what a run says of itself, and what it leaves behind."""

import datetime
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xinit.commands import cli
from xinit.core import folders, interrupts
from xinit.core.errors import InputError
from xinit.core.files import write_atomically, writing

DIGITS = 7  # of a stored number: as many as float32 has; the claims and the page see the stored ones


def run_command(doc: str, arguments: Sequence[str] | None, run: Callable[[dict[str, str]], int]) -> int:
    """`run` with the arguments SETTING=VALUE by name; the exit code. A mistake of the user's is one sentence."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(doc)
        return cli.DONE
    import jax

    try:
        with jax.enable_x64(False):  # a study computes in 32 bits, as runs do
            return run(_parsed(arguments))
    except InputError as error:
        return cli.complain(str(error))
    except KeyboardInterrupt:
        return interrupts.say()


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    if wrong := [argument for argument in arguments if "=" not in argument]:
        raise InputError(f"The argument {wrong[0]} cannot be read; it must be SETTING=VALUE, such as tier=cpu.")
    given = dict(argument.split("=", 1) for argument in arguments)
    for name in given.keys() & {"out", "data_dir"}:
        if not folders.can_be_folder(given[name]):
            raise InputError(f"{name} is {given[name]!r}; it must be {folders.WORDS}.")
    return given


def use_this_machine() -> None:
    """A device for each core, and compiled programs kept for the next run."""
    from xinit.core import backend

    backend.use_a_cpu_device_for_each_core()
    backend.use_compilation_cache()


def about(tier: str, settings: Mapping[str, Any], started: float) -> dict[str, Any]:
    """What a run says of itself; `started` is when, on the clock of time.perf_counter."""
    from xinit.core import backend

    kept = {name: value for name, value in settings.items() if name != "data_dir"}  # where data lie says nothing here
    machine = {"machine": backend.device_words(), "versions": backend.versions()}
    when = {"date": datetime.date.today().isoformat(), "wall_s": round(time.perf_counter() - started)}
    return {"tier": tier, "settings": kept, **machine, **when}


def rounded(tree: Any, digits: int = DIGITS) -> Any:
    """The results with floats of so many digits."""
    if isinstance(tree, Mapping):
        return {name: rounded(branch, digits) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [rounded(branch, digits) for branch in tree]
    return float(f"{tree:.{digits}g}") if isinstance(tree, float) else tree


def write_all(out: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name, each atomically.

    Raises:
      InputError: the folder cannot be written.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(out / name, content)
