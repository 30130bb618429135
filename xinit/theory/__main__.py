"""What theory says of an activation: `python -m xinit.theory activation=tanh` prints it and draws its phase diagram."""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xinit.commands import cli
from xinit.theory import tables
from xinit.theory.courses import best, course, usual
from xinit.theory.question import Question, take_question

if TYPE_CHECKING:
    from xinit.commands.console import Reporter


def main() -> int:
    """Answer the question of the command line; the exit code."""
    return cli.hydra_main(lambda raw: answer(take_question(raw)), "theory")


def answer(question: Question) -> None:
    """Print the tables and sentences, and draw the figure.

    Raises:
      InputError: the activation has no finite moments, or the figure cannot be written.
    """
    from xinit.commands.console import Reporter

    f, depth, reporter = question.activation, question.depth, Reporter()
    courses = [course(f, weights, depth) for weights in usual(f, question.biases, question.asked)]
    reporter.table(f"{f.name}: moments at q = 1", tables.moment_rows(f))
    reporter.table("two factors s_w for the weights that follow, and what each leads to", tables.gain_rows(f))
    reporter.table("edge of chaos, chi_1 = 1", tables.edge_rows(f, question.biases))
    reporter.table(f"over {depth} layers", tables.course_rows(courses))
    reporter.note(tables.course_note(depth))
    for asked in question.asked:
        asked_course = course(f, asked, depth)
        title = f"at s_w^2 = {asked.weight_variance:g}, s_b^2 = {asked.bias_variance:g}, and over {depth} layers"
        reporter.table(title, tables.phase_rows(asked_course))
        _list(reporter, tables.reach_sentences(f, asked_course, depth))
    _list(reporter, tables.sentences(f, courses, depth))
    if question.figure:
        from xinit.theory import figures

        path = pathlib.Path(question.out, "theory", f"{question.label}.png")
        figures.save(path, figures.figure(f, courses, depth))
        reporter.picture(path)
    reporter.next("xinit.inspect", f"activation={f.name}", f"depth={depth}", *_scheme(best(courses).weights.name))


def _scheme(weights: str) -> list[str]:
    """The scheme that draws such weights, of those that have this name."""
    return [f"scheme={name}" for name in weights.split(", ") if name in ("standard", "xavier", "he")][:1]


def _list(reporter: "Reporter", sentences: Sequence[str]) -> None:
    for sentence in sentences:
        reporter.note(f"- {sentence}")


if __name__ == "__main__":
    sys.exit(main())
