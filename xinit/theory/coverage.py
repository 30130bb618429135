"""Which networks theory follows: those whose path has weights, nonlinearities, branches, and norms of one example."""

from xinit.networks.network import Image, Network, Normalise, Pool


def uncovered(network: Network) -> str:
    """Why theory says nothing of networks of this kind, or "".

    >>> from xinit.networks.mlp import mlp
    >>> from xinit.networks.network import Frame
    >>> uncovered(mlp(Frame((8,), (16,), (xinit.activations.tanh(),), 2), norm="batch"))
    'batch normalisation makes the signal of every example depend on the others of its batch'
    """
    if network.path is None:
        return "nobody knows the way of a signal through a module of your own"
    if any(isinstance(step, Image | Pool) for step in network.path):
        return "a convolution uses the same weights at every position, and theory does not follow these"
    if any(isinstance(step, Normalise) and step.kind == "batch" for step in network.path):
        return "batch normalisation makes the signal of every example depend on the others of its batch"
    return ""
