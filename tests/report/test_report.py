"""The page of a run: what it shows in a real browser, what a stranger's folder cannot do, and every unusual run."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

import xinit
from tests.report.browser import PHONE, visit
from xinit import report
from xinit.analysis import verdict
from xinit.commands import cli
from xinit.core import netcdf
from xinit.report.__main__ import main
from xinit.runs import record

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
TINY = {"data": "synthetic", "data.valid": 200, "data.test": 300, "probe.examples": 100, "scheme": "xavier",
        "figure": False}  # fmt: skip
FULL = {"depth": 3, "width": 24, "steps": 60, "probe": "full", "probe.points": 6, "probe.jacobian_examples": 1}
RIDGES, BANDS = "Activations, layer by layer", "Where the activations lie"
ONE_LAYER, SPECTRA = "Where one layer's activations lie, over training", "Singular values"
HOSTILE = (
    "<script>hurt()</script><img src=x onerror=hurt()></pre></script><b id=hurt>\"'>{{hurt()}} ${hurt()} "
    "javascript:hurt() datum.x; hurt() \\u003c"
)


def trained(tmp_path_factory, **settings):
    out = tmp_path_factory.mktemp("runs")
    return pathlib.Path(xinit.run(out=str(out), progress=False, **TINY | settings).attrs["path"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of which everything was measured."""
    return trained(tmp_path_factory, **FULL)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return report.write([run], tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture
def copy(run, tmp_path):
    """The folder of that run again, for a test to change."""
    return pathlib.Path(shutil.copytree(run, tmp_path / "run"))


def edit(folder, name, change):
    """Rewrite a YAML or JSON file of a run."""
    read, write = (yaml.safe_load, yaml.safe_dump) if name.endswith(".yaml") else (json.loads, json.dumps)
    content = json.loads(
        json.dumps(change(read((folder / name).read_text())))
    )  # no value twice: YAML would refer to it
    (folder / name).write_text(write(content))


def edit_readings(folder, change):
    """Store other readings in a run's folder."""
    found = record.read_readings(folder / "readings.nc")
    changed = change({name: values for name, values in found.items() if name in record.DESCRIBED})
    (folder / "readings.nc").write_bytes(netcdf.encode(changed, record.DESCRIBED, {}))


def content(page):
    """What a reader sees, and the charts: the page without Vega's own script."""
    return re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)


def titles(text):
    return re.findall(r"<h3>([^<]*)</h3>", text.replace("&#39;", "'"))


def columns(text, title):
    """The data of the chart under a heading."""
    spec = re.search(rf'<h3>{title}</h3>.*?<script type="application/json">(.*?)</script>', text, re.DOTALL)[1]
    return next(iter(json.loads(spec)["datasets"].values()))[0]


def test_the_page_in_a_browser(chromium, page):
    with visit(chromium, page) as visited:
        assert visited.is_clean(), visited.problems
        assert visited.fits()
        last = {title: visited.drawn(title) for title in (RIDGES, BANDS, SPECTRA, ONE_LAYER)}
        chosen = visited.page.locator("output").first
        assert chosen.inner_text() == "60 (600 examples)"
        visited.move("at", 0)
        assert chosen.inner_text() == "0 (0 examples)"
        assert all(visited.drawn(title) != last[title] for title in last)  # over training, a line marks the step
        marked = visited.drawn(ONE_LAYER)
        visited.move("layer", 0)
        assert visited.drawn(ONE_LAYER) != marked
        visited.move("layer", 2)
        visited.move("at", 5)
        assert {title: visited.drawn(title) for title in last} == last
        assert visited.problems == []


def inks(visited):
    """The colours of the page's text and of a chart's labels."""
    colour = lambda selector, part: visited.page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{part}")
    return colour("h1", "color"), colour(".chart svg text", "fill")


def test_dark_and_on_a_phone(chromium, page):
    seen = {}
    for name, look in {"light": {}, "dark": {"color_scheme": "dark"}, "phone": PHONE}.items():
        with visit(chromium, page, **look) as visited:
            assert visited.is_clean(), (name, visited.problems)
            assert visited.fits(), name
            seen[name] = inks(visited)
    assert seen["light"] == seen["phone"] != seen["dark"]
    assert all(text == label for text, label in seen.values())


