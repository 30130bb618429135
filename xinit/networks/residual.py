"""A residual network: an input layer, branches that add to it, a last layer."""

from xinit.networks.branches import Branches
from xinit.networks.draft import Draft
from xinit.networks.network import Frame, Network

__all__ = ["residual"]


def residual(
    frame: Frame,
    weights: int = 2,
    order: str = "pre",
    skip: float = 1.0,
    scale: float | str = 1.0,
    norm: str = "none",
    norm_at: str = "branch",
    fixup: bool = False,
) -> Network:
    """h_0 = W_0 x, h_l = skip h_{l-1} + scale F_l(h_{l-1}) for l = 1..L, logits = W f(h_L), with biases.

    The hidden layers of the frame are the branches F_l; each has one weight, or two:

        order "pre":   F(h) = W_2 f(W_1 f(h)), or W f(h)                    He et al. 2016b, eq. 1 and Fig. 4(e)
        order "post":  F(h) = W_2 f(W_1 h), or W h, f(sum) in place of h    He et al. 2016a, eq. 1

    In the order "post" the last layer reads h_L, which f has made. A main path of another width than the branch is cut,
    or filled up with zeros (He et al. 2016a, option A).

    `scale` is what the branches are multiplied with: a number; "1/sqrt(L)", with which the variances of all branches
    add up to a number that does not depend on L; "1/L"; or "learned", a scalar a branch that starts at 0: SkipInit (De
    & Smith 2020), ReZero (Bachlechner et al. 2020).

    `fixup` is the architecture of Fixup (Zhang et al. 2019, section 3): a scalar bias, from 0 on, before each weight of
    a branch, each nonlinearity and the last layer, and a scalar multiplier a branch, from `scale` on. Its weights are
    drawn by scheme=fixup.

    >>> network = residual(Frame((784,), (256, 256), (xinit.activations.relu(),) * 2, 10))
    >>> [weight.role for weight in network.weights]
    ['first', 'hidden', 'branch end', 'hidden', 'branch end', 'last']

    Args:
      frame: what every network is told.
      weights: of a branch, 1 or 2.
      order: "pre" or "post".
      skip: what the main path is multiplied with at each sum.
      scale: see above.
      norm: "none", "layer", "rms" or "batch".
      norm_at: "branch", before each nonlinearity of the order "pre", and behind each weight of the order "post"; or
        "sum", behind each sum.
      fixup: see above.

    Raises:
      InputError: a setting is none of these, or two of them contradict each other.

    References:
      He et al. 2016a, "Deep Residual Learning for Image Recognition"; He et al. 2016b, "Identity Mappings in Deep
      Residual Networks"; De & Smith 2020, "Batch Normalization Biases Residual Blocks Towards the Identity Function in
      Deep Networks"; Bachlechner et al. 2020, "ReZero is All You Need"; Zhang et al. 2019, "Fixup Initialization".
    """
    branches = Branches(weights, order, skip, scale, norm, norm_at, fixup)
    branches.check()
    draft = Draft(frame, "residual")
    branches.write(draft)
    branches.write_last(draft)
    return draft.network()
