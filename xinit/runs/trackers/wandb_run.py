"""Weights & Biases: a run of theirs for each of ours."""

import functools
import shutil
import sys
import threading
from typing import Any

from xinit.core.errors import InputError
from xinit.runs.trackers.contract import Ending, Point, Start, TrackedRun, Tracker, require

MODES = ("online", "offline")
# xinit measures what its runs do, many of them in one process: W&B would add the machine's load to each.
QUIET = {
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "silent": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
_first_use = threading.Lock()


def wandb(project: str = "xinit", entity: str | None = None, mode: str | None = None) -> Start:
    """A W&B run whose id is the run's hash and whose group its name; the steps are training steps.

    Online a run that is resumed goes on as the same W&B run. Offline every start leaves a folder in <run>/wandb that
    holds the run from its beginning, and removes the one before.

    Raises:
      InputError: wandb is not installed, or an unknown mode.
    """
    require("wandb")
    if mode is not None and mode not in MODES:
        raise InputError(f"tracker.mode is {mode!r}; it must be one of {', '.join(MODES)}, or null.")
    return functools.partial(_start, {"project": project, "entity": entity, "mode": mode})


def _start(options: dict[str, Any], run: TrackedRun) -> Tracker:
    library = _library()
    mode = options["mode"] or library.setup().settings.mode  # of WANDB_MODE, or of their settings file
    if mode == "online" and not library.login(prompt=False, verify=False):
        raise RuntimeError("there is no login; run wandb login once, or choose tracker.mode=offline")
    for superseded in (run.folder / "wandb").glob(f"offline-run-*-{run.id}"):
        shutil.rmtree(superseded)
    theirs = library.init(
        id=run.id,
        name=f"{run.name}/{run.id}",
        group=run.name,
        config=dict(run.config),
        dir=run.folder,
        resume="allow",
        reinit="create_new",
        settings=library.Settings(**QUIET),
        **options,
    )

    def log(point: Point) -> None:
        if point.step >= theirs.starting_step:  # a run that W&B resumes has those before
            histograms = {tag: library.Histogram(np_histogram=shares) for tag, shares in point.histograms.items()}
            theirs.log({**point.scalars, **histograms}, step=point.step, commit=True)

    def finish(ending: Ending | None) -> None:
        if ending is not None:
            theirs.summary.update({**ending.scalars, "verdict": ending.verdict})
        theirs.finish(exit_code=0 if ending else 1)

    return Tracker(log, finish)


def _library() -> Any:
    """The package; where nobody else uses it in this process, without its messages and its wait when Python ends.

    That wait is for uploads, and W&B's own time limits do not end it: a command would hang where the network does.
    """
    with _first_use:
        ours = "wandb" not in sys.modules
        import wandb as library

        if ours:
            session = library.setup(library.Settings(silent=True))
            cancel_wait = getattr(session._connection, "_cleanup", None)  # not public: if it goes, a test fails
            if cancel_wait is not None:
                cancel_wait()
    return library
