"""The page of a study: a template whose every number is filled in from the results."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.claims import Checked, Measured, Metrics, number, rows

PLACE = re.compile(r"\{([\w.-]+)\}")
ABSENT = "*Not measured by this run.*"
ANSWER = re.compile(r"<!-- answer -->\n(.*)<!-- /answer -->", re.DOTALL)


def fill(template: str, filled: Mapping[str, str]) -> str:
    """The template with its places filled. A line with a number that is not there says so instead."""
    page = "\n".join(_filled(line, filled) for line in template.splitlines()) + "\n"
    return re.sub(rf"({re.escape(ABSENT)}\s+)+", f"{ABSENT}\n\n", page)


def answer(page: str) -> list[str]:
    """The lines of a page that answer the question."""
    return ANSWER.search(page)[1].splitlines()


def facts(results: Mapping[str, Any], metrics: Metrics) -> dict[str, str]:
    """Every number by name, as a page prints it: leaves of the results, metrics, and `<metric>.interval`."""
    measured = {name: found for name, found in metrics.items() if isinstance(found, Measured)}
    leaves = {name: _text(value) for name, value in _leaves(results)}
    values = {name: number(found.value) for name, found in measured.items()}
    intervals = {f"{name}.interval": f"[{number(found.low)}, {number(found.high)}]" for name, found in measured.items()}
    return leaves | values | intervals


def _leaves(tree: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if not isinstance(tree, Mapping | list):
        yield path.removesuffix("."), tree
        return
    for name, branch in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        yield from _leaves(branch, f"{path}{name}.")


def _text(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _filled(line: str, filled: Mapping[str, str]) -> str:
    names = PLACE.findall(line)
    if all(name in filled for name in names):
        return PLACE.sub(lambda place: filled[place[1]], line)
    heading = re.match(r"- \*\*.*?\*\* ", line)
    return f"{heading[0]}*not measured by this run.*" if heading else ABSENT


def states(checked: Sequence[Checked]) -> str:
    """How many claims are in each state."""
    found = [one.state for one in checked]
    return ", ".join(f"{found.count(state)} {state}" for state in dict.fromkeys(found))


def claims_table(checked: Sequence[Checked]) -> str:
    """A line for each claim."""
    return table([{"statement": one.claim.statement, **row} for one, row in zip(checked, rows(checked), strict=True)])


def table(contents: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same headings, in Markdown."""
    lines = [list(contents[0]), ["---"] * len(contents[0]), *(row.values() for row in contents)]
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