def hostile(folder):
    """Every text of a run's folder replaced, keys of free mappings included."""
    own = {HOSTILE: HOSTILE}
    edit(
        folder,
        "config.yaml",
        lambda config: (
            config
            | {"name": HOSTILE, "scheme": {"fn": HOSTILE, "gain": HOSTILE, "options": own}, "precision": HOSTILE}
            | {"activations": [{"fn": HOSTILE, "options": own}] * 3, "widths": [HOSTILE, 24, 24]}
            | {name: config[name] | own for name in ("data", "optimizer", "probe", "verdict")}
        ),
    )
    edit(
        folder,
        "summary.json",
        lambda summary: (
            summary
            | {"verdict": f"FAIL: {HOSTILE}", "remedy": HOSTILE, "device": HOSTILE, "versions": own, HOSTILE: HOSTILE}
        ),
    )
    edit(folder, "status.json", lambda status: {"state": HOSTILE, "reason": HOSTILE})
    edit_readings(folder, lambda readings: readings)  # which then carry no config
    return folder


def test_hostile_texts_are_shown_and_do_nothing(chromium, page, copy):
    counted = "['script', 'img', 'b', 'iframe', 'a'].map(name => document.querySelectorAll(name).length)"
    with visit(chromium, page) as visited:
        own = visited.page.evaluate(counted)
    with visit(chromium, report.write([hostile(copy)])) as visited:
        dialogs = []
        visited.page.on("dialog", lambda dialog: dialogs.append(dialog))
        visited.move("at", 1)
        assert visited.is_clean(), visited.problems
        assert visited.page.evaluate(counted) == own
        assert visited.page.locator("#hurt").count() == 0
        assert dialogs == []
        assert visited.page.title() == visited.page.locator("h1").inner_text() == HOSTILE
        facts = visited.page.locator(".card").first.text_content()
        assert facts.count(HOSTILE) >= 10
        assert HOSTILE in visited.page.locator(".findings + p").inner_text()


def test_half_characters_do_not_stop_a_page(copy):
    (copy / "readings.nc").unlink()
    edit(copy, "summary.json", lambda summary: summary | {"device": "\ud800 cpu"})
    assert "? cpu" in content(report.write([copy]))


def test_what_is_drawn_and_told_is_what_was_stored(run, page):
    readings, summary = record.read_readings(run / "readings.nc"), record.read_json(run / "summary.json")
    text = content(page)
    np.testing.assert_allclose(columns(text, "Spread of the activations")["value"], readings["act_std"].ravel(), 1e-3)
    np.testing.assert_allclose(columns(text, "Saturated")["share"], readings["act_saturated"].ravel(), 1e-3)
    bands = columns(text, BANDS)
    np.testing.assert_allclose(bands["median_2"][::3], readings["act_quantile"][2, :, 4], 1e-3, 1e-7)
    np.testing.assert_allclose(bands["low_5"][::3], readings["act_quantile"][5, :, 0], 1e-3, 1e-7)
    drawn = columns(text, RIDGES)
    rows = np.array(drawn["row"])
    for i in range(6):  # each ridge reaches its full height, and no further
        tops = np.array(drawn[f"top_{i}"])
        np.testing.assert_allclose([(tops - rows)[rows == l].max() for l in range(3)], 0.95, atol=0.01)
    limits = yaml.safe_load((run / "config.yaml").read_text())["verdict"]
    for finding in verdict.judge(readings, summary, limits):
        assert finding.sentence[1:].replace("'", "&#39;") in text
    assert f"{summary['test_error']:.1%}" in text
    assert f'<td class="number">{readings["act_std"][-1, 2]:.3g}</td>' in text


def test_thinning_a_histogram_moves_no_share():
    from xinit.report import layers

    shares = np.zeros((2, 128))
    shares[0, 40:70], shares[1, 60:121] = 1 / 30, 1 / 61
    edges = np.linspace(-1, 1, 129)
    thin, kept = layers.thinned(shares, edges)
    assert thin.shape[1] <= layers.BINS
    np.testing.assert_allclose(thin.sum(axis=1), 1)
    np.testing.assert_array_equal(kept[[0, -1]], edges[[40, 121]])
    np.testing.assert_allclose(thin[1] @ kept[1:] + thin[1] @ kept[:-1], shares[1] @ (edges[1:] + edges[:-1]), 0.02)


@pytest.mark.parametrize("n", [1, 2, 14, 24, 100])
def test_the_slider_has_both_ends_and_few_places(n):
    from xinit.report import layers

    at = layers.places({"step": np.arange(n)})
    assert (at[0], at[-1]) == (0, n - 1)
    assert len(at) == min(n, layers.PLACES)


