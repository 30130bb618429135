"""What a choice of an activation or a loss means: a factory of ours by its name, or a function of the user's."""

from collections.abc import Mapping
from typing import Any

from xinit.core.factories import call_factory
from xinit.networks import activations, losses
from xinit.networks.activations import Activation
from xinit.networks.losses import Loss


def activation_of(fn: str, options: Mapping[str, Any]) -> Activation:
    """The activation of a choice.

    Raises:
      InputError: there is none of that name, or its options are wrong.
    """
    made: Activation = call_factory(activations, fn, options, "activation")
    return made


def loss_of(fn: str, options: Mapping[str, Any]) -> Loss:
    """The loss of a choice.

    Raises:
      InputError: there is none of that name, or its options are wrong.
    """
    made: Loss = call_factory(losses, fn, options, "loss")
    return made
