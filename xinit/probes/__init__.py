"""What is measured of a network, and how it is reduced to readings."""

from xinit.probes.edges import BINS, Edges, edges_at_start, no_edges
from xinit.probes.extra import Signals
from xinit.probes.probe import (
    Batch,
    Probe,
    Quantiles,
    Readings,
    T,
    backpropagate,
    errors,
    jacobians,
    layer_distributions,
    layer_moments,
    make_probe,
    mean_loss,
    over_layers,
    signals,
    weight_distributions,
    weight_moments,
)

__all__ = [
    "BINS",
    "Batch",
    "Edges",
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
    "weight_distributions",
    "weight_moments",
]
