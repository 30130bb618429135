"""The best learning rate over width (Yang et al. 2022, Figure 1): standard parametrisation beside muP."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing, runs
from experiments.claims import Metrics
from experiments.mup2022 import transfers
from experiments.mup2022.coordinates import OPTIMIZERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xinit.analysis.transfer import Transfer

STAGES = ("adam", "sgd")
MODELS = ("standard", "mup")
LABELS = {"standard": "standard", "mup": "muP"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`width.<optimizer>.<model>` and its like, as `transfers.metrics_of` has them."""
    if cut := next(filter(None, map(runs.unfinished, found.values())), None):
        return {"width": cut}
    return {key: one for name, own in found.items() for key, one in transfers.metrics_of(f"width.{name}", own).items()}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Loss against rate, a row for each optimizer; right the best rates."""
    figure = drawing.figure(10.5, 6)
    panels = figure.subplots(len(found), 3, squeeze=False)
    for row, (name, own) in zip(panels, found.items(), strict=True):
        of = _transfers(own)
        for axes, (label, transfer) in zip(row, of.items(), strict=False):
            transfers.panel(axes, transfer, f"{label}, {OPTIMIZERS[name]}")
        row[1].sharey(row[0])
        transfers.bests(row[-1], of)
        row[0].set_ylabel("loss at the end of training")
    drawing.legend(figure, panels[0, 0])
    drawing.caption(figure, transfers.caption(next(iter(found.values()))))
    return figure


def _transfers(results: Mapping[str, Any]) -> "dict[str, Transfer]":
    return {LABELS[model]: transfers.transfer_of(results, model) for model in MODELS}


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each optimizer and parametrisation."""
    rows = ((f"{label}, {OPTIMIZERS[name]}", own) for name in found for label, own in _transfers(found[name]).items())
    return [transfers.row(label, own) for label, own in rows]
