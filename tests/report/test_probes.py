"""Saved probes: their folders, their figure, and their pages, alone and beside each other."""

import dataclasses
import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

import xinit
from tests.report.browser import PHONE, visit
from xinit import report
from xinit.analysis import layer_marks, saved_probes
from xinit.analysis.figures.probe import SCHEMES, ZERO, figure
from xinit.analysis.finding import Finding
from xinit.core import netcdf
from xinit.core.errors import InputError
from xinit.report.__main__ import main
from xinit.tracing import remedies

pytestmark = pytest.mark.usefixtures("compile_quickly")
RNG = np.random.default_rng(0)
BATCH = RNG.normal(size=(24, 12)).astype(np.float32), RNG.integers(0, 5, 24)
HOSTILE = "<script>hurt()</script><b id=hurt>\"'&\x1b[2J"


def mlp(params, x):
    """Relu layers, with a skip over each hidden one."""
    x = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    for w in params["hidden"]:
        x = x + jax.nn.relu(x @ w)
    return x @ params["last"]["kernel"]


def plain(params, x):
    """Relu layers, one behind the other."""
    for w in params[:-1]:
        x = jax.nn.relu(x @ w)
    return x @ params[-1]


def drawn(variance, *shape):
    return (np.sqrt(variance / shape[-2]) * RNG.normal(size=shape)).astype(np.float32)


