"""Train one deep network and judge its initialisation: `python -m xinit.train +scheme=xavier`."""

from xinit import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import sys
from typing import Any

from xinit import cli


def main() -> int:
    """Run what the command line asks for; the exit code."""
    outcomes: list = []
    arguments = sys.argv[1:]
    code = cli.hydra_main(lambda raw: job(raw, outcomes), "train")
    sweep = not {"-m", "--multirun"}.isdisjoint(arguments)
    return conclude(outcomes, sweep) or code


def job(raw: dict[str, Any], outcomes: list) -> float | list[float | None] | None:
    """One run of a command line, or a group of a sweep; what it returns goes to a sweeper."""
    from xinit.config import parse  # imported here: --help needs none of it
    from xinit.console import Reporter
    from xinit.launcher import returned, run_members
    from xinit.runner import execute

    if "members" in raw:
        return run_members(raw, raw.pop("members"))
    outcome = execute(parse(raw), Reporter())
    outcomes.append(outcome)
    return returned(outcome)


def conclude(outcomes: list, sweep: bool) -> int:
    """The exit code says what came of a single run; the runs of a sweep that ran one by one are shown together."""
    if sweep and outcomes:
        from xinit import launcher

        launcher.conclude(outcomes)
        return cli.DONE
    if not outcomes or not outcomes[0].summary:
        return cli.DONE
    outcome = outcomes[0]
    if outcome.state == "diverged":
        return cli.DIVERGED
    level = outcome.findings[0].level
    strict = outcome.config.strict
    return cli.FAILED if level == "FAIL" else cli.WARNED if level == "WARN" and strict else cli.DONE


if __name__ == "__main__":
    sys.exit(interrupts.exit_code(main))
