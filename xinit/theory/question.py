"""What theory is asked: the settings of conf/theory.yaml, checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from xinit.core import folders
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words
from xinit.networks.activations import Activation
from xinit.networks.choices import activation_of
from xinit.theory.courses import BIASES, Weights

LEAST, MOST = 1e-6, 1e6  # variances far beyond any use, within which all numbers stay finite
DEEPEST = 1000  # layers that are followed one by one: a second for each hundred


@dataclass(frozen=True)
class Question:
    """The settings of conf/theory.yaml, and what names them in a file."""

    activation: Activation
    weight_variance: float | None
    bias_variance: float
    depth: int
    out: str
    figure: bool
    label: str

    @property
    def biases(self) -> tuple[float, ...]:
        """Variances of biases at which the edge of chaos is looked for."""
        return tuple(sorted({*BIASES, self.bias_variance}))

    @property
    def asked(self) -> list[Weights]:
        """The point of the plane that was asked about, if one was."""
        if self.weight_variance is None:
            return []
        return [Weights("asked", self.weight_variance, self.bias_variance)]


def take_question(raw: Mapping[str, Any]) -> Question:
    """The settings, checked.

    >>> raw = {"activation": {"fn": "tanh"}, "weight_variance": 1.76, "bias_variance": 0.05, "depth": 50}
    >>> question = take_question(raw | {"out": "runs", "figure": False})
    >>> question.label
    'tanh-weight_variance=1.76-bias_variance=0.05-depth=50'

    Raises:
      InputError: one is unknown or wrong.
    """
    names = [field.name for field in fields(Question) if field.name != "label"]
    for key in raw:
        if key not in names:
            raise InputError(f"Unknown setting {key}; {allowed_words(str(key), names)}")
    if missing := [name for name in names if name not in raw]:
        raise InputError(f"The setting {missing[0]} is missing; conf/theory.yaml has its default.")
    weights, biases, depth = raw["weight_variance"], raw["bias_variance"], raw["depth"]
    if not (weights is None or (_is_number(weights) and LEAST <= weights <= MOST)):
        raise InputError(f"weight_variance is {weights!r}; it must be a number from {LEAST:g} to {MOST:g}, or null.")
    if not (_is_number(biases) and 0 <= biases <= MOST):
        raise InputError(f"bias_variance is {biases!r}; it must be a number from 0 to {MOST:g}.")
    if type(depth) is not int or not 2 <= depth <= DEEPEST:
        raise InputError(f"depth is {depth!r}; it must be a whole number from 2 to {DEEPEST}.")
    if type(raw["figure"]) is not bool:
        raise InputError(f"figure is {raw['figure']!r}; it must be true or false.")
    if not folders.can_be_folder(raw["out"]):
        raise InputError(f"out is {raw['out']!r}; it must be {folders.WORDS}.")
    return Question(**{**raw, "activation": _activation(raw["activation"])}, label=_label(raw))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _activation(raw: Mapping[str, Any]) -> Activation:
    options = dict(raw)
    fn = options.pop("fn", None)
    if not isinstance(fn, str):
        raise InputError(f"activation is {fn!r}; theory takes one by its name, as in activation=tanh.")
    return activation_of(fn, options)


def _label(raw: Mapping[str, Any]) -> str:
    """The activation with its options, and the numbers that the figure shows."""
    options = {key: value for key, value in raw["activation"].items() if key != "fn"}
    numbers = {key: raw[key] for key in ("weight_variance", "bias_variance", "depth") if raw[key]}
    label = "-".join([raw["activation"]["fn"], *(f"{key}={value}" for key, value in (options | numbers).items())])
    return re.sub(r"[^\w.+=,-]+", "-", label)[:200]  # a file's name, whatever a function of the user's is told
