"""muP over depth: the learning rate of a shallow residual network is that of a deep one."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from xinit.core.errors import InputError
from xinit.networks.network import BRANCH_END, Join, Network
from xinit.schemes.branches import branch_sizes, with_branch_ends
from xinit.schemes.contract import Scheme
from xinit.schemes.whole import mup

__all__ = ["depth_mup"]

# With the network's branches times s = base_depth / L, the learning rates of weights on a branch times these, so that
# what L branches change together does not depend on L: a step of SGD is s times smaller, as the gradient is, and so is
# what comes of it; a step of Adam keeps its size.
LR_FACTORS: dict[str, Callable[[float], float]] = {"sgd": lambda s: 1 / s, "adam": lambda s: 1.0}
# The last weight of a branch that holds s itself: W = s V moves like V at s^2 times V's learning rate with SGD, s times
# with Adam.
FOLDED: dict[str, Callable[[float], float]] = {"sgd": lambda s: s**2, "adam": lambda s: s}


def depth_mup(base_width: int = 256, base_depth: int = 4, optimizer: str = "sgd") -> Scheme:
    """muP for width and depth, CompleteP: one learning rate for networks of all widths and all numbers of branches L.

    Over width all is as in `mup`. Over depth the branches are multiplied by s = base_depth/L, h <- h + s F(h), and the
    learning rates of the weights on them (Dey et al. 2025, Table 1 at alpha = 1, for Adam) by

      adam and the like:  1
      sgd and the like:   1/s

    The second follows: the gradient of a branch is s times as large as without s, and what a step changes in it
    reaches the sum s times; L such changes add up to L s^2 times the learning rate, which 1/s keeps.

    A network with network.scale=1/L does the multiplying itself. With network.scale=1 it is done by the last weight of
    each branch, which is drawn s times as large, W = s V. Its learning rate is another s^2 (sgd) or s (adam) times as
    large, so that W moves exactly as s V would, dL/dV being s dL/dW:

      sgd and the like:   s (V - f eta dL/dV) = W - s^2 f eta dL/dW,  f = 1/s
      adam and the like:  s (V - eta u)       = W - s eta u,          u the normalised gradient, the same of V and W

    At the base width and the base depth it is `lecun` with one learning rate, for either network.scale. A decay of the
    weights has these factors too; scales and biases of normalisations have none.

    >>> from xinit.networks.residual import residual
    >>> network = residual(xinit.networks.network.Frame((64,), (64,) * 8, (xinit.activations.relu(),) * 8, 64))
    >>> batch = jnp.zeros((2, 64)), jnp.zeros(2, int)
    >>> _, lr_scale = depth_mup(64, 4)(jax.random.key(0), network, {"gain": 1.0}, batch)
    >>> lr_scale[:3].tolist()  # the first layer, and the branch of the first block: 1/s and s
    [1.0, 2.0, 0.5]

    Args:
      base_width: the hidden width at which the learning rate was chosen.
      base_depth: the number of branches at which it was chosen.
      optimizer: "sgd" or "adam": which of them the optimizer is like. `optimizers_of` the scheme tells.

    Raises:
      InputError: a base width or depth below 1, another optimizer; when weights are drawn, a network without branches,
        or whose network.scale is neither 1 nor 1/L.

    References:
      Dey et al. 2025, "Don't be lazy: CompleteP enables compute-efficient deep transformers"; Yang et al. 2022, "Tensor
      Programs V".
    """
    if base_width < 1 or base_depth < 1 or optimizer not in LR_FACTORS:
        raise InputError(
            f"scheme depth_mup has base_width {base_width}, base_depth {base_depth} and optimizer {optimizer!r}; the "
            f"first two must be at least 1, and the last one of {', '.join(LR_FACTORS)}."
        )

    def ratio(network: Network) -> float:
        return base_depth / len(branch_sizes(network, "depth_mup"))

    def folded(network: Network) -> float:
        return 1.0 if _scales_itself(network) else ratio(network)

    def lr_factors(network: Network) -> Float[Array, " weight"]:
        on_branch, at_end = LR_FACTORS[optimizer](ratio(network)), FOLDED[optimizer](folded(network))
        branches = [1.0 if weight.branch is None else on_branch for weight in network.weights]
        ends = [at_end if weight.role == BRANCH_END else 1.0 for weight in network.weights]
        return jnp.array(branches, jnp.float32) * jnp.array(ends, jnp.float32)

    return with_branch_ends(mup(base_width, optimizer), folded, lr_factors)


def _scales_itself(network: Network) -> bool:
    """Whether the branches are multiplied with 1/L already.

    Raises:
      InputError: they are multiplied with what is neither 1 nor 1/L, or learn it.
    """
    n = len(branch_sizes(network, "depth_mup"))
    scales = {(step.scale, step.learned) for step in network.path or () if isinstance(step, Join)}
    if scales <= {(1.0, False)}:
        return False
    if scales == {(1 / n, False)}:
        return True
    scale, learned = next(iter(scales - {(1.0, False), (1 / n, False)}))
    came = "learned" if learned else f"{scale:g}"
    raise InputError(
        f"scheme depth_mup multiplies the branches by base_depth/L, and network.scale is {came}; it must be 1 or 1/L"
        f"{', and network.fixup false' if learned else ''}."
    )
