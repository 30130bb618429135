"""What a choice of an activation, a loss or a network means: a factory of ours by its name, or the user's function."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from xinit.core.custom import import_function, is_custom
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words, call_factory, check_options
from xinit.networks import activations, custom_loss, losses
from xinit.networks.activations import Activation
from xinit.networks.convnet import convnet
from xinit.networks.elementwise import PATH, activation_from
from xinit.networks.losses import Loss
from xinit.networks.mlp import mlp
from xinit.networks.network import Frame, Network
from xinit.networks.residual import residual

NETWORKS = {factory.__name__: factory for factory in (mlp, residual, convnet)}


def activation_of(fn: str, options: Mapping[str, Any]) -> Activation:
    """The activation of a choice; of a user's function as `elementwise.activation_from` makes it.

    Raises:
      InputError: there is none of that name, its options are wrong, or a user's function is no activation.
    """
    if is_custom(fn):
        return activation_from(fn, import_function(PATH, fn), options)
    made: Activation = call_factory(activations, fn, options, "activation")
    return made


def loss_of(fn: str, options: Mapping[str, Any]) -> Loss:
    """The loss of a choice.

    Raises:
      InputError: there is none of that name, or its options are wrong.
    """
    if is_custom(fn):
        return custom_loss.from_function(fn, options)
    made: Loss = call_factory(losses, fn, options, "loss")
    return made


def losses_for(targets: str) -> list[str]:
    """The names of our losses for such targets, "labels" or "values"."""
    own = {name: f for name, f in vars(losses).items() if inspect.isfunction(f) and f.__module__ == losses.__name__}
    return [name for name, factory in own.items() if not name.startswith("_") and factory().targets == targets]


def network_of(fn: str, options: Mapping[str, Any], frame: Frame) -> Network:
    """The network of a choice, one of ours.

    Raises:
      InputError: there is none of that name, its options are wrong, or it does not go with the data.
    """
    if fn not in NETWORKS:
        raise InputError(f"Unknown network {fn!r}; {allowed_words(fn, NETWORKS)}")
    build = functools.partial(NETWORKS[fn], frame)
    check_options(build, options, "network")
    made: Network = build(**options)
    return made
