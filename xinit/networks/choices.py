"""What a choice of an activation or a loss means: a factory of ours by its name, or a function of the user's."""

from collections.abc import Mapping
from typing import Any

from xinit.core.custom import import_function, is_custom
from xinit.core.factories import call_factory
from xinit.networks import activations, losses
from xinit.networks.activations import Activation
from xinit.networks.elementwise import PATH, activation_from
from xinit.networks.losses import Loss


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
    made: Loss = call_factory(losses, fn, options, "loss")
    return made
