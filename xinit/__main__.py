"""What the commands are, `python -m xinit`, and each of them by its name: `python -m xinit train +scheme=xavier`."""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import importlib
import sys

from xinit.commands import cli
from xinit.core.factories import allowed_words

COMMANDS = {
    "train": "train a network, or with -m many, and judge the initialisation",
    "inspect": "predict and measure an initialisation without training",
    "compare": "compare schemes, each at its own best learning rate, on fresh seeds",
    "theory": "what mean-field theory says of an activation",
    "list": "every scheme, activation, data set ... with its formula and source",
    "report": "one page of figures and tables of what another command has written",
    "coordinates": "does a parametrisation keep its sizes as width or depth grow?",
    "transfer": "does the best learning rate stay the same as width or depth grow?",
}
FIRST = """\
xinit: the laboratory for neural-network initialisation.

{commands}

Each says more with --help. A good beginning, half a minute on two cores:

  python -m xinit.train -m scheme=standard,xavier"""


def main() -> int:
    """Show the commands, or run the one that is named; the exit code."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(FIRST.format(commands="\n".join(f"  python -m xinit.{key:<12} {COMMANDS[key]}" for key in COMMANDS)))
        return cli.DONE
    if name not in COMMANDS:
        return cli.complain(f"Unknown command {name!r}; {allowed_words(name, COMMANDS)}")
    sys.argv[:] = [f"xinit.{name}", *arguments]
    entry = f"{name}.__main__" if name in ("theory", "report") else name
    return int(importlib.import_module(f"xinit.{entry}").main())


if __name__ == "__main__":
    sys.exit(main())
