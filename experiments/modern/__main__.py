"""The study's command: python -m experiments.modern --help."""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import functools
import sys

from experiments import study

main = functools.partial(study.main, __package__)

if __name__ == "__main__":
    sys.exit(main())
