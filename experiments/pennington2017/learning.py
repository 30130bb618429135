"""What isometry is good for: the same short training, from networks that keep all directions alike and from others."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import drawing
from experiments.claims import Metrics, over_runs
from experiments.pennington2017 import looks
from xinit.analysis.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("trained",)


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`<model>`, test error in percent, and `<a>-<b>`, the difference in points, paired by seed."""
    errors = {label: np.array(model["test"]) for label, model in found["trained"]["models"].items()}
    measured = {f"learning.{label}": over_runs(mean_interval(own_S)) for label, own_S in errors.items()}
    pairs = itertools.permutations(errors, 2)
    return measured | {f"learning.{a}-{b}": over_runs(mean_interval(errors[a] - errors[b])) for a, b in pairs}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Left validation error at each learning rate, right test error at the best of them."""
    trained = found["trained"]
    models, chance = trained["models"], next(iter(trained["models"].values()))["chance"]
    figure = drawing.figure(9, 3.8)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for i, (label, model) in enumerate(models.items()):
        look, interval = looks.look(label), mean_interval(model["test"])
        rates = list(map(float, model["valid"]))
        left.plot(rates, list(model["valid"].values()), look.marker, color=look.colour, ls=look.dashes, ms=5, lw=1.2,
                  label=looks.words(label))  # fmt: skip
        drawing.points(right, [i], [interval.mean], [interval.low], [interval.high], look)
        right.plot(np.full(len(model["test"]), i + 0.12), model["test"], ".", color=look.colour, ms=4, alpha=0.6)
    for axes in (left, right):
        axes.axhline(chance, color="0.45", lw=0.8, ls=(0, (1, 1.5)))
    left.set(title="at each learning rate", xlabel="learning rate", ylabel="error, %", xscale="log", ylim=(0, 100))
    left.set_xticks(trained["rates"], [f"{rate:g}" for rate in trained["rates"]])
    left.minorticks_off()
    right.set(title="test error at the best rate", xlim=(-0.6, len(models) - 0.4))
    right.set_xticks(range(len(models)), [looks.words(label).replace(", ", ",\n") for label in models])
    looks.legend(figure, left)
    text = (
        f"{trained['depth']} layers of width {trained['width']}, {trained['data']}: {trained['steps']} steps of SGD on "
        f"batches of {trained['batch_size']}. Left: validation errors, means over {trained['seeds']} seeds. Right: "
        "95 % intervals, dots are seeds. Dotted: chance."
    )
    drawing.caption(figure, text)
    return figure
