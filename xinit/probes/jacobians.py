"""Jacobians between neighbouring layers of the main path, and their singular values.

Of a plain network a layer is its post-activation, and the Jacobian is read off kernels and slopes. Of one with branches
or normalisations it is that of everything which lies between two layers, the skip included, by automatic
differentiation.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from xinit.networks.network import Activate, Branch, Image, Join, Multiply, Network, Normalise, Params, State, Step
from xinit.probes.statistics import over_layers


def jacobians(
    network: Network,
    params: Params,
    state: State,
    x: Float[Array, "batch inputs"],
    slopes: Sequence[Float[Array, "all_examples ..."]],
) -> list[Float[Array, "batch _ _"]]:
    """d h(l+1) / d h(l) at the examples x, for each layer l of the main path but the last; none where it has no sense.

    Of a plain network h is the post-activation a, and J_l = da(l+1)/da(l) = diag f'(z) W^T (Glorot & Bengio 2010, eq.
    17), with the `slopes` f' of each layer at x and further examples. See `points` for others. Where examples depend on
    each other, as under batch normalisation, for images, whose Jacobians are too large, and where the path is not
    known, there are none.
    """
    if network.is_plain:
        pairs = zip(network.kernels(params)[1:-1], slopes[1:], strict=True)
        return [slope[: len(x), :, None] * kernel.T[None] for kernel, slope in pairs]
    if network.path is None or network.passage is None or not n_jacobians(network):
        return []
    passage, places = network.passage(params, state), points(network.path)
    h, found = passage(0, places[0], x), []
    for first, end in itertools.pairwise(places):
        one = lambda h, first=first, end=end: passage(first, end, h[None])[0]
        found.append(jax.vmap(jax.jacfwd(one))(h))
        h = passage(first, end, h)
    return found


def n_jacobians(network: Network) -> int:
    """How many Jacobians a network has."""
    if network.path is None or any(map(_is_excluded, network.path)):
        return 0
    return len(points(network.path)) - 1


def _is_excluded(step: Step) -> bool:
    return isinstance(step, Image) or (isinstance(step, Normalise) and step.kind == "batch")


def points(path: Sequence[Step]) -> list[int]:
    """Where the layers of the main path lie: for each, how many steps of the path a signal has passed there.

    What goes on along the main path is the layer: the sum, where f is the first step of the branch (pre-activation),
    else f of it.
    """
    sums, activated, seen = [], [], 0
    inside = changed = from_sums = False  # whether the signal is on a branch, and no longer what the main path has
    for passed, step in enumerate(path, 1):
        match step:
            case Multiply() | Join():
                seen, changed = passed, isinstance(step, Multiply) and inside
                inside = inside and not isinstance(step, Join)
            case Branch():
                inside = True
            case Activate() if not changed:
                from_sums |= inside
                sums.append(seen)
                activated.append(passed)
    return sums if from_sums else activated


def singular_values(
    steps: Sequence[Float[Array, "batch _ _"]], quantiles: Callable[[Array], Array]
) -> dict[str, Array]:
    """Readings of the singular values of Jacobians, and of their product; none where there are none."""
    if not steps:
        return {}
    total = steps[0]
    for step in steps[1:]:
        total = jnp.matmul(step, total, precision="float32")

    def spectrum(j: Float[Array, "batch outputs inputs"]) -> dict[str, Array]:
        values = jnp.linalg.svd(j, compute_uv=False)
        return {"mean": jnp.mean(values), "quantile": quantiles(values)}

    layers, whole = over_layers(spectrum, steps), spectrum(total)
    return {
        "jacobian_sv_mean": layers["mean"],
        "jacobian_sv_quantile": layers["quantile"],
        "jacobian_total_sv_mean": whole["mean"],
        "jacobian_total_sv_quantile": whole["quantile"],
    }
