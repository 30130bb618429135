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
from xinit.commands.scaling import sizes_of
from xinit.core.custom import sources_of
from xinit.core.errors import InputError
from xinit.core.rules import at_least
from xinit.settings.config import NETWORKS
from xinit.settings.parse import check_names, count_of, parse


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

    check_names(raw, ("seeds", "widths", "depths"))
    seeds = count_of(raw, "seeds", at_least(2), NETWORKS)
    over, values = sizes_of(raw)
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
    reporter.picture(folder / "coordinates.png")
    reporter.next("xinit.report", str(folder))
    return cli.exit_code_of(result.level, first.strict)


if __name__ == "__main__":
    sys.exit(main())