@pytest.fixture(scope="module")
def probed():
    """Reports of a residual network whose last kernel is 0 and of a plain one that is too small, by name."""
    hidden = [drawn(2, 16, 16) for _ in range(3)]
    first = {"kernel": drawn(2, 12, 16), "bias": np.zeros(16, np.float32)}
    params = {"first": first, "hidden": hidden, "last": {"kernel": np.zeros((16, 5), np.float32)}}
    small = [drawn(1, 12, 16), *(drawn(0.4, 16, 16) for _ in range(9)), drawn(1, 16, 5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remedies, "remedy", lambda *arguments: "xinit.initialize(params, 'he', jax.random.key(0))")
        return {
            "residual": xinit.probe(mlp, BATCH, variables=params),
            "small": xinit.probe(plain, BATCH, variables=small),
        }


@pytest.fixture
def folder(probed, tmp_path):
    """Both probes, saved."""
    for name, own in probed.items():
        own.save(tmp_path / name)
    return tmp_path


def assert_equal(first, second):
    for field in dataclasses.fields(first):
        if field.name != "readings":
            assert getattr(first, field.name) == getattr(second, field.name), field.name
    assert first.readings.keys() == second.readings.keys()
    for name, values in first.readings.items():
        np.testing.assert_array_equal(values, second.readings[name], name)
        assert values.dtype == second.readings[name].dtype


@pytest.mark.parametrize("name", ["residual", "small"])
def test_a_report_comes_back_as_it_was(probed, folder, name):
    assert_equal(probed[name], saved_probes.load(folder / name))
    assert str(saved_probes.load(folder / name)) == str(probed[name])


def test_what_is_not_finite_comes_back(probed, tmp_path):
    readings = {name: values.copy() for name, values in probed["small"].readings.items()}
    readings["pre_std"][3], readings["grad_pre_std"][2] = np.nan, np.inf
    wrong = dataclasses.replace(probed["small"], readings=readings, loss=float("inf"), x_moments=None)
    wrong.save(tmp_path)
    assert_equal(wrong, saved_probes.load(tmp_path))
    json.loads((tmp_path / "probe.json").read_text(), parse_constant=pytest.fail)  # as every reader of JSON takes it
    assert figure(wrong).axes
    report.write([tmp_path])


def test_another_probe_is_overwritten_and_nothing_else(probed, folder, tmp_path):
    probed["small"].save(folder / "residual")
    assert_equal(probed["small"], saved_probes.load(folder / "residual"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("name: mine")
    with pytest.raises(InputError, match=r"holds config\.yaml and no saved probe; save into a new folder"):
        probed["small"].save(tmp_path / "run")
    with pytest.raises(InputError, match="cannot be written"):
        probed["small"].save(tmp_path / "run" / "config.yaml")
    assert (tmp_path / "run" / "config.yaml").read_text() == "name: mine"


def changed(**fields):
    """A change of the JSON that keeps its hash, as a stranger may make it."""
    return lambda folder: (folder / "probe.json").write_text(
        json.dumps(json.loads((folder / "probe.json").read_text()) | fields)
    )


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:300])


def linked(folder):
    (folder / "probe.nc").rename(folder / "other.nc")
    (folder / "probe.nc").symlink_to(folder / "other.nc")


def other_arrays(folder):
    file = folder / "probe.nc"
    hash_ = netcdf.attributes(file.read_bytes(), file)["probe"]
    file.write_bytes(netcdf.encode({"pre_mean": np.zeros(2)}, {"pre_mean": (("layer",), "")}, {"probe": hash_}))


BAD = {
    "cut JSON": (cut("probe.json"), "cut short, or no JSON"),
    "cut readings": (cut("probe.nc"), "cut short, or no netCDF"),
    "no readings": (lambda folder: (folder / "probe.nc").unlink(), r"it has no probe\.nc"),
    "a link": (linked, "is a link"),
    "other readings": (other_arrays, "pre_mean should be numbers over layer"),
    "a newer one": (changed(format=99), "made by a newer xinit"),
    "no number": (changed(format="1"), "its format is not a number"),
    "of another probe": (changed(hash="0"), "are not of one probe"),
    "no names": (changed(names=[]), "its kinds are not of its layers"),
    "fewer kinds": (changed(kinds=["dense"]), "its kinds are not of its layers"),
    "a wrong type": (changed(loss="much"), "its loss is not as xinit writes it"),
    "a missing field": (changed(kernels=None), "its kernels is not as xinit writes it"),
    "a strange source": (changed(fed_by=[[99]] * 5), "its fed_by names layers that it does not have"),
    "no units": (changed(widths=[0] * 5), "widths and depths are not all at least 1"),
    "a strange level": (changed(findings=[["a"]]), "its findings is not as xinit writes it"),
    "another level": (
        changed(findings=[Finding("BAD", "signal", "it is bad")._asdict()]),
        "it has no findings, or one that is not OK, WARN or FAIL",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_refused_in_a_sentence(folder, name, capsys):
    spoil, words = BAD[name]
    spoil(folder / "residual")
    with pytest.raises(InputError, match=words) as caught:
        saved_probes.load(folder / "residual")
    assert str(caught.value).count("\n") == 0
    assert main([str(folder / "residual")]) == 2
    assert not (folder / "residual" / "report.html").exists()


def test_marks_are_the_layers_that_findings_are_about(probed):
    residual, small = (layer_marks.marks(probed[name]) for name in ("residual", "small"))
    assert residual["reach"].tolist() == [True] * 4 + [False]
    assert small["signal"].tolist()[0] is False
    assert small["signal"][-1]
    assert small["gradient"][0]
    assert not small["gradient"][-1]
    names = probed["small"].names
    unknown = dataclasses.replace(probed["small"], findings=(Finding("WARN", "new", "look at it", layers=(2,)),))
    assert layer_marks.marks(unknown)["new"].tolist() == [name == names[2] for name in names]


def test_the_figure_has_its_lines(probed):
    signal, gradient, shares, variances = figure(probed["residual"]).axes
    own = probed["residual"]
    lines = {line.get_label(): line for line in (*signal.lines, *gradient.lines, *shares.lines, *variances.lines)}
    np.testing.assert_allclose(lines["z, what a layer gives"].get_ydata()[:4], layer_marks.signal(own)[:4])
    np.testing.assert_allclose(lines["h, what it reads"].get_ydata(), layer_marks.inputs(own))
    np.testing.assert_array_equal(lines["units that pass no gradient"].get_ydata(), own.readings["grad_pre_zero_units"])
    assert [set(lines[words].get_ydata()) for words in SCHEMES.values()] == [{1.0}, {2.0}]
    assert lines[ZERO].get_xdata().tolist() == [5]
    assert signal.get_yscale() == gradient.get_yscale() == variances.get_yscale() == "log"
    assert "bad: reach" in gradient.get_legend_handles_labels()[1]


def text(page):
    return re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)


def test_the_page_of_one_probe(folder):
    shown = text(report.write([folder / "small"]))
    assert "The signal vanishes over depth" in shown
    assert "Seen to help: <code>xinit.initialize(" in shown
    assert "What to do" in shown
    assert "the uniform answer has 1.609" in shown
    n = 11
    assert len(re.findall(r'<g class="layer', shown)) == n
    assert len(re.findall(r'<path class="edge', shown)) == n - 1
    assert len(re.findall(r'<svg class="spark"', shown)) == 2 * n
    titles = re.findall(r"<h3>([^<]*)</h3>", shown)
    assert titles == ["What to do", "Signal", "Gradient", "n_in Var W", "Units without gradient", "Where z lies",
                      "Where dL/dz lies"]  # fmt: skip


def test_a_skip_is_an_arch(folder):
    shown = text(report.write([folder / "residual"]))
    assert re.findall(r'<path class="edge (?:skip|bad)?"', shown)
    assert "all weights" not in shown
    assert 'class="layer bad"' in shown


def test_several_probes_are_one_page(folder, capsys):
    page = folder / "page.html"
    assert main([str(folder), "-o", str(page)]) == 0
    shown = text(page)
    assert "2 probes compared" in shown
    assert re.findall('<td class="">(residual|small)<', shown) == ["residual", "small"]
    assert "z, residual" in shown
    assert main([str(folder / "small"), str(folder / "residual"), "-o", str(page)]) == 0
    assert "2 probes compared" in text(page)


def test_probes_and_runs_do_not_mix(folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("name: mine")
    with pytest.raises(InputError, match="a page shows probes, or runs and sweeps"):
        report.write([folder / "small", tmp_path / "run"], tmp_path / "page.html")


def hostile(folder):
    """A probe all of whose names are hostile, with the hash that belongs to them."""
    own = saved_probes.load(folder)
    changed = dataclasses.replace(
        own,
        names=tuple(f"{HOSTILE}{l}" for l in range(len(own.names))),
        kinds=(HOSTILE,) * len(own.names),
        functions=(HOSTILE,) * len(own.names),
        unseen={HOSTILE: HOSTILE},
        findings=(Finding("FAIL", HOSTILE, HOSTILE),),
        parameters=tuple(row._replace(path=HOSTILE, dtype=HOSTILE, roles=(HOSTILE,)) for row in own.parameters),
        remedy=HOSTILE,
    )
    changed.save(folder)
    return folder


def test_texts_of_a_stranger_stay_texts(folder):
    shown = text(report.write([hostile(folder / "small")]))
    assert "<script>hurt" not in shown
    assert "<b id" not in shown
    assert "\x1b" not in shown
    assert "\x1b" not in str(saved_probes.load(folder / "small"))


@pytest.mark.heavy
def test_the_pages_in_a_browser(chromium, folder):
    pages = [report.write([folder / "small"]), report.write([folder], folder / "page.html")]
    for page in pages:
        for look in ({}, {"color_scheme": "dark"}, PHONE):
            with visit(chromium, page, **look) as visited:
                assert visited.is_clean(), visited.problems
                assert visited.fits()
    shutil.copytree(folder / "small", folder / "strange")
    with visit(chromium, report.write([hostile(pathlib.Path(folder, "strange"))])) as visited:
        assert visited.is_clean(), visited.problems
        assert visited.page.locator("#hurt").count() == 0
