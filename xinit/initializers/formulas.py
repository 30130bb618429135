"""Which known variance weights have, or which one gone wrong."""

from collections.abc import Callable, Sequence

import numpy as np

from xinit.initializers import FANS, TRUNCATED_STD
from xinit.initializers.checks import LIMIT, Sample

# In words, and as scale and mean of the fans: Var W = scale / mean.
KNOWN = {
    "1/n_in, fan-in (LeCun)": (1, "in"),
    "1/n_out, fan-out": (1, "out"),
    "2/(n_in + n_out), Glorot's": (1, "avg"),
    "2/n_in, He's for rectifiers": (2, "in"),
    "2/n_out, He's with fan-out": (2, "out"),
    "1/sqrt(n_in n_out), the geometric mean": (1, "geometric"),
    "(1/n_in + 1/n_out)/2, the mean of the variances": (1, "harmonic"),
    "4/(n_in + n_out), Glorot's with He's factor": (2, "avg"),
    "1/(3 n_in), the standard of Glorot & Bengio's eq. 1": (1 / 3, "in"),
}

RIGHT: dict[str, Callable[[float], float]] = {"{}": lambda v: v}
# What becomes of a variance by mistake.
WRONG: dict[str, Callable[[float], float]] = {
    "a third of {}: a uniform bound is sqrt(3 Var W), not sqrt(Var W), so 6 where a normal std has 2": lambda v: v / 3,
    "three times {}: a normal std is sqrt(Var W), not sqrt(3 Var W), so 2 where a uniform bound has 6": lambda v: 3 * v,
    ".774 times {}: a normal that is cut at two sigma has to be divided by .8796": lambda v: TRUNCATED_STD**2 * v,
    "the square of {}: the variance was given as the standard deviation": lambda v: v**2,
}
LEAST_ERROR = 1e-3  # relative: of weights that chance has no part in


def recognised(samples: Sequence[Sample]) -> str:
    """In a sentence, the known formulas that E W^2 follows at all shapes; empty if there are none.

    >>> recognised([sample])
    "Var W is 2/n_in, He's for rectifiers."
    """
    return _sentence(samples, RIGHT)


def explained(samples: Sequence[Sample]) -> str:
    """As `recognised`, but of weights that break their law or have none: also formulas gone wrong, and no formula.

    >>> too_wide = tuple(3**0.5 * draw for draw in sample.draws)  # a uniform's bound taken for a normal's std
    >>> explained([sample._replace(draws=too_wide)]).partition(",")[0]
    'Var W is three times 2/n_in'
    """
    return _sentence(samples, RIGHT) or _sentence(samples, WRONG) or _constant(samples) or _unknown(samples)


def _sentence(samples: Sequence[Sample], changes: dict[str, Callable[[float], float]]) -> str:
    fitting = [
        words.format(name)
        for words, change in changes.items()
        for name, (scale, fan) in KNOWN.items()
        if _follow(samples, [change(scale / FANS[fan](*sample.fans)) for sample in samples])
    ]
    return f"Var W is {'; the same at these shapes: '.join(fitting)}." if fitting else ""


def _follow(samples: Sequence[Sample], asked: Sequence[float]) -> bool:
    second = np.array([sample.second for sample in samples])
    error = np.array([max(sample.second_error, LEAST_ERROR) for sample in samples])
    return bool(np.all(np.abs(np.array(asked) - second) <= LIMIT * error * second))


def _constant(samples: Sequence[Sample]) -> str:
    if len({sample.fans for sample in samples}) < 2 or not _follow(samples, [samples[0].second] * len(samples)):
        return ""
    return f"Var W is {samples[0].second:.3g} (std {samples[0].second ** 0.5:.3g}) whatever the fans."


def _unknown(samples: Sequence[Sample]) -> str:
    products = {sample.shape: f"{sample.fans[0] * sample.second:.3g} at {sample.shape}" for sample in samples}
    return f"Var W follows no formula known here: n_in Var W is {', '.join(products.values())}."
