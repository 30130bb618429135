"""What trains: every model of a stage from every start, a scheme times a gain, each at its best rate of a grid."""

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import runs
from experiments.claims import NotRun, number
from experiments.modern import networks
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from experiments.study import Place

SHARED = ("data", "data.valid", "width", "batch_size", "steps", "optimizer")
KEPT = ("data", "width", "batch_size", "optimizer", "rates", "seeds", "gains")
EDGES = {"lowest": "<", "highest": ">", "": ""}  # a best rate that is an end of its grid


class Start(NamedTuple):
    """A model and what it starts from: the weights of a scheme times a gain."""

    model: str
    scheme: str
    gain: float

    @property
    def label(self) -> str:
        """The name of its runs."""
        return f"{self.model}-{self.scheme}-{self.gain:g}"


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]] | NotRun:
    """Every model of the stage from every start at every rate with every seed, checked.

    Raises:
      InputError: a setting is wrong, or the data are not where `data_dir` says.
    """
    own = settings[name]
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    models = {start: _config(name, own, start, place) for start in starts(own)}
    asked = runs.grid({start.label: config for start, config in models.items()}, own["rates"], range(own["seeds"]))
    runs.check(asked)
    return lambda: _measured(own, asked)


def starts(own: Mapping[str, Any]) -> list[Start]:
    """All starts of all models of a stage."""
    return [
        Start(label, scheme, gain)
        for label, model in own["models"].items()
        for scheme, gain in itertools.product(model["schemes"], map(float, own["gains"]))
    ]


def _config(name: str, own: Mapping[str, Any], start: Start, place: "Place") -> dict[str, Any]:
    model = networks.settings_of(own["models"][start.model], f"{name}.models.{start.model}")
    scheme = {"scheme": start.scheme, "scheme.kwargs": {"gain": start.gain}}
    return runs.config(f"{name}-{start.label}", {key: own[key] for key in SHARED} | model | scheme, place)


def _measured(own: Mapping[str, Any], asked: Mapping[runs.Run, Mapping[str, Any]]) -> dict[str, Any]:
    """`models`, with their settings; of each its `starts`, by scheme and by gain, as `runs.at_best_rate` has them."""
    results = runs.train(asked)
    rows = runs.at_best_rate(results)
    models = {label: {**model, "starts": {}} for label, model in own["models"].items()}
    for start in starts(own):
        by_gain = models[start.model]["starts"].setdefault(start.scheme, {})
        by_gain[f"{start.gain:g}"] = rows[start.label]
    return {**{key: own[key] for key in KEPT}, **runs.progress(results, own["steps"]), "models": models}


def tests_by_gain(model: Mapping[str, Any], scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """The gains, and the test errors in percent: (seed, gain)."""
    by_gain = model["starts"][scheme]
    return np.array(list(map(float, by_gain))), np.array([row["test"] for row in by_gain.values()]).T


def rows_at_gain_1(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What came of each scheme as it is."""
    return {scheme: by_gain["1"] for scheme, by_gain in model["starts"].items()}


def only_row(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """What came of a model that has one scheme."""
    (row,) = rows_at_gain_1(model).values()
    return row


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """The test error of a start, its rate and how many of its runs diverged, for a table."""
    interval = mean_interval(row["test"])
    return {
        "test error, %": f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]",
        "at rate": rate(row),
        "diverged": f"{row['diverged']} of {row['runs']}",
    }


def rate(row: Mapping[str, Any]) -> str:
    """The best rate, with a mark where it is an end of the grid."""
    return f"{EDGES[row['edge']]}{number(row['rate'])}"


def scale(own: Mapping[str, Any]) -> str:
    """How the networks were trained, for a caption."""
    return (
        f"{own['data']}, width {own['width']}, {own['steps']:,} updates of {own['batch_size']}, {own['optimizer']}, "
        f"{own['seeds']} seeds; each start at its best learning rate by validation error of "
        f"{', '.join(map(number, own['rates']))}."
    )
