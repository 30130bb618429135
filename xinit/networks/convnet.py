"""A stack of 3 x 3 convolutions, the mean over positions, and a last layer; or the same with residual branches."""

from collections.abc import Sequence

from xinit.core.errors import InputError
from xinit.networks.branches import Branches
from xinit.networks.draft import Draft
from xinit.networks.network import Frame, Network

__all__ = ["convnet"]

WINDOW = 3


def convnet(
    frame: Frame,
    halve: Sequence[int] = (),
    norm: str = "none",
    residual: bool = False,
    weights: int = 2,
    order: str = "pre",
    skip: float = 1.0,
    scale: float | str = 1.0,
    norm_at: str = "branch",
    fixup: bool = False,
) -> Network:
    """z_l = W_l * h_{l-1} + b_l with windows of 3 x 3, h_l = f_l(norm(z_l)), then the mean over positions and a layer.

    The hidden layers of the frame are the convolutions, their widths the channels (He et al. 2015). Zeros are laid
    around an image, so that its size stays; the layers that `halve` names, from 1, take every second position, rounded
    up. No convolution reads an image that is smaller than its window, whose border would never meet a pixel: of an
    image of 28 x 28 four layers can halve the resolution, and the last of them only where no other follows.

    `residual`: the hidden layers of the frame are the branches between an input convolution and the last layer, with
    the settings of `networks.residual`; `halve` names branches, whose first convolution then halves the resolution, and
    the main path loses the same positions (He et al. 2016, option A).

    >>> network = convnet(Frame((32, 32, 3), (16, 32), (xinit.activations.relu(),) * 2, 10), halve=[2])
    >>> [weight.shape for weight in network.weights]
    [(3, 3, 3, 16), (3, 3, 16, 32), (32, 10)]

    Args:
      frame: what every network is told.
      halve: the layers, or the branches, that halve the resolution.
      norm: "none", "layer", "rms" or "batch", before each nonlinearity: of "layer" and "rms" over the channels of each
        position, of "batch" over the positions of all examples.
      residual: whether there are branches.
      weights, order, skip, scale, norm_at, fixup: of the branches, as of `networks.residual`.

    Raises:
      InputError: the examples are no images, or too small; a setting is wrong, or needs residual=true.

    References:
      He et al. 2015, "Delving Deep into Rectifiers"; He et al. 2016, "Deep Residual Learning for Image Recognition".
    """
    if len(frame.inputs) != 3:
        raise InputError(
            f"network=convnet needs images; the data has {frame.inputs[0]} numbers an example. Arrays of images have "
            "the shape (examples, height, width) or (examples, height, width, channels)."
        )
    _check_halve(halve, len(frame.widths), "branches" if residual else "hidden layers")
    branches = Branches(weights, order, skip, scale, norm, norm_at, fixup)
    branches.check()
    draft = Draft(frame, "convnet")
    draft.image()
    if residual:
        branches.write(draft, WINDOW, halve)
        draft.pool()
        branches.write_last(draft)
        return draft.network()
    plain = Branches(norm=norm)
    for name, value, default in zip(Branches._fields, branches, plain, strict=True):
        if value != default:
            raise InputError(f"network.{name} is {value!r} and network.residual is false; it is for residual=true.")
    for l, (width, activation) in enumerate(zip(frame.widths, frame.activations, strict=True)):
        draft.multiply(width, window=WINDOW, stride=2 if l + 1 in halve else 1)
        draft.normalise(norm)
        draft.activate(activation)
    draft.pool()
    draft.multiply(frame.n_outputs, last=True)
    return draft.network()


def _check_halve(halve: Sequence[int], depth: int, what: str) -> None:
    fits = all(type(place) is int and 1 <= place <= depth for place in halve) and len(set(halve)) == len(halve)
    if not fits:
        raise InputError(
            f"network.halve is {list(halve)}; it must be a list of different whole numbers from 1 to {depth}, since "
            f"there are {depth} {what}."
        )
