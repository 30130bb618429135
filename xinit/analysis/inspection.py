"""The result of an inspection: predictions and measurements of a configuration's initial networks, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from xinit.analysis.growth import Growth, growth_of
from xinit.analysis.intervals import Interval, mean_interval
from xinit.analysis.layout import Layout, layout_of
from xinit.analysis.verdict import Finding
from xinit.core.extra import NOTHING, Extra
from xinit.settings.config import Config
from xinit.theory.prediction import Prediction

HORIZON = 300  # layers up to which a trainable depth is looked for


class Reach(NamedTuple):
    """How deep such a network could be, its further layers like its hidden ones.

    `products`: layers until signal or gradient leave the verdict's bounds, HORIZON if that is further. `correlation`:
    6 xi_c, where two inputs can no longer be told apart.
    """

    products: int
    correlation: float


class Inspection(NamedTuple):
    """What was predicted and measured, by the names of `Prediction.values`.

    `measured`: (seed, layer). `scores`: (layer), how far the mean logarithm measured lies from that of the predicted
    networks, in standard errors of the difference. `source`: where the variances of the weights that theory began with
    are from. `extra` describes the readings of the user's; they are in `extra_measured`, (seed, ...). Of a network that
    is no plain stack of layers `places` says where they lie, by the names of `readings.PLACES`, and `about` what they
    and its weights are called.
    """

    config: Config
    widths: tuple[int, ...]
    prediction: Prediction
    measured: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]
    findings: list[Finding]
    remedy: str | None
    reach: Reach | None
    source: str
    extra: Extra = NOTHING
    extra_measured: Mapping[str, np.ndarray] = MappingProxyType({})
    places: Mapping[str, np.ndarray] = MappingProxyType({})
    about: Mapping[str, Any] = MappingProxyType({})

    @property
    def layout(self) -> Layout:
        """Which layers lie on the main path, and what they are called."""
        like = {"act_std": np.zeros(len(self.prediction.values["act_second"])), **self.places}
        return layout_of(like, self.about.get("layers", ()))

    def interval(self, name: str) -> Interval[np.ndarray]:
        """The measured mean over the seeds, with its 95 % interval; of second moments the geometric one."""
        with np.errstate(all="ignore"):  # a signal may have left the range of floats
            if not name.endswith("_second"):
                return mean_interval(self.measured[name])
            mean, std, low, high, n = mean_interval(np.log(self.measured[name]))
            return Interval(np.exp(mean), std, np.exp(low), np.exp(high), n)


def predicted(inspection: Inspection, name: str) -> Sequence[np.ndarray]:
    """Value, low and high; of second moments the roots, and the value of a typical network where there is a band.

    >>> value, low, high = predicted(inspection, "act_second")
    >>> value.round(2)
    array([1. , 0.5])
    """
    prediction = inspection.prediction
    values = prediction.values[name]
    if name not in prediction.networks or np.isnan(prediction.networks[name]).all():
        return [_shown(name, a) for a in (values, *[np.full_like(values, np.nan)] * 2)]
    return [_shown(name, a) for a in (prediction.typical(name), *prediction.interval(name))]


def measured(inspection: Inspection, name: str) -> Sequence[np.ndarray]:
    """The mean over the seeds, low and high of its interval; of second moments the roots.

    >>> mean, low, high = measured(inspection, "act_second")
    >>> mean.round(2)
    array([1. , 0.5])
    """
    interval = inspection.interval(name)
    return [_shown(name, a) for a in (interval.mean, interval.low, interval.high)]


def growth_over_branches(
    inspection: Inspection, name: str, side: Callable[[Inspection, str], Sequence[np.ndarray]] = measured
) -> Growth | None:
    """How a size goes over the main path, from the input on; None of a network without branches.

    >>> growth_over_branches(inspection, "act_second") is None
    True
    """
    layout = inspection.layout
    if not layout.has_skips:
        return None
    return growth_of(side(inspection, name)[0][layout.main])


def _shown(name: str, a: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(a, 0)) if name.endswith("_second") else a
