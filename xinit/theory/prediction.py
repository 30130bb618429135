"""What every layer of a network will show at initialisation, before it is drawn.

The recursion behind Glorot & Bengio 2010, eqs. 5-7, with the activation's own moments in place of the linear regime,
along the network's path: branches that add to it, and normalisations within an example. It carries the second moments
between all pairs of probe examples, so that each example is propagated from its own size, and the gradient of a mean
over examples comes out with the correlations between them. Networks drawn on a few examples (`finite_width`) say how
single networks scatter, and lead the recursion where their mean departs from it.
"""

import functools
import threading
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.networks.losses import Loss, cross_entropy
from xinit.networks.network import Network, Site
from xinit.theory import finite_width
from xinit.theory.coverage import uncovered
from xinit.theory.finite_width import TINY, Networks
from xinit.theory.moments import RANGE, moments
from xinit.theory.output_errors import NoDerivativeError, OutputErrors, constant_errors, output_errors
from xinit.theory.recursion import Recursion, follow
from xinit.theory.spectra import mean_singular_value

P = ParamSpec("P")
T = TypeVar("T")

RESAMPLES = 1000  # of means over several networks
LEFT_OUT = 0.025  # share of networks beyond each end of a 95 % band
BACKWARD = ("grad_pre_second", "grad_w_second")  # what needs the loss's derivative
CROSS_ENTROPY = cross_entropy()
MOMENTS = ("pre_second", "act_second", "grad_pre_second", "grad_w_second")
VALUES = (*MOMENTS, "act_cosine", "act_slope", "act_dead", "jacobian_sv_mean")
BETWEEN_EXAMPLES = ("act_cosine", "grad_w_second", "act_dead")  # what needs more than each example's own moments


