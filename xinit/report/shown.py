"""The figures of one run's layers, section by section: what each needs, how it is drawn, and how to read it."""

from collections.abc import Callable
from typing import NamedTuple

import altair as alt
import numpy as np

from xinit.analysis.layout import axis_title, numbers
from xinit.analysis.sweeps import error_is
from xinit.core.readings import ERROR_IS
from xinit.report import bands, layers, page, training
from xinit.report.layers import Readings
from xinit.report.sources import Run

Test = Callable[[Readings], bool]


def over_training(readings: Readings) -> bool:
    """Whether there is more than one probe point."""
    return len(readings["step"]) > 1


def over_depth(readings: Readings) -> bool:
    """Whether there is more than one hidden layer, and more than one probe point."""
    return readings["act_std"].shape[1] > 1 and over_training(readings)


def not_only_rectifiers(readings: Readings) -> bool:
    """Whether flatness says something that inactivity does not."""
    return bool(np.isnan(readings["act_inactive"]).any())


class Shown(NamedTuple):
    """A figure: the readings it needs, how it is drawn, how to read it, and when it shows something.

    `control`: a slider of its own.
    """

    title: str
    needs: tuple[str, ...]
    draw: Callable[[Run], alt.TopLevelMixin]
    words: str | Callable[[Run], str]
    when: Test = lambda readings: True
    control: Callable[[Readings], page.Markup | str] = lambda readings: ""


class Section(NamedTuple):
    """Figures under a heading, with a sentence before them, and what is said where none of them can be drawn."""

    title: str
    words: str
    figures: tuple[Shown, ...]
    otherwise: str | Callable[[Run], str]


def _layer_slider(readings: Readings) -> page.Markup:
    places = numbers(readings)
    words = [f"{place} of {places[-1]}" for place in places]
    return page.slider("layer", axis_title(readings), words, len(words) - 1, sticky=False)


def _silent(run: Run) -> str:
    """Why there is no prediction."""
    if why := run.summary.get("unpredicted"):
        return f"There is no prediction to compare with, since theory is silent: {why}."
    return "There is no prediction to compare with: probe=standard or full makes one where the scheme states a law."


DISTRIBUTIONS = Section(
    "What the layers do",
    "At the slider's step, over units and probe examples; layer 1 is next to the input.",
    (
        Shown(
            "Activations, layer by layer", ("act_hist",), lambda run: layers.histograms(run.readings, "act", 300),
            "Each ridge is a layer, layer 1 at the bottom. Heights are square roots of densities, each layer's scaled "
            "to its own largest, so that a spike does not hide the rest. Bad signs are ridges that narrow from layer "
            "to layer, or pile up at the ends of the function. An empty row has left the range that it had around "
            "step 0.",
        ),
        Shown(
            "Gradients, layer by layer", ("grad_pre_hist",),
            lambda run: layers.histograms(run.readings, "grad_pre", 300),
            "The same for dL/dz, per example, within eight standard deviations of step 0. Bad signs are ridges much "
            "narrower at one end of the network than at the other.",
        ),
        Shown(
            "Where the activations lie", ("act_quantile",), lambda run: bands.bands(run.readings),
            "The middle 98, 90 and 50 % of each layer's activations, and the median. Bad signs are bars that shrink "
            "or grow from layer to layer, or that sit at one end of the function.",
        ),
        Shown(
            "Where one layer's activations lie, over training", ("act_quantile",),
            lambda run: bands.bands_over_training(run.readings),
            "The same for the layer that the slider above names. A bad sign is a band that collapses, or runs into "
            "the ends.",
            over_training,
            _layer_slider,
        ),
    ),
    "Histograms and quantiles were not measured; probe=standard measures them.",
)  # fmt: skip

FLATNESS = Section(
    "Where units sit on the activation function",
    "Each row is a layer, each column a probed step, from left to right. The stronger the colour, the larger the "
    "share.",
    (
        Shown(
            "Saturated", ("act_saturated",), lambda run: layers.heat(run.readings, "act_saturated", slider=True),
            "Share of (unit, example) where the function is flat, abs f' below .05 of its largest: hardly any "
            "gradient passes there. It is bad if rows take on the full colour, one after the other or all at once.",
        ),
        Shown(
            "Inactive", ("act_inactive",), lambda run: layers.heat(run.readings, "act_inactive", slider=True),
            "Share of (unit, example) with z <= 0, which a rectifier cuts off; about half is sound. Bad signs are "
            "rows near 100 %.",
        ),
        Shown(
            "Dead", ("act_inactive", "act_dead"), lambda run: layers.heat(run.readings, "act_dead", slider=True),
            "Share of units that are off on every probe example. Some are to be expected, more of them with depth. "
            "It is bad if rows take on the full colour: nothing "
            "reaches these units' weights any more.",
        ),
        Shown(
            "Flat", ("act_slope",), lambda run: layers.heat(run.readings, "act_slope", slider=True),
            "1 minus the mean of abs f' over its largest: it also sees units short of the cut. It is bad if rows "
            "have the full colour: the gradient hardly passes them on its way down.",
            not_only_rectifiers,
        ),
        Shown(
            "Spread of the activations", ("act_std",),
            lambda run: training.over_training(run.readings, "act_std", slider=True),
            "Each line is a layer: the standard deviation over units and examples. Bad signs are lines far apart at "
            "step 0, or a line that goes to 0.",
            over_training,
        ),
    ),
    "",
)  # fmt: skip

