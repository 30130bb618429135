"""A residual network: an input layer, branches that add to it, a last layer."""

import math

from xinit.core.errors import InputError
from xinit.networks.contract import Activation
from xinit.networks.network import Frame, Network
from xinit.networks.stack import Draft

__all__ = ["residual"]

SCALES = ("1/sqrt(L)", "1/L", "learned")


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
    """h <- skip x h + scale x F(h) for each of L branches F of one or two weights, between an input and a last layer.

    The hidden layers of the frame are the branches. In the order "pre" a branch is W f(.), W f(W f(.)) with two
    weights, and the last layer reads f of the sum; in the order "post" it is W . , W f(W .), and f follows the sum.
    """
    L = len(frame.widths)
    factor, learned = _scale(scale, L)
    draft = Draft(frame)
    draft.multiply(frame.widths[0])
    _bend(draft, frame.activations[0], norm, norm_at, order == "post", fixup)
    for width, activation in zip(frame.widths, frame.activations, strict=True):
        draft.branch()
        for w in range(weights):
            end = w == weights - 1
            if order == "pre":
                _bend(draft, activation, norm, norm_at, True, fixup)
            if fixup:
                draft.shift()
            draft.multiply(width, end=end)
            if order == "post":
                draft.normalise(norm if norm_at == "branch" else "none")
                if not end:
                    _bend(draft, activation, "none", norm_at, True, fixup)
        draft.join(skip, factor, learned or fixup)
        if norm_at == "sum":
            draft.normalise(norm)
        if order == "post":
            _bend(draft, activation, "none", norm_at, True, fixup)
    if order == "pre":
        _bend(draft, frame.activations[-1], norm, norm_at, True, fixup)
    if fixup:
        draft.shift()
    draft.multiply(frame.n_outputs, last=True)
    return draft.network("residual")


def _bend(draft: Draft, activation: Activation, norm: str, norm_at: str, wanted: bool, fixup: bool) -> None:
    """A nonlinearity, with the norm before it where norms are on the branch, and Fixup's bias."""
    if not wanted:
        return
    draft.normalise(norm if norm_at == "branch" else "none")
    if fixup:
        draft.shift()
    draft.activate(activation)


def _scale(scale: float | str, n_branches: int) -> tuple[float, bool]:
    """What branches are multiplied with at the start, and whether that is learned."""
    if not isinstance(scale, str):
        return float(scale), False
    if scale not in SCALES:
        raise InputError(f"network.scale is {scale!r}; it must be a number or one of {', '.join(SCALES)}.")
    return {"1/sqrt(L)": 1 / math.sqrt(n_branches), "1/L": 1 / n_branches, "learned": 0.0}[scale], scale == "learned"
