"""What is kept of the studies: results of real runs, and what their claims say together.

In a study's folder `results` lies the run that shows most of it; of another tier what is kept lies in a folder below.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from experiments import page, publishing, study
from experiments.claims import DIRECTION, FAIL, NOT_RUN, PASS, Checked

STATES = (PASS, DIRECTION, FAIL, NOT_RUN)
HOLDS = (PASS, DIRECTION)


@functools.cache
def results(name: str, below: str = "") -> tuple[dict[str, Any], list[Checked]]:
    """What a kept run of a study says of itself, and its claims checked; `below` is one of `folders`.

    Raises:
      InputError: there is no such study, or nothing is kept of it there.
    """
    own = study.load(name)
    about, found = publishing.read(own, own.results / below)
    return about, publishing.check(own, own.parts_of(about["settings"]), about, found)


def where(about: Mapping[str, Any]) -> str:
    """On which tier and machine a run was, when, and how long it took."""
    return f"tier={about['tier']}, {about['machine']}, {about['date']}, {about['wall_s'] / 60:.0f} minutes"


def names() -> list[str]:
    """The studies of which results are kept."""
    return [name for name in study.names() if (study.load(name).results / "about.json").exists()]


def folders(name: str) -> list[str]:
    """The folders of a study's results that hold a run: "", their own, and others below it by name."""
    own = study.load(name).results
    return [file.parent.relative_to(own).as_posix().removeprefix(".") for file in sorted(own.rglob("about.json"))]


def runs() -> list[tuple[str, str]]:
    """Every kept run: its study, and the folder below its results."""
    return [(name, below) for name in names() for below in folders(name)]


def table() -> list[dict[str, str]]:
    """A line for each run that is kept of a study; of one of which nothing is kept its title and source alone."""
    return [_row(name, below) for name, below in _every()]


def _every() -> list[tuple[str, str | None]]:
    return [(name, below) for name in study.names() for below in folders(name) or [None]]


def _row(name: str, below: str | None) -> dict[str, str]:
    own = study.load(name)
    row = {"study": name, "about": f"{own.title} ({own.source})"}
    if below is None:
        return row | dict.fromkeys(("tier", *STATES, "machine", "date"), "")
    about, checked = results(name, below)
    counts = {state: str(sum(one.state == state for one in checked)) for state in STATES}
    return row | {"tier": about["tier"], **counts, "machine": about["machine"], "date": about["date"]}


def linked_table() -> str:
    """The kept runs as docs/papers.md shows them, linked to their pages."""
    return page.table([_row(name, below) | {"study": _linked(name, below)} for name, below in _every()])


def _linked(name: str, below: str | None) -> str:
    if below is None:
        return name
    return f"[{name}](../{pathlib.PurePosixPath('experiments', name, 'results', below, 'page.md')})"


def contradictions() -> list[str]:
    """A sentence for each pair of claims of different studies whose kept states cannot both be right."""
    checked = {f"{name}.{one.claim.id}": one for name in names() for one in results(name)[1]}
    return list(contradicting(checked))


def contradicting(checked: Mapping[str, Checked]) -> Iterator[str]:
    """The same of claims by "study.claim-id"; what was NOT RUN contradicts nothing."""
    ran = {name: one for name, one in checked.items() if one.state != NOT_RUN}
    for name, one in ran.items():
        for other in (other for other in one.claim.agrees if other in ran):
            if (one.state in HOLDS) != (ran[other].state in HOLDS):
                yield f"{name} is {one.state} and {other} is {ran[other].state}; they must agree."
        for other in (other for other in one.claim.opposes if other in ran):
            if one.state in HOLDS and ran[other].state in HOLDS:
                yield f"{name} and {other} both hold; only one of them can be true."