ERRORS_OF = {
    ERROR_IS["labels"]: (
        "Share misclassified: of the training batches since the last probe, of 1,000 validation examples, of the test "
        "set at the end; chance is what the best constant answer misses. Bad signs are lines that stay at chance, or "
        "that leave it late."
    ),
    ERROR_IS["values"]: (
        "Share of the variance of the training targets that is left, 1 - R^2: in the training batches since the last "
        "probe, in 1,000 validation examples, in the test set at the end; chance is what the best constant answer "
        "leaves. Bad signs are lines that stay at chance, or that leave it late."
    ),
    "": "Errors of the training batches since the last probe and of 1,000 validation examples, so far.",
}

ERRORS = Section(
    "Errors",
    "",
    (
        Shown(
            "Error over training", ("valid_error",),
            lambda run: training.errors(run.readings, run.summary, slider="act_std" in run.readings),
            lambda run: ERRORS_OF[error_is([run.summary])],
            over_training,
        ),
    ),
    "Errors over training were not measured.",
)  # fmt: skip

THEORY = Section(
    "Theory beside measurement, at step 0",
    "What mean-field theory says of these widths under this scheme before anything is drawn (line), where 95 % of "
    "networks lie (bar), and what this network showed (point). Points beyond the bars in layer after layer say that "
    "the weights are not what the scheme promises, or that the theory does not hold here.",
    (
        Shown(
            "Signal", ("act_rms_predicted", "act_std"), lambda run: layers.prediction(run.readings, "act"),
            "Root mean square of the activations. A bad sign is a size that falls or rises from layer to layer.",
        ),
        Shown(
            "Gradient", ("grad_pre_rms_predicted", "grad_pre_std"),
            lambda run: layers.prediction(run.readings, "grad_pre"),
            "Root mean square of dL/dz, to be read from the last layer to the first. The same would be bad.",
        ),
        Shown(
            "Gradient of the weights", ("grad_w_rms_predicted", "grad_w_hist"),
            lambda run: layers.prediction(run.readings, "grad_w"),
            "Root mean square of dL/dW. It can be level while signal and gradient are not: what the one loses the "
            "other has gained.",
        ),
        Shown(
            "Slope", ("act_slope_predicted", "act_slope"), lambda run: layers.prediction(run.readings, "act_slope"),
            "Mean of abs f' over its largest: 1 where the function is as good as linear.",
        ),
        Shown(
            "Likeness of examples", ("act_cosine_predicted", "act_cosine_mean"),
            lambda run: layers.prediction(run.readings, "act_cosine"),
            "Mean cosine between the activations of different examples. It is bad near 1 in the last layers: the "
            "network can no longer tell its inputs apart.",
        ),
    ),
    _silent,
)  # fmt: skip

GRADIENTS = Section(
    "Gradients and updates",
    "",
    (
        Shown(
            "Gradient of the weights, matrix by matrix", ("grad_w_hist",),
            lambda run: layers.histograms(run.readings, "grad_w", 300),
            "dL/dW of the mean loss at the slider's step, drawn as the ridges above. Bad signs are matrices whose "
            "ridges are much narrower than the others'.",
        ),
        Shown(
            "Size of the gradients", ("grad_pre_std",),
            lambda run: training.over_training(run.readings, "grad_pre_std", log=True, slider=True),
            "Each line is a layer: the standard deviation of dL/dz, per example. Bad signs are lines far apart, so "
            "that layers learn at different speeds.",
            over_training,
        ),
        Shown(
            "What is left over all layers", ("act_std", "grad_pre_std"),
            lambda run: training.flow(run.readings, slider=True),
            "Standard deviation at one end over that at the other; on the dashed line nothing is lost. It is bad to "
            "be far from it at step 0, by more than the verdict allows; training may mend it.",
            over_depth,
        ),
        Shown(
            "Update over weights", ("update_ratio",),
            lambda run: training.update_ratios(run.readings, run.limits, slider=True),
            "Norm of the last step's update over the norm of the weights. The dashed lines are the verdict's bounds: "
            "above, a few steps leave the initialisation behind; below, float32 rounds a step away. Other bad signs "
            "are lines far apart.",
            over_training,
        ),
    ),
    "",
)  # fmt: skip

JACOBIANS = Section(
    "Jacobians",
    "How a small change of one layer's activations changes the next layer's: singular values of da(l+1)/da(l), at a "
    "few probe examples.",
    (
        Shown(
            "Singular values", ("jacobian_sv_quantile", "jacobian_total_sv_quantile"),
            lambda run: bands.spectra(run.readings),
            "At the slider's step, from each layer to the next, and from the first to the last. Bad signs are means "
            "far from 1, which multiply up over the layers; a long last bar: few directions get through.",
        ),
        Shown(
            "Mean singular value at step 0", ("jacobian_sv_mean_predicted", "jacobian_sv_mean"),
            lambda run: layers.prediction(run.readings, "jacobian_sv_mean"),
            "Theory (line) beside this network (point).",
        ),
    ),
    "The singular values of the Jacobians were not measured: probe=full does, from two hidden layers on.",
)  # fmt: skip

SECTIONS = (DISTRIBUTIONS, FLATNESS, ERRORS, THEORY, GRADIENTS, JACOBIANS)
