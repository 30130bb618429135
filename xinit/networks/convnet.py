"""A plain stack of 3 x 3 convolutions, the mean over positions, and a last layer; or its residual kin."""

from collections.abc import Sequence

from xinit.core.errors import InputError
from xinit.networks.network import Frame, Network
from xinit.networks.stack import Draft

__all__ = ["convnet"]

WINDOW = 3


def convnet(frame: Frame, halve: Sequence[int] = (), norm: str = "none") -> Network:
    """z_l = W_l * h_{l-1} + b_l with windows of 3 x 3, h_l = f_l(norm(z_l)), then the mean over positions and a layer.

    The hidden layers of the frame are the convolutions, their widths the channels; those that `halve` names, from 1,
    halve the resolution.
    """
    if len(frame.inputs) != 3:
        raise InputError(f"network=convnet needs images; the data has {frame.inputs[0]} numbers an example.")
    draft = Draft(frame)
    draft.image()
    for l, (width, activation) in enumerate(zip(frame.widths, frame.activations, strict=True)):
        draft.multiply(width, window=WINDOW, stride=2 if l + 1 in halve else 1)
        draft.normalise(norm)
        draft.activate(activation)
    draft.pool()
    draft.multiply(frame.n_outputs, last=True)
    return draft.network("convnet")
