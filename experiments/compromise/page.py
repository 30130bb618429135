"""The page of a run: what its template is filled with."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments import page
from experiments.claims import Checked, Metrics, number

TEMPLATE = pathlib.Path(__file__).with_name("page.md")


def render(results: Mapping[str, Any], metrics: Metrics, checked: Sequence[Checked]) -> str:
    """The page of `results`, its `metrics` and its claims."""
    filled = page.facts(results, metrics) | _tables(results, checked) | {"states": page.states(checked)}
    return page.fill(TEMPLATE.read_text(), filled | {f"figure.{name}": f"{name}.png" for name in results})


def _tables(results: Mapping[str, Any], checked: Sequence[Checked]) -> dict[str, str]:
    rows = {
        "propagation": list(_propagation(results["propagation"])),
        "nonlinear": list(_nonlinear(results["nonlinear"])),
    }
    if cells := results.get("trained", {}).get("cells"):
        rows["trained"] = [_cell(results["trained"]["titles"], name, cell) for name, cell in cells.items()]
    tables = {f"table.{name}": page.table(contents) for name, contents in rows.items()}
    return tables | {"table.claims": page.claims_table(checked)}


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
