"""What every layer of a network of given widths will show at initialisation, before it is drawn.

The recursion behind Glorot & Bengio 2010, eqs. 5-7, with the activation's own moments in place of the linear regime. It
carries the second moments between all pairs of probe examples, so that each example is propagated from its own size,
and the gradient of a mean over examples comes out with the correlations between them. Networks drawn on a few examples
(`finite_width`) say how single networks scatter, and lead the recursion where their mean departs from it.
"""

import functools
import itertools
import threading
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from xinit.core.readings import FLAT
from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.networks.losses import Loss, cross_entropy
from xinit.networks.network import Network
from xinit.theory import finite_width
from xinit.theory.finite_width import TINY, Networks
from xinit.theory.moments import RANGE, mean_slope, moments
from xinit.theory.output_errors import NoDerivativeError, OutputErrors, constant_errors, output_errors
from xinit.theory.recursion import Recursion, follow, normals, root
from xinit.theory.spectra import mean_singular_value

P = ParamSpec("P")
T = TypeVar("T")

RESAMPLES = 1000  # of means over several networks
LEFT_OUT = 0.025  # share of networks beyond each end of a 95 % band
DRAWS_OF_A_UNIT = 2000  # of its pre-activations on all examples: a share is good to .01
BACKWARD = ("grad_pre_second", "grad_w_second")  # what needs the loss's derivative
CROSS_ENTROPY = cross_entropy()
BETWEEN_EXAMPLES = ("act_cosine", "grad_w_second", "act_dead")  # what needs more than each example's own moments


class Prediction(NamedTuple):
    """Predicted means over networks, single networks that scatter about them, and where theory says nothing.

    `values`: the second moments pre_second, act_second, grad_pre_second (layer) and grad_w_second (weight); act_cosine
    (layer), the mean cosine between examples; act_slope (layer), the mean of |f'| / max |f'|; act_dead (layer), the
    share of a rectifier's units that are off on every example; jacobian_sv_mean (jacobian). dL/dz is per example and
    dL/dW that of the mean loss, as `probes` measures them.
    `networks`, (network, layer): the second moments of single networks of these widths, see `finite_width`.
    `dead`: the share of networks in which all units of some layer are off on all examples.
    `void`: why the values that are nan are not predicted, or "".
    `unbounded`: why `networks` are nan, all or some, so that no interval can be given, or "".
    """

    values: dict[str, Float[np.ndarray, " _"]]
    networks: dict[str, Float[np.ndarray, "network _"]]
    dead: float = 0.0
    void: str = ""
    unbounded: str = ""

    def typical(self, name: str) -> Float[np.ndarray, " layer"]:
        """The geometric mean over networks: that of a few networks comes close to it, however long the tails."""
        return np.exp(np.mean(np.log(self.networks[name]), axis=0))

    def interval(
        self, name: str, networks: int = 1, level: float = 0.95
    ) -> tuple[Float[np.ndarray, " layer"], Float[np.ndarray, " layer"]]:
        """Where this share of the means over so many networks lies: log-normal, each side with a std of its own."""
        logs = np.log(_means(self.networks[name], networks))
        middle, reach = np.median(logs, axis=0), ndtri((1 + level) / 2)
        below, above = [np.sqrt(2 * np.mean(np.maximum(sign * (logs - middle), 0) ** 2, axis=0)) for sign in (-1, 1)]
        return np.exp(middle - reach * below), np.exp(middle + reach * above)


def _means(sample: np.ndarray, networks: int) -> np.ndarray:
    """Means over so many networks, drawn from the sample with replacement."""
    if networks == 1:
        return sample
    chosen = np.random.default_rng(0).integers(len(sample), size=(RESAMPLES, networks))
    return np.mean(sample[chosen], axis=1)


_LIMITED = threading.RLock()


def on_one_core(function: Callable[P, T]) -> Callable[P, T]:
    """`function` with BLAS on one core: of matrices of a few hundred examples several would wait for each other.

    The limit is the whole process's. Threads take turns, or one would end another's limit and keep its own for good.

    >>> on_one_core(lambda gram: np.linalg.cholesky(gram))(np.array([[4.0]]))
    array([[2.]])
    """

    @functools.wraps(function)
    def limited(*arguments: P.args, **options: P.kwargs) -> T:
        with _LIMITED, threadpool_limits(limits=1, user_api="blas"):
            return function(*arguments, **options)

    return limited


