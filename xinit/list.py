"""Every choice there is, with its formula and source: `python -m xinit.list schemes`.

With `fans=784,100` the schemes' variances at these fans, number beside number, for every mean of the fans and every
scheme whose law is known: `python -m xinit.list schemes fans=784,100 activation=relu`.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import sys
from collections.abc import Sequence

from xinit.commands import cli, listing
from xinit.commands.terminal import Console
from xinit.core.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """List what the command line asks for; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(markup=False)
    try:
        listing.show(words, console)
    except InputError as error:
        return cli.complain(str(error))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
