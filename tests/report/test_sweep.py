"""The pages of a sweep, of several runs and of a study show what lies in the folders: in a browser, and inert."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml

from experiments.glorot2010 import __main__ as glorot2010
from tests.report.browser import PHONE, Visit, visit
from xinit.analysis import sweeps
from xinit.commands import cli, sweeping
from xinit.commands.console import SweepReporter
from xinit.commands.tables import cell_rows
from xinit.core import netcdf
from xinit.core.errors import InputError
from xinit.runs import record, runner
from xinit.settings.compose import compose_many, overrides_from

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]

SMALL = {"data": "synthetic", "width": 16, "depth": 2, "steps": 40, "probe.points": 5, "probe.examples": 50,
         "data.test": 500, "data.valid": 500}  # fmt: skip
SCHEMES, RATES, SEEDS = ("standard", "xavier", "he"), (0.03, 0.3), range(4)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7}} javascript:alert(3) datum.x; alert(4)"


def run_all(out, *jobs):
    overrides = [overrides_from(SMALL | {"out": str(out)} | job) for job in jobs]
    return runner.execute_all(sweeping.parse_all(compose_many("train", overrides)), SweepReporter(quiet=True))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """24 runs: three schemes, two learning rates, four seeds."""
    jobs = [{"scheme": scheme, "optimizer.learning_rate": rate, "seed": seed}
            for scheme in SCHEMES for rate in RATES for seed in SEEDS]  # fmt: skip
    return run_all(tmp_path_factory.mktemp("sweep"), *jobs)


@pytest.fixture(scope="module")
def folder(outcomes):
    return sweeps.write(outcomes)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A rectifier of one layer and one that diverged, one without readings of layers, one that is not over."""
    relu = {"activation": "relu", "scheme": "he", "depth": 1}
    jobs = [relu, relu | {"seed": 1, "optimizer.learning_rate": 1e30}, {"probe": "off"}]
    done = run_all(tmp_path_factory.mktemp("odd"), *jobs)
    return [*done, done[2]._replace(summary={}, readings={}, findings=[], state="stopped")]


def saved(page, path):
    path.write_bytes(page.encode(errors="replace"))
    return path


@pytest.fixture(scope="module")
def opened(folder, chromium, tmp_path_factory):
    """The sweep's page in a browser."""
    from xinit.report import sweep

    with visit(chromium, saved(sweep.page(folder), tmp_path_factory.mktemp("page") / "sweep.html")) as shown:
        yield shown


def rows_of(shown, heading):
    """The rows of the table below a heading that can be seen, by the column's headings."""
    read = """section => [...section.querySelector("table").rows].filter(row => row.offsetParent).map(
        row => [...row.cells].map(cell => cell.innerText))"""
    headings, *rows = shown.page.locator("section", has=shown.page.get_by_role("heading", name=heading)).evaluate(read)
    return [dict(zip(headings, row, strict=True)) for row in rows]


def seen(shown):
    """The titles of the small figures that can be seen."""
    figures = shown.page.locator(".figures.small figure")
    return [figures.nth(i).locator("h3").inner_text() for i in range(figures.count()) if figures.nth(i).is_visible()]


def specs(page):
    """The chart specifications of a page's figures, by their titles."""
    found = re.findall(r'<h3>([^<]*)</h3><div class="chart"></div><script type="application/json">(.*?)</script>', page)
    return [(title, json.loads(spec)) for title, spec in found]


def test_the_page_of_a_sweep_opens_clean_and_small(opened):
    assert opened.is_clean(), opened.problems
    assert opened.fits()
    assert opened.path.stat().st_size < 5e6
    assert opened.page.locator(".chart svg").count() == opened.page.locator(".chart").count() > 30


