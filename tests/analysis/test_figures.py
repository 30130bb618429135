"""Figures from stored readings alone: what they show, also for the awkward runs."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from xinit.analysis.figures import run as run_figures
from xinit.probes import probe

SUMMARY = {"chance_error": 0.9, "verdict": "OK: it learns."}


def readings(depth=3, points=4, rectifies=False, histograms=True):
    rng = np.random.default_rng(0)
    made = {name: rng.uniform(0.1, 0.9, (points, depth)) for name in ("act_std", "act_slope", "grad_pre_std")}
    made |= {name: rng.uniform(0, 1, points) for name in ("train_error", "valid_error")}
    made["act_inactive"] = np.full((points, depth), 0.5 if rectifies else np.nan)
    if histograms:
        made["act_hist"] = rng.dirichlet(np.ones(probe.BINS), (points, depth))
    edges = np.tile(np.linspace(-1, 1, probe.BINS + 1), (depth, 1))
    return made | {"step": np.array([0, 10, 100, 1000])[:points], "act_edges": edges}


@pytest.mark.parametrize(
    "how", [{}, {"depth": 1}, {"depth": 50}, {"points": 1}, {"rectifies": True}, {"histograms": False}], ids=str
)
def test_the_layers_figure(how, tmp_path):
    made = readings(**how)
    figure = run_figures.layers_figure(made, SUMMARY, "name")
    depth, drawn = made["act_std"].shape[1], 6 if how.get("histograms", True) else 4
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == drawn
    assert all(axes.lines for axes in panels)
    assert sum(len(axes.lines) == depth for axes in panels) >= drawn - 1
    assert figure.get_suptitle() == "name: OK"
    assert len(figure.legends[0].get_texts()) == min(depth, 10 if depth <= 10 else 11)
    run_figures.save_layers(tmp_path / "figures" / "layers.png", made, SUMMARY, "name")
    assert (tmp_path / "figures" / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_drawn_is_what_was_stored():
    made = readings()
    figure = run_figures.layers_figure(made, SUMMARY, "name")
    spread = next(axes for axes in figure.axes if axes.get_title() == "std of the activations")
    for l, line in enumerate(spread.lines):
        np.testing.assert_array_equal(line.get_ydata(), made["act_std"][:, l])
    start = next(axes for axes in figure.axes if axes.get_title() == "activations at initialisation")
    width = made["act_edges"][0, 1] - made["act_edges"][0, 0]
    np.testing.assert_allclose(start.lines[0].get_ydata().sum() * width, 1)


def test_a_run_that_goes_on_has_no_verdict_and_no_chance_yet():
    figure = run_figures.layers_figure(readings(), {}, "name")
    assert figure.get_suptitle() == "name"
    error = next(axes for axes in figure.axes if axes.get_title() == "error, %")
    assert [line.get_label() for line in error.lines] == ["train (running)", "valid"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.2, 0.5], "linear"),  # no tick of a logarithmic axis lies between
        ([0.011, 0.039], "log"),
        ([1e-12, 1.0], "log"),
        ([0.0, 1.0], "linear"),  # it cannot be shown otherwise
        ([0.1, np.nan, np.inf, 1.0], "log"),
        ([np.nan], "linear"),
    ],
)
def test_an_axis_is_logarithmic_where_there_is_something_to_see(values, scale):
    axes = Figure().subplots()
    axes.plot(values)
    run_figures.decades(axes, np.array(values))
    assert axes.get_yscale() == scale
    if scale == "log":
        low, high = axes.get_ylim()
        shown = [
            tick for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True) if label.get_text()
        ]
        assert sum(low <= tick <= high for tick in shown) >= 2


def test_an_error_above_the_variance_stays_in_the_picture():
    data = {"step": np.array([0, 1, 2]), "train_error": np.array([np.nan, 3.0, 0.5])}
    tops = []
    for valid, chance in (([0.9, 0.5, 0.3], 0.8), ([1.4, 0.9, 0.3], 1.02), ([np.inf, np.nan, 0.3], 1.02)):
        axes = Figure().subplots()
        run_figures._error(axes, data | {"valid_error": np.array(valid)}, {"chance_error": chance})
        tops.append(axes.get_ylim()[1])
    assert tops == pytest.approx([100, 147, 210])
