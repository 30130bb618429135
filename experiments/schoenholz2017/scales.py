"""Depth scales read off courses over depth: of the networks, and of theory's c-map in the same layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Deviations of the cosine, as theory expects them, of the layers that a scale is fitted to: above what networks of 300
# units scatter by, and below where the map's slope is far from that at its fixed point.
FITTED = {"ordered": (1e-9, 0.06), "chaotic": (0.06, 0.5)}


def rate(course_SL: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """(S,) the slope of the logarithm over those layers, by least squares; nan where there are fewer than two."""
    if len(layers) < 2:
        return np.full(len(course_SL), np.nan)
    return np.polyfit(layers, np.log(np.maximum(course_SL[:, layers], np.finfo(float).tiny)).T, 1)[0]


def deviations(phase: Mapping[str, Any], name: str) -> np.ndarray:
    """What shrinks as exp(-l / xi_c), (W, ..., L): the distance of pairs, or the difference between two kinds of pairs.

    In the chaotic phase pairs begin on both sides of c*. Their difference has no part of the shift of c* by a finite
    width, which both kinds share.
    """
    below, *above = (np.array(start[name]) for start in phase["starts"])
    return below - above[0] if above else below


def fitted_layers(found: Mapping[str, Any], phase: str, i: int) -> np.ndarray:
    """The layers where theory expects a deviation in the range of the fit: chosen before any network is drawn."""
    low, high = FITTED[phase]
    expected = deviations(found["phases"][phase], "expected")[i]
    return np.flatnonzero((low < expected) & (expected < high))


def correlation_scales(found: Mapping[str, Any], phase: str) -> tuple[np.ndarray, np.ndarray]:
    """xi_c of the networks (W, S), and of the c-map (W,), read off the same layers in the same way."""
    own = found["phases"][phase]
    measured_WSL, expected_WL = deviations(own, "distance"), deviations(own, "expected")
    layers = [fitted_layers(found, phase, i) for i in range(len(own["weight_variances"]))]
    networks = [-1 / rate(course_SL, some) for course_SL, some in zip(measured_WSL, layers, strict=True)]
    c_map = [-1 / rate(course_L[None], some)[0] for course_L, some in zip(expected_WL, layers, strict=True)]
    return np.array(networks), np.array(c_map)


def gradient_rates(found: Mapping[str, Any], phase: str) -> np.ndarray:
    """(W, S) log of the factor by which dL/dz changes in mean square from a layer to the one below."""
    gradient_WSL = np.array(found["phases"][phase]["starts"][0]["gradient"])
    return np.array([-rate(gradient_SL, np.arange(found["depth"])) for gradient_SL in gradient_WSL])


def colours(n: int) -> list[Any]:
    """From dark, the smallest s_w^2, to light."""
    from matplotlib import colormaps

    return [colormaps["viridis"](x) for x in np.linspace(0, 0.85, n)]
