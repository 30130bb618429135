"""Train one deep network and judge its initialisation: `python -m xinit.train +scheme=xavier`."""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import sys
from typing import TYPE_CHECKING, Any

from xinit.commands import cli
from xinit.settings.parse import parse

if TYPE_CHECKING:
    from xinit.analysis.outcomes import Outcome


def main() -> int:
    """Run what the command line asks for; the exit code."""
    outcomes: list[Outcome] = []
    code = cli.hydra_main(lambda raw: job(raw, outcomes), "train")
    return exit_code(outcomes[0]) if outcomes else code


def job(raw: dict[str, Any], outcomes: "list[Outcome]") -> float | list[float | None] | str | None:
    """One run of a command line, or a group of a sweep; what it returns goes to a sweeper, the outcome to a command of
    one run."""
    from hydra.core.hydra_config import HydraConfig  # imported here: --help needs none of it
    from hydra.types import RunMode

    from xinit.commands.console import Reporter
    from xinit.commands.handover import run_members
    from xinit.commands.sweeping import objective
    from xinit.runs.runner import execute

    if "members" in raw:
        return run_members(raw, raw.pop("members"))
    reporter = Reporter()
    outcome = execute(parse(raw), reporter)
    if HydraConfig.get().mode is RunMode.RUN:
        outcomes.append(outcome)
        if outcome.summary:
            reporter.next("xinit.report", str(outcome.path))
    return objective(outcome)


def exit_code(outcome: "Outcome") -> int:
    """The exit code of a command of one run."""
    if not outcome.summary:
        return cli.DONE
    if outcome.state == "diverged":
        return cli.DIVERGED
    return cli.exit_code_of(outcome.findings[0].level, outcome.config.strict)


if __name__ == "__main__":
    sys.exit(main())
