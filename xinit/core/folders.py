"""Names of folders: which texts can be one, and what a folder is called that holds something of several runs."""

import hashlib
import os
import pathlib
from collections.abc import Iterable

LONGEST_NAME = 255  # bytes, on the file systems that people have
LONGEST_PATH = 3500  # bytes: Linux takes 4096, of which a run's own folders and files need a few hundred
WORDS = f"the name of a folder, its parts of at most {LONGEST_NAME} bytes and all of it of at most {LONGEST_PATH}"


def can_be_folder(text: object) -> bool:
    """Whether the operating system takes a text as the path of a folder."""
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        return False
    try:
        parts = [os.fsencode(part) for part in pathlib.PurePath(text).parts]
    except UnicodeEncodeError:  # half a character
        return False
    return len(os.fsencode(text)) <= LONGEST_PATH and all(len(part) <= LONGEST_NAME for part in parts)


def name_of_members(hashes: Iterable[str]) -> str:
    """Twelve hex digits for a set of runs, given by their hashes: the order does not count, nor does a repeat."""
    return hashlib.sha256(" ".join(sorted(set(hashes))).encode()).hexdigest()[:12]
