"""What a choice of a scheme means: a function of ours by its name, or one of the user's."""

from collections.abc import Mapping
from typing import Any

import jax

from xinit import initializers, schemes
from xinit.core import custom
from xinit.core.errors import InputError
from xinit.core.factories import call_factory, call_with_options
from xinit.initializers import Law
from xinit.networks.network import Network
from xinit.schemes import Hyper, Scheme
from xinit.settings.config import SchemeConfig


def scheme_of(config: SchemeConfig) -> Scheme:
    """The scheme a config names: a factory of ours by its name, or a user's function as "module:function"."""
    options = dict(config.options)
    if not custom.is_custom(config.fn):
        made = call_factory((schemes, initializers), config.fn, options, "scheme", also=("gain",))
        return schemes.from_function(made)
    kwargs = options.pop("kwargs", None)
    if not isinstance(kwargs, Mapping | None):
        raise InputError(f"scheme.kwargs is {kwargs!r}; it must be a mapping, such as scheme.kwargs={{alpha:0.1}}.")
    function = custom.import_function("scheme.fn", config.fn)
    if kwargs is not None or options:
        arguments = options | dict(kwargs or {})
        function = custom.calling("scheme", config.fn, call_with_options, function, arguments, "scheme")
    return schemes.from_function(function)


def stated_laws(config: SchemeConfig, network: Network) -> list[Law]:
    """The laws of all weights, gain included, as the scheme states them; none where it states none."""
    return [law.scaled(config.gain) for law in schemes.law_of(scheme_of(config), network) or ()]


def check_scheme(
    scheme: Scheme,
    network: Network,
    hyper: Hyper,
    batch: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct],
    fn: str,
) -> None:
    """Check that a scheme makes the weights of a network; evaluated abstractly, nothing is compiled.

    Raises:
      InputError: it does not.
    """
    draw = lambda key, hyper, batch: scheme(key, network, hyper, batch)
    made = custom.calling("scheme", fn, jax.eval_shape, draw, jax.random.key(0), hyper, batch)
    _check_params(made, network, fn)


def _check_params(made: Any, network: Network, fn: str) -> None:
    """InputError unless the scheme made (Params, lr_scale) of this network's shapes."""
    try:
        params, lr_scale = made
        kernels, biases = network.kernels(params), network.biases(params)
    except (TypeError, ValueError, KeyError):
        raise InputError(
            f"scheme {fn!r} must return (Params, lr_scale), as xinit.networks.mlp.make_params makes."
        ) from None
    for weight, kernel, bias in zip(network.weights, kernels, biases, strict=True):
        parts = [("kernel", kernel, weight.shape), ("bias", bias, (weight.units,))]
        for part, array, shape in parts[: 1 if weight.bias is None else 2]:
            came = getattr(array, "shape", None), str(getattr(array, "dtype", None))
            if came != (shape, "float32"):
                raise InputError(
                    f"scheme {fn!r} made a {part} of shape {came[0]} and type {came[1]} for layer {weight.place + 1}; "
                    f"it must return shape {shape} and type float32."
                )
    if getattr(lr_scale, "shape", None) != (len(kernels),):
        raise InputError(f"scheme {fn!r} must return one learning-rate factor for each of the {len(kernels)} layers.")