def test_tables_have_the_numbers_of_the_sweep(opened, outcomes, folder):
    shown = rows_of(opened, "Test error of all combinations")
    assert shown == cell_rows(outcomes)
    cells = json.loads((folder / "sweep.json").read_text())["cells"]
    assert [row["test error"] for row in shown] == [f"{cell['test_error_mean']:.1%}" for cell in cells]
    valid = {}
    for run in json.loads((folder / "sweep.json").read_text())["runs"]:
        valid.setdefault((run["scheme"], run["learning_rate"]), []).append(run["final_valid_error"])
    for row in rows_of(opened, "The best learning rate"):
        means = {rate: np.mean(errors) for (scheme, rate), errors in valid.items() if scheme == row["scheme"]}
        best = min(means, key=means.get)
        assert row["best rate"] == f"{'<' if best == min(RATES) else '>'} {best:g}"
        assert row["valid error"] == f"{means[best]:.1%}"


def test_the_slider_moves_the_histograms_of_every_group(opened):
    charts = opened.page.locator("section", has=opened.page.locator("#at")).locator(".chart svg")
    drawn = lambda: [charts.nth(i).inner_html() for i in range(charts.count())]
    last = int(opened.page.locator("#at").get_attribute("max"))
    end = drawn()
    opened.move("at", 0)
    start = drawn()
    opened.move("at", last)
    assert len(end) == 2 * len(SCHEMES) * len(RATES)
    assert all(one != other for one, other in zip(start, end, strict=True))
    assert drawn() == end


def test_a_filter_narrows_tables_and_figures(opened):
    before, count = seen(opened), len(rows_of(opened, "Test error of all combinations"))
    assert any("standard" in title for title in before)
    box = opened.page.get_by_label("standard", exact=True)
    box.uncheck()
    assert {row["scheme"] for row in rows_of(opened, "Test error of all combinations")} == {"xavier", "he"}
    assert {row["scheme"] for row in rows_of(opened, "The best learning rate")} == {"xavier", "he"}
    assert seen(opened) == [title for title in before if "standard" not in title]
    box.check()
    assert seen(opened) == before
    assert len(rows_of(opened, "Test error of all combinations")) == count
    widths = opened.page.locator(".chart svg").evaluate_all("all => all.map(svg => svg.getBoundingClientRect().width)")
    assert min(widths) > 100


def test_phone_and_dark(opened, chromium):
    ink = lambda shown: shown.page.locator(".chart svg text").first.evaluate("text => getComputedStyle(text).fill")
    with visit(chromium, opened.path, **PHONE, color_scheme="dark") as phone:
        assert phone.is_clean()
        assert phone.fits()
        assert ink(phone) != ink(opened)


def test_small_figures_of_a_kind_share_their_axes(opened):
    drawn = specs(opened.path.read_text())

    def domains(kind, side):
        own = [spec for _, spec in drawn if kind in json.dumps(spec)]
        firsts = [spec.get("layer", [spec])[0]["encoding"][side]["scale"]["domain"] for spec in own]
        return len(firsts), {tuple(domain) for domain in firsts}

    for kind, side in (('"title": "activation"', "x"), ("activation, root mean square", "y")):
        count, found = domains(kind, side)
        assert count == len(SCHEMES) * len(RATES)
        assert len(found) == 1


def member(scheme, rate, seed, valid, test=0.5):
    from xinit.report.groups import Member

    scores = {
        "test_error": test,
        "test_loss": 1.0,
        "final_valid_error": valid,
        "chance_error": 0.9,
        "diverged_at": None,
    }
    return Member("", {"scheme": scheme, "learning_rate": rate, "seed": seed}, scores, "OK", 0)


@pytest.mark.parametrize(
    ("valid", "best", "end"),
    [
        ({0.1: (0.5, 0.7), 0.2: (0.4, 0.6), 0.3: (0.5, 0.6)}, 0.2, ""),  # the mean over the seeds decides
        ({0.1: (0.5, 0.7), 0.2: (0.4, 0.6), 0.3: (0.1, 0.8)}, 0.3, ">"),
        ({0.3: (0.5, 0.7), 0.1: (0.4, 0.6)}, 0.1, "<"),
        ({0.1: (0.4, 0.6), 0.2: (0.2, None)}, 0.1, "<"),  # a run that diverged counts as chance
        ({0.1: (None, None), 0.2: (0.95, 0.93)}, 0.2, ">"),  # one that is left is better than none
        ({0.1: (0.4, 0.6)}, 0.1, ""),
    ],
)
def test_the_best_rate(valid, best, end):
    from xinit.report import groups

    members = [
        member("xavier", rate, seed, error, test=None if error is None else 1 - error)
        for rate, errors in valid.items()
        for seed, error in enumerate(errors)
    ]
    (choice,) = groups.choices(groups.groups(members))
    assert (choice.best.settings["learning_rate"], choice.end) == (best, end)
    lost = list(valid[best]).count(None)
    assert (choice.best.errors().n, choice.best.diverged) == (len(valid[best]) - lost, lost)


