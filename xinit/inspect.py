"""Predict, measure and judge a configuration without training: `python -m xinit.inspect scheme=he activation=relu`.

The exit code says what came of it, so that a check of a network's initialisation can guard a pipeline.
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
from xinit.settings.parse import check_names, count_of, parse


def main() -> int:
    """Inspect what the command line asks for; the exit code."""
    codes: list[int] = []
    return cli.hydra_main(lambda raw: codes.append(inspect(raw)), "inspect") or max(codes, default=cli.DONE)


def inspect(raw: dict[str, Any]) -> int:
    """One inspection, shown and written; its exit code.

    Raises:
      InputError: a setting is unknown or wrong, or as `inspection.inspect_config`.
    """
    from xinit.core import backend

    check_names(raw, ("seeds",))
    seeds = count_of(raw, "seeds", at_least(2), NETWORKS)
    config = parse(raw)
    if seeds > (left := 2**32 - config.init_seed):
        raise InputError(f"seeds is {seeds}; from init_seed={config.init_seed} on there are {left}.")
    backend.use_compilation_cache()
    from xinit.analysis import verdict
    from xinit.analysis.figures import inspection as inspection_figures
    from xinit.commands import console, inspection_table
    from xinit.runs import record
    from xinit.training import inspection

    result = inspection.inspect_config(config, seeds)
    reporter = console.Reporter()
    reporter.table(config.name, inspection_table.rows(result))
    if within := inspection_table.rows(result, within=True):
        reporter.table("within the branches", within)
    for line in inspection_table.notes(result):
        reporter.note(line)
    reporter.verdict(verdict.sentence(result.findings, result.remedy))
    identity = config.identity() | {"seeds": seeds}
    hashed = record.run_hash(identity, sources_of(config.own_functions()))
    folder = pathlib.Path(config.out, "inspections", hashed)
    title = f"{config.name}: {result.findings[0].level}"
    inspection_figures.write(folder, result, title, draw=config.figure is not False)
    reporter.note(f"inspection: {folder}")
    reporter.picture(folder / "inspection.png")
    reporter.next("xinit.train", *cli.settings_of_job("seeds"))
    return cli.exit_code_of(result.findings[0].level, config.strict)


if __name__ == "__main__":
    sys.exit(main())
