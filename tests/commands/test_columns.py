"""Tables on narrow terminals: no line is longer than the terminal, and no number, word or exponent is broken."""

import io

import numpy as np
import pytest
from rich.console import Console

from xinit.commands import columns, listing, tables
from xinit.networks import activations
from xinit.theory import tables as theory_tables
from xinit.theory.courses import course, usual

WIDTHS = (60, 80, 120)
RNG = np.random.default_rng(0)


def shown(renderable, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return console.file.getvalue()


def assert_unbroken(rows, width):
    """Cells that are no prose are whole, on one line; of prose, every word is."""
    out = shown(columns.fitted("a title", rows, width), width)
    assert max(map(len, out.splitlines())) <= width
    words = out.split()
    for row in rows:
        for heading, cell in row.items():
            column = columns._column(heading, [own.get(heading, "") for own in rows])
            parts = cell.split() if column.is_prose else [cell]
            assert all(part in words if column.is_prose else part in out for part in parts), (heading, cell)


def of_theory(name):
    f = getattr(activations, name)()
    courses = [course(f, weights, 50) for weights in usual(f, (0.0, 0.05), [])]
    return [
        theory_tables.moment_rows(f),
        theory_tables.gain_rows(f),
        theory_tables.edge_rows(f, (0.0, 0.05)),
        theory_tables.course_rows(courses),
        theory_tables.phase_rows(courses[0]),
    ]


def of_layers():
    names = ("act_mean", "act_std", "act_saturated", "act_inactive", "act_slope", "grad_pre_std")
    row = {name: RNG.normal(size=5) * 1e-9 for name in names}
    return [tables.layer_rows(row), tables.layer_rows(row, [f"transformer/blocks/attention[{l}]" for l in range(5)])]


def drawn():
    """Rows as of an inspection, a sweep and a comparison: short texts, numbers with bands, a verdict."""
    number = lambda: f"{RNG.normal():.3g}e-{RNG.integers(10, 99)} x÷{RNG.uniform(1, 9):.2g}"
    rows = []
    for n in (3, 8, 14):
        row = lambda l, n=n: {"layer": str(l)} | {f"reading {i}": number() for i in range(n)}
        rows.append([row(l) | {"verdict": "FAIL: chance, signal, gradient"} for l in range(4)])
    return rows


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_breaks_a_number_or_a_word(width):
    laws = listing._law_rows(listing.laws_at(784, 100, "tanh"), 784, 100)
    for rows in [*of_theory("tanh"), *of_theory("relu"), *of_layers(), *drawn(), laws, listing._group_rows()]:
        assert_unbroken(rows, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("group", listing.groups())
def test_a_list_has_lines_that_fit_and_every_name(group, width):
    out = shown(listing._choices(group, width), width)
    assert max(len(line.rstrip()) for line in out.splitlines()) <= width
    assert all(choice.name in out for choice in listing.choices(group))


def test_a_table_that_has_room_is_one():
    rows = [{"layer": "1", "act std": "0.5"}]
    assert len(columns.fitted("", rows, 80).renderables) == 1
    assert columns.fits(rows, 80)


def test_columns_that_have_no_room_go_below_those_that_name_the_rows():
    rows = [{"scheme": s, "learning_rate": r} | {f"n{i}": "1234567890" for i in range(8)} for s in "ab" for r in "12"]
    out = shown(columns.fitted("", rows, 60), 60)
    assert out.count("scheme") == out.count("learning_rate") == len(columns.fitted("", rows, 60).renderables) > 1
