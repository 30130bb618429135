"""Figure 5: two costs over two weights of a network with one hidden layer, and how much of each surface is plateau.

The smallest such network has one hidden unit and one output, a = w2 f(w1 x) and P(1|x) = 1 / (1 + e^-a). Its inputs x
are N(0, 1), its targets y are 0 or 1, at random too. With the margin m = (2y - 1) a and P = P(y|x) the costs are

    cross-entropy  -ln P(y|x) = ln(1 + e^-m),     of slope -(1 - P) in m: flat where the answer is right;
    squared error  (P(1|x) - y)^2 = (1 - P)^2,    of slope -2 P (1 - P)^2: flat where it is wrong, too.

The paper does not say how many examples it took. One comes near the heights that it shows. Many random targets
contradict one another: half of them are missed whatever the weights are, which leaves half of the height.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments import drawing
from experiments.claims import Metrics, number, over_runs
from experiments.glorot2010 import published
from experiments.study import Place
from xinit.analysis.intervals import mean_interval
from xinit.core.factories import call_factory
from xinit.networks import activations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

STAGES = ("surfaces",)
COSTS: dict[str, Callable[[Array], Array]] = {
    "cross_entropy": lambda margin: jax.nn.softplus(-margin),
    "squared_error": lambda margin: jax.nn.sigmoid(-margin) ** 2,
}
MESH = 21  # lines of a surface along each weight
COLOURS = {"cross_entropy": "black", "squared_error": "#C00000"}  # the paper's
SHARES = {"plateau": "0.87", "severe": "0.6"}  # of the square, and the greys that show them


class Surface(NamedTuple):
    """A cost over the two weights and its slope |grad C|, both (K, K) with the axes w1 and w2."""

    cost: np.ndarray
    slope: np.ndarray


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What computes the surfaces; InputError where there is no activation of that name."""
    function = call_factory(activations, settings[name]["activation"], {}, "activation").function
    return functools.partial(measure, settings[name], function)