@on_one_core
def predict(
    described: Network,
    laws: Sequence[Law],
    gram: Float[np.ndarray, "batch batch"],
    targets: Shaped[np.ndarray, "batch ..."],
    loss: Loss = CROSS_ENTROPY,
) -> Prediction:
    """The prediction for a multilayer perceptron under a loss.

    With n_l the widths, V_l = E W_l^2, d = dL/dz, b and b' examples, and E over (u, u') ~ N(0, <z_b z_b'>):

    forward   <z z'>_l = n_{l-1} V_l <h h'>_{l-1} + E b_l^2      <h h'>_l = E f(u) f(u')
    backward  <d d'>_l = n_{l+1} V_{l+1} <d d'>_{l+1} E f'(u) f'(u'), from d = dL/do at the outputs
    weights   <(dL/dW_l)^2> = B^-2 sum_{b b'} <h h'>_{l-1} <d d'>_l

    >>> laws = [xinit.initializers.he().law(*shape) for shape in ((8, 64), (64, 64), (64, 2))]
    >>> prediction = predict((8, 64, 64, 2), [xinit.activations.relu()] * 2, laws, np.eye(4), np.array([0, 1, 0, 1]))
    >>> prediction.values["act_second"].round(1)  # He's weights keep the size of the signal
    array([1., 1.])

    Args:
      widths: from inputs to classes, n_0 .. n_{d+1}.
      activations: f_1 .. f_d.
      laws: those of the d + 1 weight matrices, gains included.
      gram: (B, B), x_b . x_b' / n_0 of the probe examples.
      targets: (B,) labels or (B, n_{d+1}) values.
      loss: the softmax cross-entropy, if no other is named.

    Raises:
      InputError: an activation has no finite moments where the signal goes.
    """
    widths, activations = described.widths, described.activations
    network = widths, activations, laws, np.asarray(gram, float)
    try:
        prediction = _predict(*network, output_errors(loss, np.asarray(targets), widths[-1]))
    except NoDerivativeError:
        reason = "the loss's derivative is infinite or not a number at the outputs of such networks"
        prediction = _void(_predict(*network, constant_errors()), BACKWARD, reason)
    return _without_void(prediction, laws)


def _predict(
    widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law],
    gram: Float[np.ndarray, "batch batch"], errors: OutputErrors,
) -> Prediction:  # fmt: skip
    few, drawn = _on_a_few(widths, activations, laws, gram, errors)
    wide = follow(widths, activations, laws, gram, errors, few, drawn)
    sizes = lambda grams: np.array([np.diag(matrix)[: len(gram)] for matrix in grams])
    followed = {
        "pre_second": (sizes(wide.pre), drawn.pre),
        "act_second": (sizes(wide.post[1:]), drawn.post),
        "grad_pre_second": (sizes(wide.grads[:-1]), drawn.grad_pre[:-1]),
    }
    of_weights = _of_weights(wide, few, drawn)
    values = {name: path.mean(axis=1) for name, (path, _) in followed.items()} | {
        "grad_w_second": of_weights[0],
        "act_cosine": np.array([_mean_cosine(h) for h in wide.post[1:]]),
        "act_slope": np.array([mean_slope(f, np.diag(z)) for f, z in zip(activations, wide.pre, strict=True)]),
        "act_dead": np.array([dead_share(f, z) for f, z in zip(activations, wide.pre, strict=True)]),
    }
    values["jacobian_sv_mean"] = _jacobians(widths, activations, laws, values["pre_second"])
    top = {"grad_pre_second": drawn.grad_pre[-1].mean(axis=1)}
    networks = {name: drawn.over_all(path, few, sample, top.get(name)) for name, (path, sample) in followed.items()}
    networks["grad_w_second"] = of_weights[1]
    prediction = _among_networks(Prediction(values, networks, float(np.mean(drawn.dead))))
    repels = any(_repels(f, z) for f, z in zip(activations, wide.pre, strict=True))
    return _without_band(prediction, drawn.narrowing < 1 and repels)


def _on_a_few(
    widths: Sequence[int],
    activations: Sequence[Activation],
    laws: Sequence[Law],
    gram: Float[np.ndarray, "batch batch"],
    errors: OutputErrors,
) -> tuple[Int[np.ndarray, " few"], Networks]:
    """Which examples stand for all, and networks drawn on them; more of them where their sizes part."""
    for count in (finite_width.EXAMPLES, finite_width.MORE):
        few = finite_width.representatives(gram, count)
        drawn = finite_width.draw(widths, activations, laws, gram[np.ix_(few, few)], errors, few)
        if not drawn.parted:
            break
    return few, drawn


def _of_weights(wide: Recursion, few: np.ndarray, drawn: Networks) -> tuple[np.ndarray, np.ndarray]:
    """(weight,) the mean of (dL/dW)^2 over networks, and (S, weight) that of single ones.

    B^-2 sum_{b b'} <h h'> <d d'> has what the examples share, which scatters as under their mean target; the rest is
    each example's own, and scatters as a mean over the few.
    """
    n, among = len(wide.post[0]), np.ix_(few, few)
    every = list(zip(wide.post, wide.grads, strict=True))
    # Where weights above are zero, so is every gradient.
    above_zero = lambda parts: np.maximum(np.array(parts), TINY)
    whole = np.array([np.mean(h * d[:n, :n]) for h, d in every])
    single = above_zero([np.mean((np.diag(h) * np.diag(d)[:n])[few]) for h, d in every])
    pairs = np.array([h[among] * d[n:, n:] for h, d in every])
    shared = above_zero(pairs.mean(axis=(1, 2)))
    selves = np.einsum("lee->l", pairs) / len(few)
    between = shared - (selves - shared) / max(len(few) - 1, 1)  # the mean over pairs of different examples
    share = np.clip((between + (selves - between) / n) / above_zero(whole), 0, 1)[:, None]
    relative = (1 - share) * drawn.grad_w_own / single[:, None] + share * drawn.grad_w_shared / shared[:, None]
    lead = [drawn.lead(sample[:, None], path) for sample, path in zip(drawn.grad_w_own, single, strict=True)]
    errors = [each / max(np.mean(each), TINY) for each in (drawn.grad_pre[-1].mean(axis=1), drawn.errors_shared)]
    top = (1 - share) * errors[0] + share * errors[1]
    return whole * lead, drawn.over_all(whole[:, None], slice(None), whole[:, None, None] * relative[:, :, None], top)


