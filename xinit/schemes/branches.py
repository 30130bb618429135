"""Schemes for residual networks: the last weights of the branches made small or 0."""

from collections import Counter
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

import xinit
from xinit.core.errors import InputError
from xinit.core.factories import call_factory
from xinit.initializers import Law, LawfulInitializer, lawful, variance_scaling
from xinit.networks.network import BRANCH_END, LAST, Join, Multiply, Network, Normalise, Params, Weight, at, put
from xinit.schemes.contract import Batch, Hyper, Laws, Scheme, from_function, law_of, optimizers_of, per_weight

__all__ = ["fixup", "residual_scaled", "zero_init_branches"]

POWERS = (0.5, 1.0)


def branch_sizes(network: Network, name: str) -> Mapping[int, int]:
    """How many weights each residual branch has; `name` is that of the scheme that asks.

    >>> from xinit.networks.residual import residual
    >>> network = residual(xinit.networks.network.Frame((8,), (4,), (xinit.activations.relu(),), 2))
    >>> branch_sizes(network, "fixup")
    {0: 2}

    Raises:
      InputError: there is none, or a normalisation behind the last weight of a branch undoes whatever size it has.
    """
    sizes = Counter(weight.branch for weight in network.weights if weight.branch is not None)
    if not sizes:
        raise InputError(
            f"scheme {name} needs residual branches, and network={network.name} has none"
            f"{'' if network.path else ' that can be seen'}; use network=residual, network=convnet with "
            "network.residual=true, or another scheme."
        )
    if _is_normalised(network):
        raise InputError(
            f"scheme {name} sets the size of the last weight of each branch, and here a normalisation behind it undoes "
            "that; use network.order=pre or network.norm_at=sum."
        )
    return dict(sizes)


def _is_normalised(network: Network) -> bool:
    """Whether a normalisation lies between the last weight of a branch and the sum."""
    ends = {weight.place for weight in network.weights if weight.role == BRANCH_END}
    behind = False
    for step in network.path or ():
        if isinstance(step, Multiply | Join):
            behind = isinstance(step, Multiply) and step.weight in ends
        elif isinstance(step, Normalise) and behind:
            return True
    return False


def _check_they_can_learn(network: Network, name: str) -> None:
    """Weights of 0 behind a scale of 0: the gradient of each is a multiple of the other."""
    if any(isinstance(step, Join) and step.scale == 0 for step in network.path or ()):
        raise InputError(
            f"scheme {name} starts the last weight of each branch at 0, and network.scale is 0 at the start too: no "
            "gradient would ever reach either of them; use network.scale=1, or another scheme such as he."
        )


def fixup(distribution: str = "normal") -> Scheme:
    """Fixup: residual networks without normalisation whose updates do not grow with the depth (Zhang et al. 2019).

    Of L branches with m weights each, the last weight of each branch and the last layer are 0; the others on a branch
    are He's times L^(-1/(2m - 2)), and all others He's:

        n_in Var W = 2 L^(-1/(m - 1))  on a branch,  2  elsewhere

    The paper's rule 3, scalar biases and a multiplier on each branch, belongs to the network: network.fixup=true.

    >>> from xinit.networks.residual import residual
    >>> network = residual(xinit.networks.network.Frame((8,), (8,) * 4, (xinit.activations.relu(),) * 4, 2))
    >>> [8 * law.variance for law in fixup().law(network)][:3]  # the first layer, and the branch of the first block
    [2.0, 0.5, 0.0]

    Raises:
      InputError: an unknown distribution; when weights are drawn, a network without branches or with a weight on a
        branch that is its only one, or whose branches are multiplied with 0.

    Reference: Zhang, Dauphin & Ma 2019, "Fixup Initialization: Residual Learning Without Normalization", section 3.
    """
    variance_scaling(2.0, "in", distribution)  # which checks the distribution

    def choose(weight: Weight, network: Network) -> LawfulInitializer:
        sizes = branch_sizes(network, "fixup")
        _check_they_can_learn(network, "fixup")
        if min(sizes.values()) == 1:
            raise InputError(
                "scheme fixup multiplies the weights of a branch by L^(-1/(2m - 2)), which has no value for the m = 1 "
                "weight that a branch has here; use network.weights=2, or network.scale=learned with scheme=he."
            )
        if weight.role in (BRANCH_END, LAST):
            return _zeros()
        factor = 1.0 if weight.branch is None else len(sizes) ** (-1 / (sizes[weight.branch] - 1))
        return variance_scaling(2.0 * factor, "in", distribution)

    return per_weight(choose)


def _zeros() -> LawfulInitializer:
    return lawful(lambda key, kernel, dtype: jnp.zeros(kernel.shape, dtype), lambda kernel: Law(0.0))


