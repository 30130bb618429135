"""All studies and the state of their claims, from the results that are kept.

    python -m experiments                  every study: how many claims PASS, hold in DIRECTION but not in size, FAIL
                                           or were NOT RUN, where and when
    python -m experiments glorot2010       the claims of one
    python -m experiments.glorot2010 --help

Nothing is measured. Exit code 4 where claims of different studies contradict each other.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import sys
from collections.abc import Sequence

from experiments import claims, kept, study
from xinit.commands import cli
from xinit.commands.console import Reporter
from xinit.core.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Show all studies, or the claims of one; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return cli.DONE
    try:
        return _one(*arguments) if arguments else _all()
    except InputError as error:
        return cli.complain(str(error))


def _all() -> int:
    reporter = Reporter()
    reporter.table("studies, and what is kept of each", kept.table())
    contradictions = kept.contradictions()
    for sentence in contradictions or ["No claim of a study contradicts one of another."]:
        reporter.note(sentence)
    return cli.FAILED if contradictions else cli.DONE


def _one(name: str, *more: str) -> int:
    if more:
        raise InputError(f"The argument {more[0]} is one too many; it must be one study or none.")
    own, reporter = study.load(name), Reporter()
    about, checked = kept.results(name)
    reporter.note(f"{own.title} ({own.source})")
    reporter.note(own.question)
    reporter.table(kept.where(about), claims.rows(checked))
    for below in filter(None, kept.folders(name)):
        about, checked = kept.results(name, below)
        reporter.table(kept.where(about), claims.rows(checked))
    for sentence in kept.contradictions():
        if f"{name}." in sentence:
            reporter.note(sentence)
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
