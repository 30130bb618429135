"""Runs, sweeps, studies and saved probes as one HTML page each, from their folders alone.

`python -m xinit.report FOLDER -o page.html` writes one; with `--watch` instead of `-o`, `watch` serves one that follows
what is written into the folder (`live_page`, `following`, `live.js`).

`page` holds what a page is made of and `charts` how its figures look; `layers`, `bands` and `training` draw a run's
readings, `probe_charts`, `probe_tables` and `wiring` a probe's; `run`, `sweep`, `running_sweep`, `several`, `study`,
`probe`, `probes`, `monitor` and `monitors` say what is on a page. The figures are Vega-Lite's, whose script travels in
the page; nothing of a page is fetched.
"""

import importlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from xinit.core.errors import InputError

NEEDED = ("altair", "vl_convert", "markupsafe")  # of the extra "report"


def write(paths: Sequence[str | os.PathLike], output: str | os.PathLike | None = None) -> pathlib.Path:
    """Write the page of a run, a sweep or what else a command has written, or of several; where it lies.

    Args:
      paths: their folders: one of any kind; or several, of runs and sweeps, of monitors, or of saved probes or what
        holds several saved probes.
      output: the file to write; else report.html in the folder, or in the current one where there are several.

    Raises:
      InputError: a folder is none of these or cannot be read, or they do not go on one page; it cannot be written.
    """
    folders = [pathlib.Path(path) for path in paths]
    name = pathlib.Path("report.html")
    target = pathlib.Path(output) if output else name if len(folders) > 1 else folders[0] / name
    content = render(folders).encode(errors="replace")  # a text may hold halves of characters
    from xinit.core.files import write_atomically

    try:
        write_atomically(target, content)
    except OSError as error:
        raise InputError(
            f"The page {target} cannot be written: {error.strerror or error}; choose another -o."
        ) from None
    return target


def watch(paths: Sequence[str | os.PathLike], host: str | None = None, port: int = 0, browser: bool = False) -> None:
    """Serve the page of these folders, which follows what is written into them, until ctrl-c.

    Args:
      paths: as in `write`, or folders that hold runs, as `out` does: what was begun or ended last in them is shown.
      host: the name or number of the address to serve at; else the loopback, which other machines do not reach.
      port: 0 takes one that is free.
      browser: whether to show the page in the browser.

    Raises:
      InputError: as `write`, or the address cannot be used.
    """
    server = _module("server")
    server.serve([pathlib.Path(path) for path in paths], server.LOOPBACK if host is None else host, port, browser)


def render(folders: Sequence[pathlib.Path]) -> str:
    """The page as HTML; arguments and errors as of `write`."""
    from xinit.report import sources

    kinds = [sources.kind(folder) for folder in folders]
    if set(kinds) <= {"probe", "probes"}:
        return _page_of_probes([own for folder in folders for own in _probes(folder, sources)])
    if results := [folder for folder, kind in zip(folders, kinds, strict=True) if kind in sources.RESULTS]:
        if len(folders) > 1:
            raise InputError(f"{results[0]} has a page of its own; give it alone.")
        return str(_module("result").page(folders[0], kinds[0]))
    if len(folders) == 1:
        return _module(kinds[0].replace(" ", "_")).page(folders[0])
    if set(kinds) == {"monitor"}:
        return _module("monitors").page(folders)
    if probes := [folder for folder, kind in zip(folders, kinds, strict=True) if kind.startswith("probe")]:
        other = next(folder for folder in folders if folder not in probes)
        raise InputError(f"{probes[0]} is a saved probe and {other} is none; a page shows probes, or runs and sweeps.")
    if "monitor" in kinds:
        watched, other = folders[kinds.index("monitor")], folders[[kind != "monitor" for kind in kinds].index(True)]
        raise InputError(f"{watched} is a monitor and {other} is none; a page shows monitors, or runs and sweeps.")
    if "study" in kinds:
        raise InputError(f"{folders[kinds.index('study')]} is a study, which has a page of its own; give it alone.")
    return _module("several").page(folders)


def _probes(folder: pathlib.Path, sources: Any) -> list[pathlib.Path]:
    return [folder] if sources.kind(folder) == "probe" else sources.probes_in(folder)


def _page_of_probes(folders: Sequence[pathlib.Path]) -> str:
    return _module("probe").page(folders[0]) if len(folders) == 1 else _module("probes").page(folders)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"xinit.report.{name}")
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise InputError("xinit.report needs altair and vl-convert-python: pip install 'xinit[report]'.") from None