def test_measured_sizes_lie_where_theory_says(tmp_path):
    """Of eight networks, at their start: the 95 % bands hold nearly all layers, and theory the mean of their squares.

    An interval's half-width is 1.96 standard deviations of a network; a mean of eight within 3.5 standard errors.
    """
    from xinit.report import layers, sources

    settings = {"depth": 4, "width": 128, "steps": 1, "probe.points": 2, "out": str(tmp_path)}
    runs = xinit.sweep({"seed": range(8)}, progress=False, **TINY | settings)
    stored = [sources.load(pathlib.Path(path)).readings for path in runs.path.values]
    for name in ("act", "pre", "grad_pre"):
        found = [layers.beside_theory(readings, name) for readings in stored]
        measured, low, high, mean = (
            np.array([own[part] for own in found]) for part in ("measured", "low", "high", "predicted")
        )
        assert np.mean((low < measured) & (measured < high)) > 0.8, name
        error = (high**2 - low**2)[0] / 2 / 1.96 / np.sqrt(8)
        assert (np.abs(np.mean(measured**2 - mean**2, axis=0)) < 3.5 * error).all(), name


ECONOMY = re.compile("hist|quantile|edges|predicted|jacobian")


def stopped_at_once(folder):
    edit_readings(folder, lambda readings: {k: v if k in record.EDGES else v[:1] for k, v in readings.items()})
    (folder / "summary.json").unlink()


def of_one_layer(folder):
    def first(name, values):
        axes = record.DESCRIBED[name][0]
        kept = {"layer": 1, "weight": 2}
        return values[tuple(slice(kept.get(axis)) for axis in axes)]

    keep = lambda readings: {k: first(k, v) for k, v in readings.items() if "jacobian" not in k}
    edit_readings(folder, keep)
    edit(folder, "config.yaml", lambda config: config | {"widths": [24], "activations": config["activations"][:1]})


def off(folder):
    names = ("step", "train_loss", "train_error")
    edit_readings(folder, lambda readings: {name: readings[name][-1:] for name in names})


def running(folder):
    for name in ("summary.json", "readings.nc"):
        (folder / name).unlink()
    edit(folder, "status.json", lambda status: status | {"state": "running"})


def failed(folder):
    running(folder)
    edit(folder, "status.json", lambda status: status | {"state": "failed", "reason": "ValueError: no luck"})


def infinite(folder):
    """As a run that diverges may end; histograms count no infinite values."""

    def ended(name, values):
        is_whole = name in record.EDGES or name == "step"
        return values if is_whole else np.concatenate([values[:-1], values[-1:] * (0 if "hist" in name else np.inf)])

    with np.errstate(invalid="ignore"):
        edit_readings(folder, lambda readings: {name: ended(name, values) for name, values in readings.items()})
    edit(folder, "summary.json", lambda summary: summary | {"test_error": None, "diverged_at": 60})


def rectified(folder):
    def changed(readings):
        other = {"act_saturated": np.nan, "act_inactive": 0.5}
        filled = {name: np.full_like(readings[name], value) for name, value in other.items()}
        return readings | filled | {"act_dead_expected": np.full(3, 0.1)}

    edit_readings(folder, changed)


