"""Pages of networks that are no plain stack: the main path, what lies within branches, what is not predicted."""

import pathlib

import numpy as np
import pytest

import xinit
from tests.report.browser import visit
from xinit import report
from xinit.report import sources
from xinit.runs import record

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
TINY = {"data.valid": 100, "data.test": 100, "probe.examples": 50, "figure": False, "steps": 20, "probe.points": 3,
        "depth": 3, "width": 16, "activation": "relu", "scheme": "he"}  # fmt: skip
NETWORKS = {
    "residual": {"data": "synthetic", "network": "residual", "network.scale": "learned"},
    "one weight": {"data": "synthetic", "network": "residual", "network.weights": 1, "network.norm": "layer"},
    "convnet": {"data": "shapeset", "network": "convnet", "width": 8},
}
SAID = {
    "residual": ("residual, 3 branches of 2 x 16, scale learned", "Within the branches", "branch\xa02,\xa0weight\xa01"),
    "one weight": ("residual, 3 branches of 1 x 16, scale 1, norm layer", "This network has residual branches"),
    "convnet": ("convnet, 3 hidden layers of 8", "since theory is silent: a convolution", "conv\xa03"),
}


@pytest.fixture(scope="module", params=NETWORKS)
def named(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    run = xinit.run(out=str(out), progress=False, **TINY | NETWORKS[request.param])
    return request.param, pathlib.Path(run.attrs["path"])


def test_a_page_says_what_the_network_is_and_shows_its_layers(named, tmp_path, chromium):
    name, run = named
    page = report.write([run], tmp_path / "page.html")
    text = page.read_text()
    assert [words for words in SAID[name] if words not in text] == []
    with visit(chromium, page) as seen:
        assert seen.is_clean()
        assert seen.fits()
        first = seen.drawn("Activations, layer by layer")
        assert ("sum behind branch" in first) == (name != "convnet")


def test_names_are_stored_with_the_run(named):
    _, run = named
    stored, readings = sources.load(run), record.open(run)
    assert len(stored.layers) == readings.sizes["layer"] == len(stored.weights) - 1
    assert readings.layer_name.values.tolist() == stored.layers
    assert readings.weight_name.values.tolist() == stored.weights
    assert np.isfinite(readings.act_std).all()


def test_several_networks_share_a_page_and_a_sweep(tmp_path):
    settings = TINY | {"data": "synthetic", "out": str(tmp_path), "progress": False}
    sweep = xinit.sweep({"network": ["mlp", "residual"], "seed": [0, 1]}, **settings)
    assert set(sweep.network.values.tolist()) == {"mlp", "residual"}
    page = report.write([pathlib.Path(sweep.attrs["path"])], tmp_path / "page.html")
    assert "network=residual" in page.read_text()
