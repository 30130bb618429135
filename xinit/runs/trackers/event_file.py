"""TensorBoard: an event file in <run>/tensorboard.

It is written without `SummaryWriter`, whose own thread and queue hide a full disk and wait for it when Python ends.
"""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xinit.runs.trackers.contract import Ending, Histogram, Point, Start, TrackedRun, Tracker, require

if TYPE_CHECKING:
    from tensorboardX.proto.summary_pb2 import HistogramProto


def tensorboard() -> Start:
    """Scalars, histograms, the config and the verdict as texts, and the config beside the test error under HPARAMS.

    A run that goes on begins its event file anew: whoever resumes it sends again what came before.

    Raises:
      InputError: tensorboardX is not installed.
    """
    require("tensorboardX")
    return _start


def _start(run: TrackedRun) -> Tracker:
    from tensorboardX.event_file_writer import EventsWriter  # half a second
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.summary import hparams, text

    folder = run.folder / "tensorboard"
    folder.mkdir(parents=True, exist_ok=True)
    for superseded in folder.glob("events.out.tfevents.*"):
        superseded.unlink()
    writer = EventsWriter(str(folder / "events"))
    scalar = lambda tag, value: Summary.Value(tag=tag, simple_value=value)

    def write(step: int, values: list[Any]) -> None:
        writer.write_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        writer.flush()

    def log(point: Point) -> None:
        histograms = [Summary.Value(tag=tag, histo=_proto(shares)) for tag, shares in point.histograms.items()]
        write(point.step, [scalar(*item) for item in point.scalars.items()] + histograms)

    def finish(ending: Ending | None) -> None:
        if ending is not None:
            scalars = [scalar(*item) for item in ending.scalars.items()]
            write(ending.step, [*scalars, *text("verdict", ending.verdict).value, *over.value])
        writer.close()

    columns, begun, over = hparams(_settings(run.config), {"test_error": None})
    write(0, [*text("config", _as_markdown(run.config)).value, *columns.value, *begun.value])
    return Tracker(log, finish)


def _proto(histogram: Histogram) -> "HistogramProto":
    """The shares as counts; TensorBoard takes the ends of the outer bins from min and max."""
    from tensorboardX.proto.summary_pb2 import HistogramProto

    shares, edges = histogram
    centres = (edges[1:] + edges[:-1]) / 2
    return HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=shares.sum(),
        sum=shares @ centres,
        sum_squares=shares @ centres**2,
        bucket_limit=edges[1:],
        bucket=shares,
    )


def _as_markdown(config: Mapping[str, Any]) -> str:
    import yaml

    lines = yaml.safe_dump(dict(config), sort_keys=False).splitlines()
    return "\n".join(f"    {line}" for line in lines)


def _settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The config flat, `optimizer.learning_rate`; lists as text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _settings(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat
