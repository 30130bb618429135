"""What is tested of drawn weights: one function a check, each giving how much of its limit was used, and a sentence.

Where chance decides, the limit is LIMIT standard errors, or a quantile at RATE where the distribution is known.
"""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Num
from scipy.special import chdtri

from xinit.initializers import DISTRIBUTIONS, Kernel, Law

LIMIT = 5.5  # 4e-8 for a normal error, which leaves room for those that are not quite normal
RATE = 1e-7
CLOSE = 1e-4  # relative, of what is promised exactly, in float32
EXACT = ("orthogonal", "fixed")  # structures whose E W^2 chance has no part in


class Sample(NamedTuple):
    """Weights of one shape: `draws` with a key, the same key, two keys split off it, and the key of the next seed."""

    kernel: Kernel
    dtype: Any
    draws: tuple[Num[Array, "..."], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that was asked for."""
        return self.kernel.shape

    @property
    def fans(self) -> tuple[int, int]:
        """(fan-in, fan-out)."""
        return self.kernel.fan_in, self.kernel.fan_out

    @property
    def matrices(self) -> Float[np.ndarray, "kernels fan_in units"]:
        """The first draw in float64, (kernels, fan-in, units): one kernel, but for stacked ones and for groups."""
        return self.kernel.matrices(np.asarray(self.draws[0], np.float64))

    @property
    def matrix(self) -> Float[np.ndarray, "fan_in units"]:
        """The units of all kernels beside each other, (fan-in, units)."""
        return np.concatenate(self.matrices, axis=1)

    @property
    def second(self) -> float:
        """The mean of W^2."""
        return float(np.mean(self.matrix**2))

    @property
    def second_error(self) -> float:
        """Its standard error, relative, if weights are independent: sqrt((kurtosis - 1) / N)."""
        w = self.matrix
        return math.sqrt(max(np.mean(w**4) / self.second**2 - 1, 0.0) / w.size) if self.second else 0.0

    @property
    def rounding(self) -> float:
        """The relative spacing of numbers in this precision."""
        return float(jnp.finfo(self.dtype).eps)


class Check(NamedTuple):
    """One thing that was tested: whether it held, and in words what was expected and measured."""

    name: str
    passed: bool
    sentence: str


Result = tuple[float, str]  # share of the limit that was used, above 1 a failure; a sentence


def drawn_as_asked(sample: Sample) -> Result:
    """Every draw has the shape and the precision that were asked for.

    >>> drawn_as_asked(sample)
    (0.0, '(40, 100) of float32 came')
    """
    came = [(tuple(np.shape(draw)), str(getattr(draw, "dtype", type(draw).__name__))) for draw in sample.draws]
    wrong = [one for one in came if one != (sample.shape, str(jnp.dtype(sample.dtype)))]
    shape, dtype = (wrong or came)[0]
    return (math.inf if wrong else 0.0), f"{shape} of {dtype} came"


def finite(sample: Sample) -> Result:
    """No draw has infinite or undefined values.

    >>> finite(sample)
    (0.0, 'no weights are infinite or undefined')
    """
    bad = sum(int(np.sum(~np.isfinite(np.asarray(draw, np.float64)))) for draw in sample.draws)
    return (math.inf if bad else 0.0), f"{bad or 'no'} weights are infinite or undefined"


def same_key(sample: Sample, law: Law | None) -> Result:
    """Equal keys give equal weights.

    >>> same_key(sample, law)
    (0.0, 'one key, called twice, gave equal weights')
    """
    same = np.array_equal(sample.draws[0], sample.draws[1])
    return (0.0 if same else math.inf), f"one key, called twice, gave {'equal' if same else 'different'} weights"


def other_keys(sample: Sample, law: Law | None) -> Result:
    """Other keys give uncorrelated weights, or the same ones where nothing is random.

    >>> used, sentence = other_keys(sample, law)
    >>> bool(used < 1)
    True
    """
    draws = [np.asarray(draw, np.float64).ravel() for draw in (sample.draws[0], *sample.draws[2:])]
    same = all(np.array_equal(draws[0], draw) for draw in draws[1:])
    if law is not None and law.structure == "fixed":
        return (0.0 if same else math.inf), f"weights that are fixed are {'equal' if same else 'different'} at all keys"
    if same:
        return math.inf, "the weights do not depend on the key"
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = max(abs(np.corrcoef(a, b)[0, 1]) for a, b in combinations(draws, 2))
    limit = LIMIT / math.sqrt(_free(sample, law))
    share = largest / limit if math.isfinite(largest) else math.inf
    return share, f"weights of different keys correlate by {largest:.2g} at most, limit {limit:.2g}"


def mean(sample: Sample, law: Law | None) -> Result | None:
    """E W = 0.

    >>> used, sentence = mean(sample, law)
    >>> bool(used < 1)
    True
    """
    if law is not None and law.structure == "fixed":
        return None
    w = sample.matrix
    error = math.sqrt(sample.second / _free(sample, law))
    off = abs(w.mean()) / error if error else 0.0
    words = f"the mean is {w.mean():.2g}, {off:.1f} standard errors from 0"
    if off > LIMIT and w.min() >= 0:
        words += "; none is negative, as from jax's uniform(s), which is U[0, s)"
    return off / LIMIT, words


def variance(sample: Sample, law: Law | None) -> Result | None:
    """E W^2 is the law's: exactly so for orthogonal and fixed weights.

    >>> used, sentence = variance(sample, xinit.initializers.xavier().law(40, 100))
    >>> bool(used > 1), sentence.partition(":")[0]
    (True, 'n_in Var W = 2.046, the law says 0.5714')
    """
    if law is None:
        return None
    n_in = sample.fans[0]
    words = f"n_in Var W = {n_in * sample.second:.4g}, the law says {n_in * law.variance:.4g}"
    apart = abs(sample.second - law.variance)
    if law.structure in EXACT or not sample.second:
        limit = max(CLOSE, sample.rounding) * law.variance
        return (apart / limit if limit else math.inf if apart else 0.0), words
    error = sample.second * sample.second_error * math.sqrt(sample.matrix.size / _free(sample, law))
    off = apart / error if error else math.inf if apart > CLOSE * law.variance else 0.0
    return off / LIMIT, f"{words}: {off:.1f} standard errors apart"


def bounds(sample: Sample, law: Law | None) -> Result | None:
    """No weight lies beyond the bounds of its distribution.

    >>> bounds(sample, law) is None  # a normal distribution has none
    True
    """
    if law is None or law.distribution is None or math.isinf(DISTRIBUTIONS[law.distribution].bound):
        return None
    limit = DISTRIBUTIONS[law.distribution].bound * math.sqrt(law.variance) * (1 + 2 * sample.rounding)
    largest = np.abs(sample.matrix).max()
    return largest / limit, f"the largest is {largest:.4g}, the {_words(law.distribution)} ends at {limit:.4g}"


def distribution(sample: Sample, law: Law | None) -> Result | None:
    """The weights, their own mean and standard deviation taken off, have the law's distribution function.

    >>> used, sentence = distribution(sample, law._replace(distribution="uniform"))
    >>> bool(used > 1), "the uniform's distribution function" in sentence
    (True, True)
    """
    w = np.sort(sample.matrix.ravel())
    if law is None or law.distribution is None or not w.std():
        return None
    x = (w - w.mean()) / w.std()
    steps = np.arange(x.size + 1) / x.size
    cdf = DISTRIBUTIONS[law.distribution].cdf(x)
    distance = max(np.max(steps[1:] - cdf), np.max(cdf - steps[:-1]))
    limit = math.sqrt(math.log(2 / RATE) / 2 / x.size) + sample.rounding
    words = f"at most {distance:.2g} from the {_words(law.distribution)}'s distribution function, limit {limit:.2g}"
    return distance / limit, words


def structure(sample: Sample, law: Law | None) -> Result | None:
    """The weights hang together as the law says.

    >>> used, sentence = structure(sample, law)
    >>> bool(used < 1)
    True
    """
    check = STRUCTURES[law.structure] if law is not None else None
    return check and check(sample)


def _independent(sample: Sample) -> Result:
    """Between the P pairs of long vectors, n cos^2 has mean 1 and variance 2: its sum is nearly a chi-square over P."""
    vectors = _few_and_long(sample.matrix)
    vectors = vectors - vectors.mean()
    count, n = vectors.shape
    pairs = count * (count - 1) // 2
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    gram = unit @ unit.T
    ratio = n * float(np.sum(np.triu(gram, k=1) ** 2)) / pairs
    low, high = chdtri(pairs, 1 - RATE / 2) / pairs, chdtri(pairs, RATE / 2) / pairs
    share = (ratio - 1) / (high - 1) if ratio > 1 else (1 - ratio) / (1 - low)
    return share, f"squared cosines are {ratio:.3f} of independent vectors', allowed {low:.3f} to {high:.3f}"


def _orthogonal(sample: Sample) -> Result:
    used = np.any(sample.matrices, axis=(0, 2))  # a window may be 0 but in its middle
    vectors = np.stack([_few_and_long(matrix) for matrix in sample.matrices[:, used]])
    gram = vectors @ vectors.mT
    mean_square = np.mean(np.diagonal(gram, axis1=1, axis2=2))
    off = np.abs(gram / mean_square - np.eye(gram.shape[1])).max() if sample.second else math.inf
    return off / max(CLOSE, 4 * sample.rounding), f"products of the shorter side's vectors are off by {off:.1g} at most"


def _sparse(sample: Sample) -> Result:
    counts = np.count_nonzero(sample.matrix, axis=0)  # a normal number is 0 once in 10 million draws
    even = np.ptp(counts) <= 1 and 0 < counts.max() < max(sample.fans[0], 2)
    words = f"{counts.min()} to {counts.max()} of {sample.fans[0]} weights into a unit are not 0"
    return (0.0 if even else math.inf), words


def _mirrored(sample: Sample) -> Result:
    opposite = [side for side, w in (("inputs", sample.matrix), ("outputs", sample.matrix.T)) if _halves_cancel(w)]
    words = " and ".join(opposite) or "neither inputs nor outputs"
    return (0.0 if opposite else math.inf), f"{words} have halves of opposite sign"


STRUCTURES: dict[str, Callable[[Sample], Result] | None] = {
    "independent": _independent,
    "orthogonal": _orthogonal,
    "sparse": _sparse,
    "mirrored": _mirrored,
    "fixed": None,
}

OWED = {"shape and precision": drawn_as_asked, "finite": finite}  # where these fail, no more is tested
CHECKS = {
    "same key": same_key,
    "other keys": other_keys,
    "mean": mean,
    "variance": variance,
    "bounds": bounds,
    "distribution": distribution,
    "structure": structure,
}


def _free(sample: Sample, law: Law | None) -> float:
    """How many weights are free: of mirrored ones a quarter, at the least; of orthogonal ones those that are not 0."""
    if law is not None and law.structure == "orthogonal":
        return max(int(np.count_nonzero(sample.matrix)), 1)
    return sample.matrix.size / (4 if law is not None and law.structure == "mirrored" else 1)


def _few_and_long(w: Float[np.ndarray, "fan_in units"]) -> Float[np.ndarray, "few long"]:
    """The columns or rows, whichever are fewer, as rows."""
    return w.T if w.shape[0] >= w.shape[1] else w


def _halves_cancel(w: Float[np.ndarray, "fan_in units"]) -> bool:
    half = len(w) // 2
    return len(w) == 2 * half and not np.any(w[:half] + w[half:])


def _words(distribution: str) -> str:
    return distribution.replace("_", " ")
