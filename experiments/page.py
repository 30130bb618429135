"""The page of a study: a template whose every number is filled in from the results."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import claims
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


def facts(template: str, results: Mapping[str, Any], metrics: Metrics) -> dict[str, str]:
    """What stands in the places of a template: metrics, their `.interval`, and leaves of the results, by name."""
    found = {name: _fact(name, results, metrics) for name in PLACE.findall(template)}
    return {name: text for name, text in found.items() if text is not None}


def _fact(name: str, results: Mapping[str, Any], metrics: Metrics) -> str | None:
    if isinstance(found := metrics.get(name), Measured):
        return number(found.value)
    metric = metrics.get(name.removesuffix(".interval"))
    if name.endswith(".interval") and isinstance(metric, Measured):
        return f"[{number(metric.low)}, {number(metric.high)}]"
    return _leaf(results, name)


def _leaf(tree: Any, name: str) -> str | None:
    """The leaf whose path, with dots between its parts, is the name; parts may have dots of their own."""
    for part, branch in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        if name == str(part):
            return None if isinstance(branch, Mapping | list) else _text(branch)
        below = name.startswith(f"{part}.") and isinstance(branch, Mapping | list)
        if below and (found := _leaf(branch, name.removeprefix(f"{part}."))) is not None:
            return found
    return None


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


def by_chance(checked: Sequence[Checked]) -> str:
    """How many claims rest on intervals, and how many would pass by chance; a paragraph, empty where none does."""
    n, expected = claims.by_chance(checked)
    if not n:
        return ""
    return (
        f"{n} of these claims rest on a 95 % interval that must lie on one side of a bound as a whole. Were the truth "
        f"just on the bound, each would PASS by chance once in forty times: about {number(expected)} of the {n}.\n"
    )


def claims_table(checked: Sequence[Checked]) -> str:
    """A line for each claim."""
    return table([{"statement": one.claim.statement, **row} for one, row in zip(checked, rows(checked), strict=True)])


def table(contents: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same headings, in Markdown; nothing where there are none."""
    if not contents:
        return ""
    lines = [list(contents[0]), ["---"] * len(contents[0]), *(row.values() for row in contents)]
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
