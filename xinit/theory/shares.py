"""What a layer's units show together in the limit of wide layers: their cosine, slopes, and the share that is off."""

import numpy as np
from jaxtyping import Float

from xinit.core.readings import FLAT
from xinit.networks.activations import Activation
from xinit.theory.moments import mean_slope, values_and_slopes
from xinit.theory.units import Signal, normals, root

DRAWS_OF_A_UNIT = 2000  # of its pre-activations on all examples: a share is good to .01


def mean_cosine(gram: Float[np.ndarray, "batch batch"]) -> float:
    """Mean over pairs of different examples; that of a zero vector counts as 0, as `statistics.cosines` has it.

    >>> mean_cosine(np.array([[1.0, 1.0], [1.0, 4.0]]))
    0.5
    """
    if len(gram) == 1:
        return np.nan
    norms = np.sqrt(np.diag(gram))
    unit = np.divide(gram, norms[:, None] * norms[None, :], out=np.zeros_like(gram), where=gram != 0)
    return float(np.mean(unit[np.triu_indices(len(gram), k=1)]))


def slope_share(activation: Activation, signal: Signal) -> float:
    """The mean of |f'| / max |f'|; nan where f' has no bound.

    >>> from xinit.theory.units import Units
    >>> round(slope_share(xinit.activations.relu(), (Units(3, np.eye(2)),)), 3)
    0.5
    """
    shares = [
        mean_slope(activation, np.diag(units.gram))
        if units.values is None
        else float(np.mean(np.abs(values_and_slopes(activation, units.values)[1]))) / activation.slope_max
        for units in signal
    ]
    return _over_units(signal, shares) if activation.slope_max < np.inf else np.nan


def dead_share(activation: Activation, signal: Signal) -> float:
    """Share of a rectifier's units with z <= 0 on all examples, by Monte Carlo with a fixed seed; nan for others.

    >>> from xinit.theory.units import Units
    >>> signal = (Units(10, np.eye(3)),)
    >>> dead_share(xinit.activations.tanh(), signal), round(dead_share(xinit.activations.relu(), signal), 1)
    (nan, 0.1)
    """
    if not activation.rectifies or activation.negative_slope is None:
        return np.nan
    if activation.negative_slope >= FLAT:
        return 0.0
    every = [
        normals(DRAWS_OF_A_UNIT, len(units.gram)) @ root(units.gram).T if units.values is None else units.values
        for units in signal
    ]
    return _over_units(signal, [float(np.mean(np.all(values <= 0, axis=1))) for values in every])


def _over_units(signal: Signal, shares: list[float]) -> float:
    if len(shares) == 1:
        return shares[0]
    return float(np.average(shares, weights=[units.number for units in signal]))
