"""Trackers: what a run measured arrives, whole and once; and whatever a tracker does, the run is the same."""

import importlib.util
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest

import xinit
from xinit.commands import cli
from xinit.commands.console import SweepReporter
from xinit.core.errors import InputError
from xinit.core.readings import EDGES, QUANTILES, READINGS
from xinit.runs import record, runner, trackers
from xinit.runs.grouping import program_of
from xinit.runs.trackers import wandb_run
from xinit.runs.trackers.contract import Point, TrackedRun, Tracker, require
from xinit.runs.trackers.following import Followers
from xinit.runs.trackers.points import point_of
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = {"data": "synthetic", "width": 16, "depth": 3, "steps": 300, "scheme": "xavier", "probe.points": 8,
         "figure": False, "data.valid": 1000, "data.test": 1000, "population.strategy": "sequential"}  # fmt: skip
TENSORBOARD, WANDB = {"tracker": "tensorboard"}, {"tracker": "wandb", "tracker.mode": "offline"}
DIVERGING = {**TENSORBOARD, "optimizer.learning_rate": 1e38}
# What goes wrong; how many points were taken; the one note there is of it. A slow tracker is given its time.
TROUBLES = {
    "start raises": (0, "gave up (RuntimeError). Results are not affected."),
    "log raises": (2, "gave up (OSError: no space left). Results are not affected."),
    "log exits": (2, "gave up (SystemExit: 7). Results are not affected."),
    "start blocks": (0, "was not done and left after 0.5 s (tracker.patience): it had taken 0 of 9 messages."),
    "log blocks": (2, "it had taken 2 of 9 messages."),
    "finish blocks": (8, "it had taken 8 of 9 messages."),
    "log is slow": (8, None),
}
SOME = ("log raises", "start blocks", "finish blocks")
TROUBLED = [{"tracker": "tensorboard", "tracker.fn": "troubled", "tracker.how": how, "tracker.patience": 0.5}
            for how in SOME]  # fmt: skip
RUNS = [TENSORBOARD, {**WANDB, "tracker.project": "mine"}, DIVERGING, *TROUBLED]


def config_of(out, **settings):
    return parse(compose("train", overrides_from(SMALL | {"out": str(out)} | settings)))


class Notes(SweepReporter):
    """A reporter that keeps its notes."""

    def __init__(self):
        super().__init__(quiet=True)
        self.notes = []

    def note(self, message):
        self.notes.append(message)
        super().note(message)


def troubled(how: str = ""):
    """A tracker with the trouble named; the steps that it took are in `troubled.taken`."""
    taken = troubled.taken[how] = []
    wait = troubled.release.wait

    def start(run):
        if how == "start raises":
            raise RuntimeError
        if how == "start blocks":
            wait()
        return Tracker(log, lambda ending: wait() if how == "finish blocks" else None)

    def log(point):
        if len(taken) == 2:
            if how == "log raises":
                raise OSError("no space left\non device")
            if how == "log exits":
                sys.exit(7)
            if how == "log blocks":
                wait()
        if how == "log is slow":
            time.sleep(0.02)
        taken.append(point.step)

    return start


@pytest.fixture(scope="module", autouse=True)
def troubled_tracker():
    """The tracker above among the others, whose threads end with the module."""
    troubled.__module__, troubled.taken, troubled.release = "xinit.runs.trackers.troubled", {}, threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trackers, "troubled", troubled, raising=False)
        yield
    troubled.release.set()