def residual_scaled(base: str = "he", power: float = 0.5) -> Scheme:
    """Another scheme's weights, the last ones of the branches times L^-power: 1/sqrt(L), or 1/L.

    The sum of L branches then has the size of one at 1/sqrt(L) (GPT-2 starts so, Radford et al. 2019, section 2.3), and
    is small beside the main path at 1/L. The signals are those of network.scale=1/sqrt(L) or 1/L; here the scale is in
    the weights, which Adam moves by as much as all others. Biases of these weights are scaled with them.

    >>> from xinit.networks.residual import residual
    >>> network = residual(xinit.networks.network.Frame((8,), (8,) * 4, (xinit.activations.relu(),) * 4, 2))
    >>> [8 * law.variance for law in residual_scaled("he").law(network)][:3]
    [2.0, 2.0, 0.5]

    Args:
      base: the name of the scheme.
      power: 0.5 or 1.

    Raises:
      InputError: an unknown scheme, one with learning rates of its own, or another power; when weights are drawn, a
        network without branches.

    Reference: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
    """
    if power not in POWERS:
        raise InputError(f"scheme.power is {power}; it must be one of {', '.join(map(str, POWERS))}.")
    return with_branch_ends(_named(base), lambda network: len(branch_sizes(network, "residual_scaled")) ** -power)


def zero_init_branches(base: str = "he") -> Scheme:
    """Another scheme's weights, the last ones of the branches 0: the network starts as its main path alone.

    In networks whose branches end with a normalisation, it is its scale that starts at 0 (Goyal et al. 2017, section
    5.1); here, with the normalisation before the weights or with none, it is the weight itself.

    >>> from xinit.networks.residual import residual
    >>> network = residual(xinit.networks.network.Frame((8,), (8,) * 4, (xinit.activations.relu(),) * 4, 2))
    >>> [8 * law.variance for law in zero_init_branches("lecun").law(network)][:3]
    [1.0, 1.0, 0.0]

    Args:
      base: the name of the scheme.

    Raises:
      InputError: an unknown scheme; when weights are drawn, a network without branches, or whose branches are
        multiplied with 0.

    Reference: Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour".
    """

    def factor(network: Network) -> float:
        branch_sizes(network, "zero_init_branches")
        _check_they_can_learn(network, "zero_init_branches")
        return 0.0

    return with_branch_ends(_named(base), factor)


def _named(base: str) -> Scheme:
    """The scheme of that name, with its defaults.

    Raises:
      InputError: there is none, or it has learning rates for an optimizer that it would have to be told of.
    """
    scheme = from_function(call_factory((xinit.schemes, xinit.initializers), base, {}, "scheme.base"))
    if optimizers_of(scheme) is not None:
        raise InputError(
            f"scheme.base is {base!r}, which has learning rates of its own for each layer; it must be a scheme without "
            "them, such as he. scheme=depth_mup is muP with branches that are scaled."
        )
    return scheme


def with_branch_ends(
    base: Scheme, factor: Callable[[Network], float], lr_factors: Callable[[Network], Array] | None = None
) -> Scheme:
    """A scheme, the last weights of the branches and their biases times a factor, and learning rates times others.

    >>> halved = with_branch_ends(xinit.schemes.layerwise(xinit.initializers.he()), lambda network: 0.5)
    >>> from xinit.networks.residual import residual
    >>> network = residual(xinit.networks.network.Frame((8,), (8,), (xinit.activations.relu(),), 2))
    >>> [8 * law.variance for law in halved.law(network)][:3]
    [2.0, 2.0, 0.5]
    """

    def scheme(key: Array, network: Network, hyper: Hyper, batch: Batch) -> tuple[Params, Float[Array, " weight"]]:
        s = factor(network)
        params, lr_scale = base(key, network, hyper, batch)
        for weight in network.weights:
            if weight.role == BRANCH_END:
                for path in (weight.path, weight.bias):
                    params = params if path is None else put(params, path, s * at(params, path))
        return params, lr_scale if lr_factors is None else lr_scale * lr_factors(network)

    def law(network: Network) -> Laws | None:
        s, laws = factor(network), law_of(base, network)
        if laws is None:
            return None
        ends = [weight.role == BRANCH_END for weight in network.weights]
        return tuple(_times(law, s) if is_end else law for law, is_end in zip(laws, ends, strict=True))

    vars(scheme).update(law=law, optimizers=optimizers_of(base))
    return scheme


def _times(law: Law, s: float) -> Law:
    """The law of s x W and s x b; of 0 nothing else can be said."""
    return law.scaled(s)._replace(bias_variance=s**2 * law.bias_variance) if s else Law(0.0)
