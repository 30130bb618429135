"""Learning-rate transfer: whether the best learning rate of a small network is also that of a wide or a deep one.

A parametrisation that keeps sizes and changes of layers (see `coordinates`) is meant to keep the best rate too, so that
it can be searched for on a small network. Here networks of several sizes were trained at the same rates.
"""

import io
import json
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from xinit.analysis.intervals import Interval, mean_interval
from xinit.analysis.scaling import TOLERANCE, aligned, exponent
from xinit.core.errors import InputError
from xinit.core.files import as_csv, write_atomically, writing

WRONG = 0.5  # the smallest exponent that a wrong power of the width leads to
COSTLY = 0.05  # of the loss: what a rate that was searched for on a small network may cost a large one


class Losses(NamedTuple):
    """What was measured: `loss[size, seed, rate]` at the end of training, infinite where the run diverged.

    `over` is "width" or "depth", `values` are the widths or depths, `rates` the learning rates from the lowest on.
    """

    over: str
    values: tuple[int, ...]
    rates: tuple[float, ...]
    loss: Float[np.ndarray, "size seed rate"]


class Best(NamedTuple):
    """The best learning rate of one size with a 95 % interval over seeds, and what belongs to it.

    `loss` is the least mean loss, `stable` the highest rate tried up to which no run diverged (nan where the lowest one
    did). `edge` is "lowest" or "highest" where the least loss lies at that end of the rates, else empty.
    """

    value: int
    rate: float
    low: float
    high: float
    loss: float
    stable: float
    edge: str