@pytest.fixture(scope="module")
def untracked(tmp_path_factory):
    """The population below without its trackers."""
    rates = [{key: value for key, value in run.items() if "tracker" not in key} for run in RUNS]
    return train(tmp_path_factory.mktemp("untracked"), rates)[0]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A population in which every run has another tracker, what was noted, and what troubled trackers took."""
    for package in ("wandb", "tensorboardX", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs the package {package}, which is absent")
    outcomes, notes = train(tmp_path_factory.mktemp("tracked"), RUNS)
    return outcomes, notes, {how: list(taken) for how, taken in troubled.taken.items()}


def train(out, runs, **settings):
    """The outcomes of a population, a seed for each run, and what was noted."""
    reporter = Notes()
    configs = [config_of(out, seed=i, **run, **settings) for i, run in enumerate(runs)]
    return runner.execute_all(configs, reporter), reporter.notes


def expected(readings):
    """What should arrive of a run's readings: {step: {tag: number}} and {step: {tag: (shares, edges)}}."""
    numbers, histograms = {}, {}
    for i, step in enumerate(readings["step"].tolist()):
        numbers[step], histograms[step] = {}, {}
        for name, (axes, _) in READINGS.items():
            if name not in readings:
                continue
            values = readings[name][i]
            if "bin" in axes:
                pairs = zip(values, readings[name.replace("hist", "edges")], strict=True)
                histograms[step] |= {f"{name}/{axes[0]} {l}": pair for l, pair in enumerate(pairs, start=1)}
            elif not axes:
                numbers[step][name] = float(values)
            elif len(axes) == 1:
                numbers[step] |= {f"{name}/{axes[0]} {l}": value for l, value in enumerate(values.tolist(), start=1)}
            else:
                for l, k in np.ndindex(values.shape):
                    numbers[step][f"{name}/layer {l + 1} quantile {QUANTILES[k]}"] = float(values[l, k])
        numbers[step] = {tag: value for tag, value in numbers[step].items() if not np.isnan(value)}
    return numbers, histograms


def assert_arrived(found, readings):
    """That numbers and histograms are those of the run: no more, no less, each at its step."""
    numbers, histograms = found
    wanted_numbers, wanted_histograms = expected(readings)
    assert numbers.keys() == wanted_numbers.keys()
    for step, row in wanted_numbers.items():
        assert len(row) > 100
        assert numbers[step] == pytest.approx(row, rel=1e-6), step
    for step, row in wanted_histograms.items():
        assert len(row) == len(histograms[step]) == 3 + 3 + 4
        for tag, (shares, edges) in row.items():
            np.testing.assert_allclose(histograms[step][tag][0], shares, rtol=1e-6, err_msg=tag)
            np.testing.assert_allclose(histograms[step][tag][1], edges, rtol=1e-6, err_msg=tag)


def tensorboard_of(run):
    """What TensorBoard itself reads in a run's folder: numbers and histograms at each step, ends apart, and texts."""
    events = events_of(run)
    tags, numbers, histograms = events.Tags(), {}, {}
    for tag in tags["scalars"]:
        for event in events.Scalars(tag):
            add(numbers, event.step, tag, event.value)
    for tag in tags["histograms"]:
        for event in events.Histograms(tag):
            value = event.histogram_value
            ends = np.array([value.min, *value.bucket_limit[:-1], value.max])  # as it draws the bins
            add(histograms, event.step, tag, (np.array(value.bucket), ends))
    last = numbers[max(numbers)]
    ends = {tag: last.pop(tag) for tag in ("test_error", "test_loss", "chance_error") if tag in last}
    numbers = {step: row for step, row in numbers.items() if row}  # a run that diverged ends between its points
    return (numbers, histograms), ends, {tag: text_of(events.Tensors(tag)) for tag in tags["tensors"]}


