"""Does a parametrisation hold over width or depth: `python -m xinit.coordinates scheme=mup widths=[64,128,256,512]`.

The exit code says what came of it, so that a coordinate check can guard a pipeline.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import pathlib
import sys
from typing import Any

from xinit.commands import cli
from xinit.core.custom import sources_of
from xinit.core.errors import InputError
from xinit.core.rules import at_least
from xinit.settings.config import NETWORKS
from xinit.settings.parse import count_of, parse


def main() -> int:
    """Check what the command line asks for; the exit code."""
    codes: list[int] = []
    return cli.hydra_main(lambda raw: codes.append(check(raw)), "coordinates") or max(codes, default=cli.DONE)


def check(raw: dict[str, Any]) -> int:
    """One coordinate check, shown and written; its exit code.

    Raises:
      InputError: a setting is unknown or wrong, or as `coordinates.check_configs`.
    """
    from xinit.core import backend

    seeds = count_of(raw, "seeds", at_least(2), NETWORKS)
    over, values = _sizes(raw)
    configs = {value: parse({**raw, over: value}) for value in values}
    first = configs[values[0]]
    if seeds > (left := 2**32 - first.init_seed):
        raise InputError(f"seeds is {seeds}; from init_seed={first.init_seed} on there are {left}.")
    backend.use_compilation_cache()
    from xinit.commands import console
    from xinit.runs import record
    from xinit.training import coordinates

    result = coordinates.check_configs(over, configs, seeds, first.steps)
    reporter = console.Reporter()
    reporter.table(f"coordinate check over {over}", result.rows())
    for fit in result.fits:
        reporter.note(f"{fit.level}: {fit.sentence}")
    reporter.verdict(result.verdict)
    identity = first.identity() | {"over": over, "values": values, "seeds": seeds}
    folder = pathlib.Path(first.out, "coordinates", record.run_hash(identity, sources_of(first.own_functions())))
    result.save(folder)
    reporter.note(f"coordinates: {folder}")
    return cli.exit_code_of(result.level, first.strict)


def _sizes(raw: dict[str, Any]) -> tuple[str, list[int]]:
    """What is compared, "width" or "depth", and its values, taken from the container.

    Raises:
      InputError: both or none are given, or they are no list of different whole numbers.
    """
    given = {name: raw.pop(f"{name}s", None) for name in ("width", "depth")}
    named = [name for name, values in given.items() if values is not None]
    if len(named) != 1:
        raise InputError(
            "A coordinate check is over widths or over depths; give one, as in widths=null depths=[4,8,16]."
        )
    from xinit.analysis.coordinates import check_sizes

    values = given[named[0]]
    if not isinstance(values, list):
        raise InputError(f"{named[0]}s is {values!r}; it must be a list of whole numbers, as in [64, 128, 256].")
    return named[0], list(check_sizes(named[0], values))


if __name__ == "__main__":
    sys.exit(main())
