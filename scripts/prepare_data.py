"""Prepares TFDS image sets in array_record format, which xinit then reads without TensorFlow.

python scripts/prepare_data.py mnist cifar10 --dir ~/tensorflow_datasets

The preparation itself needs TensorFlow, and takes a minute or two beside the download.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone need not be installed

from xinit.core.errors import InputError
from xinit.data import tfds


def main() -> None:
    """Prepares the sets named on the command line; exit code 2 with a sentence where that fails."""
    parser = argparse.ArgumentParser(description="Prepare TFDS image sets in array_record format.")
    parser.add_argument("names", nargs="+", metavar="NAME", help="a TFDS set: mnist, cifar10, emnist/letters, ...")
    parser.add_argument("--dir", help="where to (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)")
    arguments = parser.parse_args()
    try:
        for name in arguments.names:
            print(f"{name} is in {tfds.prepare(name, arguments.dir)}")
    except InputError as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
