"""What theory says of an activation: `python -m xinit.theory activation=tanh` prints it and draws its phase diagram."""

from xinit import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import pathlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from xinit import activations, cli, folders
from xinit.activations import Activation
from xinit.errors import InputError
from xinit.factories import allowed_words, call_factory
from xinit.theory import tables
from xinit.theory.courses import BIASES, Weights, course, usual

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


def main() -> int:
    """Answer the question of the command line; the exit code."""
    return cli.hydra_main(lambda raw: answer(take_question(raw)), "theory")


def take_question(raw: Mapping[str, Any]) -> Question:
    """The settings, checked.

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
    return call_factory(activations, fn, options, "activation")


def _label(raw: Mapping[str, Any]) -> str:
    """The activation with its options, and the numbers that the figure shows."""
    options = {key: value for key, value in raw["activation"].items() if key != "fn"}
    numbers = {key: raw[key] for key in ("weight_variance", "bias_variance", "depth") if raw[key]}
    return "-".join([raw["activation"]["fn"], *(f"{key}={value}" for key, value in (options | numbers).items())])


def answer(question: Question) -> None:
    """Print the tables and sentences, and draw the figure.

    Raises:
      InputError: the activation has no finite moments, or the figure cannot be written.
    """
    from xinit.console import Reporter

    f, depth, reporter = question.activation, question.depth, Reporter()
    courses = [course(f, weights, depth) for weights in usual(f, question.biases, question.asked)]
    reporter.table(f"{f.name}: moments at q = 1", tables.moment_rows(f))
    reporter.table("two factors s_w for the weights that follow, and what each leads to", tables.gain_rows(f))
    reporter.table("edge of chaos, chi_1 = 1", tables.edge_rows(f, question.biases))
    reporter.table(f"over {depth} layers", tables.course_rows(courses))
    reporter.note(tables.course_note(depth))
    for asked in question.asked:
        own = course(f, asked, depth)
        title = f"at s_w^2 = {asked.weight_variance:g}, s_b^2 = {asked.bias_variance:g}, and over {depth} layers"
        reporter.table(title, tables.phase_rows(own))
        _list(reporter, tables.reach_sentences(f, own, depth))
    _list(reporter, tables.sentences(f, courses, depth))
    if question.figure:
        from xinit.theory import figures

        path = pathlib.Path(question.out, "theory", f"{question.label}.png")
        figures.save(path, figures.figure(f, courses, depth))
        reporter.note(f"figure: {path}")


def _list(reporter: Any, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        reporter.note(f"- {sentence}")


if __name__ == "__main__":
    sys.exit(main())
