"""The live page of a sweep, which moves while its runs train, in folders that lie elsewhere."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import xinit
from tests.report.live import first_file, opened, serving, until, until_it_says, version
from xinit import report
from xinit.commands import sweeping
from xinit.core.errors import InputError
from xinit.report import following, live_page
from xinit.runs import record
from xinit.settings.compose import compose_many, overrides_from

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
TINY = {"data": "synthetic", "data.valid": 200, "data.test": 300, "probe.examples": 100, "figure": False, "depth": 2,
        "width": 16}  # fmt: skip
OVER = "Test error of all combinations"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(live_page, "REST", 0.0)


def swept(out, **settings):
    """Start a sweep of two schemes in another process."""
    shared = [f"{name}={value}" for name, value in (TINY | settings).items()]
    command = [sys.executable, "-m", "xinit.train", "-m", "+scheme=standard,xavier", *shared, f"out={out}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def steps_in(out):
    return [len(record.read_readings(path)["step"]) for path in out.glob("*/*/readings.nc")]


@pytest.mark.slow
def test_it_moves_while_a_sweep_trains(chromium, tmp_path):
    """Real sweeps of other processes, in a real browser that was given the folder `out` alone."""
    with swept(tmp_path, steps=10**7, **{"probe.points": 60}) as process:
        try:
            sweep = first_file(tmp_path, "**/sweeps/*/running.json", process).parent
            first_file(tmp_path, "*/*/status.json", process)
            with serving(tmp_path) as server, opened(chromium, server) as (page, problems):
                until_it_says(page, "This sweep has not come to its end. Of its 2 runs: 2 begun.")
                until(page, "document.querySelectorAll('.chart svg').length > 5", 120)
                cell = "document.querySelector('table').rows[{}].cells[2].innerText"
                before = page.evaluate(cell.format(1))
                assert before.endswith(" of 10,000,000")
                for row in (1, 2):  # both runs move
                    until(page, f"{cell.format(row)} !== '{before}' && {cell.format(row)} !== ''", 120)
                assert all(n > 1 for n in steps_in(tmp_path))
                process.send_signal(signal.SIGINT)
                until_it_says(page, "interrupted")
                assert process.wait(60) == 130
                assert not (sweep / "sweep.json").exists()
                assert "has not come to its end" in page.inner_text("main")

                with swept(tmp_path, steps=40) as later:
                    until_it_says(page, OVER, 180)
                    assert later.wait(60) == 0
                assert version(server)["problem"] == ""
                assert problems == []
        finally:
            process.kill()


def configs_of(out, **settings):
    jobs = [TINY | settings | {"scheme": scheme, "out": str(out), "steps": 20} for scheme in ("standard", "xavier")]
    return sweeping.parse_all(compose_many("train", [overrides_from(job) for job in jobs]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder `out`, the folder of the sweep in it, and those of its runs."""
    out = tmp_path_factory.mktemp("runs")
    readings = xinit.sweep({"scheme": ["standard", "xavier"]}, out=str(out), progress=False, **TINY, steps=20)
    return out, pathlib.Path(readings.attrs["path"]), [pathlib.Path(path) for path in readings.path.values.tolist()]


def test_what_is_listed_before_the_first_run(trained, tmp_path):
    configs = configs_of(tmp_path)
    with sweeping.begun(configs):
        [listed] = tmp_path.glob("sweeps/*/running.json")
        assert [run["scheme"] for run in json.loads(listed.read_text())["runs"]] == ["standard", "xavier"]
        page = report.render([listed.parent])
        assert "Of its 2 runs: 2 waiting." in page
        assert following.watched(listed.parent)[0] == listed.parent
        assert len(following.watched(listed.parent)) == 3

    with pytest.raises(InputError, match="refused"), sweeping.begun(configs):
        raise InputError("refused")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_was_refused_after_its_first_run_stays_listed(tmp_path):
    configs = configs_of(tmp_path)

    def fail_after_one():
        with sweeping.begun(configs):
            xinit.run(out=str(tmp_path), progress=False, **TINY, scheme="standard", steps=20)
            raise InputError("the disk is full")

    with pytest.raises(InputError, match="full"):
        fail_after_one()
    [listed] = tmp_path.glob("sweeps/*/running.json")
    page = report.render([listed.parent])
    assert "Of its 2 runs: 1 over, 1 waiting." in page
    assert "Validation error over training" in page
    assert "1 runs compared" in report.render([listed.parent, *tmp_path.glob("synthetic*/*")])


def test_the_list_goes_when_the_sweep_is_over(trained):
    _, sweep, _ = trained
    assert not (sweep / "running.json").exists()
    assert OVER in report.render([sweep])


def test_what_was_begun_or_ended_last_is_shown(trained, tmp_path):
    out, sweep, [first, second] = trained
    assert following.shown(sweep) == sweep
    assert following.shown(first) == first
    assert following.shown(out) == sweep  # it ended after its runs
    touch(first / "config.yaml", 10)
    assert following.shown(out) == first
    sweeps_list = sweep / "running.json"
    runs = [{"path": f"../../{run.parent.name}/{run.name}", "scheme": run.name} for run in (first, second)]
    sweeps_list.write_text(json.dumps({"runs": runs}))
    try:
        touch(sweeps_list, -10)
        assert following.shown(out) == sweep  # one of its runs was begun last
        sweeps_list.write_text(json.dumps({"runs": runs[1:]}))
        touch(sweeps_list, -10)
        assert following.shown(out) == first
    finally:
        sweeps_list.unlink()
    assert following.shown(tmp_path) == tmp_path
    assert following.shown(tmp_path / "absent") == tmp_path / "absent"


def touch(path, seconds):
    at = time.time() + seconds
    os.utime(path, (at, at))


@pytest.mark.parametrize(
    "content",
    ['{"runs": [', "[]", "{}", '{"runs": 3}', '{"runs": [3]}', '{"runs": [{"scheme": "he"}]}', '{"runs": {"a": 1}}'],
)
def test_a_list_that_is_damaged_leaves_the_last_good_page(trained, tmp_path, content):
    sweep = trained[1]
    folder = tmp_path / "sweeps" / sweep.name
    folder.mkdir(parents=True)
    (folder / "running.json").write_text(json.dumps({"runs": [{"path": "../../a/000000000000", "scheme": "he"}]}))
    with serving(folder) as server:
        good = version(server)
        (folder / "running.json").write_text(content)
        damaged = version(server)
        assert damaged["version"] == good["version"]
        assert "running.json" in damaged["problem"]


@pytest.mark.parametrize(
    "path", ["/etc", "../../../etc/000000000000", "../../a/../../000000000000", "../../linked/000000000000"]
)
def test_a_list_leads_nowhere_else(tmp_path, path):
    """Neither are files elsewhere read, nor is looked whether they change."""
    folder, outside = tmp_path / "out" / "sweeps" / "aaaaaaaaaaaa", tmp_path / "outside"
    folder.mkdir(parents=True)
    (outside / "000000000000").mkdir(parents=True)
    (tmp_path / "out" / "linked").symlink_to(outside)
    (folder / "running.json").write_text(json.dumps({"runs": [{"path": path, "scheme": "he"}]}))
    assert following.watched(folder) == [folder]
