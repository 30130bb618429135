"""The readings of a population so far, a row for each probe point, as they go into a checkpoint and come out of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xinit.core.readings import EDGES

Row = Mapping[str, np.ndarray]


class History:
    """A row for each probe point: its `step`, and readings with a leading axis of replicas.

    `edges` of the histograms, with that axis, are the same for all rows.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Begin with what `arrays` of an earlier history gave, or with nothing."""
        readings = dict(arrays or {})
        self.edges = {name: readings.pop(name) for name in EDGES if name in readings}
        n_rows = len(next(iter(readings.values()), []))
        self.rows: list[Row] = [{name: values[i] for name, values in readings.items()} for i in range(n_rows)]

    @property
    def last_step(self) -> int | None:
        """The step of the last row; None before the first."""
        return int(self.rows[-1]["step"]) if self.rows else None

    def add(self, step: int, readings: Mapping[str, np.ndarray], edges: Mapping[str, np.ndarray]) -> None:
        """Add the readings of a probe point."""
        self.rows.append({"step": np.array(step, np.int64), **readings})
        self.edges = dict(edges)

    def arrays(self) -> dict[str, np.ndarray]:
        """All rows as arrays with a leading axis probe point, and the edges: what a checkpoint keeps."""
        return _stacked(lambda row, name: row[name], self.rows) | self.edges

    def of_member(self, r: int, end: int) -> dict[str, np.ndarray]:
        """The readings of the r-th replica at steps before `end`, and its edges."""
        rows = [row for row in self.rows if row["step"] < end]
        readings = _stacked(lambda row, name: row[name] if name == "step" else row[name][r], rows)
        return readings | {name: edges[r] for name, edges in self.edges.items()}


def _stacked(pick: Callable[[Row, str], Any], rows: Sequence[Row]) -> dict[str, np.ndarray]:
    return {name: np.stack([pick(row, name) for row in rows]) for name in (rows[0] if rows else {})}
