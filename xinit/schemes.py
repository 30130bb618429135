"""Schemes: the weights of a whole network.

A scheme is `(key, widths, activations, hyper, batch) -> (Params, lr_scale)`: `widths` runs from inputs to classes,
`hyper["gain"]` multiplies every kernel and may be traced, `batch` is (x_BI, y_B) for those that look at data, and
`lr_scale` (one number a layer) multiplies the learning rate. An initialiser of one kernel becomes a scheme through
`layerwise`, so most schemes are just a factory in `initializers` and a YAML file in `conf/scheme`. A scheme that can
say beforehand how its weights are distributed carries `law(widths, activations) -> one Law a layer` (gain 1).
"""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer

from xinit import initializers
from xinit.activations import Activation
from xinit.errors import InputError
from xinit.initializers import Law
from xinit.model import Params, make_params

Hyper = Mapping[str, Array]
Scheme = Callable[[Array, Sequence[int], Sequence[Activation], Hyper, tuple[Array, Array]], tuple[Params, Array]]


Laws = tuple[Law, ...]


def law_of(scheme: Scheme, widths: Sequence[int], activations: Sequence[Activation]) -> Laws | None:
    """What the scheme promises of each layer's weights at gain 1; None where it, or one of its layers, says nothing."""
    return scheme.law(widths, activations) if hasattr(scheme, "law") else None


def layer_keys(key: Array, n_layers: int) -> Array:
    """One key a layer. The split is prefix-stable: layer l has the same key at every depth."""
    return jax.random.split(key, n_layers)


def per_layer(choose: Callable[[int, Sequence[Activation]], Initializer]) -> Scheme:
    """The scheme whose layer l (from 0) has kernel gain x choose(l, activations)(key_l, (I, O)), and zero biases."""

    def scheme(key, widths, activations, hyper, batch):
        shapes = list(itertools.pairwise(widths))
        keys = layer_keys(key, len(shapes))
        kernels = [
            hyper["gain"] * choose(l, activations)(keys[l], shape, jnp.float32) for l, shape in enumerate(shapes)
        ]
        return make_params(kernels, [jnp.zeros(o) for _, o in shapes]), jnp.ones(len(shapes))

    def law(widths, activations):
        chosen = [choose(l, activations) for l in range(len(widths) - 1)]
        if not all(hasattr(initializer, "law") for initializer in chosen):
            return None
        return tuple(one.law(*shape) for one, shape in zip(chosen, itertools.pairwise(widths), strict=True))

    scheme.law = law
    return scheme


def layerwise(initializer: Initializer) -> Scheme:
    """The scheme that draws every kernel with the same initialiser: `per_layer` with one choice."""
    return per_layer(lambda l, activations: initializer)


def he(fan: str = "in", negative_slope: float | str = 0.0, distribution: str = "normal") -> Scheme:
    """(1 + a^2) n Var W / 2 = 1 (He et al. 2015, eq. 15), a the rectifier's negative slope.

    With `negative_slope="activation"`, a is that of the activation in front of the layer (the first layer takes the
    first activation's); an activation that is no rectifier raises InputError.
    """
    if isinstance(negative_slope, str) and negative_slope != "activation":
        raise InputError(f"scheme.negative_slope is {negative_slope!r}; it must be a number or `activation`.")
    if negative_slope != "activation":
        return layerwise(initializers.he(fan, negative_slope, distribution))

    def choose(l, activations):
        activation = activations[max(l - 1, 0)]
        if activation.negative_slope is None:
            raise InputError(
                f"scheme he with negative_slope=activation needs a rectifier, but the activation is {activation.name}; "
                "use relu or leaky_relu, or give scheme.negative_slope as a number."
            )
        return initializers.he(fan, activation.negative_slope, distribution)

    return per_layer(choose)


def from_function(function: Callable) -> Scheme:
    """A user's function as a scheme: five arguments are a scheme already, (key, shape[, dtype]) an initialiser.

    Raises:
      InputError: it takes neither.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise InputError(f"{function!r} is not a function whose arguments can be read.") from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if len(required) == 5:
        return function
    if len(required) in (2, 3) and not any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return layerwise(function if len(positional) > 2 else lambda key, shape, dtype: function(key, shape))
    raise InputError(
        f"{getattr(function, '__name__', function)!r} takes ({', '.join(p.name for p in parameters)}); an initialiser "
        "takes (key, shape, dtype) and a scheme (key, widths, activations, hyper, batch); give a factory of either "
        "its arguments with scheme.kwargs={...}."
    )
