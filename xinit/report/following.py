"""What a live page shows, and whose files it watches.

Of a folder that holds runs, as `out` does, it shows the run, sweep or monitor that was begun or ended last. Of a sweep
that is being trained it watches the folders of its runs too, which lie elsewhere.
"""

import contextlib
import os
import pathlib

from xinit.core.errors import InputError
from xinit.report import charts, groups
from xinit.report.groups import Member
from xinit.report.sources import MARKERS

FOLLOWED = ("running sweep", "sweep", "run", "monitor")  # kinds that are looked for in a folder that is none itself
WATCHED = 500  # runs of a sweep, evenly spaced, whose files are looked at each second
DEEPEST = 3  # levels below it, as of <out>/<name>/sweeps/<hash>


def shown(folder: pathlib.Path) -> pathlib.Path:
    """The folder whose page is shown: this one, or if it is of no kind what changed last below it."""
    if any(os.path.lexists(folder / marker) for marker in MARKERS.values()):
        return folder
    found = _below(str(folder), DEEPEST)
    newest = max(found, default=(0, folder, ""))
    if newest[2] == "run":
        running = [path for _, path, kind in sorted(found, reverse=True) if kind == "running sweep"]
        return next((path for path in running if newest[1].name in _names_of_runs(path)), newest[1])
    return newest[1]


def watched(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of whose files the page of `folder` is made: itself, and those of the runs of a running sweep."""
    return [folder, *_runs(folder)] if os.path.lexists(folder / MARKERS["running sweep"]) else [folder]


def _members(sweep: pathlib.Path) -> list[Member]:
    try:
        return groups.running(sweep)
    except InputError:  # rendering says so
        return []


def _runs(sweep: pathlib.Path) -> list[pathlib.Path]:
    members, found = _members(sweep), []
    for i in charts.chosen(len(members), WATCHED) if members else []:
        with contextlib.suppress(InputError):  # a link
            found.append(groups.folder_of(sweep, members[i].path))
    return [path for path in found if path is not None]


def _names_of_runs(sweep: pathlib.Path) -> set[str]:
    return {pathlib.PurePath(member.path).name for member in _members(sweep)}


def _below(folder: str, levels: int) -> list[tuple[int, pathlib.Path, str]]:
    """When what lies below was begun or ended, in nanoseconds, its folder and kind; not what is hidden or a link."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:  # it is gone, or another's
        return []
    names = {entry.name: entry for entry in entries}
    for kind in FOLLOWED:
        if MARKERS[kind] in names:
            return _at(names[MARKERS[kind]], pathlib.Path(folder), kind)
    below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)] if levels else []
    return [found for path in below for found in _below(path, levels - 1)]


def _at(marker: "os.DirEntry[str]", folder: pathlib.Path, kind: str) -> list[tuple[int, pathlib.Path, str]]:
    try:
        return [(marker.stat(follow_symlinks=False).st_mtime_ns, folder, kind)]
    except OSError:  # removed since it was listed
        return []