@pytest.mark.parametrize(
    ("second", "words"),
    [((0.61, 0.62, 0.6), "which tells them apart"), ((0.61, 0.42, 0.6), "which does not tell them apart"),
     ((0.61,), "one seed does not tell")],
)  # fmt: skip
def test_the_next_best_is_compared_on_common_seeds(second, words):
    from xinit.report import findings, groups

    members = [member("he", 0.1, seed, 0.4, 0.5 + seed / 100) for seed in range(3)]
    members += [member("xavier", 0.1, seed, 0.5, error) for seed, error in enumerate(second)]
    found = groups.groups(members)
    said = findings.sentences(groups.Sweep(None, members, [], {}), groups.choices(found))
    assert "scheme=he learning_rate=0.1: its test error is 51.0% [48.5%, 53.5%] over 3 runs" in said[0]
    assert said[1].startswith("Next is scheme=xavier")
    assert words in said[1]


def test_the_mean_of_one_run_is_that_run(odd):
    from xinit.report import groups, seeds

    sweep = groups.load(sweeps.write(odd))
    finished = [outcome for outcome in odd if outcome.summary]
    for place, outcome in enumerate(finished):
        found = seeds.mean(sweep.readings, [place])
        np.testing.assert_array_equal(found["step"], outcome.readings["step"])
        for name in found.keys() - {"step"}:
            finite = np.isfinite(outcome.readings[name])
            np.testing.assert_allclose(found[name][finite], outcome.readings[name][finite], rtol=1e-5, atol=1e-7)


def test_means_over_runs_with_different_edges():
    """The share that is known and its mean are those of both runs; a layer and a step of others are left out."""
    from xinit.report import seeds

    edges = np.full((2, 2, 9), np.nan)
    edges[:, 0] = np.linspace(-1, 1, 9), np.linspace(0, 4, 9)
    shares = np.full((2, 2, 2, 8), np.nan)  # run, step, layer, bin
    shares[:, 0, 0] = 0
    shares[0, 0, 0, 2], shares[1, 0, 0, 5] = 1.0, 0.5
    std = np.full((2, 2, 2), np.nan)
    std[:, 0, 0] = 1.0, 3.0
    ends = {"act_low": np.array([[-1, np.nan], [0, np.nan]]), "act_high": np.array([[1, np.nan], [np.inf, np.nan]])}
    stacked = {"step": np.array([0, 7]), "act_hist": shares, "act_edges": edges, "act_std": std} | ends
    found = seeds.mean(stacked, [0, 1])
    assert (found["step"], found["act_std"], found["act_low"], found["act_high"]) == (0, 2, -1, np.inf)
    assert found["act_hist"].shape == (1, 1, 8)
    centres = (found["act_edges"][0, 1:] + found["act_edges"][0, :-1]) / 2
    assert found["act_hist"].sum() == pytest.approx(0.75)
    assert found["act_hist"][0, 0] @ centres == pytest.approx((-0.375 + 0.5 * 2.75) / 2, abs=np.diff(centres)[0] / 2)


