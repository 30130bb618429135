"""Readings of the user's on pages: of a run, of a sweep and of several runs, and of a stranger's folder."""

import pathlib
import sys

import numpy as np
import pytest

import xinit
from tests.report.browser import PHONE, visit
from tests.report.test_report import HOSTILE, TINY
from xinit import report
from xinit.core import netcdf
from xinit.report.extra import CELLS, FIGURES, TITLE
from xinit.runs import record

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
MODULE = '''
import jax.numpy as jnp

def of_page(params, batch, outputs):
    """Some of everything & more."""
    covariances = [jnp.mean(h) for h in outputs.pre]
    return {"number": jnp.mean(outputs.logits), "layers": jnp.stack(covariances), "few": outputs.logits[0],
            "many": batch[0][0], "matrix": outputs.logits[:40], "never": jnp.nan, "constant": 1.0}
'''
NAMES = ("number", "layers", "few", "many", "matrix", "constant")
SMALL = TINY | {"depth": 3, "width": 16, "steps": 30, "probe": "economy", "probe.points": 4, "data.inputs": 20}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The folder of a sweep of four runs."""
    out = tmp_path_factory.mktemp("runs")
    (out / "of_page.py").write_text(MODULE)
    sys.path.insert(0, str(out))
    swept = {"scheme": ["xavier", "he"], "seed": [0, 1]}
    settings = {name: value for name, value in SMALL.items() if name != "scheme"} | {"probe.extra": "of_page:of_page"}
    found = xinit.sweep(swept, out=str(out / "runs"), progress=False, **settings)
    sys.path.remove(str(out))
    return pathlib.Path(found.attrs["path"])


@pytest.fixture(scope="module")
def runs(sweep):
    return sorted(path.parent for path in sweep.parents[1].rglob("config.yaml"))


def section(visited):
    return visited.page.locator("section").filter(has=visited.page.get_by_role("heading", name=TITLE))


@pytest.mark.slow
def test_each_is_on_the_page_of_its_run(runs, chromium, tmp_path):
    with visit(chromium, report.write([runs[0]], tmp_path / "page.html")) as visited:
        shown = section(visited)
        assert set(shown.locator("h3").all_inner_texts()) == set(NAMES)
        assert shown.locator(".chart svg").count() == len(NAMES)
        text = shown.inner_text()
        assert "Some of everything & more (of_page:of_page). A line for each layer." in text
        assert "No finite number at any step: never." in text
        assert visited.drawn("layers").count('aria-roledescription="line mark container"') == 3
        before = visited.drawn("matrix")
        visited.move("at", 0)
        assert visited.drawn("matrix") != before
        assert visited.is_clean()
    with visit(chromium, report.write([runs[0]], tmp_path / "page.html"), **PHONE) as visited:
        assert visited.fits()


def test_those_by_step_and_layer_are_on_the_pages_of_several(sweep, runs, chromium, tmp_path):
    for folders in ([sweep], runs[:2]):
        with visit(chromium, report.write(folders, tmp_path / "page.html")) as visited:
            shown = section(visited)
            titles = ["constant", "number", "layers at the start", "layers at the end"]
            assert sorted(shown.locator("h3").all_inner_texts()) == sorted(titles)
            assert visited.drawn("layers at the end").count('aria-roledescription="line mark container"') == 2
            assert "The page of each run has its few, many, matrix too." in shown.inner_text()
            assert visited.is_clean()


def test_what_a_stranger_says_of_his_is_text_and_not_without_end(runs, chromium, tmp_path):
    found = record.load(runs[0])
    readings = {name: values for name, values in found.readings().items() if name not in found.extra()}
    n, points = FIGURES + 5, len(readings["step"])
    readings |= {f"r{i}": np.full(points, np.inf if i == 1 else 1e38) for i in range(n)}
    readings["wide"] = np.ones((points, 10 * CELLS, 10 * CELLS), np.float32) * np.arange(points)[:, None, None]
    own = {"wide": (("rows", "columns"), HOSTILE)} | {f"r{i}": ((), HOSTILE) for i in range(n)}
    attributes = {"extra": " ".join(own), "config": found.config}
    (runs[0] / "readings.nc").rename(tmp_path / "kept")
    (runs[0] / "readings.nc").write_bytes(netcdf.encode(readings, record.described_with(own), attributes))
    page = report.write([runs[0]], tmp_path / "page.html")
    (tmp_path / "kept").rename(runs[0] / "readings.nc")
    assert page.stat().st_size < 2_000_000
    with visit(chromium, page) as visited:
        shown = section(visited)
        assert shown.locator(".chart svg").count() == FIGURES
        assert HOSTILE in shown.inner_text()
        assert f"Of {n} readings {FIGURES} are shown" in shown.inner_text()
        assert visited.page.locator("#hurt").count() == 0
        assert visited.is_clean()
