"""The best learning rate over the depth of residual networks, for three scales of the branches (Dey et al. 2025).

Width and optimizer stay the same. With Adam, CompleteP is then nothing but branches that are multiplied by 1/L.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing, runs
from experiments.claims import Metrics
from experiments.mup2022 import transfers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xinit.analysis.transfer import Transfer

STAGES = ("branches",)
MODELS = ("one", "root", "inverse")
LABELS = {"one": "h + F(h)", "root": "h + F(h)/√L", "inverse": "h + F(h)/L"}


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`branches.<model>` and its like, as `transfers.metrics_of` has them."""
    if cut := runs.unfinished(found["branches"]):
        return {"branches": cut}
    return transfers.metrics_of("branches", found["branches"])


def draw(found: Mapping[str, Any]) -> "Figure":
    """Loss against rate, a panel for each scale of the branches; right the best rates."""
    figure, own = drawing.figure(12, 3.9), found["branches"]
    *panels, last = figure.subplots(1, len(MODELS) + 1)
    of = _transfers(own)
    for axes, (label, transfer) in zip(panels, of.items(), strict=True):
        transfers.panel(axes, transfer, label)
    for axes in panels[1:]:
        axes.sharey(panels[0])
    transfers.bests(last, of)
    panels[0].set_ylabel("loss at the end of training")
    drawing.legend(figure, panels[0])
    drawing.caption(figure, transfers.caption(own))
    return figure


def _transfers(results: Mapping[str, Any]) -> "dict[str, Transfer]":
    return {LABELS[model]: transfers.transfer_of(results, model) for model in MODELS}


def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """A line for each scale of the branches."""
    return [transfers.row(label, own) for label, own in _transfers(found["branches"]).items()]
