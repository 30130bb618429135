"""The figure of an activation: its phase diagram, depth scales, and the maps that signals and cosines follow."""

import io
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xinit.core.files import write_atomically, writing
from xinit.networks.activations import Activation
from xinit.theory.courses import BIASES, Course, Weights, on_every_q
from xinit.theory.mean_field import TRAINABLE, c_map, edge_of_chaos, q_map
from xinit.theory.moments import in_range, moments
from xinit.theory.plane import Settled, settler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Settle = Callable[[np.ndarray, np.ndarray | float], Settled]

# Okabe and Ito's colours, told apart by colour-blind eyes, with their yellow darkened to show on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A8A2B", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">")
SCALES = (0.3, 100.0)  # depth scales told apart by colour, in layers
Q_SHOWN = (1e-2, 1e2)
ENDLESS = "0.85"  # the grey of where signals grow without end
BOX = {"boxstyle": "round", "fc": "white", "ec": "none", "alpha": 0.8}


def figure(activation: Activation, courses: Sequence[Course], depth: int) -> "Figure":
    """Phase diagram, depth scales over s_w^2, q-map and c-map, with the weights of `courses` marked.

    >>> from xinit.theory.courses import course
    >>> f = xinit.activations.relu()
    >>> drawn = figure(f, [course(f, Weights("he", 2.0), 10)], depth=10)
    >>> [axes.get_title() for axes in drawn.axes[:2]]
    ['phase diagram', 'depth scales (grey: the signal grows without end)']
    """
    from xinit.core.figure import Figure

    drawn = Figure(figsize=(11, 9), layout="constrained")
    (plane, scales), (variances, cosines) = drawn.subplots(2, 2)
    settle, weights = settler(activation), [course.weights for course in courses]
    sizes = [point.weight_variance for point in weights]
    w = np.geomspace(min(0.1, min(sizes) / 2), max(10.0, 4 * max(sizes)), 181)
    _phase_diagram(plane, activation, settle, w, max(0.5, 1.5 * max(point.bias_variance for point in weights)))
    _depth_scales(scales, settle, np.geomspace(w[0], w[-1], 961), depth)
    for i, course in enumerate(courses):
        look: dict[str, Any] = {"color": COLOURS[i % 8], "marker": MARKERS[(i + i // 8) % 8], "mec": "white", "lw": 1.5}
        plane.plot(*course.weights[1:], **look, ms=8, clip_on=False, zorder=5)
        _q_map(variances, activation, course, look)
        _c_map(cosines, activation, course, look)
    _finish_maps(variances, cosines, activation)
    handles, labels = variances.get_legend_handles_labels()
    drawn.legend(
        handles, labels, loc="outside lower center", ncols=2 if max(map(len, labels)) > 45 else 3, frameon=False
    )
    drawn.suptitle(f"{activation.name}: mean-field theory of wide random networks")
    return drawn


def save(path: pathlib.Path, drawn: "Figure") -> None:
    """Write a figure as a PNG, atomically.

    >>> from xinit.core.figure import Figure
    >>> save(pathlib.Path("theory", "empty.png"), Figure(figsize=(1, 1)))
    >>> pathlib.Path("theory", "empty.png").exists()
    True
    """
    content = io.BytesIO()
    drawn.savefig(content, dpi=110)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())


def _label(weights: Weights) -> str:
    biases = f", $s_b^2$ = {weights.bias_variance:g}" if weights.bias_variance else ""
    return f"{weights.name}: $s_w^2$ = {weights.weight_variance:.3g}{biases}"


def _phase_diagram(axes: "Axes", activation: Activation, settle: "Settle", w: np.ndarray, highest: float) -> None:
    from matplotlib.colors import LogNorm

    b = np.linspace(0, highest, 91)
    settled = settle(w[None, :], b[:, None])
    endless = np.isinf(settled.q_star)
    depth_scale = np.ma.array(np.clip(settled.xi_c, *SCALES), mask=endless)
    image = axes.pcolormesh(
        w, b, depth_scale, norm=LogNorm(*SCALES), cmap="viridis", shading="nearest", rasterized=True
    )
    axes.figure.colorbar(image, ax=axes, label=r"depth scale $\xi_c$ of the cosine, layers", extend="both", pad=0.02)
    chi = np.ma.array(settled.chi_1, mask=endless)
    if chi.min() < 1 < chi.max():
        axes.contour(w, b, chi, [1.0], colors="white", linewidths=2)
    axes.set(
        xscale="log", xlabel=r"$s_w^2$", ylabel=r"$s_b^2$", facecolor=ENDLESS, xlim=(w[0], w[-1]), ylim=(0, highest)
    )
    axes.set_title("phase diagram")
    regions = {
        "ordered": (chi < 1) & ~endless,
        "chaotic": (chi > 1) & ~endless,
        "the signal\ngrows\nwithout end": endless,
    }
    for name, region in regions.items():
        _name_region(axes, w, b, np.asarray(region), name)
    axes.text(0.03, 0.95, _edge_words(activation, chi), transform=axes.transAxes, va="top", bbox=BOX, fontsize=9)


def _edge_words(activation: Activation, chi: np.ma.MaskedArray) -> str:
    if on_every_q(activation):
        point = edge_of_chaos(activation, 1.0).weight_variance
        return rf"the edge of chaos is one point: $s_w^2$ = {point:.3g}, $s_b^2$ = 0"
    if chi.min() < 1 < chi.max():
        return r"white: the edge of chaos, $\chi_1$ = 1"
    return "no point of the edge of chaos\nholds a signal"


def _name_region(axes: "Axes", w: np.ndarray, b: np.ndarray, region: np.ndarray, name: str) -> None:
    """The name in the middle of the region at half height, along the narrow side of the panel where that is all."""
    row = len(b) // 2
    columns = np.flatnonzero(region[row])
    if len(columns) > 0.05 * len(w):
        turned: dict[str, Any] = {"rotation": 90} if len(columns) < 0.2 * len(w) else {}
        colour = "0.2" if "signal" in name else "white"
        place = w[columns[len(columns) // 2]], b[row]
        axes.text(*place, name, color=colour, ha="center", va="center", fontsize=11, **turned)


def _depth_scales(axes: "Axes", settle: "Settle", w: np.ndarray, depth: int) -> None:
    for bias_variance, colour, width in zip(BIASES, COLOURS, (3.5, 1.5), strict=False):  # both seen where they agree
        settled = settle(w, bias_variance)
        endless = np.isinf(settled.q_star)
        for scale, name, style in ((settled.xi_c, r"$\xi_c$", "-"), (settled.xi_q, r"$\xi_q$", ":")):
            label = f"{name}, $s_b^2$ = {bias_variance:g}"
            shown = np.where(endless, np.nan, np.minimum(scale, 1e6))
            axes.plot(w, shown, style, color=colour, lw=width, label=label, alpha=0.8)
    axes.fill_between(w, 0, 1, where=endless, transform=axes.get_xaxis_transform(), color=ENDLESS, lw=0)
    axes.axhline(depth / TRAINABLE, color="0.45", lw=0.9, ls="--", label=rf"6 $\xi_c$ = {depth}, the depth asked for")
    axes.set(xscale="log", yscale="log", xlim=(w[0], w[-1]), ylim=(0.02, 300), xlabel=r"$s_w^2$", ylabel="layers")
    axes.set_title("depth scales" + (" (grey: the signal grows without end)" if endless.any() else ""))
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower left")


def _q_map(axes: "Axes", activation: Activation, course: Course, look: dict[str, Any]) -> None:
    q, settled = np.geomspace(*Q_SHOWN, 81), course.phase.q_star
    everywhere = on_every_q(activation) and course.weights.bias_variance == 0
    axes.plot(q, q_map(activation, *course.weights[1:], q), **look | {"marker": ""})
    if Q_SHOWN[0] <= settled <= Q_SHOWN[1] and not everywhere:
        axes.plot(settled, settled, **look, ms=7, zorder=5)
    axes.plot([], [], **look, ms=7, label=_label(course.weights))


def _c_map(axes: "Axes", activation: Activation, course: Course, look: dict[str, Any]) -> None:
    """At a settled q*; where signals vanish or grow for ever, the limit of the map between cosines."""
    q, c = course.phase.q_star, np.linspace(0, 1, 101)
    w, b = course.weights[1:]
    if not 0 < q < math.inf:
        q = float(in_range(q))
        w, b = q / float(moments(activation, q).second), 0.0
    change = c_map(activation, w, b, q)(c)[0] - c
    axes.plot(c, change, markevery=(0.1, 0.2), ms=5, **look)


def _finish_maps(variances: "Axes", cosines: "Axes", activation: Activation) -> None:
    variances.plot(Q_SHOWN, Q_SHOWN, color="0.45", lw=0.9, ls="--", zorder=0)
    variances.set(xscale="log", yscale="log", xlim=Q_SHOWN, ylim=Q_SHOWN, xlabel="$q_l$", ylabel="$q_{l+1}$")
    variances.set_title(r"q-map (markers: $q^*$; dashed: unchanged)")
    cosines.axhline(0, color="0.45", lw=0.9, ls="--", zorder=0)
    low, high = cosines.get_ylim()
    low, high = min(low, -0.01), max(high, 0.01)  # linear networks change none: not a picture of rounding
    cosines.set(xlim=(0, 1), ylim=(low, high), xlabel="cosine $c_l$", ylabel="$c_{l+1} - c_l$")
    cosines.set_title("c-map at $q^*$: the change of a cosine in a layer")
    if on_every_q(activation):
        note = "without biases all weights have one curve:\nit does not depend on the size of a signal"
        cosines.text(0.97, 0.95, note, transform=cosines.transAxes, ha="right", va="top", bbox=BOX, fontsize=9)
