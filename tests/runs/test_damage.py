"""Every file of a run, a sweep and a study, damaged in every way, before every reader.

A reader gives what it gave before the damage, or says in one sentence what is wrong. It never takes the numbers of
another run, follows no link, and leaves everything else as it was.
"""

import errno
import functools
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest

import xinit
from xinit import report
from xinit.analysis import sweeps
from xinit.commands.console import Reporter, SweepReporter
from xinit.core import files, manifests, netcdf
from xinit.core.errors import InputError
from xinit.runs import checkpoints, record, runner
from xinit.runs.run_directory import RunDirectory
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
SMALL = {"data": "synthetic", "width": 8, "depth": 2, "steps": 40, "scheme": "xavier", "probe.points": 4,
         "data.valid": 200, "data.test": 200, "probe.examples": 50, "keep_params": True}  # fmt: skip


@functools.cache  # most tests ask for the same runs at the same place
def config(out, **settings):
    return parse(compose("train", overrides_from(SMALL | {"out": str(out)} | settings)))


def execute(out, **settings):
    return runner.execute(config(out, **settings), Reporter(quiet=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An `out` with two runs, their sweep and another one, and a study beside it."""
    out = tmp_path_factory.mktemp("made")
    outcomes = [execute(out / "runs", seed=seed) for seed in (0, 1, 2)]
    sweeps.write(outcomes[:2])
    sweeps.write(outcomes[1:])
    for name in ("study", "other study"):
        (out / name).mkdir()
        claim = {
            "id": name,
            "state": "PASS",
            "statement": f"{name} holds",
            "metric": "figure1.a",
            "value": 1.0,
            "bound": 2,
        }
        (out / name / "claims.json").write_text(json.dumps([claim]))
        (out / name / "about.json").write_text(json.dumps({"tier": name, "settings": {"seed": 0}}))
        (out / name / "page.md").write_text(f"# {name}\n\n![a picture](figure1.png)\n")
        (out / name / "figure1.png").write_bytes(b"\x89PNG" + name.encode())
    return out


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """An `out` with two runs of two checkpoints each."""
    out = tmp_path_factory.mktemp("cut")
    for seed in (0, 1):
        for stop in (10, 20):
            execute(out / "runs", seed=seed, stop_after=stop)
    return out


@pytest.fixture
def copy(made):
    """All of that for a test to damage, always at the same place."""
    place = made.with_name("copy")
    shutil.rmtree(place, ignore_errors=True)
    return pathlib.Path(shutil.copytree(made, place))


def runs(out):
    """The folders of the runs, by their seeds."""
    found = [path.parent for path in out.glob("runs/*/*/config.yaml")]
    return sorted(found, key=lambda path: files.read_yaml(path, "config.yaml")["init_seed"])


def sweeps_of(out):
    return sorted((out / "runs").glob("*/sweeps/*"), key=lambda path: (path / "table.csv").read_bytes())


def studies(out):
    return [out / "study", out / "other study"]


def replace(path, other):
    path.unlink()
    return path


CONTENTS = {  # of a file that can be read, and is not what it was
    "truncated": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path, other: path.write_bytes(b""),
    "null": lambda path, other: path.write_text("null"),
    "a list": lambda path, other: path.write_text("[1, 2]"),
    "a number": lambda path, other: path.write_text("7"),
    "nested deeply": lambda path, other: path.write_text("[" * 10_000),
    "nested": lambda path, other: path.write_text('{"state": ' + "[" * 50 + "]" * 50 + "}"),
    "of another": lambda path, other: path.write_bytes(other.read_bytes()),
}
OTHERS = {  # what is no file, or cannot be read
    "a folder": lambda path, other: replace(path, other).mkdir(),
    "a link": lambda path, other: replace(path, other).symlink_to(other),
    "a link to itself": lambda path, other: replace(path, other).symlink_to(path.name),
    "a dangling link": lambda path, other: replace(path, other).symlink_to("nowhere"),
    "a pipe": lambda path, other: os.mkfifo(replace(path, other)),
    "away": None,
}
DAMAGES = CONTENTS | OTHERS


def damage(monkeypatch, kind, path, other):
    if kind != "away":
        DAMAGES[kind](path, other)
        return
    system = os.open

    def away(name, *arguments, **options):
        if os.fspath(name) == str(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return system(name, *arguments, **options)

    monkeypatch.setattr(os, "open", away)


def snapshot(folder, but=()):
    """The content of everything in a folder, links as links."""
    entries = [path for path in folder.rglob("*") if path not in but]
    kept = lambda path: path.is_file() and not path.is_symlink()
    return {str(path): path.read_bytes() if kept(path) else os.path.islink(path) for path in entries}


def drawn(figure):
    lines = [line.get_xydata() for axes in figure.axes for line in axes.lines]
    return [line.tolist() for line in lines]


def page(folder):
    target = folder.parent / "page.html"
    try:
        return report.write([folder], target).read_text()
    finally:
        target.unlink(missing_ok=True)


READERS = {
    "open": lambda folder: xinit.open(folder).to_dict(),
    "frame": lambda folder: xinit.frame(folder).to_dict(),
    "figure": lambda folder: drawn(xinit.figure(folder)),
    "report": page,
}
TABLE = [
    *((runs, name, reader) for name in record.FILES for reader in READERS),
    *((sweeps_of, name, reader) for name in ("sweep.json", "readings.nc") for reader in READERS),
    *((studies, name, "report") for name in ("claims.json", "about.json", "page.md", "figure1.png")),
]


@pytest.fixture(scope="module")
def undamaged():
    """What readers gave of folders before any damage."""
    return {}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(("folders", "name", "reader"), TABLE, ids=lambda value: getattr(value, "__name__", value))
def test_a_reader_gives_what_was_stored_or_says_what_is_wrong(
    copy, undamaged, monkeypatch, folders, name, reader, kind
):
    folder, other = folders(copy)[:2]
    read = READERS[reader]
    if (expected := undamaged.get((folder, reader))) is None:
        expected = undamaged[folder, reader] = read(folder)
    damage(monkeypatch, kind, folder / name, other / name)
    before = snapshot(copy)
    try:
        found = read(folder)
    except InputError as error:
        found = error
    if isinstance(found, InputError):
        assert str(found).isprintable()
    else:
        is_text = folders is studies  # which has no checksum: what it says is shown, but for what a link leads to
        assert repr(found) == repr(expected) or is_text
        assert not (is_text and kind in OTHERS and "other study" in found)
    assert snapshot(copy) == before


class ComputedAgainError(Exception):
    """Instead of the computation itself, which test_runner follows to its end."""


def again(*arguments, **options):
    raise ComputedAgainError


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", record.FILES)
def test_the_same_command_computes_again_what_is_damaged_and_refuses_what_is_no_file(copy, monkeypatch, name, kind):
    path, other = runs(copy)[:2]
    expected = execute(copy / "runs").summary["test_error"]
    monkeypatch.setattr(runner, "_compute", again)
    damage(monkeypatch, kind, path / name, other / name)
    before = snapshot(copy)
    try:
        found = execute(copy / "runs").summary["test_error"]
    except (InputError, ComputedAgainError) as error:
        found = error
    if name == "config.yaml" and kind in ("truncated", "emptied"):  # where what is left is of this run, it is done
        assert found == expected or isinstance(found, ComputedAgainError)
    else:
        assert type(found) is (InputError if kind in OTHERS else ComputedAgainError)
    assert str(found).isprintable()
    assert snapshot(copy) == before


@pytest.mark.parametrize("name", [*record.FILES, "log.txt", ".lock", "checkpoints", "figures", "params"])
def test_nothing_is_written_through_a_link(copy, name):
    (path, *_), outside = runs(copy), copy / "outside"
    shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink(missing_ok=True)
    outside.mkdir()
    (outside / "mine").write_text("kept")
    (path / name).symlink_to(outside / "mine" if "." in name else outside)
    before = snapshot(copy, but=list(path.rglob("*")))
    with pytest.raises(InputError, match="is a link, through which nothing is opened"):
        execute(copy / "runs", force=True)
    assert snapshot(copy, but=list(path.rglob("*"))) == before


def test_the_runs_of_a_sweep_are_read_where_sweeps_have_them_and_nowhere_else(copy):
    from xinit.report.groups import folder_of

    sweep, run = sweeps_of(copy)[0], runs(copy)[0]
    member = os.path.relpath(run, sweep)
    assert folder_of(sweep, member).samefile(run)
    for other in (
        "/etc",
        "..",
        "../..",
        "../../..",
        f"../../../x/{run.name}",
        "a/b",
        f"../../x/../{run.name}",
        "../../x",
    ):
        assert folder_of(sweep, other) is None
    assert folder_of(pathlib.Path(shutil.copytree(sweep, copy / "alone" / "sweep")), member) is None
    run.rename(run.with_name("elsewhere"))
    run.symlink_to("elsewhere")
    with pytest.raises(InputError, match="is a link"):
        folder_of(sweep, member)


# ---- checkpoints


def newest(path):
    return max(path.glob("checkpoints/*/0*"), key=lambda step: step.name)


def arrays(checkpoint):
    """The largest file of those that hold the arrays; what describes them is the same in every run."""
    return max(checkpoint.glob("**/d/*"), key=lambda file: file.stat().st_size).relative_to(checkpoint)


def resumed(path):
    """The step and the leaves that a run would go on from, and what is said of it."""
    folder = RunDirectory(path).to_resume_from(force=False)
    with np.load(path.parent / "like.npz") as stored:
        like = [stored[name] for name in sorted(stored)]
    found = checkpoints.load(folder, [path.name], like)
    return found.step, [leaf.tolist() for leaf in jax.tree.leaves(found.state)], found.complaints


@pytest.fixture(scope="module")
def whole(cut):
    """What each run of `cut` goes on from: step and leaves, of the newest checkpoint and of the one before."""
    expected = {}
    for path in runs(cut):
        tree = checkpoints.load_tree(newest(path))
        np.savez(path.parent / "like.npz", **tree["state"])
        step, leaves, _ = resumed(path)
        expected[step] = leaves
    before = sorted(path.glob("checkpoints/*/0*"))[0]
    return expected | {int(before.name): None}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["status.json", manifests.MEMBERS, manifests.MANIFEST, "the arrays"])
def test_a_run_goes_on_from_what_is_whole_and_no_checkpoint_is_lost(cut, whole, tmp_path, monkeypatch, name, kind):
    copy = pathlib.Path(shutil.copytree(cut, tmp_path / "copy"))
    path, other = runs(copy)
    in_run = name == "status.json"
    own, foreign = (path, other) if in_run else (newest(path), newest(other))
    step, leaves, _ = resumed(path)
    damage(monkeypatch, kind, own / (arrays(own) if name == "the arrays" else name),
           foreign / (arrays(foreign) if name == "the arrays" else name))  # fmt: skip
    count, before = len(list(path.glob("checkpoints/*/*"))), snapshot(other)
    if kind in OTHERS:
        with pytest.raises(InputError) as refused:
            resumed(path)
        assert str(refused.value).isprintable()
    else:
        found, others, complaints = resumed(path)
        assert (found, others) == (step, leaves) if in_run else found == min(whole)
        assert in_run or len(complaints) == 1
    assert len(list(path.glob("checkpoints/*/*"))) == count
    assert snapshot(other) == before


def test_files_of_others_among_checkpoints_stop_nothing_and_stay(cut, tmp_path):
    """As network and desktop file systems leave them, and people."""
    copy = pathlib.Path(shutil.copytree(cut, tmp_path / "copy"))
    path = runs(copy)[0]
    places = [newest(path), newest(path).parent, newest(path).parent.parent]
    strays = [place / name for place in places for name in (".nfs000000001", "._x", ".DS_Store", "notes.txt")]
    for stray in strays:
        stray.write_text("kept")
    assert execute(copy / "runs").summary["resumed_from"] == 20
    assert sorted(file for file in (path / "checkpoints").rglob("*") if file.is_file()) == sorted(strays)


@pytest.mark.parametrize(
    "pointer", ["../../../precious", "/etc", "../../..", ".", "checkpoints", "checkpoints/../../.."]
)
def test_a_pointer_out_of_the_folder_of_runs_is_refused_and_nothing_is_touched(cut, tmp_path, pointer):
    copy = pathlib.Path(shutil.copytree(cut, tmp_path / "copy"))
    path = runs(copy)[0]
    shutil.copytree(newest(path), copy / "precious" / "0000000020")  # with a manifest, even
    status = files.read_json(path, "status.json")
    (path / "status.json").write_text(json.dumps(status | {"checkpoint": pointer}))
    before = snapshot(copy)
    with pytest.raises(InputError, match=r"names .* as the run's checkpoints, which is none of"):
        execute(copy / "runs")
    assert snapshot(copy) == before


def test_what_was_left_at_the_very_end_is_removed_by_the_next_command(cut, made, tmp_path):
    """Of processes that were killed: one before it removed its checkpoints, one before it wrote its first."""
    copy = pathlib.Path(shutil.copytree(made, tmp_path / "copy"))
    for path, left in zip(runs(copy), [next(runs(cut)[0].glob("checkpoints/*")), None], strict=False):
        (path / "checkpoints").mkdir()
        if left:
            shutil.copytree(left, path / "checkpoints" / left.name)
    execute(copy / "runs", seed=0)
    runner.execute_all([config(copy / "runs", seed=1)], SweepReporter(quiet=True))
    assert not list(copy.glob("runs/*/*/checkpoints"))


def test_a_forced_run_that_was_killed_before_it_had_cleared_its_folder_begins_anew(cut, tmp_path, monkeypatch):
    copy = pathlib.Path(shutil.copytree(cut, tmp_path / "copy"))
    path = runs(copy)[0]
    monkeypatch.setattr(RunDirectory, "_remove_results", again)
    with pytest.raises(ComputedAgainError):
        RunDirectory(path).begin("", force=True)
    monkeypatch.undo()
    directory = RunDirectory(path)
    assert directory.to_resume_from(force=True) is None
    directory.begin("", force=True)
    assert not (path / "checkpoints").exists()


# ---- runs of the version before, whose files do not carry their hash


def without_hashes(path):
    for name in ("status.json", "summary.json"):
        content = files.read_json(path, name)
        (path / name).write_text(json.dumps({key: value for key, value in content.items() if key != "run"}))
    content = (path / "readings.nc").read_bytes()
    attributes = netcdf.attributes(content, path)
    arrays = {name: a for name, a in netcdf.decode(content, path).arrays.items() if name in record.DESCRIBED}
    kept = {name: attributes[name] for name in ("name", "config")}
    (path / "readings.nc").write_bytes(netcdf.encode(arrays, record.DESCRIBED, kept))


def test_runs_that_carry_no_hash_are_done_and_their_readings_are_told_apart_by_their_config(copy, monkeypatch):
    expected = execute(copy / "runs").summary["test_error"]
    path, other = runs(copy)[:2]
    without_hashes(path)
    without_hashes(other)
    monkeypatch.setattr(runner, "_compute", again)
    assert execute(copy / "runs").summary["test_error"] == expected
    moved = (path / "config.yaml").read_text().replace("checkpoint_every: 300", "checkpoint_every: 5")
    (path / "config.yaml").write_text(moved)  # which changes no result
    assert record.is_finished(path)
    shutil.copy(other / "readings.nc", path)
    with pytest.raises(InputError, match=r"readings.nc and .*config.yaml are not of one run"):
        xinit.open(path)
    with pytest.raises(ComputedAgainError):
        execute(copy / "runs")
