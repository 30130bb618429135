"""What every layer of a network of given widths will show at initialisation, before it is drawn.

The recursion behind Glorot & Bengio 2010, eqs. 5-7, with the activation's own moments in place of the linear regime. It
carries the second moments between all pairs of probe examples, so that each example is propagated from its own size,
and the gradient of a mean over examples comes out with the correlations between them.
"""

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from xinit.activations import FLAT, Activation
from xinit.initializers import Law
from xinit.theory.moments import in_range, kernels, moments
from xinit.theory.spectra import mean_singular_value

DRAWS = 5_000  # of logits, in all classes: five hundred networks of ten
DRAWS_OF_A_UNIT = 2000  # of its pre-activations on all examples: a share is good to .01
BETWEEN_EXAMPLES = ("act_cosine", "grad_w_second", "act_dead")  # what needs more than each example's own moments


class Prediction(NamedTuple):
    """Predicted means over networks, how far one network scatters about them, and where theory says nothing.

    `values`: the second moments pre_second, act_second, grad_pre_second (layer) and grad_w_second (weight); act_cosine
    (layer), the mean cosine between examples; act_slope (layer), the mean of |f'| / max |f'|; act_dead (layer), the
    share of a rectifier's units that are off on every example; jacobian_sv_mean (jacobian). dL/dz is per example and
    dL/dW that of the mean loss, as `probes` measures them.
    `spread`: of the second moments, the standard deviation between networks over the mean, to first order in 1/width.
    It is that of one example; an average over examples scatters no more.
    `excess`: by how much, relative, a second moment may exceed its prediction at finite width; see `_excess`.
    `void`: why the values that are nan are not predicted, or "".
    """

    values: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    excess: dict[str, np.ndarray]
    void: str = ""

    def interval(self, name: str, networks: int = 1, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Where this share of the means over so many networks lies; log-normal, as products of many factors are."""
        log_variance = np.log1p(self.spread[name] ** 2 / networks)
        middle, reach = -log_variance / 2, ndtri((1 + level) / 2) * np.sqrt(log_variance)
        low, high = np.exp(middle - reach), (1 + self.excess[name]) * np.exp(middle + reach)
        return self.values[name] * low, self.values[name] * high


_LIMITED = threading.RLock()


def on_one_core(function: Callable) -> Callable:
    """`function` with BLAS on one core: of matrices of a few hundred examples several would wait for each other.

    The limit is the whole process's. Threads take turns, or one would end another's limit and keep its own for good.
    """

    @functools.wraps(function)
    def limited(*arguments: Any, **options: Any) -> Any:
        with _LIMITED, threadpool_limits(limits=1, user_api="blas"):
            return function(*arguments, **options)

    return limited


@on_one_core
def predict(
    widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law], gram: np.ndarray, labels: np.ndarray
) -> Prediction:
    """The prediction for a multilayer perceptron under softmax cross-entropy.

    With n_l the widths, V_l = E W_l^2, d = dL/dz, b and b' examples, and E over (u, u') ~ N(0, <z_b z_b'>):

    forward   <z z'>_l = n_{l-1} V_l <h h'>_{l-1} + E b_l^2      <h h'>_l = E f(u) f(u')
    backward  <d d'>_l = n_{l+1} V_{l+1} <d d'>_{l+1} E f'(u) f'(u'), from d = p - y at the logits
    weights   <(dL/dW_l)^2> = B^-2 sum_{b b'} <h h'>_{l-1} <d d'>_l

    Args:
      widths: from inputs to classes, n_0 .. n_{d+1}.
      activations: f_1 .. f_d.
      laws: those of the d + 1 weight matrices, gains included.
      gram: (B, B), x_b . x_b' / n_0 of the probe examples.
      labels: (B,), their classes.

    Raises:
      InputError: an activation has no finite moments where the signal goes.
    """
    post, pre, slopes = [np.asarray(gram, float)], [], []
    for n, law, f in zip(widths, laws, activations, strict=False):
        pre.append(_in_range(n * law.variance * post[-1] + law.bias_variance))
        h, slope = kernels(f, pre[-1])
        post.append(h)
        slopes.append(slope)
    logits = _in_range(widths[-2] * laws[-1].variance * post[-1] + laws[-1].bias_variance)
    errors = _errors(logits, labels, widths[-1])
    grads = [np.einsum("skb,skc->bc", errors, errors, optimize=True) / (errors.shape[0] * widths[-1])]
    passed = [np.ones_like(logits)]  # the slopes on the way from the logits
    for n, law, slope in zip(widths[:1:-1], laws[::-1], slopes[::-1], strict=False):
        grads.insert(0, n * law.variance * grads[0] * slope)
        passed.insert(0, passed[0] * slope)
    q = np.array([np.mean(np.diag(z)) for z in pre])
    values = {
        "pre_second": q,
        "act_second": np.array([np.mean(np.diag(h)) for h in post[1:]]),
        "grad_pre_second": np.array([np.mean(np.diag(d)) for d in grads[:-1]]),
        "grad_w_second": np.array([np.mean(h * d) for h, d in zip(post, grads, strict=True)]),
        "act_cosine": np.array([_mean_cosine(h) for h in post[1:]]),
        "act_slope": np.array([_mean_slope(f, z) for f, z in zip(activations, pre, strict=True)]),
        "act_dead": np.array([dead_share(f, z) for f, z in zip(activations, pre, strict=True)]),
        "jacobian_sv_mean": _jacobians(widths, activations, laws, q),
    }
    own = [np.diag(np.diag(p)) for p in passed[:-1]]
    between = [h * p for h, p in zip(post, passed, strict=True)]
    tops = _top(errors, own), _top(errors, between)
    noise = _noise(widths, activations, laws, q)
    spread, excess = _spread(noise, *[top.variance for top in tops]), _excess(noise, *[top.moved for top in tops])
    return _without_void(Prediction(values, spread, excess), laws)


def _errors(gram: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(networks, classes, B) softmax minus one-hot of many networks' logits, Gaussian with covariance `gram`."""
    shape = max(100, DRAWS // classes), classes, len(gram)
    drawn = _normals(*shape) @ _root(gram).T
    shares = np.exp(drawn - drawn.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares - (np.arange(classes)[:, None] == np.asarray(labels))


class Top(NamedTuple):
    """How sum_k e_k^T M e_k scatters between networks, e the errors at the logits, M (B, B), for each of some M.

    `variance` is relative, `moved` the share that is due to the logits: what is left at logits of 0 is due to labels.
    """

    variance: np.ndarray
    moved: np.ndarray


def _top(errors: np.ndarray, matrices: Sequence[np.ndarray]) -> Top:
    some, still = errors[::4], np.mean(errors, axis=0)
    sums = np.array([np.einsum("skb,skb->s", some @ matrix, some) for matrix in matrices])
    unmoved = np.array([np.sum(still @ matrix * still) for matrix in matrices])
    means = np.mean(sums, axis=1)
    return Top(np.var(sums, axis=1) / means**2, np.clip(1 - unmoved / means, 0, 1))


def _in_range(gram: np.ndarray) -> np.ndarray:
    size = np.mean(np.diag(gram))
    return gram * (in_range(size) / size) if size > 0 else in_range(size) * np.eye(len(gram))


@functools.cache
def _normals(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def _root(gram: np.ndarray) -> np.ndarray:
    """R with R R^T = gram, up to a billionth of its diagonal: examples may be equal, or more than there are inputs."""
    return np.linalg.cholesky(gram + 1e-9 * np.mean(np.diag(gram)) * np.eye(len(gram)))


def _mean_cosine(gram: np.ndarray) -> float:
    """Mean over pairs of different examples; that of a zero vector counts as 0, as `stats.cosines` has it."""
    norms = np.sqrt(np.diag(gram))
    unit = np.divide(gram, norms[:, None] * norms[None, :], out=np.zeros_like(gram), where=gram != 0)
    return float(np.mean(unit[np.triu_indices(len(gram), k=1)]))


def _mean_slope(activation: Activation, gram: np.ndarray) -> float:
    return float(np.mean(moments(activation, np.diag(gram)).slope_size)) / activation.slope_max


def dead_share(activation: Activation, gram: np.ndarray) -> float:
    """Share of a rectifier's units with z <= 0 on all examples, by Monte Carlo with a fixed seed; nan for others."""
    if not activation.rectifies:
        return np.nan
    if activation.negative_slope >= FLAT:
        return 0.0
    drawn = _normals(DRAWS_OF_A_UNIT, len(gram)) @ _root(gram).T
    return float(np.mean(np.all(drawn <= 0, axis=1)))


def _jacobians(widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law], q: np.ndarray):
    """The mean singular value of da(l+1)/da(l), at the mean pre-activation variance of layer l + 1."""
    shapes = itertools.islice(itertools.pairwise(widths), 1, len(activations))
    layers = zip(activations[1:], q[1:], laws[1:], shapes, strict=False)
    return np.array([mean_singular_value(f, float(variance), law, *shape) for f, variance, law, shape in layers])


class Noise(NamedTuple):
    """Each layer's sampling of its n_l units as a source of noise, to first order in 1/width.

    `variances` (d): of the sources, relative. `pre`, `post`, `slopes` (d, d): how the logarithms of the second moments
    of z_l and h_l, and of all slopes from layer l up, answer to each source. `backward` (d): the relative variance that
    a gradient gathers from the logits down to layer l. `shared` (d): the same for n_classes + 1, see `_excess`.
    """

    variances: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    slopes: np.ndarray
    backward: np.ndarray
    shared: np.ndarray
    units: np.ndarray


def _noise(widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law], q: np.ndarray) -> Noise:
    """Given the layer below, mean h^2 scatters by (E f^4 / (E f^2)^2 - 1) / n_l about its mean, relative variance.

    And the square of a gradient by (3 E f'^4 / (E f'^2)^2 - 1) / n_l: 5 / n_l for ReLU (Hanin & Nica 2018). The noise
    of a layer moves all that follow, d log E f^2 / d log q at a time.
    """
    n, depth = np.array(widths[1:-1], float), len(activations)
    m = [moments(f, variance) for f, variance in zip(activations, q, strict=True)]
    growth = np.array([one.second_growth / one.second for one in m])
    slope_growth = np.array([one.slope_second_growth / one.slope_second for one in m])
    peaked = np.array([one.slope_fourth / one.slope_second**2 for one in m])
    kept = np.array([1 - law.bias_variance / variance for law, variance in zip(laws, q, strict=False)])
    pre, post = np.zeros((depth, depth)), np.zeros((depth, depth))
    for l in range(depth):
        pre[l] = kept[l] * post[l - 1] if l else 0.0
        post[l] = growth[l] * pre[l] + np.eye(depth)[l]
    from_above = lambda each: np.cumsum(each[::-1], axis=0)[::-1]
    return Noise(
        variances=np.array([one.fourth / one.second**2 - 1 for one in m]) / n,
        pre=pre,
        post=post,
        slopes=from_above(slope_growth[:, None] * pre),
        backward=from_above((3 * peaked - 1) / n),
        shared=from_above((widths[-1] + 1) * peaked / n),
        units=n,
    )


def _spread(noise: Noise, top_pre: np.ndarray, top_w: np.ndarray) -> dict[str, np.ndarray]:
    """Relative standard deviations between networks; `top_*` are the variances that the logits bring into gradients."""
    of = lambda answers: answers**2 @ noise.variances
    depth = len(noise.variances)
    grad_w = np.vstack([np.zeros(depth), noise.post]) + np.vstack([noise.slopes, np.zeros(depth)])
    return {
        "pre_second": np.sqrt(of(noise.pre) + 2 / noise.units),
        "act_second": np.sqrt(of(noise.post)),
        "grad_pre_second": np.sqrt(np.expm1(of(noise.slopes) + noise.backward + np.log1p(top_pre))),
        "grad_w_second": np.sqrt(np.expm1(of(grad_w) + np.append(noise.backward, 0) + np.log1p(top_w))),
    }


def _excess(noise: Noise, moved_pre: np.ndarray, moved_w: np.ndarray) -> dict[str, np.ndarray]:
    """What a gradient gains from passing the very weights that made the logits, relative, as a bound.

    The share of it that answers to the logits z = J h is J^T J h, whose square exceeds that of independent J's by a
    factor exp sum (n_classes + 1) / n over the layers between, each term times E f'^4 / (E f'^2)^2 where f' varies. In
    dL/dW it also meets the noise of h. A bound: linear networks come within a few percent of it, to first order.
    """
    meets = np.append(0.0, 2 * (noise.post * noise.variances) @ noise.post[-1])
    depth = len(noise.variances)
    return {
        "pre_second": np.zeros(depth),
        "act_second": np.zeros(depth),
        "grad_pre_second": moved_pre * np.expm1(noise.shared),
        "grad_w_second": moved_w * np.expm1(np.append(noise.shared, 0.0) + meets),
    }


def _without_void(prediction: Prediction, laws: Sequence[Law]) -> Prediction:
    """nan where the weights' structure voids the theory: all of it, or what lies between examples."""
    structures = {law.structure for law in laws}
    if "fixed" in structures:
        nothing = {name: np.full_like(value, np.nan) for name, value in prediction.values.items()}
        return prediction._replace(values=nothing, void="the weights are not random")
    if "mirrored" in structures:
        kept = {
            name: np.full_like(v, np.nan) if name in BETWEEN_EXAMPLES else v for name, v in prediction.values.items()
        }
        return prediction._replace(values=kept, void="mirrored weights keep what lies between examples")
    return prediction
