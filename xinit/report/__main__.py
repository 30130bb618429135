"""One page of pictures and tables: `python -m xinit.report FOLDER [...] -o page.html`."""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import argparse
import sys
import webbrowser
from collections.abc import Sequence

from xinit import report
from xinit.commands import cli
from xinit.commands.cli import refuse
from xinit.core import folders
from xinit.core.errors import InputError

WORDS = """Write one HTML file that shows a run, a sweep, a study, a comparison, an inspection, a coordinate check, a
transfer, a monitor, a saved probe (report.save), or several runs, monitors or probes beside each other. It holds all
that it needs: open it from disk, mail it, or put it on a web server."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page that the command line asks for; the exit code."""
    try:
        asked = _parser().parse_args(arguments)
        for folder in [*asked.folders, *([asked.output] if asked.output is not None else [])]:
            if not folders.can_be_folder(folder):
                raise InputError(f"{folder!r} is given; it must be {folders.WORDS}.")
        if asked.watch:
            _check_for_watching(asked)
            report.watch(asked.folders, asked.host, asked.port or 0, asked.open)
            return cli.DONE
        if asked.host is not None or asked.port is not None:
            raise InputError("--host and --port are given without --watch; a page is served with --watch alone.")
        path = report.write(asked.folders, asked.output)
    except InputError as error:
        return cli.complain(str(error))
    print(f"page: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if not asked.open:
        print("next: open it in a browser, or have it opened with --open")
    if asked.open:
        webbrowser.open(path.resolve().as_uri())
    return cli.DONE


def _check_for_watching(asked: argparse.Namespace) -> None:
    if asked.output is not None:
        raise InputError("-o is given with --watch; a page is either written or served.")
    if asked.port is not None and not 0 <= asked.port < 1 << 16:
        raise InputError(f"--port is {asked.port}; it must be 1 to {(1 << 16) - 1:,}, or 0 for one that is free.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xinit.report", description=WORDS)
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="that a command printed at its end, or report.save wrote"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="default: report.html in the folder; of several, here")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="serve the page, or that of the newest run in a folder of runs, until ctrl-c",
    )
    parser.add_argument("--host", help="with --watch: default: 127.0.0.1, which other machines do not reach")
    parser.add_argument("--port", type=int, help="with --watch: default: one that is free")
    parser.error = refuse  # type: ignore[method-assign]  # argparse would print and exit
    return parser


if __name__ == "__main__":
    sys.exit(main())