class Prediction(NamedTuple):
    """Predicted means over networks, single networks that scatter about them, and where theory says nothing.

    `values`: the second moments pre_second, act_second, grad_pre_second (layer) and grad_w_second (weight); act_cosine
    (layer), the mean cosine between examples; act_slope (layer), the mean of |f'| / max |f'|; act_dead (layer), the
    share of a rectifier's units that are off on every example; jacobian_sv_mean (jacobian). dL/dz is per example and
    dL/dW that of the mean loss, as `probes` measures them. Layers and weights are those of the `Network`: at the end of
    a residual branch the sum is meant. jacobian_sv_mean is nan but for a plain network.
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
    network: Network,
    laws: Sequence[Law],
    gram: Float[np.ndarray, "batch batch"],
    targets: Shaped[np.ndarray, "batch ..."],
    loss: Loss = CROSS_ENTROPY,
) -> Prediction:
    """The prediction for a network under a loss; all nan, with the reason, where `uncovered` has one.

    With n the fan-in and m the outputs of a weight, V = E W^2, d = dL/dz, b and b' examples, and E over
    (u, u') ~ N(0, <z_b z_b'>):

    weight         <z z'> = n V <h h'> + E b^2               back <d d'> <- m V <d d'>
    nonlinearity   <h h'> = E f(u) f(u')                     back <d d'> <- <d d'> E f'(u) f'(u')
    normalisation  <z z'> <- <z z'> / (s_b s_b')             back <d d'> <- <d d'> / (s_b s_b'), s^2 = <z z> + 1e-6
    branch         <z z'> <- skip^2 <z z'> + scale^2 <y y'>  back <d d'> <- skip^2 <d d'> + scale^2 (that of the branch)
    gradient       <(dL/dW)^2> = B^-2 sum_{b b'} <h h'> <d d'>

    >>> from xinit.networks.mlp import plain
    >>> laws = [xinit.initializers.he().law(*shape) for shape in ((8, 64), (64, 64), (64, 2))]
    >>> network = plain((8, 64, 64, 2), [xinit.activations.relu()] * 2)
    >>> prediction = predict(network, laws, np.eye(4), np.array([0, 1, 0, 1]))
    >>> prediction.values["act_second"].round(1)  # He's weights keep the size of the signal
    array([1., 1.])

    Args:
      network: any.
      laws: those of all weights, gains included.
      gram: (B, B), x_b . x_b' / n_0 of the probe examples.
      targets: (B,) labels or (B, n_outputs) values.
      loss: the softmax cross-entropy, if no other is named.

    Raises:
      InputError: an activation has no finite moments where the signal goes.
    """
    if reason := uncovered(network):
        return _nothing_of(network, reason)
    gram = np.asarray(gram, float)
    try:
        prediction = _predict(network, laws, gram, output_errors(loss, np.asarray(targets), network.n_outputs))
    except NoDerivativeError:
        reason = "the loss's derivative is infinite or not a number at the outputs of such networks"
        prediction = _void(_predict(network, laws, gram, constant_errors()), BACKWARD, reason)
    return _without_void(prediction, laws)


def _predict(
    network: Network, laws: Sequence[Law], gram: Float[np.ndarray, "batch batch"], errors: OutputErrors
) -> Prediction:
    few, drawn = _on_a_few(network, laws, gram, errors)
    wide = follow(network, laws, gram, errors, few, drawn)
    at_layers = lambda grads: np.array([grads[layer.site] for layer in network.layers])
    followed = {
        "pre_second": (wide.pre, drawn.pre),
        "act_second": (wide.post, drawn.post),
        "grad_pre_second": (at_layers(wide.grads), at_layers(drawn.grads)),
    }
    of_weights = _of_weights(wide, few, drawn)
    values = {name: path.mean(axis=1) for name, (path, _) in followed.items()} | {
        "grad_w_second": of_weights[0],
        "act_cosine": wide.cosine,
        "act_slope": wide.slope,
        "act_dead": wide.dead,
    }
    values["jacobian_sv_mean"] = _jacobians(network, laws, values["pre_second"])
    top = {"grad_pre_second": _at_outputs(drawn).mean(axis=1)}
    networks = {name: drawn.over_all(path, few, sample, top.get(name)) for name, (path, sample) in followed.items()}
    networks["grad_w_second"] = of_weights[1]
    prediction = _among_networks(Prediction(values, networks, float(np.mean(drawn.dead))))
    repels = any(_repels(f, q) for f, q in zip(network.activations, wide.into.mean(axis=1), strict=True))
    return _without_band(prediction, drawn.narrowing < 1 and repels)


def _at_outputs(drawn: Networks) -> Float[np.ndarray, "network few"]:
    """The mean squares of dL/do."""
    return drawn.grads[Site("weight", len(drawn.grad_w_own) - 1)]


def _on_a_few(
    network: Network, laws: Sequence[Law], gram: Float[np.ndarray, "batch batch"], errors: OutputErrors
) -> tuple[Int[np.ndarray, " few"], Networks]:
    """Which examples stand for all, and networks drawn on them; more of them where their sizes part."""
    for count in (finite_width.EXAMPLES, finite_width.MORE):
        few = finite_width.representatives(gram, count)
        drawn = finite_width.draw(network, laws, gram[np.ix_(few, few)], errors, few)
        if not drawn.parted:
            break
    return few, drawn


def _of_weights(wide: Recursion, few: np.ndarray, drawn: Networks) -> tuple[np.ndarray, np.ndarray]:
    """(weight,) the mean of (dL/dW)^2 over networks, and (S, weight) that of single ones.

    B^-2 sum_{b b'} <h h'> <d d'> has what the examples share, which scatters as under their mean target; the rest is
    each example's own, and scatters as a mean over the few.
    """
    n = wide.post.shape[1]
    # Where weights above are zero, so is every gradient.
    above_zero = lambda parts: np.maximum(np.array(parts), TINY)
    whole = np.array([weight.whole for weight in wide.weights])
    single = above_zero([weight.single for weight in wide.weights])
    pairs = np.array([weight.pairs for weight in wide.weights])
    shared = above_zero(pairs.mean(axis=(1, 2)))
    selves = np.einsum("lee->l", pairs) / len(few)
    between = shared - (selves - shared) / max(len(few) - 1, 1)  # the mean over pairs of different examples
    share = np.clip((between + (selves - between) / n) / above_zero(whole), 0, 1)[:, None]
    relative = (1 - share) * drawn.grad_w_own / single[:, None] + share * drawn.grad_w_shared / shared[:, None]
    lead = [drawn.lead(sample[:, None], path) for sample, path in zip(drawn.grad_w_own, single, strict=True)]
    errors = [each / max(np.mean(each), TINY) for each in (_at_outputs(drawn).mean(axis=1), drawn.errors_shared)]
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


def _repels(activation: Activation, q: float) -> bool:
    """Whether E f^2 grows faster than q, so that differences of size grow from layer to layer."""
    m = moments(activation, float(q))
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


def _jacobians(network: Network, laws: Sequence[Law], q: Float[np.ndarray, " layer"]) -> np.ndarray:
    """The mean singular value of da(l+1)/da(l), at the mean pre-activation variance of layer l + 1; plain networks'."""
    if not network.is_plain:
        return np.full(max(len(network.layers) - 1, 0), np.nan)
    layers = zip(network.activations[1:], q[1:], laws[1:], network.weights[1:], strict=False)
    means = [mean_singular_value(f, float(variance), law, *weight.shape) for f, variance, law, weight in layers]
    return np.array(means)


def _nothing_of(network: Network, reason: str) -> Prediction:
    """nan for every value of a network's."""
    layers, weights = len(network.layers), len(network.weights)
    lengths = dict.fromkeys(VALUES, layers) | {"grad_w_second": weights, "jacobian_sv_mean": max(layers - 1, 0)}
    values = {name: np.full(length, np.nan) for name, length in lengths.items()}
    return Prediction(values, {name: values[name][None] for name in MOMENTS}, void=reason)


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
