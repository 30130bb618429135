"""What is kept of the studies: the results of the largest tier that was run, and what their claims say together."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from experiments import page, publishing, study
from experiments.claims import DIRECTION, FAIL, NOT_RUN, PASS, Checked

STATES = (PASS, DIRECTION, FAIL, NOT_RUN)
HOLDS = (PASS, DIRECTION)


@functools.cache
def results(name: str) -> tuple[dict[str, Any], list[Checked]]:
    """What the kept run of a study says of itself, and its claims checked.

    Raises:
      InputError: there is no such study, or nothing is kept of it.
    """
    own = study.load(name)
    about, found = publishing.read(own, own.results)
    return about, publishing.check(own, own.parts_of(about["settings"]), about, found)


def where(about: Mapping[str, Any]) -> str:
    """On which tier and machine a run was, when, and how long it took."""
    return f"tier={about['tier']}, {about['machine']}, {about['date']}, {about['wall_s'] / 60:.0f} minutes"


def names() -> list[str]:
    """The studies of which results are kept."""
    return [name for name in study.names() if (study.load(name).results / "about.json").exists()]


def table() -> list[dict[str, str]]:
    """A line for each study; of one of which nothing is kept its title and source alone."""
    return [_row(name) for name in study.names()]


def _row(name: str) -> dict[str, str]:
    own = study.load(name)
    row = {"study": name, "about": f"{own.title} ({own.source})"}
    if name not in names():
        return row | dict.fromkeys(("tier", *STATES, "machine", "date"), "")
    about, checked = results(name)
    counts = {state: str(sum(one.state == state for one in checked)) for state in STATES}
    return row | {"tier": about["tier"], **counts, "machine": about["machine"], "date": about["date"]}


def linked_table() -> str:
    """The studies as docs/papers.md shows them, linked to their pages."""
    link = lambda name: f"[{name}](../experiments/{name}/results/page.md)" if name in names() else name
    return page.table([row | {"study": link(row["study"])} for row in table()])


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