def test_several_runs_at_the_same_steps():
    from xinit.report import seeds

    runs = [{"step": np.array(steps), "act_std": np.array(steps)[:, None]} for steps in ([0, 1, 10], [0, 3])]
    steps = seeds.common_steps(runs, 9)
    assert steps.tolist() == [0, 1, 3, 10]
    assert [seeds.at_steps(run, steps)["act_std"][:, 0].tolist() for run in runs] == [[0, 1, 1, 10], [0, 0, 3, 3]]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (slice(0, 1), ["Sweep of one run", "The test error at the end is", "No run diverged."]),
        (slice(1, 2), ["All runs diverged.", "1 of 1 runs diverged"]),
        (slice(2, 3), ["The test error at the end is"]),
        (slice(3, 4), ["No run diverged; 1 run did not come to an end."]),
        (slice(0, 4), ["1 of 3 runs diverged; 1 run did not come to an end.", "What the layers do over training"]),
    ],
)
def test_unusual_sweeps(odd, chosen, words):
    from xinit.report import sweep

    page = sweep.page(sweeps.write(odd[chosen]))
    for said in words:
        assert said in page
    for title, spec in specs(page):
        assert all(len(column) for (data,) in spec["datasets"].values() for column in data.values()), title


def test_a_sweep_of_unlike_runs_opens_clean(odd, chromium, tmp_path):
    """No chart is left without something to draw: Vega would say so."""
    from xinit.report import sweep

    with visit(chromium, saved(sweep.page(sweeps.write(odd)), tmp_path / "odd.html")) as shown:
        assert shown.is_clean(), shown.problems
        assert shown.page.locator(".chart svg").count() > 10


def hostile_sweep(folder, run, path):
    """The sweep's folder with HOSTILE wherever a text is, and the folder of one of its runs."""
    path.mkdir()
    shutil.copy(folder / "readings.nc", path)
    shutil.copytree(run, path / "run")
    bad = lambda value, word: f"{HOSTILE} {word}" if value == word else value
    raw = json.loads((folder / "sweep.json").read_text())
    for row in [*raw["runs"], *raw["cells"]]:
        for name in ("scheme", "verdict", "verdicts", "path"):
            row |= {name: bad(row[name], row[name])} if name in row else {}
        row[HOSTILE] = row["scheme"]
    raw["runs"][0]["path"] = "run"
    (path / "sweep.json").write_text(json.dumps(raw))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["scheme"]["fn"] = config["precision"] = config[HOSTILE] = HOSTILE
    config["activations"] = [{"fn": HOSTILE, "options": {HOSTILE: HOSTILE}} for _ in range(2)]
    measured = {n: a for n, a in record.read_readings(run / "readings.nc").items() if n in record.DESCRIBED}
    (path / "run/readings.nc").write_bytes(netcdf.encode(measured, record.DESCRIBED, {}))  # which carries no config
    (path / "run/config.yaml").write_text(yaml.safe_dump(config))
    summary = json.loads((run / "summary.json").read_text())
    summary |= {"verdict": f"{HOSTILE}: {HOSTILE}", "device": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    (path / "run/summary.json").write_text(json.dumps(summary))
    return path


@pytest.fixture(scope="module")
def hostile(folder, outcomes, tmp_path_factory):
    return hostile_sweep(folder, outcomes[0].path, tmp_path_factory.mktemp("hostile") / "sweep")


def assert_inert(chromium, page, path):
    """Opened, nothing of HOSTILE has run or was asked for, and it can be read."""
    context = chromium.new_context()
    dialogs = []
    context.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    try:
        shown = Visit(context, saved(page, path))
        assert shown.is_clean(), shown.problems
        assert dialogs == []
        assert (
            shown.page.locator("main img:not([src^='data:']), main script:not([type='application/json'])").count() == 0
        )
        assert shown.page.locator("a[href^='javascript']").count() == 0
        assert HOSTILE in " ".join(shown.page.locator("main").inner_text().split())
        return shown.page.locator("main").inner_text()
    finally:
        context.close()


def test_hostile_texts_in_a_sweep_are_inert(hostile, chromium, tmp_path):
    from xinit.report import sweep

    said = assert_inert(chromium, sweep.page(hostile), tmp_path / "page.html")
    assert said.count("onerror=alert(2)") > 50


def test_hostile_texts_in_several_runs_are_inert(hostile, outcomes, chromium, tmp_path):
    from xinit.report import several

    assert_inert(chromium, several.page([hostile / "run", outcomes[5].path]), tmp_path / "page.html")


def test_several_runs_show_what_differs(outcomes, chromium, tmp_path):
    from xinit.report import several

    page = several.page([outcomes[0].path, outcomes[12].path, outcomes[0].path])
    with visit(chromium, saved(page, tmp_path / "several.html")) as shown:
        assert shown.is_clean(), shown.problems
        (differs, came) = (rows_of(shown, heading) for heading in ("What differs", "What came of it"))
        end = shown.drawn("Std of the activations at the end")
        charts = shown.page.locator("section", has=shown.page.locator("#at")).locator(".chart svg").first
        before = charts.inner_html()
        shown.move("at", 0)
        assert charts.inner_html() != before
        assert shown.drawn("Std of the activations at the end") == end
    assert [row["setting"] for row in differs] == ["scheme", "optimizer.learning_rate", "scheme.distribution"]
    assert [row["scheme=standard"] for row in differs[:2]] == ["standard", "0.03"]
    assert [row["run"] for row in came] == ["scheme=standard", "scheme=xavier"]
    assert [row["test error"] for row in came] == [f"{outcomes[i].summary['test_error']:.1%}" for i in (0, 12)]


def test_a_sweep_among_several_stands_for_its_runs(odd, chromium, tmp_path):
    """One of them diverged, the other has no readings of layers: what is not there is not drawn."""
    from xinit.report import several

    page = several.page([sweeps.write(odd[1:3]), odd[2].path])
    assert "<h1>2 runs compared</h1>" in page
    with visit(chromium, saved(page, tmp_path / "several.html")) as shown:
        assert shown.is_clean(), shown.problems


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        ([{"scheme": "xavier", "seed": "0"}, {"scheme": "he", "seed": "1"}], ["scheme=xavier", "scheme=he"]),
        (
            [{"scheme": "he", "seed": "0"}, {"scheme": "he", "seed": "1"}, {"scheme": "xavier", "seed": "0"}],
            ["scheme=he seed=0", "scheme=he seed=1", "scheme=xavier seed=0"],
        ),
        ([{"optimizer.rate": "0.1"}, {"optimizer.rate": "0.2"}], ["rate=0.1", "rate=0.2"]),
        ([{"scheme": "he"}, {"scheme": "he"}], ["a", "b"]),
        ([{"data.size": "8", "z": "1"}, {"z": "2"}], ["size=8", "b"]),
    ],
)  # fmt: skip
def test_names_are_as_short_as_tell_runs_apart(runs, names):
    from xinit.report import differences

    assert differences.names(runs, ["a", "b", "c"][: len(runs)]) == names