class Transfer(NamedTuple):
    """The best learning rate of each size, and what it says: the level is OK, WARN or FAIL.

    `exponent` is p in best rate = constant x width^p. `cost` is what the largest size loses at the best rate of the
    smallest one, as a share of its loss at its own best rate; infinite where it diverges there. Both are over seeds.
    `str` of it is a table with one line for each size; `figure()` draws loss against rate.
    """

    losses: Losses
    bests: tuple[Best, ...]
    exponent: Interval[float]
    cost: Interval[float]
    level: str

    @property
    def law(self) -> str:
        """The exponent with its interval, as "width^-0.98 [-1.05, -0.91]"."""
        p = self.exponent
        return f"{self.losses.over}^{p.mean:.2f} [{p.low:.2f}, {p.high:.2f}]"

    @property
    def verdict(self) -> str:
        """The level, and what led to it."""
        over, first, last = self.losses.over, self.bests[0].value, self.bests[-1].value
        words = (
            f"at {over} {last} the best learning rate of {over} {first} {self._price}; the best one goes as {self.law}"
        )
        edges = [best for best in self.bests if best.edge]
        if edges and self.level == "WARN":
            ends = " or ".join(dict.fromkeys(best.edge for best in edges))
            where = ", ".join(str(best.value) for best in edges)
            return f"WARN: {words}. At {over} {where} it is the {ends} rate tried: give more of learning_rates."
        if self.level == "WARN":
            return f"WARN: {words}: {self._hint}."
        return f"{self.level}: {words}."

    @property
    def _hint(self) -> str:
        if _drifts(self.exponent):
            return f"it drifts and may cost more beyond {self.losses.over} {self.losses.values[-1]}"
        return "rates that lie closer may cost less" if _costs(self.cost) else "more seeds are needed to tell"

    @property
    def _price(self) -> str:
        if not math.isfinite(self.cost.mean):
            return "diverges"
        return f"costs {self.cost.mean:.1%} [{self.cost.low:.1%}, {self.cost.high:.1%}] of the loss"

    def rows(self) -> list[dict[str, str]]:
        """The cells of the table."""
        return [
            {
                self.losses.over: str(best.value),
                "best learning rate": f"{best.rate:.3g} [{best.low:.3g}, {best.high:.3g}]",
                "loss": f"{best.loss:.3g}",
                "diverges above": "" if best.stable == self.losses.rates[-1] else f"{best.stable:.3g}",
                "": f"{best.edge} rate tried" if best.edge else "",
            }
            for best in self.bests
        ]

    def __str__(self) -> str:
        return f"{aligned(self.rows())}\n{self.verdict}"

    def figure(self) -> Any:
        """Loss against learning rate, a line for each size, and the best rate against the size (matplotlib)."""
        from xinit.analysis.figures import transfer

        return transfer.figure(self)

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Write transfer.csv (the best rates), transfer.json (all losses and the verdict) and transfer.png."""
        folder, content = pathlib.Path(folder), io.BytesIO()
        self.figure().savefig(content, format="png", dpi=110)
        loss = [[[x if math.isfinite(x) else None for x in row] for row in own] for own in self.losses.loss.tolist()]
        found = self.losses._asdict() | {"loss": loss, "exponent": self.exponent._asdict(), "verdict": self.verdict}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "transfer.csv", as_csv(Best._fields, self.bests).encode())
            write_atomically(folder / "transfer.json", (json.dumps(found, indent=2) + "\n").encode())
            write_atomically(folder / "transfer.png", content.getvalue())
        return folder


def judge(losses: Losses) -> Transfer:
    """Find the best rate of every size and seed, and judge whether the smallest network's will do for the largest.

    The rate carries over where it costs little (Yang et al. 2022, "Tensor Programs V", Figure 1). Two things speak
    against it: it costs more than `COSTLY`, with an interval above 0; and the best rate drifts as width^p, with |p|
    above `TOLERANCE` and no 0 in its interval. FAIL: both, or the largest network diverges. WARN: one of them, since
    the rates tried may lie far apart, and a drift may cost more at other widths; or an interval is too wide to tell;
    or a best rate lies at an end of those tried, and the true one beyond it.

    >>> rates, best = np.array([0.01, 0.02, 0.04, 0.08, 0.16]), np.array([0.08, 0.04, 0.02])
    >>> loss = 1 + np.log(rates[None, None, :] / best[:, None, None]) ** 2 * np.ones((3, 2, 1))
    >>> judge(Losses("width", (64, 128, 256), tuple(rates), loss)).law
    'width^-1.00 [-1.00, -1.00]'

    Raises:
      InputError: at some size no run was left that did not diverge.
    """
    for value, own in zip(losses.values, losses.loss, strict=True):
        if not np.isfinite(own).any(-1).all():
            raise InputError(
                f"Runs at {losses.over} {value} diverged at every learning rate from {losses.rates[0]:g} to "
                f"{losses.rates[-1]:g}; give lower ones as learning_rates."
            )
    rates = np.array([[best_rate(losses.rates, of_seed) for of_seed in own] for own in losses.loss])
    bests = tuple(_best(losses, number, rates[number]) for number in range(len(losses.values)))
    p = exponent(losses.values, rates)
    cost = _cost(losses.loss)
    return Transfer(losses, bests, p, cost, _level(p, cost, any(best.edge for best in bests)))


def best_rate(rates: tuple[float, ...], loss: Float[np.ndarray, " rate"]) -> float:
    """The rate of least loss: the lowest point of the parabola through the three points around it, over log rate.

    At an end, or beside a run that diverged, it is the rate of least loss among those tried.

    >>> round(best_rate((0.1, 0.2, 0.4), np.array([2.0, 1.0, 2.0])), 3)
    0.2
    """
    at = int(np.argmin(loss))
    around = slice(at - 1, at + 2)
    if at in (0, len(rates) - 1) or not np.isfinite(loss[around]).all():
        return float(rates[at])
    curvature, slope, _ = np.polyfit(np.log(rates[around]) - math.log(rates[at]), loss[around], 2)
    return float(rates[at] * math.exp(-slope / (2 * curvature))) if curvature > 0 else float(rates[at])


def _best(losses: Losses, number: int, rates: Float[np.ndarray, " seed"]) -> Best:
    mean = losses.loss[number].mean(0)
    at = int(np.argmin(mean))
    edge = {0: "lowest", len(mean) - 1: "highest"}.get(at, "")
    over_seeds = mean_interval(np.log(rates))
    rate, low, high = (math.exp(end) for end in (over_seeds.mean, over_seeds.low, over_seeds.high))
    sound = int(np.cumprod(np.isfinite(mean)).sum())
    stable = losses.rates[sound - 1] if sound else math.nan
    return Best(losses.values[number], rate, low, high, float(mean[at]), stable, edge)


def _cost(loss: Float[np.ndarray, "size seed rate"]) -> Interval[float]:
    """The largest size's loss at the best rate of the smallest one over that at its own, less 1, seed by seed."""
    borrowed, own = (int(np.argmin(loss[size].mean(0))) for size in (0, -1))
    if not np.isfinite(loss[-1, :, borrowed]).all():
        return Interval(math.inf, math.nan, math.inf, math.inf, loss.shape[1])
    ratios: list[float] = (loss[-1, :, borrowed] / loss[-1, :, own] - 1).tolist()
    return mean_interval(ratios)


def _drifts(p: Interval[float]) -> bool:
    return abs(p.mean) > TOLERANCE and not p.low <= 0 <= p.high


def _costs(cost: Interval[float]) -> bool:
    return cost.mean > COSTLY and cost.low > 0


def _level(p: Interval[float], cost: Interval[float], at_an_end: bool) -> str:
    if (_costs(cost) and _drifts(p)) or math.isinf(cost.mean):
        return "FAIL"
    is_known = cost.high < 2 * COSTLY and p.low > -WRONG and p.high < WRONG
    return "OK" if is_known and not (_costs(cost) or _drifts(p) or at_an_end) else "WARN"
