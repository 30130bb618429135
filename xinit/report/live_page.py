"""The page of folders that change: rendered again when a file of theirs has, and the last good one while none can be.

Nothing runs in the background: a page is rendered when somebody asks for it, so that one that nobody looks at costs
the run beside it nothing.
"""

import hashlib
import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import NamedTuple

from xinit import report
from xinit.core.errors import InputError
from xinit.core.files import DamagedError
from xinit.report import following
from xinit.report import page as html
from xinit.report.page import Markup

UNREAD = {"checkpoints", "params", "state", "tensorboard", "wandb"}  # folders of a run that no page is made from
DEEPEST = 3  # levels of folders whose files are looked at
REST = 4.0  # times as long as looking and rendering took, a page rests: it must not slow the run down
LONGEST_REST = 10.0  # seconds
LIVE = Markup(
    "<style>#live {{ position: fixed; right: .5rem; bottom: .5rem; margin: 0; padding: .2rem .6rem; "
    "max-width: 40rem; background: Canvas; color: CanvasText; border: 1px solid; border-radius: .4rem; "
    'font-size: .875rem; }}</style><p id="live" role="status" data-version="{}"></p><script>{}</script>\n'
)


class Content(NamedTuple):
    """What is served: the page, its version, and in words why the files cannot be read as they are now, or ""."""

    page: bytes
    version: str
    problem: str


class LivePage:
    """The page of some folders; `current` may be called from several threads."""

    def __init__(self, folders: Sequence[pathlib.Path]) -> None:
        """Render the page for the first time.

        Raises:
          InputError: as `report.write`; a file that is cut short is no reason, since its writer may still be at work.
        """
        self.folders = folders
        self._lock = threading.Lock()
        self._resting_until = 0.0
        shown = list(map(following.shown, folders))
        self._seen = _states(shown)
        try:
            self._content = _live(report.render(shown))
        except DamagedError as error:
            waiting = html.whole("Nothing to show yet", [html.paragraph(str(error))], "Made by xinit.report.")
            self._content = _live(waiting)

    def current(self) -> Content:
        """The page as it is now; that of before while another thread renders, the page rests or no file has changed."""
        if self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._content

    def _look(self) -> None:
        began = time.monotonic()
        if began < self._resting_until:
            return
        shown = list(map(following.shown, self.folders))
        states = _states(shown)
        if states != self._seen:
            self._render(shown)
            self._seen = states  # taken before the files were read: what is written meanwhile is a change
        ended = time.monotonic()
        self._resting_until = ended + min(REST * (ended - began), LONGEST_REST)

    def _render(self, shown: Sequence[pathlib.Path]) -> None:
        try:
            self._content = _live(report.render(shown))
        except InputError as error:
            self._content = self._content._replace(problem=f"It cannot be made anew: {error}")
        except Exception as error:  # of files from which another process writes or removes parts in this moment
            words = f"It cannot be made anew ({type(error).__name__}: {error})."
            self._content = self._content._replace(problem=words)


def _live(page: str) -> Content:
    """A page that follows its folder: with our script, and a policy that lets it ask for the version."""
    version = hashlib.sha256(page.encode(errors="replace")).hexdigest()[:16]
    script = Markup(resources.files(__package__).joinpath("live.js").read_text())
    # `str`, since Markup would escape what replaces a part of it.
    content = str(page).replace(str(Markup.escape(html.POLICY)), str(Markup.escape(policy())), 1)
    content = content.replace("</head>", '<link rel="icon" href="data:,">\n</head>', 1)
    before, _, after = content.rpartition("</body>")
    return Content(f"{before}{LIVE.format(version, script)}</body>{after}".encode(errors="replace"), version, "")


def policy() -> str:
    """The content policy of a live page: that of every page, and questions to where it came from."""
    return f"{html.POLICY}; connect-src 'self'"


def as_json(content: Content) -> bytes:
    """What the page's script is told each second."""
    return json.dumps({"version": content.version, "problem": content.problem}).encode()


def _states(folders: Sequence[pathlib.Path]) -> list[tuple[str, int, int, int]]:
    """Path, inode, size and time of the last change of each file that a page may be made from."""
    watched = [str(path) for folder in folders for path in following.watched(folder)]
    return sorted(state for path in watched for state in _below(path, DEEPEST))


def _below(folder: str, levels: int) -> Iterator[tuple[str, int, int, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it is gone, or another's: rendering says so
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in UNREAD:  # hidden: a file while it is being written
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if levels > 1:
                    yield from _below(entry.path, levels - 1)
            else:
                status = entry.stat(follow_symlinks=False)
                yield entry.path, status.st_ino, status.st_size, status.st_mtime_ns
        except OSError:  # removed since it was listed
            continue
