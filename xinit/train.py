"""Train one deep network and judge its initialisation: `python -m xinit.train +scheme=xavier`."""

import signal
import sys
from collections.abc import Mapping
from typing import Any

from xinit import cli


def main() -> int:
    """Run what the command line asks for; the exit code."""
    outcomes: list = []
    arguments = sys.argv[1:]
    try:
        code = cli.hydra_main(lambda raw: job(raw, outcomes), "train")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    sweep = not {"-m", "--multirun"}.isdisjoint(arguments)
    return conclude(outcomes, sweep) or code


def job(raw: Mapping[str, Any], outcomes: list) -> float | None:
    """One run of a command line; what it returns to a sweeper is the valid error, chance where there is none."""
    from xinit.config import parse  # imported here: --help needs none of it
    from xinit.console import Reporter
    from xinit.runner import execute

    outcome = execute(parse(raw), Reporter())
    outcomes.append(outcome)
    if not outcome.summary:
        return None
    error = outcome.summary["valid_error"]
    return outcome.summary["chance_error"] if error is None else error


def conclude(outcomes: list, sweep: bool) -> int:
    """Show the runs of a sweep side by side; the exit code of a single run says what came of it."""
    if sweep and outcomes:
        from xinit.console import Reporter, contrast_rows

        Reporter().contrast(contrast_rows(outcomes))
        return cli.DONE
    if not outcomes or not outcomes[0].summary:
        return cli.DONE
    outcome = outcomes[0]
    if outcome.summary["diverged_between"] is not None:
        return cli.DIVERGED
    level = outcome.findings[0].level
    strict = outcome.config.strict
    return cli.FAILED if level == "FAIL" else cli.WARNED if level == "WARN" and strict else cli.DONE


if __name__ == "__main__":
    sys.exit(main())
