"""What turns the claims that FAIL on narrow networks: width, budget, learning rate, or the range of the pixels?

Each claim is looked at in every cell of the stage `scaling`, and for the networks of the stage `shapeset`, which may be
as wide as the paper's: with each model at its own best rate, and with all models at one rate.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import claims, drawing, study
from experiments.claims import Claim, Measured, Metrics, number
from experiments.glorot2010 import courses, densities, learning, scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("scaling", "shapeset")
HOLDS = {True: "#0072B2", False: "#D55E00"}
BEST = "best"  # in place of a rate: each model at its own

TANH = {"tanh": "standard, eq. 1", "tanh_n": "normalised, eq. 16", "tanh_p": "eq. 16, eq. 1 on the ends"}

Readings = Mapping[str, np.ndarray]  # of a model: (S,) each

# Of each claim the models it is about, the reading (see scaling.py), and how their values combine, paired by seed.
TURNED: Mapping[str, tuple[tuple[str, ...], str, Callable[..., np.ndarray]]] = {
    "figure3-softsign-together": (("tanh", "softsign"), "half_way", np.subtract),
    "figure3-softsign-asymptote": (("softsign",), "furthest", np.positive),
    "figure4-softsign-knees": (("softsign",), "mode", np.positive),
    "figure11-tanh-below-softsign": (("tanh", "softsign"), "valid", np.subtract),
    "figure11-softsign-is-robust": (
        ("tanh", "tanh_n", "softsign", "softsign_n"),
        "valid",
        lambda tanh, tanh_n, softsign, softsign_n: (tanh - tanh_n) - (softsign - softsign_n),
    ),
}


class Cell(NamedTuple):
    """A width, a pixel range and a budget in updates, and by rate the models that got there, with their own rates."""

    width: int
    pixel_range: tuple[float, float]
    updates: int
    by_rate: Mapping[str, Mapping[str, tuple[str, Readings]]]


class Row(NamedTuple):
    """A claim in a cell: what is at one rate or at the best ones, those rates, and what was measured."""

    cell: Cell
    rate: str
    rates: tuple[str, ...]
    found: Measured


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`turns.<claim>.<width>.<low>.<updates>`: what a claim is about, in a cell with every model at its best rate."""
    return {
        f"turns.{claim}.{row.cell.width}.{row.cell.pixel_range[0]:g}.{row.cell.updates}": row.found
        for claim in TURNED
        for row in rows(claim, found)
        if row.rate == BEST
    }


def cells(found: Mapping[str, Any]) -> Iterator[Cell]:
    """The cells of the narrow networks; of the others up to the first of their budgets, and at the end."""
    stage, other = found["scaling"], found.get("shapeset")
    for cell in stage["cells"]:
        yield Cell(stage["width"], tuple(cell["pixel_range"]), cell["updates"], _by_rate(cell["models"]))
    for updates in (stage["cells"][0]["updates"], other["done"]) if other else ():
        cut = {name: courses.until(updates, own) for name, own in other["models"].items()}
        models = {name: (number(own["rate"]), scaling.readings(own)) for name, own in cut.items()}
        reached = next(iter(cut.values()))["step"][-1]
        yield Cell(other["width"], tuple(other["pixel_range"]), reached, {BEST: models})


def _by_rate(models: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, Readings]]]:
    by_rate: dict[str, dict[str, tuple[str, Readings]]] = {BEST: {}}
    for name, rates in models.items():
        of = {rate: {key: np.array(values) for key, values in own.items()} for rate, own in rates.items()}
        if of:  # at some rate no seed diverged
            best = min(of, key=lambda rate: of[rate]["valid"].mean())
            by_rate[BEST][name] = best, of[best]
        for rate in sorted(of, key=float):
            by_rate.setdefault(rate, {})[name] = rate, of[rate]
    return by_rate


def rows(claim: str, found: Mapping[str, Any]) -> Iterator[Row]:
    """A claim in all cells and at all rates in which what it is about was measured, the best ones first."""
    names, reading, combined = TURNED[claim]
    for cell in cells(found):
        seen = set()
        for rate, models in cell.by_rate.items():
            rates, own = zip(*(models.get(name, ("", {})) for name in names), strict=True)
            if rates not in seen and all(reading in values for values in own):
                seen.add(rates)
                values_S = combined(*(values[reading] for values in own))
                yield Row(cell, rate, rates, learning.over_seeds(values_S.round(12)))


