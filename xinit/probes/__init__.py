"""What is measured of a network, and how it is reduced to readings."""

from xinit.probes.edges import BINS, Edges, edges_at_start, no_edges
from xinit.probes.extra import Signals
from xinit.probes.jacobians import jacobians, singular_values
from xinit.probes.passes import Batch, Passed, backpropagate, errors, mean_loss, signals, zero_taps
from xinit.probes.probe import (
    Probe,
    Quantiles,
    Readings,
    layer_distributions,
    layer_moments,
    make_probe,
    weight_distributions,
    weight_moments,
)
from xinit.probes.statistics import T, over_layers

__all__ = [
    "BINS",
    "Batch",
    "Edges",
    "Passed",
    "Probe",
    "Quantiles",
    "Readings",
    "Signals",
    "T",
    "backpropagate",
    "edges_at_start",
    "errors",
    "jacobians",
    "layer_distributions",
    "layer_moments",
    "make_probe",
    "mean_loss",
    "no_edges",
    "over_layers",
    "signals",
    "singular_values",
    "weight_distributions",
    "weight_moments",
    "zero_taps",
]
