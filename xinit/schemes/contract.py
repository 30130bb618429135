"""What a scheme is, and how one is made from initialisers of single kernels or from a user's function."""

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float, Int, Num

from xinit import initializers
from xinit.core.errors import InputError
from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.networks.mlp import Params, make_params

__all__ = [
    "Hyper",
    "LawfulScheme",
    "Laws",
    "Scheme",
    "TunedScheme",
    "from_function",
    "law_of",
    "layer_keys",
    "layerwise",
    "optimizers_of",
    "per_layer",
]

# Numbers by their names: arrays where they are traced; `lr_scale` has one for each weight.
Hyper = Mapping[str, Float[Array, "*weight"] | float]
Batch = tuple[Float[Array, "batch inputs"], Int[Array, " batch"]]
Choose = Callable[[int, Sequence[Activation]], Initializer]  # of the layer, from 0
Laws = tuple[Law, ...]
LrScale = Callable[[Sequence[int]], Sequence[float]]  # from the widths, one factor a layer


@runtime_checkable
class Scheme(Protocol):
    """The weights of a whole network, and one factor of the learning rate for each layer."""

    def __call__(
        self,
        key: Array,
        widths: Sequence[int],
        activations: Sequence[Activation],
        hyper: Hyper,
        batch: Batch,
        /,
    ) -> tuple[Params, Float[Array, " weight"]]:
        """The parameters and the factors."""


@runtime_checkable
class LawfulScheme(Protocol):
    """A scheme that states, by an attribute `law`, what it promises of each layer's weights at gain 1.

    A function of your own does so by `my_scheme.law = lambda widths, activations: (Law(2 / widths[0]), ...)`.
    """

    def law(self, widths: Sequence[int], activations: Sequence[Activation], /) -> Laws | None:
        """The laws of all layers; None where one of them is not known."""


@runtime_checkable
class TunedScheme(Protocol):
    """A scheme that states, by an attribute `optimizers`, which optimizers its learning rates are made for."""

    @property
    def optimizers(self) -> Sequence[str] | None:
        """Their names; None where any will do."""


def law_of(scheme: Scheme, widths: Sequence[int], activations: Sequence[Activation]) -> Laws | None:
    """What the scheme promises of each layer's weights at gain 1; None where it, or one of its layers, says nothing.

    >>> xavier = layerwise(initializers.xavier())
    >>> [law.variance for law in law_of(xavier, (30, 20, 30), [xinit.activations.tanh()])]
    [0.04, 0.04]
    """
    return scheme.law(widths, activations) if isinstance(scheme, LawfulScheme) else None


def optimizers_of(scheme: Scheme) -> Sequence[str] | None:
    """The optimizers that the scheme's learning rates are made for, by their names; None where any will do.

    >>> optimizers_of(xinit.schemes.mup()), optimizers_of(layerwise(initializers.he()))
    (('sgd', 'momentum', 'nesterov'), None)
    """
    return scheme.optimizers if isinstance(scheme, TunedScheme) else None


def layer_keys(key: Array, n_layers: int) -> Array:
    """One key a layer. The split is prefix-stable: layer l has the same key at every depth.

    >>> shallow, deep = layer_keys(jax.random.key(0), 2), layer_keys(jax.random.key(0), 5)
    >>> bool((jax.random.key_data(shallow) == jax.random.key_data(deep[:2])).all())
    True
    """
    return jax.random.split(key, n_layers)


def unscaled(widths: Sequence[int]) -> Sequence[float]:
    """The same learning rate for every layer.

    >>> unscaled((784, 100, 10))
    [1.0, 1.0]
    """
    return [1.0] * (len(widths) - 1)


def per_layer(
    choose: Choose,
    lr_scale: LrScale = unscaled,
    optimizers: Sequence[str] | None = None,
) -> Scheme:
    """The scheme whose layer l (from 0) has kernel gain x choose(l, activations)(key_l, (I, O)).

    Biases are normal with the variance that the initialiser's law gives them: 0, but for `critical`. `optimizers` are
    those that `lr_scale` is made for, any by default.

    >>> scheme = per_layer(lambda l, activations: initializers.xavier() if l == 0 else initializers.he())
    >>> [law.variance for law in law_of(scheme, (60, 40, 10), [xinit.activations.relu()])]
    [0.02, 0.05]
    """

    def scheme(
        key: Array, widths: Sequence[int], activations: Sequence[Activation], hyper: Hyper, batch: object
    ) -> tuple[Params, Float[Array, " weight"]]:
        shapes = list(itertools.pairwise(widths))
        kernels, biases = [], []
        for l, (key_l, shape) in enumerate(zip(layer_keys(key, len(shapes)), shapes, strict=True)):
            initializer = choose(l, activations)
            kernels.append(hyper["gain"] * initializer(key_l, shape, jnp.float32))
            biases.append(_bias(initializer, key_l, shape))
        return make_params(kernels, biases), jnp.array(lr_scale(widths), jnp.float32)

    def law(widths: Sequence[int], activations: Sequence[Activation]) -> Laws | None:
        chosen = [initializers.law_of(choose(l, activations)) for l in range(len(widths) - 1)]
        stated = [one for one in chosen if one is not None]
        if len(stated) < len(chosen):
            return None
        return tuple(one(*shape) for one, shape in zip(stated, itertools.pairwise(widths), strict=True))

    vars(scheme).update(law=law, optimizers=optimizers)
    return scheme


def _bias(initializer: Initializer, key: Array, shape: tuple[int, int]) -> Float[Array, " outputs"]:
    law = initializers.law_of(initializer)
    variance = law(*shape).bias_variance if law else 0.0
    if not variance:
        return jnp.zeros(shape[1], jnp.float32)
    std: float = variance**0.5
    return std * jax.random.normal(jax.random.fold_in(key, 0), shape[1:], jnp.float32)


def layerwise(initializer: Initializer) -> Scheme:
    """The scheme that draws every kernel with the same initialiser: `per_layer` with one choice.

    >>> params, lr_scale = layerwise(initializers.he())(jax.random.key(0), (8, 4, 2), [], {"gain": 1.0}, None)
    >>> lr_scale.tolist()
    [1.0, 1.0]
    """
    return per_layer(lambda l, activations: initializer)


def _in_the_precision_asked(function: Callable[..., ArrayLike]) -> Initializer:
    """With whatever else the function states, as its law."""

    def initializer(
        key: Array, shape: Sequence[int], dtype: DTypeLike | None = None, out_sharding: Any = None
    ) -> Num[Array, "..."]:
        return jnp.asarray(function(key, shape), dtype)

    functools.update_wrapper(initializer, function)
    return initializer


def from_function(function: Callable[..., Any]) -> Scheme:
    """A user's function as a scheme: five arguments are a scheme already, (key, shape[, dtype]) an initialiser.

    >>> scheme = from_function(lambda key, shape, dtype: jnp.zeros(shape, dtype))
    >>> params, lr_scale = scheme(jax.random.key(0), (8, 4, 2), [], {"gain": 1.0}, None)
    >>> lr_scale.tolist()
    [1.0, 1.0]

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
        return layerwise(function if len(positional) > 2 else _in_the_precision_asked(function))
    raise InputError(
        f"{getattr(function, '__name__', function)!r} takes ({', '.join(p.name for p in parameters)}); an initialiser "
        "takes (key, shape, dtype) and a scheme (key, widths, activations, hyper, batch); give a factory of either "
        "its arguments with scheme.kwargs={...}."
    )
