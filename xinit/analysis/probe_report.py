"""The report of a probe: its readings, its findings, and how they are printed; nothing here imports jax."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from xinit.analysis import verdict
from xinit.analysis.verdict import Finding

if TYPE_CHECKING:
    from xinit.core.figure import Figure

# What the layer table shows of the readings: heading, reading, format.
COLUMNS = (
    ("h std", "input_std", "#.3g"),
    ("cosine", "input_cosine_mean", ".3f"),
    ("z mean", "pre_mean", ".2g"),
    ("z std", "pre_std", "#.3g"),
    ("sat", "act_saturated", ".0%"),
    ("dead", "grad_pre_zero_units", ".0%"),
    ("dL/dz std", "grad_pre_std", ".2e"),
)
WIDE = 110  # columns of a terminal that hold the whole table
WORDS = ("layer", "kind", "output", "f")
HEADINGS = (*WORDS, *(heading for heading, _, _ in COLUMNS), "n_in Var", "n_out Var")
LEGEND = (
    "h: what a layer reads; z: what it gives, its pre-activation; f: the function that is applied next; cosine: of h,",
    "between examples; sat: share of units in the flat parts of f; dead: share of units that pass no gradient on any",
    "example; dL/dz: per example; Var: E W^2 of the kernel.",
)


class Parameter(NamedTuple):
    """One parameter: fans and n Var W where it is a kernel, with Var W = E W^2, and the norm of dL/dW.

    `roles`: the ways in which it meets the signal (product, added, scaled, joined, other); none where it never does. A
    parameter with the role product but without fans is a kernel whose axes have no certain meaning. `copies`: whether
    all units of a kernel have equal weights and equal gradients, so that they stay equal.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    roles: tuple[str, ...]
    mean: float
    std: float
    fan_in: float | None
    fan_out: float | None
    in_variance: float | None
    out_variance: float | None
    grad_norm: float
    copies: bool

    @property
    def zero(self) -> bool:
        """Whether all of it is 0."""
        return self.mean == self.std == 0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What was measured of a model, layer by layer in the order of their calls, and what the rules found.

    Attributes:
      names: of the layers: the path of the module, or of the kernel. The fourth layer of a stack has [3] behind it, and
        the second call of a layer has (call 2).
      kinds: dense, convolution or lookup.
      shapes: of their outputs.
      widths: the number of units of each layer; the other axes of an example's output are positions.
      depths: 1 for a layer that no other feeds, else 1 more than the deepest layer that feeds it.
      paths: the parameters behind each layer, its kernel first.
      fans: (fan-in, fan-out) of each.
      functions: the elementwise function that is applied next, such as tanh; None where there is none.
      normalised: the kind of normalisation between a layer and its function, or before it; None where there is none.
      fed_by: for each layer the places of those that feed it.
      recurrent: whether a layer feeds itself in the next iteration of a loop.
      kernels: the row of each layer's kernel, as in `parameters`; of a stacked kernel the row of the layer's own part.
      readings: arrays with the axis layer first, by the names SHARED and TRACED of `xinit.core.readings`.
      parameters: a row for each parameter: fans, n_in Var W, n_out Var W, the norm of its gradient.
      unseen: why the product of a parameter was not seen, by its path.
      n_examples: of the batch.
      loss, chance_loss: the loss on the batch, and log C, the loss of the uniform answer over C classes; None where
        the model is no classifier.
      x_moments: mean, standard deviation and mean cosine of the examples; None for tokens.
      one_class: whether all labels are the same.
      skips: whether signals skip layers.
      findings: what the rules found, worst first.
      remedy: a line of code that was seen to help, if one was.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[str, ...], ...]
    fans: tuple[tuple[float, float], ...]
    functions: tuple[str | None, ...]
    normalised: tuple[str | None, ...]
    fed_by: tuple[tuple[int, ...], ...]
    recurrent: tuple[bool, ...]
    kernels: tuple[Parameter, ...]
    readings: dict[str, np.ndarray]
    parameters: tuple[Parameter, ...]
    unseen: dict[str, str]
    n_examples: int
    loss: float
    chance_loss: float | None
    x_moments: tuple[float, float, float] | None
    one_class: bool
    skips: bool
    findings: tuple[Finding, ...] = ()
    remedy: str | None = None

    @property
    def verdict(self) -> str:
        """The findings of the worst level, as a sentence that begins with OK, WARN or FAIL."""
        return verdict.sentence(list(self.findings))

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write the report as a folder that `xinit.analysis.saved_probes.load` and `python -m xinit.report` read.

        Raises:
          InputError: something else than a saved probe lies there, or it cannot be written.
        """
        from xinit.analysis import saved_probes

        return saved_probes.save(self, folder)

    def figure(self) -> "Figure":
        """The layers' sizes, gradients, dead units and n Var W over their order, as a matplotlib figure."""
        from xinit.analysis.figures import probe

        return probe.figure(self)

    def __str__(self) -> str:
        rows = [HEADINGS, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = lambda cell, i: cell.ljust(widths[i]) if i < len(WORDS) else cell.rjust(widths[i])
        table = ["  ".join(aligned(cell, i) for i, cell in enumerate(row)).rstrip() for row in rows]
        return "\n".join([*table, *self.words()])

    __repr__ = __str__

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        left_out = () if options.max_width >= WIDE else ("kind", "output", "cosine", "z mean", "n_out Var")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for heading in (heading for heading in HEADINGS if heading not in left_out):
            words = heading in WORDS  # which fold in a narrow terminal, so that the numbers do not
            table.add_column(heading, justify="left" if words else "right", overflow="fold", no_wrap=not words)
        for row in self.rows():
            table.add_row(*(cell for heading, cell in zip(HEADINGS, row, strict=True) if heading not in left_out))
        yield table
        yield from map(Text, self.words())

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the layer table."""
        read = self.readings
        rows = []
        for l, name in enumerate(self.names):
            kernel = self.kernels[l]
            fans = ["" if v is None else f"{v:#.3g}".rstrip(".") for v in (kernel.in_variance, kernel.out_variance)]
            words = name, self.kinds[l], "x".join(map(str, self.shapes[l])), self.functions[l] or ""
            cell = lambda value, form: "" if np.isnan(value) else format(value, form).rstrip(".")
            numbers = [cell(read[key][l], form) if key in read else "" for _, key, form in COLUMNS]
            rows.append((*words, *numbers, *fans))
        return rows

    def words(self) -> Sequence[str]:
        """The lines below the table."""
        worst = self.findings[0].level
        others = [f"{found.level}: {found.sentence}" for found in self.findings if found.level != worst]
        chance = "" if self.chance_loss is None else f", of the uniform answer {self.chance_loss:.4g}"
        remedy = [f"Seen to help: {self.remedy}"] if self.remedy else []
        return [*LEGEND, f"loss {self.loss:.4g}{chance}", self.verdict, *others, *remedy]
