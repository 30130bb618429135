"""The page of a run: a template whose every number is filled in from the results."""

import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from experiments.claims import Checked, Measured, Metrics, number, rows

TEMPLATE = pathlib.Path(__file__).with_name("page.md")
PLACE = re.compile(r"\{([\w.-]+)\}")
ABSENT = "*Not measured by this run.*"
ANSWER = re.compile(r"<!-- answer -->\n(.*)<!-- /answer -->", re.DOTALL)


def render(results: Mapping[str, Any], metrics: Metrics, checked: Sequence[Checked]) -> str:
    """The page of `results`, its `metrics` and its claims. A line with a number that is not there says so instead."""
    filled = facts(results, metrics) | {f"table.{name}": table for name, table in _tables(results, checked).items()}
    filled |= {"states": _states(checked)} | {f"figure.{name}": f"{name}.png" for name in results}
    page = "\n".join(_filled(line, filled) for line in TEMPLATE.read_text().splitlines()) + "\n"
    return re.sub(rf"({re.escape(ABSENT)}\s+)+", f"{ABSENT}\n\n", page)


def answer(page: str) -> list[str]:
    """The lines of a page that answer the question."""
    return ANSWER.search(page)[1].splitlines()


def facts(results: Mapping[str, Any], metrics: Metrics) -> dict[str, str]:
    """Every number by name, as the page prints it: leaves of the results, metrics, and `<metric>.interval`."""
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


def _states(checked: Sequence[Checked]) -> str:
    states = [one.state for one in checked]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _tables(results: Mapping[str, Any], checked: Sequence[Checked]) -> dict[str, str]:
    tables = {
        "claims": [{"statement": one.claim.statement, **row} for one, row in zip(checked, rows(checked), strict=True)],
        "propagation": list(_propagation(results["propagation"])),
        "nonlinear": list(_nonlinear(results["nonlinear"])),
    }
    if cells := results.get("trained", {}).get("cells"):
        tables["trained"] = [_cell(results["trained"]["titles"], name, cell) for name, cell in cells.items()]
    return {name: _table(contents) for name, contents in tables.items()}


def _table(contents: Sequence[Mapping[str, str]]) -> str:
    lines = [list(contents[0]), ["---"] * len(contents[0]), *(row.values() for row in contents)]
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


def _propagation(results: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """A line for each profile and scheme: the signal at the output and the gradient at the input."""
    for profile, found in results["profiles"].items():
        ends = f"{found['widths'][0]} to {found['widths'][-1]}"
        for scheme, own in found["schemes"].items():
            row = {"profile": profile, "end widths": ends, "scheme": scheme}
            for side, at in (("signal", -1), ("gradient", 0)):
                values = {name: array[at] for name, array in own[side].items()}
                row |= {f"{side}, exact": number(values["exact"]), f"{side}, drawn": _interval(values)}
            yield row


def _nonlinear(results: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for row in results["rows"].values():
        sides = {side: _interval(row[side]) for side in ("signal", "gradient")}
        yield {"activation": row["activation"], "scheme": row["scheme"], **sides}


def _cell(titles: Mapping[str, str], name: str, cell: Mapping[str, Any]) -> dict[str, str]:
    setting, profile = name.split(".")
    edges = {"lowest": "<", "highest": ">", "": ""}
    scores = {
        scheme: f"{_interval(own)} at {edges[own['edge']]}{number(own['rate'])}"
        for scheme, own in cell["schemes"].items()
    }
    return {"networks": titles[setting], "profile": profile, **scores, "chance": number(cell["chance"])}


def _interval(found: Mapping[str, float]) -> str:
    return f"{number(found['mean'])} [{number(found['low'])}, {number(found['high'])}]"
