"""What a scheme is, and how one is made from initialisers of single kernels or from a user's function."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Float, Num, Shaped

from xinit import initializers
from xinit.core.errors import InputError
from xinit.initializers import Law
from xinit.networks.activations import Activation
from xinit.networks.network import Network, Params, Weight

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
    "per_weight",
]

# Numbers by their names: arrays where they are traced; `lr_scale` has one for each weight.
Hyper = Mapping[str, Float[Array, "*weight"] | float]
Batch = tuple[Float[Array, "batch inputs"], Shaped[Array, "batch ..."]]
Choose = Callable[[Weight, Network], Initializer]
Laws = tuple[Law, ...]
LrScale = Callable[[Network], Sequence[float]]  # one factor a weight


@runtime_checkable
class Scheme(Protocol):
    """The weights of a whole network, and one factor of the learning rate for each of them."""

    def __call__(
        self, key: Array, network: Network, hyper: Hyper, batch: Batch, /
    ) -> tuple[Params, Float[Array, " weight"]]:
        """The parameters and the factors. What is left out of the parameters is as `network.start` has it."""


@runtime_checkable
class LawfulScheme(Protocol):
    """A scheme that states, by an attribute `law`, what it promises of each weight at gain 1.

    A function of your own does so by one line:

        my_scheme.law = lambda network: tuple(Law(2 / weight.fan_in) for weight in network.weights)
    """

    def law(self, network: Network, /) -> Laws | None:
        """The laws of all weights; None where one of them is not known."""


@runtime_checkable
class TunedScheme(Protocol):
    """A scheme that states, by an attribute `optimizers`, which optimizers its learning rates are made for."""

    @property
    def optimizers(self) -> Sequence[str] | None:
        """Their names; None where any will do."""


def law_of(scheme: Scheme, network: Network) -> Laws | None:
    """What the scheme promises of each weight at gain 1; None where it says nothing of one of them.

    >>> network = xinit.networks.mlp.plain((30, 20, 30), [xinit.activations.tanh()])
    >>> [law.variance for law in law_of(layerwise(initializers.xavier()), network)]
    [0.04, 0.04]
    """
    return scheme.law(network) if isinstance(scheme, LawfulScheme) else None


def optimizers_of(scheme: Scheme) -> Sequence[str] | None:
    """The optimizers that the scheme's learning rates are made for, by their names; None where any will do.

    >>> optimizers_of(xinit.schemes.mup()), optimizers_of(layerwise(initializers.he()))
    (('sgd', 'momentum', 'nesterov'), None)
    """
    return scheme.optimizers if isinstance(scheme, TunedScheme) else None


def layer_keys(key: Array, n_layers: int) -> Array:
    """One key a weight. The split is prefix-stable: weight l has the same key at every depth.

    >>> shallow, deep = layer_keys(jax.random.key(0), 2), layer_keys(jax.random.key(0), 5)
    >>> bool((jax.random.key_data(shallow) == jax.random.key_data(deep[:2])).all())
    True
    """
    return jax.random.split(key, n_layers)


def unscaled(network: Network) -> Sequence[float]:
    """The same learning rate for every weight.

    >>> unscaled(xinit.networks.mlp.plain((784, 100, 10), [xinit.activations.tanh()]))
    [1.0, 1.0]
    """
    return [1.0] * len(network.weights)


def per_weight(
    choose: Choose,
    lr_scale: LrScale = unscaled,
    optimizers: Sequence[str] | None = None,
) -> Scheme:
    """The scheme whose weight w has kernel gain x choose(w, network)(key_w, shape).

    Biases are normal with the variance that the initialiser's law gives them: 0, but for `critical`. `optimizers` are
    those that `lr_scale` is made for, any by default.

    >>> scheme = per_weight(lambda w, network: initializers.xavier() if w.role == "first" else initializers.he())
    >>> network = xinit.networks.mlp.plain((60, 40, 10), [xinit.activations.relu()])
    >>> [law.variance for law in law_of(scheme, network)]
    [0.02, 0.05]
    """

    def scheme(key: Array, network: Network, hyper: Hyper, batch: object) -> tuple[Params, Float[Array, " weight"]]:
        kernels, biases = [], []
        for key_w, weight in zip(layer_keys(key, len(network.weights)), network.weights, strict=True):
            initializer = initializers.on(choose(weight, network), weight.kernel)
            kernels.append(hyper["gain"] * initializer(key_w, weight.shape, jnp.float32))
            biases.append(_bias(initializer, key_w, weight))
        return network.with_weights({}, kernels, biases), jnp.array(lr_scale(network), jnp.float32)

    def law(network: Network) -> Laws | None:
        chosen = [initializers.law_of(choose(weight, network)) for weight in network.weights]
        stated = [one for one in chosen if one is not None]
        if len(stated) < len(chosen):
            return None
        return tuple(one.at(weight.kernel) for one, weight in zip(stated, network.weights, strict=True))

    vars(scheme).update(law=law, optimizers=optimizers)
    return scheme


def _bias(initializer: Initializer, key: Array, weight: Weight) -> Float[Array, "..."] | None:
    if weight.bias is None:
        return None
    law, kernel = initializers.law_of(initializer), weight.kernel
    variance = law.at(kernel).bias_variance if law else 0.0
    shape = tuple(kernel.shape[axis] for axis in (*kernel.batch, *kernel.outputs))
    if not variance:
        return jnp.zeros(shape, jnp.float32)
    std: float = variance**0.5
    return std * jax.random.normal(jax.random.fold_in(key, 0), shape, jnp.float32)


def layerwise(initializer: Initializer) -> Scheme:
    """The scheme that draws every kernel with the same initialiser: `per_weight` with one choice.

    >>> network = xinit.networks.mlp.plain((8, 4, 2), [xinit.activations.tanh()])
    >>> params, lr_scale = layerwise(initializers.he())(jax.random.key(0), network, {"gain": 1.0}, None)
    >>> lr_scale.tolist()
    [1.0, 1.0]
    """
    return per_weight(lambda weight, network: initializer)


def _in_the_precision_asked(function: Callable[..., ArrayLike]) -> Initializer:
    """With whatever else the function states, as its law."""

    def initializer(
        key: Array, shape: Sequence[int], dtype: DTypeLike | None = None, out_sharding: Any = None
    ) -> Num[Array, "..."]:
        return jnp.asarray(function(key, shape), dtype)

    functools.update_wrapper(initializer, function)
    return initializer


def from_function(function: Callable[..., Any]) -> Scheme:
    """A user's function as a scheme, by what it takes.

    (key, network, hyper, batch) is a scheme already, (key, widths, activations, hyper, batch) one of plain networks,
    (key, shape[, dtype]) an initialiser.

    >>> scheme = from_function(lambda key, shape, dtype: jnp.zeros(shape, dtype))
    >>> network = xinit.networks.mlp.plain((8, 4, 2), [xinit.activations.tanh()])
    >>> params, lr_scale = scheme(jax.random.key(0), network, {"gain": 1.0}, None)
    >>> lr_scale.tolist()
    [1.0, 1.0]

    Raises:
      InputError: it takes none of these.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise InputError(f"{function!r} is not a function whose arguments can be read.") from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if len(required) == 4:
        return function
    if len(required) == 5:
        return _of_plain_networks(function)
    if len(required) in (2, 3) and not any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return layerwise(function if len(positional) > 2 else _in_the_precision_asked(function))
    raise InputError(
        f"{getattr(function, '__name__', function)!r} takes ({', '.join(p.name for p in parameters)}); an initialiser "
        "takes (key, shape, dtype) and a scheme (key, network, hyper, batch); give a factory of either its arguments "
        "with scheme.kwargs={...}."
    )


def _of_plain_networks(function: Callable[..., tuple[Params, Float[Array, " weight"]]]) -> Scheme:
    """A scheme that is told widths and activations, which say everything of a plain network and of no other."""

    def told(network: Network) -> tuple[tuple[int, ...], tuple[Activation, ...]]:
        if not network.is_plain:
            raise InputError(
                f"scheme {getattr(function, '__name__', function)!r} takes (key, widths, activations, hyper, batch), "
                f"which say everything of network=mlp alone; for network={network.name} it must take (key, network, "
                "hyper, batch)."
            )
        return network.widths, network.activations

    def scheme(key: Array, network: Network, hyper: Hyper, batch: Batch) -> Any:  # what it should be is checked later
        return function(key, *told(network), hyper, batch)

    stated = getattr(function, "law", None)
    if stated is not None:
        vars(scheme)["law"] = lambda network: stated(*told(network))
    vars(scheme)["optimizers"] = optimizers_of(function)
    return scheme
