"""Files of strangers: links, names that lead elsewhere, sizes, foreign texts; what is written, and through what."""

import json
import os
import pathlib

import pytest

from xinit.core import files, manifests
from xinit.core.errors import InputError


@pytest.mark.parametrize("name", ["/etc/hostname", "../outside", "a/../../outside", "link", "link/inner", "loop"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "inner").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"does not lie inside|is a link"):
        files.read(folder, name)


def test_the_folder_itself_may_be_a_link_and_what_is_not_there_is_nothing(tmp_path):
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "real" / "inner" / "a.json").write_text('{"a": 1}')
    (tmp_path / "link").symlink_to("real")
    assert files.read_json(tmp_path / "link", "inner/a.json") == {"a": 1}
    assert files.read(tmp_path, "nowhere/b") is None
    assert files.read_json(tmp_path, "real/inner/a.json/b", list) == []


def test_a_file_is_not_read_beyond_its_limit(tmp_path):
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="it has 1,099,511,627,776 bytes, where at most 67,108,864 are read"):
        files.read(tmp_path, "holes")


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "!!python/object/apply:os.abort []", "a: [", "- 1", "a: " + "[" * 99 + "]" * 99]
)
def test_yaml_is_of_plain_values(tmp_path, text):
    with pytest.raises(files.DamagedError, match=r"config.yaml cannot be read: it (is|holds)"):
        files.parse_yaml(text, tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain, é", "plain, é"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\u2028\ud800", r"\u2028\ud800"),
    ],
)
def test_a_foreign_text_is_one_line_of_a_log(tmp_path, text, line):
    files.append_line(tmp_path / "log.txt", text)
    assert (tmp_path / "log.txt").read_text("utf-8") == line + "\n"


def test_nothing_is_written_through_a_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("kept")
    (tmp_path / "log.txt").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic link"):
        files.append_line(tmp_path / "log.txt", "a line")
    (tmp_path / "status.json").symlink_to(mine)
    (tmp_path / f".status.json.{os.getpid()}").symlink_to(mine)  # the temporary name, foreseen
    files.write_atomically(tmp_path / "status.json", b"{}")
    assert (tmp_path / "status.json").read_bytes() == b"{}"
    assert not (tmp_path / "status.json").is_symlink()
    assert mine.read_text() == "kept"


@pytest.fixture
def checkpoint(tmp_path) -> pathlib.Path:
    path = tmp_path / "0000000010"
    (path / "d").mkdir(parents=True)
    (path / "d" / "data").write_bytes(b"weights")
    manifests.write(path, ["a"])
    return path


def test_of_a_checkpoint_only_what_its_manifest_names_is_removed(checkpoint):
    for stray in (checkpoint / "notes.txt", checkpoint / "d" / ".DS_Store"):
        stray.write_text("mine")
    manifests.verify(checkpoint)
    manifests.remove(checkpoint)
    left = [path.name for path in checkpoint.rglob("*") if path.is_file()]
    assert sorted(left) == [".DS_Store", "notes.txt"]


@pytest.mark.parametrize("content", [None, "", "null", "[]", "{}", '{"d/data": "0"}', '{"members.json": 1}'])
def test_a_folder_without_a_manifest_is_not_removed(checkpoint, content):
    manifest = checkpoint / manifests.MANIFEST
    manifest.unlink() if content is None else manifest.write_text(content)
    manifests.remove(checkpoint)
    manifests.remove_all(checkpoint.parent)
    assert (checkpoint / "d" / "data").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["../precious", "link/precious", "{here}/precious"])
def test_a_manifest_that_names_files_elsewhere_removes_none(checkpoint, name):
    precious = checkpoint.parent / "precious"
    precious.write_text("kept")
    (checkpoint / "link").symlink_to(checkpoint.parent)
    content = {name.format(here=checkpoint.parent): "0"} | json.loads((checkpoint / manifests.MANIFEST).read_text())
    (checkpoint / manifests.MANIFEST).write_text(json.dumps(content))
    manifests.remove(checkpoint)
    assert precious.read_text() == "kept"


def test_what_is_damaged_is_set_aside_under_a_name_that_is_free(checkpoint):
    folder = checkpoint.parent
    (folder / "damaged-0000000010").write_text("in the way")
    assert manifests.set_aside(checkpoint) == folder / "damaged-0000000010-2"
    assert manifests.checkpoints(folder) == []
    manifests.remove_all(folder)
    assert [path.name for path in folder.iterdir()] == ["damaged-0000000010"]
