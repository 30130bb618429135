"""What a model is called with: x, and y where the batch has labels."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xinit.core.errors import InputError
from xinit.tracing.structure.kernels import by_path

LABELS = ("y", "label", "labels", "target", "targets")  # as fields of a batch, in any case


class Batch(NamedTuple):
    """The examples x, an array or a tree of arrays, and their labels y, or None."""

    x: Any
    y: Any

    @property
    def whole(self) -> Any:
        """What a loss is called with after the output: (x, y), or x where there is no y."""
        return self.x if self.y is None else (self.x, self.y)

    @property
    def n_examples(self) -> int:
        """The size of the first axis of x."""
        return len(jax.tree.leaves(self.x)[0])

    @property
    def moments(self) -> tuple[float, float, float] | None:
        """Mean, standard deviation and mean cosine between examples of the first floating array; None without any.

        Over the pairs of unit vectors u_i the mean of u_i u_j is (|sum u_i|^2 - sum |u_i|^2) / (n (n - 1)).
        """
        floating = [leaf for leaf in jax.tree.leaves(self.x) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        if not floating:
            return None
        h = np.asarray(floating[0]).astype(np.float64)
        examples = h.reshape(len(h), -1)
        n = len(examples)
        if n < 2:
            return float(h.mean()), float(h.std()), math.nan
        norms = np.linalg.norm(examples, axis=1, keepdims=True)
        units = examples / np.where(norms > 0, norms, 1)
        cosine = ((units.sum(axis=0) ** 2).sum() - (units**2).sum()) / (n * (n - 1))
        return float(h.mean()), float(h.std()), float(cosine)

    @property
    def one_class(self) -> bool:
        """Whether there are several labels, and all are the same class."""
        y = np.asarray(self.y) if isinstance(self.y, jax.Array) else np.zeros(0)
        return y.size > 1 and bool(np.issubdtype(y.dtype, np.integer)) and bool((y == y.ravel()[0]).all())


def batch_of(batch: Any) -> Batch:
    """The batch that a user gives: (x, y), x alone, or a mapping or NamedTuple, of which a field named label is y.

    >>> batch_of({"image": np.ones((2, 3)), "label": np.array([0, 1])}).x.shape
    (2, 3)

    Raises:
      InputError: it has another form, no examples, or values that are not finite.
    """
    x, y = _parted(batch)
    try:
        made = Batch(*jax.tree.map(jnp.asarray, (x, y)))
    except (TypeError, ValueError) as error:
        raise InputError(f"batch must be arrays, x or (x, y); jax refuses it: {error}.") from None
    named = made.x if made.y is None else {"x": made.x, "y": made.y}
    for path, leaf in by_path(named).items():
        wrong = int(np.count_nonzero(~np.isfinite(leaf))) if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
        if wrong:
            raise InputError(f"The batch has {wrong} values that are infinite or not numbers{path and f' at {path}'}.")
    leaves = jax.tree.leaves(made.x)
    if not leaves or leaves[0].ndim == 0 or len(leaves[0]) == 0:
        raise InputError("The batch has no examples; x must be arrays whose first axis is that of the examples.")
    return made


def _parted(batch: Any) -> tuple[Any, Any]:
    """x and y."""
    if isinstance(batch, tuple) and not hasattr(batch, "_fields"):
        if len(batch) != 2:
            raise InputError(f"batch is a tuple of {len(batch)}; it must be x or (x, y).")
        return batch
    fields = batch if isinstance(batch, Mapping) else batch._asdict() if hasattr(batch, "_asdict") else {}
    labels = [name for name in fields if isinstance(name, str) and name.lower() in LABELS]
    if len(labels) != 1 or len(fields) == 1:
        return batch, None
    rest = {name: value for name, value in fields.items() if name != labels[0]}
    return (next(iter(rest.values())) if len(rest) == 1 else rest), fields[labels[0]]