def checked(claim: Claim, row: Row) -> claims.Checked:
    """The claim's state in a cell, with however few seeds."""
    return claims.check([dataclasses.replace(claim, seeds=None)], {claim.metric: row.found}, claim.tier)[0]


def _claims() -> dict[str, Claim]:
    every = {claim.id: claim for claim in study.load(__package__.rpartition(".")[2]).claims()}
    return {name: every[name] for name in TURNED}


def tables(found: Mapping[str, Any]) -> dict[str, list[Mapping[str, str]]]:
    """Of each claim a line for every cell and rate; and `as_printed`, of tanh under three initialisations."""
    of_claims = {name: [_line(claim, row) for row in rows(name, found)] for name, claim in _claims().items()}
    return of_claims | {"as_printed": [line for cell in cells(found) for line in _initialisations(cell)]}


def _line(claim: Claim, row: Row) -> Mapping[str, str]:
    words = claims.rows([checked(claim, row)])[0]
    rates = ", ".join(f"{name} {rate}" for name, rate in zip(TURNED[claim.id][0], row.rates, strict=True))
    return {
        **_where(row.cell),
        "learning rates": f"{rates} (best)" if row.rate == BEST else rates,
        **{name: words[name] for name in ("measured", "bound", "state")},
    }


def _where(cell: Cell) -> dict[str, str]:
    low, high = cell.pixel_range
    return {"units": f"{cell.width:,}", "pixels": f"{low:g} to {high:g}", "updates": f"{cell.updates:,}"}


def _initialisations(cell: Cell) -> Iterator[Mapping[str, str]]:
    """tanh under eq. 1, eq. 16, and eq. 16 with eq. 1 on the first and the last layer, each at its best rate."""
    for name in ("tanh", "tanh_n", "tanh_p"):
        if name not in cell.by_rate[BEST]:
            continue
        rate, own = cell.by_rate[BEST][name]
        words = {key: densities.words(learning.over_seeds(own[key])) for key in ("apart", "saturated", "valid")}
        yield {
            **_where(cell),
            "initialisation": TANH[name],
            "learning rate": rate,
            "largest over smallest weight gradient": words["apart"],
            "saturated activations": words["saturated"],
            "validation error, %": words["valid"],
        }


def draw(found: Mapping[str, Any]) -> "Figure":
    """A panel for each claim, a line for each cell: open at each rate, filled where every model has its best one."""
    figure, names = drawing.figure(9.5, 4.2), [_name(cell) for cell in cells(found)]
    panels = figure.subplots(1, len(TURNED), sharey=True)
    for axes, (name, claim) in zip(panels, _claims().items(), strict=True):
        _panel(axes, claim, [(names.index(_name(row.cell)), row) for row in rows(name, found)])
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].invert_yaxis()
    stage = found["scaling"]
    text = (
        "Filled: each model at its best rate on validation; open: all models at one rate. Bars: 95 % intervals over "
        "seeds. The dashed line is the bound, its arrow points to where the claim holds; blue where it does. "
    )
    rates = ", ".join(map(number, stage["rates"]))
    drawing.caption(figure, f"{text}{stage['width']} units: {stage['seeds']} seeds, rates {rates}.")
    return figure


def _name(cell: Cell) -> str:
    low, high = cell.pixel_range
    return f"{cell.width:,} units\npixels {low:g} to {high:g}\n{cell.updates:,} updates"


def _panel(axes: "Axes", claim: Claim, placed: list[tuple[int, Row]]) -> None:
    rates = sorted({row.rate for _, row in placed} - {BEST}, key=float)
    for y, row in placed:
        best, colour = row.rate == BEST, HOLDS[checked(claim, row).state == claims.PASS]
        below = 0 if best else 0.16 * (rates.index(row.rate) + 1)
        axes.plot([row.found.low, row.found.high], [y + below] * 2, color=colour, lw=1.2 if best else 0.7)
        axes.plot(row.found.value, y + below, "o" if best else "s", color=colour, mfc=colour if best else "white",
                  ms=5 if best else 3.5)  # fmt: skip
    axes.axvline(claim.bound, color="0.3", ls="--", lw=0.9)
    axes.set_title("\n".join(claim.id.split("-", 1)), fontsize=8)
    to = {"above": 12, "below": -12}[claim.direction]
    axes.annotate("", (claim.bound, 1.0), xytext=(to, 0), textcoords="offset points",
                  xycoords=("data", "axes fraction"), arrowprops={"arrowstyle": "<-", "color": "0.3"})  # fmt: skip
