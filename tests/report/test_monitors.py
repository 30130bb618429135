"""The page of several monitors, in a real browser and from folders that differ, and what it refuses."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xinit
from tests.report.browser import PHONE, visit
from xinit import report
from xinit.core.errors import InputError
from xinit.report.__main__ import main

pytestmark = pytest.mark.usefixtures("compile_quickly")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 12)).astype(np.float32), RNG.integers(0, 5, 24)
NAMES = ("1_first", "2_second", "3_third", "4_last")  # jax sorts them


def mlp(params, x):
    for name in [*params][:-1]:
        x = jax.nn.relu(x @ params[name])
    return x @ params[[*params][-1]]


def drawn(gain, names=NAMES):
    widths = [12, *[16] * (len(names) - 1), 5]
    shapes = zip(names, widths, widths[1:], strict=False)
    return {name: jnp.asarray(RNG.normal(size=(n, m)) * np.sqrt(gain / n), jnp.float32) for name, n, m in shapes}


def watch(folder, params, steps):
    """A monitor of weights of which the second layer's grows by a fifth in each step."""
    name = [*params][1]
    with xinit.Monitor(mlp, (X, Y), folder, variables=params, every=1) as monitor:
        for step in steps:
            monitor(step, params | {name: params[name] * 1.2**step})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Those of a sound network, of one whose signal fades, and of one whose last layers have other names."""
    folder = tmp_path_factory.mktemp("watched")
    watch(folder / "sound", drawn(2.0), range(5))
    watch(folder / "fading", drawn(0.02), range(8))
    watch(folder / "<b id=hurt>other", drawn(2.0, ("1_first", "2_second", "3_neck", "4_head")), (0, 3))
    return [folder / "sound", folder / "fading", folder / "<b id=hurt>other"]


@pytest.mark.heavy
def test_two_monitors_in_a_browser(chromium, folders, tmp_path):
    assert main([*map(str, folders[:2]), "-o", str(tmp_path / "page.html")]) == 0
    with visit(chromium, tmp_path / "page.html") as seen:
        assert seen.is_clean()
        text = seen.page.locator("main").inner_text()
        assert "2 monitors compared" in text
        assert seen.page.locator("section", has_text="side by side").locator("figure").count() == 4 * len(NAMES)
        rows = seen.page.locator("section", has_text="Where they differ").locator("tbody tr").all_inner_texts()
    assert text.count("FAIL") == 1
    signal = [row.split("\t") for row in rows if row.startswith("signal")]
    assert [row[1] for row in signal] == ["4_last", "3_third", "2_second"]  # the further down, the fainter
    sound, fading = (xinit.open(folder).sel(step=4) for folder in folders[:2])
    size = lambda own: float(np.hypot(own.pre_mean, own.pre_std)[3])
    assert float(signal[0][2]) == pytest.approx(size(sound), rel=0.01)
    assert float(signal[0][3]) == pytest.approx(size(fading), rel=0.01)
    assert float(signal[0][4].removeprefix("x ")) == pytest.approx(size(sound) / size(fading), rel=0.01)
    with visit(chromium, tmp_path / "page.html", **PHONE) as seen:
        assert seen.fits()


def test_layers_of_one_monitor_alone_are_named_and_not_compared(folders, tmp_path):
    page = report.write(folders, tmp_path / "page.html").read_text()
    assert "These layers have a name that another monitor lacks" in page
    assert "3_third, 4_last" in page
    assert "3_neck, 4_head" in page
    assert "at step 3, the last one that all have reached" in page
    assert "<b id=hurt>" not in page
    assert "&lt;b id=hurt&gt;other" in page


def test_monitors_that_measured_nothing_have_a_row(folders, tmp_path):
    for name in ("empty", "empty too"):
        xinit.Monitor(mlp, (X, Y), tmp_path / name, variables=drawn(2.0)).close()
    page = report.write([tmp_path / "empty", folders[0]], tmp_path / "page.html").read_text()
    assert "Nothing was measured yet." in page
    assert 'class="chart"' in page
    assert "Where they differ" not in page
    page = report.write([tmp_path / "empty", tmp_path / "empty too"], tmp_path / "page.html").read_text()
    assert 'class="chart"' not in page


def test_the_same_record_twice_differs_nowhere(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "copy")
    assert (
        "Nowhere: all values are the same." in report.write([folders[0], tmp_path / "copy"], tmp_path / "p").read_text()
    )


def test_a_run_and_a_monitor_have_no_page_together(folders, tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(
        InputError, match=r"sound is a monitor and .* is none; a page shows monitors, or runs and sweeps"
    ):
        report.render([tmp_path, folders[0]])


@pytest.mark.heavy
def test_the_page_of_one_monitor_in_a_browser(chromium, folders, tmp_path):
    page = report.write([folders[1]], tmp_path / "page.html")
    with visit(chromium, page) as seen:
        assert seen.is_clean()
        table = seen.page.locator("section", has_text="The layers in numbers").locator("table")
        headings = table.locator("th").all_inner_texts()
        cells = dict(zip(headings, table.locator("tbody tr").nth(1).locator("td").all_inner_texts(), strict=True))
    assert "saturated, last" not in headings  # relu has no such share
    readings = xinit.open(folders[1])
    assert cells["layer"] == "2_second"
    assert float(cells["update, first"]) == pytest.approx(0.2, rel=0.01)
    assert float(cells["no gradient, last"]) == pytest.approx(float(readings.grad_pre_zero_units[-1, 1]), rel=0.01)
