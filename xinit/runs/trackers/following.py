"""Trackers at work, each run's on a thread of its own: the run waits for them at its end alone, and never for long."""

import functools
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from xinit.core.custom import import_function, is_custom
from xinit.core.extra import NOTHING, Extra
from xinit.core.factories import call_factory, check_options
from xinit.runs import trackers
from xinit.runs.trackers.contract import Ending, Start, TrackedRun, Tracker
from xinit.runs.trackers.points import Readings, ending_of, point_of
from xinit.settings.parse import TrackerConfig


def check_choice(choice: TrackerConfig) -> None:
    """Whether the tracker that was chosen can be had, told before any work.

    Raises:
      InputError: there is none of that name, an option is wrong, or its package is not installed.
    """
    start_of(choice)


def start_of(choice: TrackerConfig) -> Start | None:
    """What begins to track a run; None where nothing does."""
    if is_custom(choice.fn):
        function = import_function("tracker.fn", choice.fn)
        check_options(functools.partial(function, None), choice.options, "tracker", also=["patience"])
        return functools.partial(function, **choice.options)
    start: Start | None = call_factory(trackers, choice.fn, choice.options, "tracker", also=["patience"])
    return start


class Followers:
    """The trackers of a command's runs, until the end of a `with` block.

    What runs hand over are references to readings that they keep themselves until their end. So nothing is dropped
    however slow a tracker is, and the queues are bounded: by the probe points that there are.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._followers: dict[str, _Follower] = {}

    def __enter__(self) -> "Followers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Wait until all is sent, for each tracker as long as it may take, then say what was not."""
        began = time.monotonic()
        for follower in self._followers.values():
            follower.close(None)
        for follower in self._followers.values():
            follower.join(max(0, began + follower.patience - time.monotonic()))
        self._note_failures()
        self._note_the_late()

    def begin(self, choice: TrackerConfig, run: TrackedRun) -> None:
        """Follow a run with the tracker that was chosen, if one was; a run that begins again is followed anew."""
        start = start_of(choice)
        if start is not None:
            self.begin_with(choice.fn, choice.patience, start, run)

    def begin_with(self, name: str, patience: float, start: Start, run: TrackedRun) -> None:
        """Follow a run with what `start` begins, which is called `name` where it fails."""
        self._followers[run.id] = _Follower(name, patience, start, run, self._followers.get(run.id))

    def send(self, places: Mapping[str, int], row: Readings, edges: Readings, extra: Extra = NOTHING) -> None:
        """Hand over a probe point of the runs whose ids are given, with the place of each in the population.

        `extra` describes the readings of the user's.
        """
        for run, r in places.items():
            if run in self._followers:
                self._followers[run].put(row, edges, r, extra)
        self._note_failures()

    def end(self, run: str, summary: Mapping[str, Any]) -> None:
        """Hand over what came of a run."""
        if run in self._followers:
            self._followers[run].close(ending_of(summary))

    def _note_failures(self) -> None:
        """One note of all that failed since the last."""
        failed = [follower for follower in self._followers.values() if follower.failure and not follower.noted]
        if failed:
            first = failed[0]
            self._note(f"tracker={first.name} gave up{_in(failed)} ({first.failure}). Results are not affected.")
        for follower in failed:
            follower.noted = True

    def _note_the_late(self) -> None:
        late = [follower for follower in self._followers.values() if follower.is_alive()]
        if late:
            given, sent = sum(follower.given for follower in late), sum(follower.sent for follower in late)
            self._note(
                f"tracker={late[0].name} was not done{_in(late)} and left after {late[0].patience:g} s "
                f"(tracker.patience): it had taken {sent} of {given} messages. Results are not affected."
            )


def _in(followers: Sequence["_Follower"]) -> str:
    return f" in {len(followers)} runs" if len(followers) > 1 else ""


class _Over(NamedTuple):
    """The last message: how the run ended; None for one that goes on another time."""

    ending: Ending | None


class _Follower:
    """One run's tracker on its thread: a daemon, so that Python ends although it hangs."""

    def __init__(
        self, name: str, patience: float, start: Start, run: TrackedRun, earlier: "_Follower | None" = None
    ) -> None:
        self.name, self.patience = name, patience
        self.given = self.sent = 0
        self.failure, self.noted = "", False
        self._closed = False
        self._messages: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(start, run, earlier), daemon=True)
        self._thread.start()

    def put(self, row: Readings, edges: Readings, r: int, extra: Extra) -> None:
        """Hand over a probe point, unless it is too late for one."""
        if not self.failure and not self._closed:
            self.given += 1
            self._messages.put((row, edges, r, extra))

    def close(self, ending: Ending | None) -> None:
        """Hand over the last message; the first call counts."""
        if not self._closed:
            self.given += 1
            self._messages.put(_Over(ending))
            self._closed = True

    def join(self, seconds: float | None = None) -> None:
        """Wait until all is sent."""
        self._thread.join(seconds)

    def is_alive(self) -> bool:
        """Whether there is something left to send, and nothing failed."""
        return self._thread.is_alive()

    def _work(self, start: Start, run: TrackedRun, earlier: "_Follower | None") -> None:
        try:
            if earlier is not None:
                earlier.close(None)
                earlier.join()
            self._send_all(start(run))
        except BaseException as error:  # SystemExit too: what a library does on this thread must not leave it
            reason = str(error).partition("\n")[0]
            self.failure = f"{type(error).__name__}: {reason}" if reason else type(error).__name__

    def _send_all(self, tracker: Tracker) -> None:
        while not isinstance(message := self._messages.get(), _Over):
            tracker.log(point_of(*message))
            self.sent += 1
        tracker.finish(message.ending)
