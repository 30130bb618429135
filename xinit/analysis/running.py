"""The list of a sweep's runs, which lies in the sweep's folder from before the first is trained until all are over."""

import json
import os
import pathlib
from collections.abc import Sequence

from xinit.analysis.outcomes import Outcome
from xinit.analysis.swept import swept
from xinit.core import files, manifests

RUNNING = "running.json"


def begin(path: pathlib.Path, outcomes: Sequence[Outcome]) -> None:
    """List the runs in the folder of their sweep, so that a page can follow them; `sweeps.write` takes the list away.

    >>> begin(pathlib.Path("sweeps", "ab12"), outcomes)
    >>> [file.name for file in pathlib.Path("sweeps", "ab12").iterdir()]
    ['running.json']
    """
    settings_of = zip(outcomes, swept([outcome.config for outcome in outcomes]), strict=True)
    runs = [{"path": os.path.relpath(outcome.path, path), **settings} for outcome, settings in settings_of]
    with files.writing(path):
        path.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path / RUNNING, (json.dumps({"runs": runs}, indent=2) + "\n").encode())


def withdraw(path: pathlib.Path, out: pathlib.Path) -> None:
    """Take back what `begin` wrote below `out`, where the sweep was refused; whatever else lies there stays.

    >>> path = pathlib.Path("refused", "sweeps", "ab12")
    >>> path.mkdir(parents=True)
    >>> withdraw(path, pathlib.Path("refused"))
    >>> list(pathlib.Path("refused").iterdir())
    []
    """
    (path / RUNNING).unlink(missing_ok=True)
    for folder in (path, *path.parents[:2]):
        if folder != out:
            manifests.remove_if_empty(folder)