def _among_networks(prediction: Prediction) -> Prediction:
    """The networks' own mean where the recursion's lies outside their band: there the largest of them make the mean."""
    values = dict(prediction.values)
    for name, networks in prediction.networks.items():
        low, high = prediction.interval(name)
        outside = (values[name] < low) | (values[name] > high)
        values[name] = np.where(outside, np.mean(networks, axis=0), values[name])
    return prediction._replace(values=values)


def _repels(activation: Activation, gram: Float[np.ndarray, "batch batch"]) -> bool:
    """Whether E f^2 grows faster than q, so that differences of size grow from layer to layer."""
    m = moments(activation, float(np.mean(np.diag(gram))))
    return bool(m.second_growth > 1.001 * m.second)


def _without_band(prediction: Prediction, narrowed: bool) -> Prediction:
    """nan in place of networks where a band would say little, or cannot be given."""
    q = prediction.values["pre_second"]
    if prediction.dead > LEFT_OUT:
        reason = f"{prediction.dead:.0%} of such networks are dead: all units of some layer are off on every example"
    elif np.any((q <= RANGE[0] * 1.01) | (q >= RANGE[1] / 1.01)):
        reason = "the signal leaves the range of numbers"
    elif narrowed:
        reason = "differences of size grow from layer to layer, and there are too many units to follow them"
    elif any(np.isnan(sample).any() for sample in prediction.networks.values()):
        return prediction._replace(unbounded="where gradients are zero they do not scatter")
    else:
        return prediction
    return prediction._replace(networks=_nothing(prediction.networks), unbounded=reason)


def _nothing(arrays: dict[str, np.ndarray], names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays, those of these names, or all, as nan."""
    return {name: np.full_like(a, np.nan) if names is None or name in names else a for name, a in arrays.items()}


def _mean_cosine(gram: Float[np.ndarray, "batch batch"]) -> float:
    """Mean over pairs of different examples; that of a zero vector counts as 0, as `statistics.cosines` has it."""
    norms = np.sqrt(np.diag(gram))
    unit = np.divide(gram, norms[:, None] * norms[None, :], out=np.zeros_like(gram), where=gram != 0)
    return float(np.mean(unit[np.triu_indices(len(gram), k=1)]))


def dead_share(activation: Activation, gram: Float[np.ndarray, "batch batch"]) -> float:
    """Share of a rectifier's units with z <= 0 on all examples, by Monte Carlo with a fixed seed; nan for others.

    >>> dead_share(xinit.activations.tanh(), np.eye(3)), round(dead_share(xinit.activations.relu(), np.eye(3)), 1)
    (nan, 0.1)
    """
    if not activation.rectifies or activation.negative_slope is None:
        return np.nan
    if activation.negative_slope >= FLAT:
        return 0.0
    drawn = normals(DRAWS_OF_A_UNIT, len(gram)) @ root(gram).T
    return float(np.mean(np.all(drawn <= 0, axis=1)))


def _jacobians(
    widths: Sequence[int], activations: Sequence[Activation], laws: Sequence[Law], q: np.ndarray
) -> np.ndarray:
    """The mean singular value of da(l+1)/da(l), at the mean pre-activation variance of layer l + 1."""
    shapes = itertools.islice(itertools.pairwise(widths), 1, len(activations))
    layers = zip(activations[1:], q[1:], laws[1:], shapes, strict=False)
    return np.array([mean_singular_value(f, float(variance), law, *shape) for f, variance, law, shape in layers])


def _without_void(prediction: Prediction, laws: Sequence[Law]) -> Prediction:
    """nan where the weights' structure voids the theory: all of it, or what lies between examples."""
    structures = {law.structure for law in laws}
    if "fixed" in structures:
        return _void(prediction, None, "the weights are not random")._replace(dead=0.0)
    if "mirrored" in structures:
        return _void(prediction, BETWEEN_EXAMPLES, "mirrored weights keep what lies between examples")
    return prediction


def _void(prediction: Prediction, names: Collection[str] | None, reason: str) -> Prediction:
    values, networks = _nothing(prediction.values, names), _nothing(prediction.networks, names)
    return prediction._replace(values=values, networks=networks, void=reason)
