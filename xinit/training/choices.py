"""What a choice of an optimizer, a schedule or a scheme means: a function of ours by its name, or one of the user's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Int

from xinit import initializers, schemes
from xinit.core import custom
from xinit.core.errors import InputError
from xinit.core.factories import call_factory, call_with_options
from xinit.networks.activations import Activation
from xinit.schemes import Hyper, Scheme
from xinit.settings.config import Config, OptimizerConfig, ScheduleConfig, SchemeConfig
from xinit.training import optimizers

Optimizer = Callable[[Hyper], optax.GradientTransformation]
Schedule = Callable[[Hyper, Int[Array, ""]], Hyper]  # the numbers at a step, the first being 1


def numbers_of(config: Config) -> dict[str, Array]:
    """The traced numbers of a run: gain, learning rate and those of optimizer and schedule."""
    optimizer = config.optimizer
    numbers = {"gain": config.scheme.gain, "learning_rate": optimizer.learning_rate}
    numbers |= {f"optimizer.{name}": value for name, value in optimizer.numbers.items()}
    numbers |= {f"schedule.{name}": value for name, value in config.schedule.numbers.items()}
    return {name: jnp.float32(value) for name, value in numbers.items()}


def optimizer_of(config: OptimizerConfig) -> Optimizer:
    """The optimizer as a function of the run's numbers; made once with the config's own, to check their names."""
    numbers = {"learning_rate": config.learning_rate, **config.numbers}
    call_factory(optimizers, config.fn, numbers, "optimizer")
    make = getattr(optimizers, config.fn)
    traced = {name: name if name == "learning_rate" else f"optimizer.{name}" for name in numbers}
    return lambda hyper: make(**{name: hyper[key] for name, key in traced.items()})


def schedule_of(config: ScheduleConfig, steps: int) -> Schedule:
    """The schedule of a choice, over so many steps."""
    return lambda hyper, step: hyper


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


def check_scheme(
    scheme: Scheme,
    widths: Sequence[int],
    activations: Sequence[Activation],
    hyper: Hyper,
    batch: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct],
    fn: str,
) -> None:
    """Check that a scheme makes the weights of a network; evaluated abstractly, nothing is compiled.

    Raises:
      InputError: it does not.
    """
    draw = lambda key, hyper, batch: scheme(key, widths, activations, hyper, batch)
    made = custom.calling("scheme", fn, jax.eval_shape, draw, jax.random.key(0), hyper, batch)
    _check_params(made, widths, fn)


def _check_params(made: Any, widths: Sequence[int], fn: str) -> None:
    """InputError unless the scheme made (Params, lr_scale) of this network's shapes."""
    try:
        params, lr_scale = made
        layers = [params["layers"][l] for l in range(len(widths) - 1)]
    except (TypeError, ValueError, KeyError):
        raise InputError(
            f"scheme {fn!r} must return (Params, lr_scale), as xinit.networks.mlp.make_params makes."
        ) from None
    for l, layer in enumerate(layers):
        for part, shape in (("kernel", tuple(widths[l : l + 2])), ("bias", tuple(widths[l + 1 : l + 2]))):
            came = getattr(layer[part], "shape", None), str(getattr(layer[part], "dtype", None))
            if came != (shape, "float32"):
                raise InputError(
                    f"scheme {fn!r} made a {part} of shape {came[0]} and type {came[1]} for layer {l + 1}; "
                    f"it must return shape {shape} and type float32."
                )
    if getattr(lr_scale, "shape", None) != (len(layers),):
        raise InputError(f"scheme {fn!r} must return one learning-rate factor for each of the {len(layers)} layers.")
