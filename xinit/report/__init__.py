"""Runs, sweeps and studies as one HTML page each, from their folders alone: `python -m xinit.report RUN -o page.html`.

`page` holds what a page is made of and `charts` how its figures look; `layers`, `bands` and `training` draw a run's
readings; `run`, `sweep`, `several` and `study` say what is on a page. The figures are Vega-Lite's, whose script travels
in the page; nothing of a page is fetched.
"""

import importlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from xinit.core.errors import InputError

NEEDED = ("altair", "vl_convert", "markupsafe")  # of the extra "report"


def write(paths: Sequence[str | os.PathLike], output: str | os.PathLike | None = None) -> pathlib.Path:
    """Write the page of a run, a sweep or a study, or of several runs and sweeps beside each other; where it lies.

    Args:
      paths: their folders.
      output: the file to write; else report.html in the folder, or in the current one where there are several.

    Raises:
      InputError: a folder is none of these or cannot be read, or the page cannot be written.
    """
    folders = [pathlib.Path(path) for path in paths]
    name = pathlib.Path("report.html")
    target = pathlib.Path(output) if output else name if len(folders) > 1 else folders[0] / name
    content = _page(folders).encode(errors="replace")  # a text may hold halves of characters
    from xinit.core.files import write_atomically

    try:
        write_atomically(target, content)
    except OSError as error:
        raise InputError(
            f"The page {target} cannot be written: {error.strerror or error}; choose another -o."
        ) from None
    return target


def _page(folders: Sequence[pathlib.Path]) -> str:
    from xinit.report import sources

    kinds = [sources.kind(folder) for folder in folders]
    if len(folders) == 1:
        return _module(kinds[0]).page(folders[0])
    if "study" in kinds:
        raise InputError(f"{folders[kinds.index('study')]} is a study, which has a page of its own; give it alone.")
    return _module("several").page(folders)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"xinit.report.{name}")
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise InputError("xinit.report needs altair and vl-convert-python: pip install 'xinit[report]'.") from None