TINY = {
    "samples": {"rows": 1, "columns": 2, "size": 16, "scenes": 50, "seeds": 2},
    "surfaces": {"points": 9, "seeds": 2},
    "initial": {"data": "synthetic", "width": 16, "depth": 3, "examples": 20, "batches": 1, "seeds": 2},
}


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    """`python -m experiments.glorot2010 tier=init`, tiny."""
    out = tmp_path_factory.mktemp("glorot2010")
    assert glorot2010.main(["tier=init", *overrides_from(TINY), f"out={out}"]) in (cli.DONE, cli.FAILED)
    return out


def test_the_page_of_a_study(reproduction, chromium, tmp_path):
    from xinit.report import study

    claims = json.loads((reproduction / "claims.json").read_text())
    with visit(chromium, saved(study.page(reproduction), tmp_path / "study.html")) as shown:
        assert shown.is_clean(), shown.problems
        assert shown.fits()
        rows = rows_of(shown, "Claims")
        assert {row["name"]: (row["state"], row["claim"]) for row in rows} == {
            claim["id"]: (claim["state"], claim["statement"]) for claim in claims
        }
        pictures = shown.page.locator("main img")
        named = set(re.findall(r"\]\((\w+)\.png\)", (reproduction / "page.md").read_text()))
        assert pictures.count() == len(named) == len(list(reproduction.glob("*.svg")))
        assert all(pictures.evaluate_all("all => all.map(image => image.complete && image.naturalWidth > 100)"))
        shown.page.get_by_label("figure6", exact=True).uncheck()
        assert {row["name"].partition("-")[0] for row in rows_of(shown, "Claims")} == named - {"figure6"}
        assert not shown.page.get_by_role("heading", name="Activations at initialisation").is_visible()
        assert shown.page.get_by_role("heading", name="Gradients at initialisation", exact=False).first.is_visible()


