"""Coordinate checks: how sizes of layers, and of their changes in training, go with the width or the depth.

A parametrisation is right when wide networks train as narrow ones do. Then every hidden layer's output z has the same
size at every width, and so has its change over the first steps.
"""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from xinit.analysis.finding import LEVELS
from xinit.analysis.scaling import TOLERANCE, aligned, exponent
from xinit.core.errors import InputError
from xinit.core.files import as_csv, write_atomically, writing

START, CHANGE = QUANTITIES = ("z at step 0", "change of z")
HEADINGS = ("layer", "quantity", "exponent", "low", "high", "level", "sentence")


class Sizes(NamedTuple):
    """What was measured: `rms[size, seed, step, layer]`.

    At step 0 it is the root mean square of the layer's output z on a fixed batch, at step t that of z_t - z_0. `over`
    is "width" or "depth", and `values` are the widths or depths. The last layer is the network's output.
    """

    over: str
    values: tuple[int, ...]
    layers: tuple[str, ...]
    rms: Float[np.ndarray, "size seed step layer"]

    @property
    def steps(self) -> int:
        """How many steps were trained."""
        return self.rms.shape[2] - 1


class Fit(NamedTuple):
    """size = constant x width^exponent of one layer, with a 95 % interval over seeds, and what the rule says of it."""

    layer: str
    quantity: str
    exponent: float
    low: float
    high: float
    level: str
    sentence: str


class Coordinates(NamedTuple):
    """The result of a coordinate check: what was measured, and two fits for each layer.

    `str` of it is a table with one line for each fit; `figure()` draws the sizes on logarithmic axes.
    """

    sizes: Sizes
    fits: tuple[Fit, ...]

    @property
    def level(self) -> str:
        """FAIL where one layer fails, else WARN or OK."""
        return max((fit.level for fit in self.fits), key=LEVELS.index)

    @property
    def verdict(self) -> str:
        """The level, and what led to it, in one line."""
        worst = [fit for fit in self.fits if fit.level == self.level]
        if self.level == "OK":
            return f"OK: no layer and no change depends on the {self.sizes.over}, from {_ends(self.sizes.values)}."
        furthest = max(worst, key=lambda fit: np.nan_to_num(abs(fit.exponent), nan=np.inf))
        return f"{self.level}: {len(worst)} of {len(self.fits)} exponents are wrong; the furthest: {furthest.sentence}"

    def fit(self, layer: str, quantity: str) -> Fit:
        """The fit of one layer; `quantity` is "z at step 0" or "change of z"."""
        return next(fit for fit in self.fits if (fit.layer, fit.quantity) == (layer, quantity))

    def rows(self) -> list[dict[str, str]]:
        """The cells of the table."""
        values, steps = self.sizes.values, self.sizes.steps
        rows = []
        for fit in self.fits:
            step = 0 if fit.quantity == START else steps
            means = self.sizes.rms[:, :, step, self.sizes.layers.index(fit.layer)].mean(1)
            sizes = {f"{self.sizes.over} {value}": f"{mean:.3g}" for value, mean in zip(values, means, strict=True)}
            interval = f"{fit.exponent:+.2f} [{fit.low:+.2f}, {fit.high:+.2f}]"
            rows.append({"layer": fit.layer, "quantity": fit.quantity, **sizes, "exponent": interval, "": fit.level})
        return rows

    def __str__(self) -> str:
        return f"{aligned(self.rows())}\n{self.verdict}"

    def figure(self) -> Any:
        """Both quantities against the width or the depth, a line for each layer, as a matplotlib figure."""
        from xinit.analysis.figures import coordinates

        return coordinates.figure(self)

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Write coordinates.csv (the fits), coordinates.json (the sizes and the verdict) and coordinates.png."""
        import io

        folder, content, sizes = pathlib.Path(folder), io.BytesIO(), self.sizes
        self.figure().savefig(content, format="png", dpi=110)
        found = sizes._asdict() | {"rms": sizes.rms.tolist(), "verdict": self.verdict}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "coordinates.csv", as_csv(HEADINGS, self.fits).encode())
            write_atomically(folder / "coordinates.json", (json.dumps(found, indent=2) + "\n").encode())
            write_atomically(folder / "coordinates.png", content.getvalue())
        return folder


def judge(sizes: Sizes, tolerance: float = TOLERANCE) -> Coordinates:
    """Fit an exponent for each layer and judge it.

    rms = constant x width^p, as `scaling.exponent` fits it. The expected p is 0 for z at step 0 and for its change
    after the last step (Yang et al. 2022, "Tensor Programs V", appendix D.1). Only the output at step 0 may also fall
    with the width: under muP it goes as width^-1/2. A layer fails where p is further than `tolerance` from what is
    expected and the interval has no 0 in it; where it has, that is a warning, and more seeds decide.

    >>> growing = np.array([1.0, 2.0, 4.0])[:, None, None, None] * np.ones((3, 2, 2, 1))
    >>> [round(fit.exponent, 2) for fit in judge(Sizes("width", (16, 32, 64), ("out",), growing)).fits]
    [1.0, 1.0]

    Raises:
      InputError: a size is not finite.
    """
    if not np.isfinite(sizes.rms).all():
        at, _, step, layer = np.argwhere(~np.isfinite(sizes.rms))[0]
        raise InputError(
            f"The size of {sizes.layers[layer]} is not finite at {sizes.over} {sizes.values[at]} after {step} steps; a "
            "coordinate check needs finite losses and signals, as with a smaller learning rate."
        )
    fits = [_fit(sizes, number, quantity, tolerance) for quantity in QUANTITIES for number in range(len(sizes.layers))]
    return Coordinates(sizes, tuple(fits))


def _fit(sizes: Sizes, number: int, quantity: str, tolerance: float) -> Fit:
    layer, over = sizes.layers[number], sizes.over
    step, what = (0, "at step 0") if quantity == START else (sizes.steps, f"changes over {sizes.steps} steps")
    is_output = number == len(sizes.layers) - 1
    may_fall = is_output and quantity == START and over == "width"
    rms = sizes.rms[:, :, step, number]
    if not np.all(rms > 0):
        level = "OK" if is_output and quantity == START else "FAIL"
        where = _listed([value for value, row in zip(sizes.values, rms, strict=True) if not np.all(row > 0)])
        return Fit(layer, quantity, math.nan, math.nan, math.nan, level, f"{layer}: {quantity} is 0 at {over} {where}.")
    p = exponent(sizes.values, rms)
    bad = abs(p.mean) > tolerance and not (may_fall and p.mean < 0)
    level = "OK" if not bad else "WARN" if p.low <= 0 <= p.high else "FAIL"
    law = f"{over}^{p.mean:.2f} [{p.low:.2f}, {p.high:.2f}]"
    if level == "OK" and abs(p.mean) <= tolerance:
        sentence = f"{layer} {what} by the same amount" if step else f"{layer} at step 0 has the same size"
        sentence += f" at every {over}: {law}."
    else:
        way = "less" if p.mean < 0 else "more"
        sentence = f"{layer} {what} {way} and {way}, as {law}" if step else f"{layer} at step 0 goes as {law}"
        sentence += ", which is expected." if level == "OK" else f"; it should be {over}^0."
        sentence += " The interval contains 0: take more seeds." if level == "WARN" else ""
    return Fit(layer, quantity, float(p.mean), float(p.low), float(p.high), level, sentence)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _ends(values: Sequence[int]) -> str:
    return f"{values[0]} to {values[-1]}"
