"""Figures 9 and 10 under eq. 16 and under the variant that the printed Figures 6 to 8 seem to show: eq. 1 on the ends.

tanh networks. The variant may be trained for less long: both are shown up to where the shorter run ends.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import drawing
from experiments.claims import Metrics, exact
from experiments.glorot2010 import courses, learning, scaling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("shapeset", "as_printed")
DRAWS_SO_FAR = True
SHOWN = (("shapeset", "tanh_n"), ("as_printed", "tanh_p"))


def metrics(found: Mapping[str, Any]) -> Metrics:
    """`as_printed.<reading>.<model>`, means over seeds of what scaling.py reads, up to where the shorter run ends.

    `as_printed.updates`: where that is.
    """
    models = _models(found)
    values = {
        f"{reading}.{name}": values_S
        for name, own in models.items()
        for reading, values_S in scaling.readings(own).items()
    }
    measured = {f"as_printed.{name}": learning.over_seeds(values_S) for name, values_S in values.items()}
    return {"as_printed.updates": exact(_end(found)), **measured}


def _end(found: Mapping[str, Any]) -> int:
    """The last update that both runs reached."""
    return min(found[stage]["done"] for stage, _ in SHOWN)


def _models(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: courses.until(_end(found), found[stage]["models"][name]) for stage, name in SHOWN}


def draw(found: Mapping[str, Any]) -> "Figure":
    """Weight gradients above, activations below; a column for each initialisation."""
    figure, models = drawing.figure(9.5, 6), list(_models(found).values())
    above, below = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, own in enumerate(models):
        courses.lines(above[column], courses.thousands(own), courses.hidden_gradients(own))
        courses.saturation(below[column], own)
        above[column].set(
            title=courses.title(own).replace(", ", "\n", 1), yscale="log", ylabel="std of the weight gradients"
        )
        below[column].set_xlabel("updates, thousands")
    for axes in (above[1], below[1]):
        axes.set_ylabel("")
    courses.legend(above[1], models, {})
    courses.legend(below[1], [], courses.READINGS)
    shown = [{**found[stage], "models": {name: found[stage]["models"][name]}} for stage, name in SHOWN]
    drawing.caption(figure, f"{learning.seeds(shown[0])} {learning.scale(shown)}")
    return figure
