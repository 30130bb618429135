"""What a choice of a scheme means: a function of ours by its name, or one of the user's."""

from collections.abc import Mapping
from typing import Any

import jax

from xinit import initializers, schemes
from xinit.core import custom
from xinit.core.errors import InputError
from xinit.core.factories import call_factory, call_with_options
from xinit.initializers import Law
from xinit.networks.draft import weight_name
from xinit.networks.network import Network, Path
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
    """InputError unless the scheme made (Params, lr_scale) of this network's names, shapes and precision.

    The kernels must be there; anything else may be left out, and is then as the network starts it.
    """
    must = f"scheme {fn!r} must return (Params, lr_scale), Params nested dicts as xinit.networks.mlp.make_params makes"
    try:
        params, lr_scale = made
    except (TypeError, ValueError):
        raise InputError(f"{must}.") from None
    like, arrays, names = _by_path(network.like[0]), _by_path(params), _names(network)
    for path in arrays:
        if path not in like:
            raise InputError(f"{must}; network={network.name} has no {_slashes(path) or 'single array'}.")
    for weight in network.weights:
        if weight.path not in arrays:
            raise InputError(f"{must}; the {names[weight.path]} is missing.")
    for path, array in arrays.items():
        came = getattr(array, "shape", None), str(getattr(array, "dtype", None))
        asked = like[path].shape, str(like[path].dtype)
        if came != asked:
            raise InputError(
                f"scheme {fn!r} made a {names.get(path, _slashes(path))} of shape {came[0]} and type {came[1]}; it "
                f"must be of shape {asked[0]} and type {asked[1]}."
            )
    n = len(network.weights)
    if getattr(lr_scale, "shape", None) != (n,):
        raise InputError(f"scheme {fn!r} must return one learning-rate factor for each of the {n} weights.")


def _by_path(tree: Any, path: Path = ()) -> dict[Path, Any]:
    """The arrays of nested dicts by their paths."""
    if not isinstance(tree, Mapping):
        return {path: tree}
    return {place: leaf for name, below in tree.items() for place, leaf in _by_path(below, (*path, name)).items()}


def _names(network: Network) -> dict[Path, str]:
    """What people call the kernels and biases: "kernel of layer 2 (layers/1/kernel)"."""
    names = {}
    for weight in network.weights:
        where = weight_name(network.weights, weight.place)
        for part, path in (("kernel", weight.path), ("bias", weight.bias)):
            if path is not None:
                names[path] = f"{part} of {where} ({_slashes(path)})"
    return names


def _slashes(path: Path) -> str:
    return "/".join(map(str, path))
