"""What theory says along a line of the plane: biases of one variance, weights of several."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xinit.core.errors import InputError
from xinit.networks.choices import activation_of
from xinit.theory import mean_field
from xinit.theory.plane import depth_scale, settler

FINE = 241  # points of a curve
LONGEST = 1e6  # JSON has no infinity


def ascending(variances: Sequence[float], name: str) -> Sequence[float]:
    """The variances themselves.

    Raises:
      InputError: they do not ascend.
    """
    if sorted(set(variances)) != list(variances):
        raise InputError(f"{name} is {list(variances)}; it must be numbers that ascend.")
    return variances


def scheme(weight_variance: float, bias_variance: float, weights: str = "gaussian") -> dict[str, Any]:
    """What a run's config says of the weights at a point of the plane."""
    options = {"bias_variance": bias_variance, "weights": weights}
    fn = "experiments.schoenholz2017.schemes:mean_field"
    return {"fn": fn, "gain": math.sqrt(weight_variance), "kwargs": options}


def theory(activation: str, weight_variances: Sequence[float], bias_variance: float) -> dict[str, list[float]]:
    """q*, chi_1, c* and the depth scales at each variance of the weights."""
    f = activation_of(activation, {})
    phases = [mean_field.phase(f, w, bias_variance) for w in weight_variances]
    return {name: [float(getattr(phase, name)) for phase in phases] for name in mean_field.Phase._fields}


def curve(activation: str, weight_variances: Sequence[float], bias_variance: float) -> dict[str, list[float]]:
    """xi_c and the gradient's scale over the whole range of the variances, for lines in figures."""
    w = np.linspace(weight_variances[0], weight_variances[-1], FINE)
    settled = settler(activation_of(activation, {}))(w, bias_variance)
    scales = {"xi_c": settled.xi_c, "xi_gradient": depth_scale(settled.chi_1)}
    return {"weight_variance": w.tolist()} | {name: np.minimum(a, LONGEST).tolist() for name, a in scales.items()}
