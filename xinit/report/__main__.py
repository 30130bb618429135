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

WORDS = """Write one HTML file that shows a run, a sweep, a study, a monitor, a saved probe (report.save), or several
runs or probes beside each other. It holds all that it needs: open it from disk, mail it, or put it on a web server."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page that the command line asks for; the exit code."""
    try:
        asked = _parser().parse_args(arguments)
        for folder in [*asked.folders, *([asked.output] if asked.output is not None else [])]:
            if not folders.can_be_folder(folder):
                raise InputError(f"{folder!r} is given; it must be {folders.WORDS}.")
        path = report.write(asked.folders, asked.output)
    except InputError as error:
        return cli.complain(str(error))
    print(f"page: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if asked.open:
        webbrowser.open(path.resolve().as_uri())
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xinit.report", description=WORDS)
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="that a command printed at its end, or report.save wrote"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="default: report.html in the folder; of several, here")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.error = refuse  # type: ignore[method-assign]  # argparse would print and exit
    return parser


if __name__ == "__main__":
    sys.exit(main())
