"""Trackers: the readings of a run, sent while it trains to the tools that people watch runs with.

A tracker is a factory of its options that returns `start(run) -> Tracker`, with `log(point)` and `finish(ending)`.
The factory checks; whatever takes time or may fail, `start` included, happens on a thread of its own (`following`), so
that no tracker stops or slows a run. To add one: a factory that is imported here, and a YAML file in `conf/tracker`.
"""

from xinit.runs.trackers.contract import Ending, Histogram, Point, Start, TrackedRun, Tracker
from xinit.runs.trackers.event_file import tensorboard
from xinit.runs.trackers.wandb_run import wandb

__all__ = ["Ending", "Histogram", "Point", "Start", "TrackedRun", "Tracker", "none", "tensorboard", "wandb"]


def none() -> None:
    """Nothing is sent anywhere."""