def events_of(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    all_of_each = {"scalars": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(run / "tensorboard"), size_guidance=all_of_each).Reload()


def hparams_of(run):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events_of(run).PluginTagToContent("hparams")["_hparams_/session_start_info"]
    return HParamsPluginData.FromString(content).session_start_info.hparams


def add(rows, step, tag, value):
    assert tag not in rows.setdefault(step, {}), f"{tag} came twice at step {step}"
    rows[step][tag] = value


def text_of(events):
    return events[-1].tensor_proto.string_val[0].decode() if events[-1].tensor_proto.string_val else ""


def wandb_of(run):
    """What a run's one offline folder holds: numbers and histograms at each step, the summary, the run."""
    numbers, histograms, summary = {}, {}, {}
    for found in wandb_records(run):
        if found.HasField("run"):
            about = found.run
        if found.HasField("summary"):
            summary |= tree_of(found.summary.update)
        if found.HasField("history"):
            for tag, value in tree_of(found.history.item).items():
                if isinstance(value, dict):
                    add(histograms, found.history.step.num, tag, (np.array(value["values"]), np.array(value["bins"])))
                elif not tag.startswith("_"):
                    add(numbers, found.history.step.num, tag, value)
    return (numbers, histograms), summary, about


def wandb_records(run):
    """The records of a .wandb file, a log of LevelDB's format: parts of records in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = (run / "wandb").glob("offline-run-*/*.wandb")
    content, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(whole)
            whole = b""


def tree_of(items):
    tree = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = json.loads(item.value_json)
    return tree


def test_every_reading_arrives_in_tensorboard(tracked):
    outcome = tracked[0][0]
    found, ends, texts = tensorboard_of(outcome.path)
    assert_arrived(found, outcome.readings)
    assert ends == pytest.approx({name: outcome.summary[name] for name in ends}, rel=1e-6)
    assert ends.keys() == {"test_error", "test_loss", "chance_error"}
    assert texts["verdict/text_summary"] == outcome.summary["verdict"]
    assert "    scheme:\n      fn: xavier\n" in texts["config/text_summary"]
    assert hparams_of(outcome.path)["optimizer.learning_rate"].number_value == 0.03


def test_every_reading_arrives_in_wandb(tracked):
    outcome = tracked[0][1]
    found, summary, about = wandb_of(outcome.path)
    assert_arrived(found, outcome.readings)
    assert (about.run_id, about.run_group, about.project) == (outcome.path.name, outcome.path.parent.name, "mine")
    config = tree_of(about.config.update)
    assert (config["scheme"]["fn"], config["widths"], config["optimizer"]["learning_rate"]) == (
        "xavier",
        [16] * 3,
        0.03,
    )
    assert {name: summary[name] for name in ("test_error", "chance_error", "verdict")} == {
        name: outcome.summary[name] for name in ("test_error", "chance_error", "verdict")
    }


def test_a_run_that_diverges_is_tracked_up_to_there(tracked):
    outcome = tracked[0][2]
    found, ends, texts = tensorboard_of(outcome.path)
    assert outcome.state == "diverged"
    assert sorted(found[0]) == outcome.readings["step"].tolist()
    assert max(found[0]) < outcome.summary["diverged_at"]
    assert ends.keys() <= {"chance_error"}
    assert texts["verdict/text_summary"].startswith("FAIL: ")


def test_whatever_trackers_do_the_runs_are_the_same(untracked, tracked):
    for before, after in zip(untracked, tracked[0], strict=True):
        assert (before.path.name, before.state) == (after.path.name, after.state)
        one, other = (record.read_readings(run.path / "readings.nc") for run in (before, after))
        assert one.keys() == other.keys()
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)
        assert before.summary["test_error"] == after.summary["test_error"]
    assert [len(tracked[2][how]) for how in SOME] == [TROUBLES[how][0] for how in SOME]
    notes = [note for note in tracked[1] if "tracker" in note]
    gave_up, left = notes
    assert "gave up (OSError" in gave_up
    assert "was not done in 2 runs and left after 0.5 s (tracker.patience): it had taken 8 of 18 messages." in left
    assert all(note in (tracked[0][0].path / "log.txt").read_text() for note in notes)


@pytest.mark.parametrize("how", TROUBLES)
def test_one_note_says_what_went_wrong(how):
    notes, (n_taken, words) = [], TROUBLES[how]
    choice = types.SimpleNamespace(fn="troubled", patience=0.5 if words else 10, options={"how": how})
    began = time.monotonic()
    with Followers(notes.append) as followers:
        followers.begin(choice, TrackedRun("a", "", pathlib.Path(), {}))
        for step in range(8):
            followers.send({"a": 0, "of no concern": 1}, {"step": np.int64(step)}, {})
            time.sleep(0.002)
        followers.end("a", {"steps": 8, "verdict": "", "test_error": None, "test_loss": None, "chance_error": 0.9})
    assert time.monotonic() - began < 10
    assert troubled.taken[how] == list(range(n_taken))
    assert len(notes) == (words is not None)
    assert all(words in note for note in notes)


def test_many_are_waited_for_at_once_and_said_in_one_note():
    notes, began = [], time.monotonic()
    with Followers(notes.append) as followers:
        for i in range(30):
            choice = types.SimpleNamespace(fn="troubled", patience=0.5, options={"how": "start blocks"})
            followers.begin(choice, TrackedRun(str(i), "", pathlib.Path(), {}))
    assert 0.5 <= time.monotonic() - began < 10
    assert len(notes) == 1
    assert "in 30 runs" in notes[0]


def test_a_run_that_begins_again_is_followed_anew_once_its_first_tracker_is_done(monkeypatch):
    """As where a population did not fit the memory, and trains in halves."""
    happened = []

    def start(run):
        happened.append("start")
        return Tracker(lambda point: happened.append(point.step), happened.append)

    recording = lambda: start
    recording.__module__ = "xinit.runs.trackers.recording"
    monkeypatch.setattr(trackers, "recording", recording, raising=False)
    choice = types.SimpleNamespace(fn="recording", patience=5, options={})
    with Followers(happened.append) as followers:
        for step in (3, 4):
            followers.begin(choice, TrackedRun("a", "", pathlib.Path(), {}))
            followers.send({"a": 0}, {"step": np.int64(step)}, {})
    assert happened == ["start", 3, None, "start", 4, None]


def test_runs_that_go_on_leave_no_hole_and_no_point_twice(untracked, tracked, tmp_path):
    """Stopped, and then with the points beyond their checkpoint that a killed process leaves."""
    runs = [TENSORBOARD, WANDB, *[{}] * (len(RUNS) - 2)]  # as many as before: nothing is compiled
    stopped, _ = train(tmp_path, runs, stop_after=100)
    for read, run in zip((tensorboard_of, wandb_of), stopped, strict=False):
        assert sorted(read(run.path)[0][0]) == [0, 1, 3, 7, 17, 45]
    for run, whole in zip(stopped[:2], tracked[0], strict=False):
        shutil.copytree(whole.path / run.config.tracker.fn, run.path / run.config.tracker.fn, dirs_exist_ok=True)
    ended, _ = train(tmp_path, runs)
    assert [run.summary["resumed_from"] for run in ended[:2]] == [100, 100]
    for read, run, plain in zip((tensorboard_of, wandb_of), ended, untracked, strict=False):
        assert_arrived(read(run.path)[0], plain.readings)


def test_a_run_that_is_done_is_not_tracked_anew(tracked):
    outcome = tracked[0][0]
    (file,) = (outcome.path / "tensorboard").iterdir()
    before, reporter = file.stat().st_mtime_ns, Notes()
    for execute in (runner.execute, lambda config, reporter: runner.execute_all([config], reporter)):
        execute(outcome.config, reporter)
        assert any("not tracked again" in note for note in reporter.notes)
        reporter.notes.clear()
    assert file.stat().st_mtime_ns == before


def test_a_tracker_is_no_part_of_what_a_run_is(tmp_path):
    plain, other = config_of(tmp_path), config_of(tmp_path, tracker="wandb", **{"tracker.mode": "offline"})
    assert (plain.identity(), program_of(plain)) == (other.identity(), program_of(other))
    assert (plain.tracker.fn, other.tracker.options["mode"]) == ("none", "offline")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tracker": "tensorbord"}, "did you mean tensorboard"),
        ({"tracker.fn": "tensorbord"}, "Unknown tracker 'tensorbord'; did you mean tensorboard"),
        ({"tracker": "wandb", "tracker.projct": "a"}, "Unknown setting tracker.projct; did you mean project"),
        (
            {"tracker": "wandb", "tracker.mode": "up"},
            "tracker.mode is 'up'; it must be one of online, offline, or null",
        ),
        ({"tracker": "wandb", "tracker.project": 3}, "tracker.project is 3; it must be of type str"),
        ({"tracker": "tensorboard", "tracker.patience": -1}, "tracker.patience is -1; it must be a number of seconds"),
    ],
)
def test_a_mistake_is_said_before_any_work(settings, words, tmp_path):
    with pytest.raises(InputError, match=words):
        runner.execute_all([config_of(tmp_path, **settings)], SweepReporter(quiet=True))
    assert not list(tmp_path.iterdir())


OWN = """
import json
from xinit.runs.trackers import Tracker
def lines(run, file):
    def write(kind, step):
        with open(run.folder.parents[1] / file, "a") as seen:
            seen.write(json.dumps([kind, step]) + "\\n")
    return Tracker(lambda point: write("point", point.step), lambda ending: write("end", ending.step))
"""


def test_a_tracker_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_tracker.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    runner.execute_all([config_of(tmp_path, **{"tracker": "own_tracker:lines", "tracker.file": "seen"})], Notes())
    for settings, words in (({"tracker.fill": 1}, "Unknown setting tracker.fill; did you mean file?"), ({}, "needs")):
        with pytest.raises(InputError, match=words):
            runner.execute_all([config_of(tmp_path / "no", tracker="own_tracker:lines", **settings)], Notes())
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    points = xinit.open(next(tmp_path.glob("*/*/readings.nc")).parent).step.values.tolist()
    assert seen == [["point", step] for step in points] + [["end", 300]]


@pytest.mark.parametrize(("tracker", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_an_absent_package_is_said_before_any_work(tracker, package, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"the package {package}, which is absent: pip install 'xinit\[trackers\]'"):
        runner.execute_all([config_of(tmp_path, tracker=tracker)], SweepReporter(quiet=True))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_its_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "absentpackage").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="absentpackage, which is absent"):
        require("absentpackage")


def test_every_reading_has_a_tag_and_what_means_nothing_is_left_out():
    sizes = {"layer": 2, "weight": 3, "jacobian": 1, "quantile": len(QUANTILES), "bin": 4, "edge": 5}
    ones = lambda axes: np.ones((1, *(sizes[axis] for axis in axes)), np.float32)
    row = {"step": np.int64(7)} | {name: ones(axes) for name, (axes, _) in READINGS.items()}
    row |= {"act_dead": np.array([[np.nan, 0.5]], np.float32), "grad_w_hist": row["grad_w_hist"] * np.nan}
    point = point_of(row, {name: ones(axes) for name, (axes, _) in EDGES.items()}, 0)
    assert {tag.partition("/")[0] for tag in (*point.scalars, *point.histograms)} == READINGS.keys() - {"grad_w_hist"}
    assert (point.step, point.scalars["act_dead/layer 2"], "act_dead/layer 1" in point.scalars) == (7, 0.5, False)
    assert {"train_loss", "jacobian_sv_quantile/jacobian 1 quantile 0.05"} <= point.scalars.keys()


class Library:
    """As much of W&B as is needed to see what is asked of it: a run that has steps up to 16 already."""

    Settings = staticmethod(dict)

    def __init__(self, logged_in):
        self.logged_in, self.logged, self.asked = logged_in, [], {}

    def setup(self):
        return types.SimpleNamespace(settings=types.SimpleNamespace(mode="online"))

    def login(self, prompt, verify):
        assert not prompt
        return self.logged_in

    def init(self, **asked):
        self.asked = asked
        log = lambda values, step, commit: self.logged.append(step)
        return types.SimpleNamespace(starting_step=17, log=log)


def test_online_a_run_goes_on_where_wandb_has_it(tmp_path, monkeypatch):
    library = Library(logged_in=True)
    monkeypatch.setattr(wandb_run, "_library", lambda: library)
    tracker = trackers.wandb()(TrackedRun("a", "name", tmp_path, {}))
    for step in (0, 7, 17, 45):
        tracker.log(Point(step, {"loss": 1.0}, {}))
    assert library.logged == [17, 45]
    assert (library.asked["id"], library.asked["resume"], library.asked["group"]) == ("a", "allow", "name")


def test_without_a_login_nobody_is_asked_for_one(tmp_path, monkeypatch):
    library = Library(logged_in=False)
    monkeypatch.setattr(wandb_run, "_library", lambda: library)
    with pytest.raises(RuntimeError, match="run wandb login once, or choose"):
        trackers.wandb()(TrackedRun("a", "name", tmp_path, {}))
    assert not library.asked


def test_a_command_ends_in_time_though_wandb_hears_nothing(tmp_path, monkeypatch):
    """Online, with a login, and a server that takes what comes and never answers: for 90 s W&B would wait."""
    settings = SMALL | {"tracker": "wandb", "tracker.patience": 1, "out": str(tmp_path), "steps": 50, "strict": True}
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = {"WANDB_API_KEY": 40 * "a", "WANDB_BASE_URL": url, "WANDB_ERROR_REPORTING": "false",
                       "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}  # fmt: skip
        arguments = [sys.executable, "-m", "xinit.train", *overrides_from(settings)]
        monkeypatch.delenv("WANDB_SERVICE", raising=False)  # where this process has used W&B
        done = subprocess.run(arguments, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == cli.WARNED, done.stderr
    assert done.stderr == ""
    assert "tracker=wandb was not done and left after 1 s (tracker.patience): it had taken 0 of" in done.stdout
