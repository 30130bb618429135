"""Names, axes and definitions of readings of the user's: told from shapes, refused where ours have them, merged."""

import pytest

from xinit.analysis.sweeps import SCORES
from xinit.core import extra
from xinit.core.readings import EDGES, READINGS, TRACED

LAYER, WEIGHT, NUMBER = (("layer",), "a"), (("weight",), "a"), ((), "a")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((), ()),
        ((3,), ("layer",)),
        ((4,), ("weight",)),
        ((2,), ("x_0",)),  # as long as there are Jacobians: of those the user has to speak
        ((3, 3), ("layer", "x_1")),
        ((4, 7), ("weight", "x_1")),
        ((7, 3), ("x_0", "x_1")),
    ],
)
def test_axes_are_told_from_shapes(shape, axes):
    assert extra.axes_of("x", shape, depth=3) == axes


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a b", "a/b", "../a", "é", "a" * 61, "_a", "swept_seed", "step", "layer", "path", *SCORES, *EDGES,
     *READINGS, *TRACED],
)  # fmt: skip
def test_a_name_that_is_none_or_is_ours_is_refused(name):
    assert extra.fault_of_name(name)
    assert extra.fault_of({name: NUMBER})


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"rank": LAYER, "norm": WEIGHT, "loss2": NUMBER, "table": (("label", "answer"), "")}, ""),
        ({"table": (("act_std",), "")}, "xinit has something else of the name act_std"),
        ({"table": (("step",), "")}, "xinit has something else of the name step"),
        ({"table": (("a/b",), "")}, "a name is a letter"),
        ({"table": (("a", "a"), "")}, "at most 2 axes, which differ"),
        ({"table": (("a", "b", "c"), "")}, "at most 2 axes"),
        ({"table": (("rank",), ""), "rank": LAYER}, "rank cannot be both a reading and an axis"),
        ({f"r{i}": NUMBER for i in range(101)}, "at most 100 readings"),
    ],
)
def test_what_a_run_cannot_have_is_said(described, words):
    fault = extra.fault_of(described)
    assert words in fault
    assert bool(fault) == bool(words)


@pytest.mark.parametrize(
    ("several", "expected"),
    [
        ([{"a": LAYER}, {}, {"a": LAYER, "b": NUMBER}], {"a": LAYER, "b": NUMBER}),
        ([{"a": LAYER}, {"a": WEIGHT}], {"a": (("a_0",), "a")}),
        ([{"a": LAYER}, {"a": NUMBER}], {"a": LAYER}),
        ([{"a": (("label",), "x")}, {"label": NUMBER}], {"a": (("a_0",), "x"), "label": NUMBER}),
        ([{"a": ((), "x")}, {"a": ((), "y")}, {"a": ((), "x")}], {"a": ((), "x; or: y")}),
    ],
)
def test_what_several_runs_have_together(several, expected):
    assert extra.merged(several) == expected
    assert not extra.fault_of(expected)


def test_a_definition_is_one_line_that_can_be_printed():
    assert extra.plain("a \n\n b\x1b[31m\x00 é") == "a b?[31m? é"
    assert len(extra.plain("a" * 1000)) == extra.LONGEST
