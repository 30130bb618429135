"""The concept pages: their arithmetic is right, their numbers are there, and the widget computes what theory does."""

import ast
import importlib
import math
import pathlib
import re

import numpy as np
import pytest

from experiments.compromise import linear
from xinit.networks import activations
from xinit.networks.losses import cross_entropy
from xinit.networks.mlp import plain
from xinit.networks.network import Site
from xinit.schemes import law_of
from xinit.theory.output_errors import output_errors
from xinit.theory.recursion import follow

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "concepts").glob("*.md"))
CALCULATION = re.compile(r"`([\d./*()sqrt-]+) = ([\d.]+)`")
MEANS = {
    "fan-in": "fan_in",
    "fan-out": "fan_out",
    "geometric": "geometric",
    "Glorot": "xavier",
    "mean of the variances": "mean_of_variances",
}
SETTINGS = {"depth": 7, "width": 64, "ratio": 4, "inputs": 100, "outputs": 10, "factor": 1}
CASES = [
    ("linear", "alternating"),
    ("tanh", "alternating"),
    ("tanh", "taper"),
    ("relu", "bottleneck"),
    ("sigmoid", "grow"),
    ("linear", "constant"),
]


def value(formula):
    """Of a formula of numbers, `sqrt` and the four operations."""
    tree = ast.parse(formula, mode="eval")
    allowed = (ast.Expression, ast.BinOp, ast.operator, ast.Constant, ast.Call, ast.Name, ast.Load)
    assert all(isinstance(node, allowed) for node in ast.walk(tree)), formula
    return eval(compile(tree, "formula", "eval"), {"__builtins__": {}, "sqrt": math.sqrt})


def test_what_is_calculated_on_a_page_is_right():
    calculations = [found for page in PAGES for found in CALCULATION.findall(page.read_text())]
    assert len(calculations) > 8
    for formula, result in calculations:
        digits = len(result.replace(".", "").lstrip("0"))
        assert float(f"{value(formula):.{digits}g}") == float(result), formula


def test_every_number_of_the_kept_results_is_there(monkeypatch):
    pytest.importorskip("docutils", reason="needs docutils, which the extra docs brings")
    monkeypatch.syspath_prepend(DOCS)
    kept = importlib.import_module("kept_numbers").kept
    asked = [found for page in PAGES for found in re.findall(r"\{kept\}`(\w+) ([^`]+)`", page.read_text())]
    assert len(asked) > 40
    for study, name in asked:
        assert re.search(r"\d", kept(study, name)), (study, name)
    with pytest.raises(KeyError):
        kept("compromise", "propagation.nothing")


@pytest.fixture(scope="module")
def widget(chromium):
    page = chromium.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((DOCS / "_static" / "fans.html").as_uri())
    yield page
    page.close()
    assert problems == []


@pytest.mark.parametrize(("activation", "profile"), CASES)
def test_the_widget_computes_what_theory_does(widget, activation, profile):
    settings = SETTINGS | {"activation": activation, "profile": profile}
    shown = widget.evaluate("settings => fans.computed(settings)", settings)
    ratio = 4.0 if profile != "constant" else 1.0
    hidden = linear.widths_of(profile, ratio, SETTINGS["depth"] - 1, SETTINGS["width"])
    widths = (SETTINGS["inputs"], *hidden, SETTINGS["outputs"])
    assert tuple(shown["widths"]) == widths
    network = plain(widths, (getattr(activations, activation)(),) * len(hidden))
    errors = output_errors(cross_entropy(), np.arange(2), SETTINGS["outputs"])
    for label, scheme in MEANS.items():
        found = follow(network, law_of(linear.scheme_named(scheme), network), np.eye(2), errors, np.arange(2))
        gradient = np.array([np.mean(found.grads[Site("weight", place)]) for place in range(len(widths) - 1)])
        course = shown["courses"][label]
        np.testing.assert_allclose(course["signal"][:-1], found.pre.mean(axis=1), rtol=1e-5)
        np.testing.assert_allclose(course["gradient"], gradient / gradient[-1], rtol=1e-5)


def test_the_widget_shows_the_zig_zag_of_the_study(widget):
    rows = widget.locator("#fans-widget table tr").all_inner_texts()
    (glorot,) = [row for row in rows if "Glorot" in row]
    assert glorot.split()[-2:] == ["0.0115", "0.0115"]
    assert "Furthest: mean of the variances" in widget.locator("#fans-widget .words").inner_text()


def test_a_slider_redraws(widget):
    before = widget.locator("#fans-widget .signal").inner_html()
    widget.locator("#fans-widget [name=depth]").fill("40")
    assert widget.locator("#fans-widget .signal").inner_html() != before