def test_hostile_texts_in_a_study_are_inert(reproduction, chromium, tmp_path):
    from xinit.report import study

    out = tmp_path / "study"
    shutil.copytree(reproduction, out)
    claims = [claim | {"statement": HOSTILE, "published": HOSTILE, "id": HOSTILE, "state": HOSTILE, "metric": HOSTILE}
              for claim in json.loads((out / "claims.json").read_text())]  # fmt: skip
    (out / "claims.json").write_text(json.dumps(claims))
    (out / "about.json").write_text(json.dumps({"tier": HOSTILE, "settings": {HOSTILE: HOSTILE}}))
    (out / "figure1.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(5)</script></svg>")
    (out / "evil.png").symlink_to("/etc/hostname")
    text = f"# {HOSTILE}\n\n{HOSTILE}\n\n<img src=http://x.invalid/a.png>\n\n[a link](javascript:alert(6))\n\n"
    text += f"![{HOSTILE}](figure1.png)\n\n![far](http://x.invalid/b.png)\n\n![link](evil.png)\n\n"
    (out / "page.md").write_text(text + f"![up](../study/figure1.png)\n\n| a |\n| --- |\n| {HOSTILE} |\n")
    page = study.page(out)
    said = assert_inert(chromium, page, tmp_path / "page.html")
    assert "[a link](javascript:alert(6))" in said
    assert page.count("<img ") == 1
    assert "http://x.invalid/b.png" not in re.findall(r'src="([^"]*)"', page)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("sweep.json", "{", "cannot be read: it is cut short"),
        ("sweep.json", "[]", "cannot be read: it holds"),
        ("sweep.json", '{"runs": [{"path": "x", "verdict": "OK", "test_error": "low"}], "cells": []}', "no file of a"),
        ("readings.nc", "cut", "cannot be read"),
        ("readings.nc", None, "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_sweep_is_said_in_a_sentence(folder, tmp_path, name, content, words):
    from xinit.report import sweep

    damaged = tmp_path / "sweep"
    shutil.copytree(folder, damaged)
    (damaged / name).unlink()
    if content is not None:
        (damaged / name).write_text(content)
    with pytest.raises(InputError, match=words):
        sweep.page(damaged)


def test_a_single_seed_has_no_interval_and_another_page_no_link(tmp_path):
    from xinit.report import study

    claim = {"id": "a", "state": "PASS", "statement": "b", "metric": "c.d", "direction": "above", "bound": 0}
    claim |= {"value": 2.0, "low": 2.0, "high": 2.0, "n": 1}
    (tmp_path / "claims.json").write_text(json.dumps([claim]))
    (tmp_path / "page.md").write_text("# Title\n\n[The other page](../page.md) has more.\n")
    page = study.page(tmp_path)
    assert "2, n = 1" in page
    assert "[2, 2]" not in page
    assert "The other page has more." in page


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("claims.json", "{", "cannot be read: it is cut short"), ("claims.json", '[{"id": "a"}]', "no file of claims"),
     ("page.md", None, "page.md cannot be read")],
)  # fmt: skip
def test_a_damaged_study_is_said_in_a_sentence(reproduction, tmp_path, name, content, words):
    from xinit.report import study

    for file in ("claims.json", "page.md"):
        shutil.copy(reproduction / file, tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        study.page(tmp_path)


def test_a_sweep_whose_runs_are_elsewhere_cannot_stand_for_them(folder, tmp_path):
    from xinit.report import several

    shutil.copytree(folder, tmp_path / "alone")
    with pytest.raises(InputError, match="has runs that do not lie beside it"):
        several.page([tmp_path / "alone"])
