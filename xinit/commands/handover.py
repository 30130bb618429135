"""A sweep's groups as jobs of another launcher: how they are divided, packed and run, and the errors of failed ones.

A job returns the validation errors of its runs, or why it was refused. All else is in the folders of its runs, on a
file system that the workers and the launching process share.
"""

import base64
import json
import os
import pathlib
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from hydra.core.utils import JobReturn, JobStatus

from xinit.analysis.outcomes import Outcome
from xinit.analysis.swept import label, swept
from xinit.commands import sweeping
from xinit.core.errors import InputError
from xinit.runs import record
from xinit.runs.grouping import by_program

SHOWN = 5  # jobs that are named where many went wrong in one way
SECONDS_UNTIL_SEEN = 60.0  # within which a network file system shows what another machine wrote


class Job(NamedTuple):
    """A group's runs, or a part of them, by their places in the sweep; `name` and `label` say which they are."""

    name: str
    label: str
    places: list[int]


def divide(outcomes: Sequence[Outcome], most: int | None) -> list[Job]:
    """The jobs that do what is not done yet: runs of one program each, at most so many, parts of a group alike."""
    todo = {o.path: i for i, o in enumerate(outcomes) if o.config.force or not o.summary}  # equal jobs are one run
    places = list(todo.values())
    groups = by_program([outcomes[i].config for i in places])
    parts = [[places[k] for k in part] for group in groups for part in _parts(group, most)]
    labels = [label(settings) for settings in swept([outcome.config for outcome in outcomes])]
    named = zip((f"job {k} of {len(parts)}" for k in range(1, len(parts) + 1)), parts, strict=True)
    return [Job(name, _label(part, labels), part) for name, part in named]


def _parts(group: Sequence[int], most: int | None) -> list[list[int]]:
    n = -(-len(group) // (most or len(group)))
    return [list(group[len(group) * k // n : len(group) * (k + 1) // n]) for k in range(n)]


def _label(part: Sequence[int], labels: Sequence[str]) -> str:
    return labels[part[0]] + (f" and {len(part) - 1} more" if len(part) > 1 else "")


def pack(job: Job, raws: Sequence[Mapping[str, Any]], cores: int | None) -> str:
    """The override `members`: what a worker must know beside the config of the job's first member.

    It is base64, since Hydra's grammar gives quotes and backslashes in a text a meaning of their own.
    """
    first = raws[job.places[0]]
    differing = [{key: value for key, value in raws[i].items() if value != first[key]} for i in job.places]
    given = {"job": job.name, "folder": os.getcwd(), "cores": cores, "members": differing}
    return f"++members='{base64.b64encode(json.dumps(given).encode()).decode()}'"


def unpack(members: str) -> dict[str, Any]:
    """What `pack` gave: the name of the `job`, the `folder` to work in, `cores`, and what each of `members` has.

    Raises:
      InputError: it is not from `pack`.
    """
    try:
        given = json.loads(base64.b64decode(members, validate=True))
    except (ValueError, TypeError):
        given = None
    if not isinstance(given, dict) or given.keys() != {"job", "folder", "cores", "members"}:
        raise InputError(f"members is {members!r}; it is no setting, but what a launcher hands to its workers.")
    return given


def set_up_worker(folder: str, cores: int | None) -> None:
    """Make this process the worker of a job: in the folder that the sweep was started in, with its share of the cores.

    Raises:
      InputError: the folder is not on this machine.
    """
    try:
        os.chdir(folder)  # a worker of a running Ray cluster is where that was started
    except OSError as error:
        raise InputError(
            f"A worker cannot enter {folder}, in which the sweep was started: {error.strerror}."
        ) from error
    if cores is not None:  # read when jax is imported; it changes no number, unlike the threads that XLA may use
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(cores))


class NamedLines:
    """A stream that begins every line with a name, for several workers that write to one place."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name, self.stream = name, stream

    def write(self, text: str) -> None:
        """Write whole lines."""
        self.stream.write("".join(f"{self.name}: {line}" for line in text.splitlines(keepends=True)))

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


def run_members(raw: Mapping[str, Any], members: str) -> list[float | None] | str:
    """Run a job that was handed over, from its first member's config; what its runs return, or why it was refused."""
    from rich.console import Console

    given = unpack(members)
    lines = NamedLines(given["job"], sys.stdout)
    try:
        set_up_worker(given["folder"], given["cores"])
        configs = sweeping.parse_all([{**raw, **differing} for differing in given["members"]])
        console = Console(file=lines, highlight=False, width=120)  # type: ignore[arg-type]  # it writes and flushes
        outcomes = sweeping.run_all(configs, console)
    except InputError as error:  # told by the launching process, which knows what else went wrong
        return str(error)
    return [sweeping.objective(outcome) for outcome in outcomes]


def wait_until_seen(jobs: Sequence[Job], returned: Sequence[JobReturn], outcomes: Sequence[Outcome]) -> None:
    """Return when the runs that workers say are over are seen to be: file systems of several machines take a while."""
    over = [outcomes[i].path for job, job_return in zip(jobs, returned, strict=True) for i in _over(job, job_return)]
    deadline = time.monotonic() + SECONDS_UNTIL_SEEN
    while not all(record.is_finished(path) for path in over) and time.monotonic() < deadline:
        time.sleep(0.5)


def _over(job: Job, returned: JobReturn) -> list[int]:
    """The runs of a job that came to their end, as its worker says."""
    values = returned._return_value if returned.status == JobStatus.COMPLETED else None
    return [i for i, value in zip(job.places, values, strict=True) if value is not None] if type(values) is list else []


def error_of(jobs: Sequence[Job], returned: Sequence[JobReturn], outcomes: Sequence[Outcome]) -> Exception | None:
    """What is to be raised for the jobs that went wrong, whose names it holds; None where none did."""
    wrong: dict[str, list[Job]] = {}
    crash = None
    for job, job_return in zip(jobs, returned, strict=True):
        trouble = _trouble(job, job_return, outcomes)
        if isinstance(trouble, Exception) and any(outcomes[i].state != "not begun" for i in job.places):
            crash = crash or trouble
        if trouble is not None:
            wrong.setdefault(_sentence(trouble), []).append(job)
    message = "\n".join(f"{_names(those)}: {sentence}" for sentence, those in wrong.items())
    if crash is None:
        return InputError(message) if wrong else None
    error = RuntimeError(f"{message}\nWhat is done is kept; the same command goes on with the rest.")
    error.__cause__ = crash
    return error


def _trouble(job: Job, returned: JobReturn, outcomes: Sequence[Outcome]) -> str | Exception | None:
    """Why a job was refused, what it raised, or that its runs are not where they should be."""
    value = returned._return_value
    if returned.status == JobStatus.FAILED:
        return None if all(outcomes[i].summary for i in job.places) else value
    if isinstance(value, str):
        return value
    if not all(outcomes[i].summary for i in _over(job, returned)):
        folder = pathlib.Path(outcomes[job.places[0]].config.out).absolute()
        return f"it is done, but its runs are not in {folder}: workers and this machine must share that folder."
    return None


def _sentence(trouble: str | Exception) -> str:
    if isinstance(trouble, str):
        return trouble
    return textwrap.shorten(f"{type(trouble).__name__}: {trouble}", 400)


def _names(jobs: Sequence[Job]) -> str:
    names = [f"{job.name} ({job.label})" if job.label else job.name for job in jobs[:SHOWN]]
    return ", ".join(names) + (f" and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else "")
