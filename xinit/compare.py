"""Compare initialisation schemes fairly: `python -m xinit.compare schemes=[mypkg.mymodule:my_init,xavier,he]`.

Every scheme gets the same learning rates and the same budget. Its rate is chosen on validation error, its score is the
test error on fresh seeds, and differences are paired by seed: runs of one seed see the same batches. All runs are runs
like any others, so a comparison that was cut goes on with the same command.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import sys
from typing import Any

from xinit.commands import cli


def main() -> int:
    """Run the comparison that the command line asks for; the exit code."""
    return cli.hydra_main(compare, "compare")


def compare(raw: dict[str, Any]) -> None:
    """One comparison, as `comparing.compare`."""
    from xinit.commands import comparing  # imported here: --help needs none of it

    comparing.compare(raw)


if __name__ == "__main__":
    sys.exit(main())
