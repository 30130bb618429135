"""The residual stream over depth: a block doubles its mean square, or adds a constant where its branch is normalised.

De & Smith 2020. The weights have mean 0, so that the mean square over units and examples is the variance over networks.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import drawing
from experiments.claims import Measured, Metrics
from experiments.modern import drawn
from xinit.analysis.intervals import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xinit.networks.network import Params, State
    from xinit.training.problem import Plan

STAGES = ("variance",)
MODELS = ("one", "normed", "root", "learned")
LABELS = {"one": "scale 1", "normed": "scale 1, batch norm", "root": "scale 1/√L", "learned": "scale learned, from 0"}
# The mean square behind block l of L, over that before the first.
EXPECTED: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "one": lambda l, n_blocks: 2.0**l,
    "normed": lambda l, n_blocks: 1.0 + l,
    "root": lambda l, n_blocks: (1 + 1 / n_blocks) ** l,
    "learned": lambda l, n_blocks: 1.0 + 0 * l,
}


def _measured(planned: "Plan", own: Mapping[str, Any]) -> dict[str, Any]:
    """`signal`, (network, block): mean square before the first block and behind each. `share`: branch over stream."""
    network = planned.problem.network
    on_stream = [i for i, layer in enumerate(network.layers) if layer.branch is None]

    @jax.jit
    def measure(params: "Params", state: "State", x_BI: jax.Array) -> tuple[jax.Array, jax.Array]:
        pre = network.apply(params, state, x_BI, train=True)[1].pre
        stream_LBN = jnp.stack([pre[i] for i in on_stream])
        mean_square = lambda signal_LBN: jnp.mean(jnp.square(signal_LBN), axis=(1, 2))
        signal_L, branch_L = mean_square(stream_LBN), mean_square(jnp.diff(stream_LBN, axis=0))
        return signal_L, jnp.sqrt(branch_L / signal_L[:-1])

    rows = [measure(*network_and_inputs) for network_and_inputs in drawn.drawn(planned, own)]
    signal_SL, share_SL = (np.stack(row).astype(float).tolist() for row in zip(*rows, strict=True))
    return {"signal": signal_SL, "share": share_SL}


prepare = drawn.stage(_measured)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`variance.<model>.`: `growth`, the factor of a block; `step`, what a block adds; `total`, last over first.

    `share`: the size of the last branch over that of the stream in front of it, times the square root of its number.
    """
    measured: dict[str, Measured] = {}
    for label, own in found["variance"]["models"].items():
        signal_SL, share_SL = np.array(own["signal"]), np.array(own["share"])
        blocks = share_SL.shape[1]
        total_S = signal_SL[:, -1] / signal_SL[:, 0]
        readings = {
            "growth": total_S ** (1 / blocks),
            "step": (total_S - 1) / blocks,
            "total": total_S,
            "share": share_SL[:, -1] * np.sqrt(blocks),
        }
        measured |= {f"variance.{label}.{name}": over_networks(values) for name, values in readings.items()}
    return measured


def over_networks(values_S: np.ndarray) -> Measured:
    """The mean over networks, whose logarithms scatter more evenly than they do, with its bootstrapped interval."""
    interval = bootstrap_interval(values_S)
    return Measured(float(interval.mean), float(interval.low), float(interval.high), interval.n)


def draw(found: Mapping[str, Any]) -> "Figure":
    """The mean square of the stream, and the size of each branch over that of the stream in front of it."""
    own = found["variance"]
    figure = drawing.figure(9, 3.9)
    left, right = figure.subplots(1, 2)
    for i, (label, model) in enumerate(own["models"].items()):
        signal_SL, share_SL = np.array(model["signal"]), np.array(model["share"])
        l = np.arange(signal_SL.shape[1])
        words = LABELS.get(label, label)
        left.plot(l, EXPECTED[label](l, l[-1]), color=drawing.look(i).colour, ls=drawing.look(i).dashes, lw=1.2)
        _markers(left, l, signal_SL / signal_SL[:, :1], drawing.look(i), words)
        if share_SL.any():
            _markers(right, l[1:], share_SL, drawing.look(i), words)
    right.plot(l[1:], l[1:] ** -0.5, color="0.45", lw=1, ls=(0, (1, 1.5)))
    left.set(yscale="log", xlabel="block", ylabel="mean square of the stream, start = 1")
    right.set(xlabel="block l", ylabel="size of the branch over the stream")
    right.text(3, 3**-0.5, "  1/√l", ha="left", va="bottom", fontsize=8.5, color="0.3")
    drawing.logarithmic(right.xaxis)
    right.set_yscale("log")
    right.set_yticks([0.2, 0.3, 0.5, 1], ["0.2", "0.3", "0.5", "1"])
    right.minorticks_off()
    drawing.legend(figure, left)
    drawing.caption(
        figure,
        f"Rectifier networks of width {own['width']} with He's weights, two on a branch, at initialisation. Markers: "
        f"means over {own['networks']} networks with 95 % intervals. Lines on the left: 2^l, 1 + l, (1 + 1/L)^l and 1. "
        "Branches that start at 0 are not on the right.",
    )
    return figure


def _markers(axes: "Axes", l: np.ndarray, values_SL: np.ndarray, look: drawing.Look, label: str) -> None:
    shown = np.unique(np.geomspace(1, len(l), 12).astype(int)) - 1
    interval = bootstrap_interval(values_SL[:, shown])
    drawing.points(axes, l[shown], interval.mean, interval.low, interval.high, look, label)