UNUSUAL = {  # what was done to the folder; what the page says; what it shows; what it does not
    "economy": (
        lambda folder: edit_readings(folder, lambda r: {k: v for k, v in r.items() if not ECONOMY.search(k)}),
        ["Histograms and quantiles were not measured", "no prediction", "probe=full does"],
        ["Saturated", "Update over weights"], [RIDGES, "Signal", SPECTRA],
    ),
    "off": (off, ["Nothing was measured inside this network: probe=standard does"], [], [RIDGES, "Saturated"]),
    "stopped at step 0": (
        stopped_at_once, ["has not come to its end: measured up to step 0 of 60", "The signal keeps its size"],
        [RIDGES, "Saturated", "Signal"], [ONE_LAYER, "Error over training", "Update over weights"],
    ),
    "one layer": (of_one_layer, ["has no depth", "from two hidden layers on"], [RIDGES, BANDS],
                  [SPECTRA, "What is left over all layers"]),
    "rectifiers": (rectified, [], ["Inactive", "Dead"], ["Saturated", "Flat"]),
    "running": (running, ["nothing measured yet", "Nothing was measured inside this network so far"], [], [RIDGES]),
    "failed": (failed, ["ValueError: no luck"], [], [RIDGES]),
    "infinite": (infinite, ["The loss became infinite or not a number at step 60"], [RIDGES, BANDS, SPECTRA], []),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words", "shown", "left_out"), UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_runs(copy, change, words, shown, left_out):
    change(copy)
    text = content(report.write([copy]))
    assert [word for word in words if word not in text] == []
    assert set(shown) <= set(titles(text))
    assert not set(left_out) & set(titles(text))


def cut(folder):
    content = (folder / "readings.nc").read_bytes()
    (folder / "readings.nc").write_bytes(content[: len(content) // 2])


def flattened(folder):
    found = record.read_readings(folder / "readings.nc")
    described = record.DESCRIBED | {"act_std": (("step",), "")}
    kept = {"step": found["step"], "act_std": found["act_std"][:, 0]}
    (folder / "readings.nc").write_bytes(netcdf.encode(kept, described, {}))


def config_as(text):
    return lambda folder: (folder / "config.yaml").write_text(text)


def without(key):
    return lambda folder: edit(folder, "config.yaml", lambda c: {k: v for k, v in c.items() if k != key})


MISTAKES = {  # what was done to the folder; what is asked for beside it; what the sentence says
    "no folder": (shutil.rmtree, [], "run does not exist; a page is made from the folder of a run"),
    "a file": (lambda folder: None, ["run/config.yaml"], "config.yaml is a file; a page is made from the folder"),
    "runs below": (
        lambda folder: None,
        ["."],
        "is no folder of a run, a sweep, a study, a comparison, an inspection, a monitor or a saved probe; below it "
        "lies a run, run.",
    ),
    "nothing": (lambda folder: (folder.parent / "empty").mkdir(), ["empty"], "nor does one lie below it"),
    "cut readings": (cut, [], "readings.nc cannot be read: it is cut short"),
    "other readings": (flattened, [], "act_std should be numbers over step and layer"),
    "a config that is no YAML": (config_as("{"), [], "config.yaml cannot be read"),
    "code in the config": (config_as("!!python/object/apply:os.abort []"), [], "config.yaml cannot be read"),
    "a config of something else": (config_as("[1, 2]"), [], "it holds [1, 2] where a mapping is expected"),
    "two runs in one": (
        lambda folder: edit(folder, "config.yaml", lambda config: config | {"widths": [24] * 4}), [],
        "run/readings.nc and run/config.yaml are not of one run.",
    ),
    "no widths": (without("widths"), [], "its widths is None, not a list"),
    "a summary of something else": (
        lambda folder: (folder / "summary.json").write_text("[1]"), [], "summary.json cannot be read: it holds [1]",
    ),
    "a number that is a text": (
        lambda folder: edit(folder, "summary.json", lambda s: s | {"wall_s": "<b>"}), [], "its wall_s is not a number",
    ),
    "nowhere to write": (running, ["run", "-o", "none/page.html"], "none/page.html cannot be written"),
    "a folder as the page": (running, ["run", "-o", "run"], "The page run cannot be written"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_written(copy, monkeypatch, capsys, change, arguments, words):
    monkeypatch.chdir(copy.parent)
    change(copy)
    before = sorted(copy.parent.rglob("*"))
    assert main(arguments or ["run"]) == cli.BAD_INPUT
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("xinit: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert sorted(copy.parent.rglob("*")) == before


def test_the_command(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy.parent)
    running(copy)
    assert main(["run"]) == cli.DONE
    assert re.fullmatch(r"page: run/report.html \(\d\.\d MB\)\nnext: .*--open\n", capsys.readouterr().out)
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    assert main(["run", "-o", "mine.html", "--open"]) == cli.DONE
    assert shown == [(copy.parent / "mine.html").as_uri()]
    assert (copy.parent / "mine.html").read_bytes() == (copy / "report.html").read_bytes()


def test_reading_a_folder_imports_nothing_of_it_and_no_jax(copy, tmp_path):
    """In a process of its own, in which the run's own scheme could be imported."""
    (tmp_path / "trap.py").write_text("import pathlib\npathlib.Path('sprung').touch()\n")
    off(copy)
    edit(copy, "config.yaml", lambda config: config | {"scheme": {"fn": "trap:scheme", "gain": 1.0, "options": {}}})
    code = (
        "import sys; from xinit import report; report.write(['run']); "
        "print(sorted({'jax', 'flax', 'hydra', 'xarray', 'pandas', 'matplotlib', 'trap'} & set(sys.modules)))"
    )
    path = os.pathsep.join([str(tmp_path), str(pathlib.Path(xinit.__file__).parents[1])])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert "trap:scheme" in (copy / "report.html").read_text()
    assert not (tmp_path / "sprung").exists()


def test_without_the_packages_there_is_one_sentence(copy):
    code = """
import sys
from xinit.report.__main__ import main
for missing in ("altair", "vl_convert", "markupsafe"):
    sys.modules[missing] = None
    assert main(["run"]) == 2
    del sys.modules[missing]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=copy.parent, capture_output=True, text=True)
    sentence = "xinit: xinit.report needs altair and vl-convert-python: pip install 'xinit[report]'."
    assert done.stderr.splitlines() == [sentence] * 3
