"""What people call the weights of a network, and the layers behind them."""

from collections.abc import Sequence

from xinit.networks.network import LAST, Weight


def weight_name(weights: Sequence[Weight], place: int) -> str:
    """What people call a weight, and the layer behind it: "layer 2", "conv 2"; "input", "branch 3, weight 1", "output".

    The first has a name of its own where there are residual branches, the last there and behind convolutions.
    """
    weight, first = weights[place], place
    if weight.branch is not None:
        while weights[first - 1].branch == weight.branch:
            first -= 1
        return f"branch {weight.branch + 1}, weight {place - first + 1}"
    residual = any(other.branch is not None for other in weights)
    if weight.role == LAST and (residual or any(other.kernel.window for other in weights)):
        return "output"
    return "input" if residual else f"{'conv' if weight.kernel.window else 'layer'} {place + 1}"