def measure(settings: Mapping[str, Any], function: Callable[[Array], Array]) -> dict[str, Any]:
    """The readings of both surfaces for every seed, and the surfaces of the one whose plateaus differ by the median."""
    weights_K = np.linspace(-settings["reach"], settings["reach"], settings["points"], dtype=np.float32)
    seeds = range(settings["seeds"])
    drawn = [surfaces(function, weights_K, *examples(seed, settings["examples"])) for seed in seeds]
    found = {name: _by_reading([readings(pair[name], settings["flat"]) for pair in drawn]) for name in COSTS}
    shown = drawn[int(np.argsort(_difference(found, "plateau"))[len(drawn) // 2])]
    return {
        **settings,
        "weights": weights_K.tolist(),
        "readings": found,
        "shown": {name: {part: of_KK.tolist() for part, of_KK in own._asdict().items()} for name, own in shown.items()},
    }


def examples(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) random inputs, and the signs 2y - 1 of random targets."""
    random = np.random.default_rng(seed)
    return random.standard_normal(n, np.float32), random.choice(np.float32([-1, 1]), n)


def surfaces(
    function: Callable[[Array], Array], weights_K: np.ndarray, x_N: np.ndarray, sign_N: np.ndarray
) -> dict[str, Surface]:
    """Both costs, means over the examples, at every pair of the weights; `function` is the hidden unit's."""
    return jax.tree.map(np.asarray, _surfaces(function, weights_K, x_N, sign_N))


@functools.partial(jax.jit, static_argnums=0)
def _surfaces(function: Callable[[Array], Array], weights_K: Array, x_N: Array, sign_N: Array) -> dict[str, Surface]:
    def surface(cost: Callable[[Array], Array]) -> Surface:
        mean = lambda w1, w2: cost(sign_N * w2 * function(w1 * x_N)).mean()
        with_slopes = jax.value_and_grad(mean, argnums=(0, 1))
        cost_KK, slopes_KK = jax.vmap(jax.vmap(with_slopes, (None, 0)), (0, None))(weights_K, weights_K)
        return Surface(cost_KK, jnp.hypot(*slopes_KK))

    return {name: surface(cost) for name, cost in COSTS.items()}


def flattest(surface: Surface, flat: float) -> float:
    """The slope below which a point lies on a plateau: `flat` of the surface's own steepest.

    The steepest slope limits the learning rate, and what is flat beside it hardly moves.
    """
    return flat * float(surface.slope.max())


def upper_half(surface: Surface) -> np.ndarray:
    """(K, K) where the cost is nearer its highest than its lowest: a plateau there is severe, all is to be learned."""
    return surface.cost > (surface.cost.min() + surface.cost.max()) / 2


def readings(surface: Surface, flat: float) -> dict[str, float]:
    """The shares of the square that are plateau and severe plateau, and the height that the cost reaches."""
    plateau_KK = surface.slope < flattest(surface, flat)
    shares = {"plateau": plateau_KK.mean(), "severe": (plateau_KK & upper_half(surface)).mean()}
    return {name: float(value) for name, value in {**shares, "height": surface.cost.max()}.items()}


def _by_reading(of_seeds: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    return {reading: [own[reading] for own in of_seeds] for reading in of_seeds[0]}


def _difference(found: Mapping[str, Mapping[str, Sequence[float]]], share: str) -> np.ndarray:
    """By how much the squared error's share exceeds that of the cross-entropy, seed by seed."""
    return np.subtract(found["squared_error"][share], found["cross_entropy"][share])


def metrics(found: Mapping[str, Any]) -> Metrics:
    """Means over seeds: `figure5.<reading>.<cost>`, and of the shares also `.difference`, paired by seed."""
    own = found["surfaces"]["readings"]
    values = {f"{reading}.{cost}": of_seeds for cost, read in own.items() for reading, of_seeds in read.items()}
    values |= {f"{share}.difference": _difference(own, share) for share in SHARES}
    return {f"figure5.{name}": over_runs(mean_interval(of_seeds)) for name, of_seeds in values.items()}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Both surfaces in one pair of axes, as in the paper, and a map of each with its plateaus."""
    results, heights = found["surfaces"], published.load("figure5")
    shown = {
        name: Surface(*(np.array(own[part]) for part in Surface._fields)) for name, own in results["shown"].items()
    }
    figure = drawing.figure(11.5, 4.8)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.5))
    _in_space(left, results["weights"], shown, heights)
    panels = right.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, COSTS, strict=True):
        _map(axes, results, shown[name], name, step=heights[name] / 10)
    panels[0].set_ylabel("w2")
    _legend_of_maps(right, results["flat"])
    drawing.caption(figure, _scaling(results))
    return figure


def _in_space(
    figure: "SubFigure", weights: Sequence[float], shown: Mapping[str, Surface], heights: Mapping[str, float]
) -> None:
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    grid = np.meshgrid(weights, weights, indexing="ij")
    mesh = {"rcount": MESH, "ccount": MESH, "linewidth": 0.5}
    below, above = (shown[name].cost for name in ("squared_error", "cross_entropy"))
    axes.plot_surface(*grid, below, color="white", edgecolor=COLOURS["squared_error"], shade=False, **mesh)
    axes.plot_wireframe(*grid, above, color=COLOURS["cross_entropy"], **mesh)
    walls = [weights[0], weights[0], weights[-1]], [weights[0], weights[-1], weights[-1]]
    for name, height in heights.items():
        axes.plot([], [], [], color=COLOURS[name], label=_words(name))
        axes.plot(*walls, height, color=COLOURS[name], ls=":", label=f"published: up to about {height:g}")
    axes.set(xlabel="w1", ylabel="w2", zlabel="cost", zlim=(0, max(*heights.values(), above.max())))
    axes.locator_params(nbins=5)
    axes.view_init(elev=20, azim=-60)
    axes.set_box_aspect((1, 1, 0.9), zoom=0.85)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2, frameon=False)


def _map(axes: "Axes", results: Mapping[str, Any], surface: Surface, name: str, step: float) -> None:
    weights, limit = results["weights"], flattest(surface, results["flat"])
    levels = np.arange(step, surface.cost.max(), step)
    axes.contour(weights, weights, surface.cost.T, levels=levels, colors=COLOURS[name], linewidths=0.8)
    where = {"plateau": np.full(surface.slope.shape, True), "severe": upper_half(surface)}
    for share, where_KK in where.items():
        slope_KK = np.ma.array(surface.slope, mask=~where_KK)
        if slope_KK.min() < limit:
            axes.contourf(weights, weights, slope_KK.T, levels=(0, limit), colors=SHARES[share], zorder=0)
    axes.set(xlabel="w1", aspect="equal")
    axes.set_title(f"{_words(name)}, contours {step:g} apart\n{_shares(results, surface, name)}", fontsize=8.5)


def _shares(results: Mapping[str, Any], surface: Surface, name: str) -> str:
    """How much of the map is plateau, and how much it is over all seeds."""
    here, measured = readings(surface, results["flat"]), metrics({"surfaces": results})
    over = [[number(100 * part) for part in measured[f"figure5.{share}.{name}"][:3]] for share in SHARES]
    of_map = ", ".join(f"{share} {number(100 * here[share])} %" for share in SHARES)
    return f"{of_map} of the square\nall seeds: {', '.join(f'{mean} [{low}, {high}] %' for mean, low, high in over)}"


def _legend_of_maps(figure: "SubFigure", flat: float) -> None:
    from matplotlib.patches import Patch

    words = {"plateau": f"plateau: slope below {100 * flat:g} % of the steepest", "severe": "in the upper half: severe"}
    handles = [Patch(color=SHARES[share], label=label) for share, label in words.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)


def _words(name: str) -> str:
    return {"cross_entropy": "cross-entropy"}.get(name, name.replace("_", " "))


def _scaling(results: Mapping[str, Any]) -> str:
    n, points = results["examples"], results["points"]
    return (
        f"One {results['activation']} unit and one sigmoid output; {n} random example{'s' * (n > 1)}; {points} values "
        f"of each weight. Shown is the one of {results['seeds']} seeds whose plateaus differ by the median; over all "
        "seeds, means and their 95 % intervals."
    )
