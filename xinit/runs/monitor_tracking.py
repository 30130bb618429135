"""What a monitor records, sent to a tracker too: the trackers of runs, under the same names of readings."""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis import saved_monitors
from xinit.core.errors import InputError
from xinit.core.extra import Extra
from xinit.core.files import printable
from xinit.core.readings import READINGS
from xinit.core.rules import build_with_rest
from xinit.runs.monitor_folder import MonitorFolder
from xinit.runs.trackers.contract import Start, TrackedRun, Tracker
from xinit.runs.trackers.following import Followers, start_of

Choice = str | Mapping[str, Any] | Callable[[TrackedRun], Tracker] | None
PATIENCE = 10.0  # seconds that `close` waits for a function of the user's, as in conf/tracker/custom.yaml


class Chosen(NamedTuple):
    """A tracker by the name that messages have for it."""

    name: str
    patience: float
    start: Start


class Tracking:
    """Sends the points of a monitor's record to the tracker that was chosen, if one was.

    A record that is continued, or that a training goes back in, is sent from its first point on.

    Raises:
      InputError: there is no such tracker, an option is wrong, or its package is not installed.
    """

    def __init__(self, choice: Choice) -> None:
        self._chosen = chosen(choice)
        self._followers = Followers(_note)
        self._has_begun = False

    def begin_again(self) -> None:
        """Let the tracker begin anew at the next point, with what is on record by then."""
        self._has_begun = False

    def send(self, folder: MonitorFolder, step: int, readings: saved_monitors.Readings) -> None:
        """Hand over a point that was added to the folder."""
        if self._chosen is None:
            return
        if self._has_begun:
            return self._put(folder.identity, {"step": np.array(step)} | readings)
        about = {"layers": list(folder.layers), "functions": list(folder.functions)}
        run = TrackedRun(folder.identity, folder.path.resolve().name, folder.path, about)
        self._followers.begin_with(*self._chosen, run)
        self._has_begun = True
        record = saved_monitors.load(folder.path).readings
        for i in range(len(record["step"])):
            self._put(folder.identity, {name: values[i] for name, values in record.items()})

    def end(self, folder: MonitorFolder) -> None:
        """Say what came of it, and wait until all is sent, or for as long as the tracker may take."""
        if self._has_begun:
            unknown = dict.fromkeys(("test_error", "test_loss", "chance_error"))
            self._followers.end(folder.identity, unknown | {"steps": folder.last_step or 0, "verdict": folder.verdict})
        self._followers.finish()

    def _put(self, run: str, point: saved_monitors.Readings) -> None:
        row = {name: values if name == "step" else np.asarray(values)[None] for name, values in point.items()}
        self._followers.send({run: 0}, row, row, _described(tuple(point)))


def chosen(choice: Choice) -> Chosen | None:
    """The tracker that is meant, with the defaults of its YAML file; None where there is none.

    >>> chosen("none") is None, chosen(None) is None
    (True, True)

    Raises:
      InputError: as `Tracking`.
    """
    if choice is None:
        return None
    if callable(choice):
        return Chosen(getattr(choice, "__name__", "custom"), PATIENCE, choice)
    if not isinstance(choice, str | Mapping) or not isinstance(_name(choice), str):
        raise InputError(
            f"tracker is {choice!r}; it must be the name of a tracker, a mapping with its name as fn, or a function."
        )
    from xinit.settings import compose  # which imports Hydra: only whoever has a tracker waits for it
    from xinit.settings.config import TrackerConfig

    options = {key: value for key, value in choice.items() if key != "fn"} if isinstance(choice, Mapping) else {}
    overrides = compose.overrides_from({"tracker": _name(choice)}) + compose.overrides_from({"tracker": options})
    config = build_with_rest(TrackerConfig, compose.compose("train", overrides)["tracker"], "tracker", "options")
    start = start_of(config)
    return None if start is None else Chosen(config.fn, config.patience, start)


def _name(choice: str | Mapping[str, Any]) -> Any:
    return choice if isinstance(choice, str) else choice.get("fn")


@functools.cache
def _described(names: tuple[str, ...]) -> Extra:
    """The axes of those readings that runs have not; the step and the edges of bins are no readings of their own."""
    own = [name for name in names if name not in READINGS and name != "step" and not name.endswith("_edges")]
    described = {name: saved_monitors.described(name) for name in own}
    return {name: (axes[1:], words) for name, (axes, words) in described.items()}


def _note(message: str) -> None:
    print(f"xinit: {printable(message)}", file=sys.stderr, flush=True)
