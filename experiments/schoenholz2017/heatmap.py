"""Accuracy over (s_w^2, depth) after a short training, with 6 xi_c drawn in: how deep a network trains.

A network trains about as deep as a signal reaches. What is deeper than a few xi_c stays at chance, on either side of
the edge of chaos, where xi_c has no bound.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, NotRun, over_runs
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = ("trained",)
PAPER = 6.0  # xi_c, as deep as networks train in the paper
WITHIN, BEYOND = 4.0, 9.0  # xi_c: a factor of 1.5 to either side of it


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Accuracies of test examples above chance, in percent, each a mean over networks of one seed.

    `within` and `beyond`, of networks of less than 4 and more than 9 xi_c layers; `edge-ends`, at the greatest depth
    that of the s_w^2 of the longest xi_c over the better of the two ends'; `reach`, in xi_c, the depth at which half of
    the shallowest networks' accuracy is lost, the mean over the s_w^2 whose 6 xi_c lie in the range of depths; `order`,
    Spearman's correlation over all networks between accuracy and depth / xi_c.
    """
    trained = found["trained"]
    gain_DWS = np.array(trained["accuracy"]) - trained["chance"]
    scaled_DW = _scaled_depths(trained)
    critical = int(np.argmax(trained["theory"]["xi_c"]))
    ends_S = np.maximum(gain_DWS[-1, 0], gain_DWS[-1, -1])
    measured: dict[str, Any] = {
        "heatmap.edge-ends": over_runs(mean_interval(gain_DWS[-1, critical] - ends_S)),
        "heatmap.order": over_runs(mean_interval(_order(scaled_DW, gain_DWS))),
        "heatmap.reach": _reach(trained, gain_DWS),
    }
    for name, cells in (("within", scaled_DW < WITHIN), ("beyond", scaled_DW > BEYOND)):
        lacking = NotRun(f"no network is {name} that depth")
        measured[f"heatmap.{name}"] = over_runs(mean_interval(gain_DWS[cells].mean(0))) if cells.any() else lacking
    return measured


def _scaled_depths(trained: Mapping[str, Any]) -> np.ndarray:
    """(D, W) depth over xi_c."""
    return np.array(trained["depths"])[:, None] / np.array(trained["theory"]["xi_c"])[None, :]


def _order(scaled_DW: np.ndarray, gain_DWS: np.ndarray) -> list[float]:
    from scipy.stats import spearmanr

    return [float(spearmanr(scaled_DW.ravel(), gain.ravel()).statistic) for gain in np.moveaxis(gain_DWS, -1, 0)]


def _reach(trained: Mapping[str, Any], gain_DWS: np.ndarray) -> Any:
    """In xi_c, by seed; a network whose accuracy never falls to a half reaches the greatest depth, at the least."""
    xi_W, depths = np.array(trained["theory"]["xi_c"]), trained["depths"]
    shown = np.flatnonzero((depths[0] < PAPER * xi_W) & (PAPER * xi_W < depths[-1]))
    if not shown.size:
        return NotRun("6 xi_c lies outside the depths of these settings")
    reaches_WS = [[_half_depth(depths, gain_DWS[:, i, s]) / xi_W[i] for s in range(trained["seeds"])] for i in shown]
    return over_runs(mean_interval(np.mean(reaches_WS, axis=0)))


def _half_depth(depths: list[int], gain_D: np.ndarray) -> float:
    """The depth at which half of the gain at the least depth is lost, between two depths by their logarithms."""
    if gain_D[0] <= 0:
        return float(depths[0])
    share_D = gain_D / gain_D[0]
    below = np.flatnonzero(share_D < 0.5)
    if not below.size:
        return float(depths[-1])
    last = below[0]
    logs = np.log(depths)
    part = (share_D[last - 1] - 0.5) / (share_D[last - 1] - share_D[last])
    return float(np.exp(logs[last - 1] + part * (logs[last] - logs[last - 1])))


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left the map with 6 xi_c; right the same accuracies over depth in xi_c, where they fall together."""
    trained = found["trained"]
    figure = drawing.figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    mesh = _map(left, trained)
    figure.colorbar(mesh, ax=left, label="test accuracy, %")
    _collapsed(right, trained)
    text = (
        f"{trained['activation']}, width {trained['width']}, s_b² = {trained['bias_variance']:g}, {trained['data']}: "
        f"{trained['steps']} steps of SGD on batches of {trained['batch_size']} at rate {trained['rate']:g}, means "
        f"over {trained['seeds']} seeds. The paper has width 300 and depths to 300."
    )
    drawing.caption(figure, text)
    return figure


def _map(axes: "Axes", trained: Mapping[str, Any]) -> Any:
    w, depths = np.array(trained["weight_variances"]), np.array(trained["depths"])
    mean_DW = np.mean(trained["accuracy"], axis=2)
    x, y = _edges(w), np.exp(_edges(np.log(depths)))
    mesh = axes.pcolormesh(x, y, mean_DW, cmap="inferno", vmin=trained["chance"], vmax=100)
    xi, fine = np.array(trained["curve"]["xi_c"]), trained["curve"]["weight_variance"]
    axes.plot(fine, PAPER * xi, color="white", lw=1.6, ls="--", label="6 ξ_c")
    axes.plot(fine, xi, color="white", lw=1, ls=":", label="ξ_c")
    axes.set(xlabel="s_w²", ylabel="depth", yscale="log", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.set_yticks(depths, [str(depth) for depth in depths])
    axes.minorticks_off()
    axes.legend(loc="lower right", facecolor="0.25", labelcolor="white", edgecolor="none", fontsize=7.5)
    return mesh


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells: half-way between their centres."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middle[0], *middle, 2 * centres[-1] - middle[-1]])


def _collapsed(axes: "Axes", trained: Mapping[str, Any]) -> None:
    scaled_DW, mean_DW = _scaled_depths(trained), np.mean(trained["accuracy"], axis=2)
    w, chi = np.array(trained["weight_variances"]), np.array(trained["theory"]["chi_1"])
    for sides, look, words in ((chi < 1, drawing.look(0), "ordered"), (chi >= 1, drawing.look(1), "chaotic")):
        for i in np.flatnonzero(sides & (scaled_DW.max(0) > 0.1)):
            label = words if i == np.flatnonzero(sides)[0] else None
            axes.plot(scaled_DW[:, i], mean_DW[:, i], look.marker + "-", color=look.colour, ms=4, lw=0.7, label=label)
            axes.annotate(
                f"{w[i]:g}", (scaled_DW[0, i], mean_DW[0, i]), xytext=(-2, 4), textcoords="offset points", fontsize=6.5
            )
    axes.axvline(PAPER, color="0.4", lw=1, ls="--")
    axes.axhline(trained["chance"], color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    axes.set(
        xlabel="depth in ξ_c",
        ylabel="test accuracy, %",
        xscale="log",
        ylim=(0, 100),
        title="the same, over depth / ξ_c",
    )
    axes.legend(frameon=False, loc="lower left", fontsize=7.5)
