"""Taps: a model is called with a recorder around each of its layers, which keeps what goes in and out and adds a tap.

The gradient of the loss with respect to a tap of zeros on a layer's output z is the back-propagated gradient dL/dz. For
z = h W + b its sum over examples and positions is dL/db, and h^T dL/dz is dL/dW.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import get_opaque_trace_state

from xinit.tracing.kernels import axes_of


class Visit(NamedTuple):
    """One call of a layer: h, the activations it reads (None if they are no floating numbers), and z, its output."""

    reads: Array | None
    gives: Array


Taps = Mapping[str, Array | np.ndarray]  # by the name of a layer: what is added to its output


class Layer(NamedTuple):
    """Which call a visit is of: its name, the path of the module, its class, and how many axes of z are units."""

    name: str
    path: str
    kind: str
    unit_axes: int = 1


class Recorder:
    """Stands around every module that is called; sees those whose path is `wanted`.

    With `cut`, a tap takes the place of the output instead of being added to it: what depends on a tap then does so
    through no other layer. What `through` makes of a layer and its output goes on in place of the output.
    """

    def __init__(
        self,
        wanted: Callable[[str], bool],
        taps: Taps,
        cut: bool = False,
        through: Callable[["Layer", Array], Array] | None = None,
    ) -> None:
        self.wanted, self.taps, self.cut, self.through = wanted, taps, cut, through
        self.visits: dict[str, Visit] = {}
        self.layers: dict[str, Layer] = {}
        self.modules: dict[str, Any] = {}
        self.hidden: set[str] = set()  # wanted, but called inside another transform, out of which no array may leave
        self._calls: Counter[str] = Counter()
        self._inside: list[str] = []
        self._trace = get_opaque_trace_state(convention="xinit")

    def around(self, path: str, module: Any, call: Callable[[], Any], arguments: Iterable[Any]) -> Any:
        """`call()`, the call of a module with these arguments, seen and tapped if it is wanted."""
        self.modules.setdefault(path, module)
        if path in self._inside:  # a method of a base class, called by that of its subclass
            return call()
        self._inside.append(path)
        try:
            output = call()
        finally:
            self._inside.pop()
        if not self.wanted(path) or not is_floating(output):
            return output
        if get_opaque_trace_state(convention="xinit") != self._trace:
            self.hidden.add(path)
            return output
        self._calls[path] += 1
        output = jnp.zeros_like(output) if self.cut else output
        layer = self._layer(path, module)
        output = output + self.taps[layer.name] if layer.name in self.taps else output
        output = self.through(layer, output) if self.through else output
        self.see(layer, Visit(next((value for value in arguments if is_floating(value)), None), output))
        return output

    def _layer(self, path: str, module: Any) -> Layer:
        axes, kind = axes_of(module), type(module).__name__
        again = f" (call {self._calls[path]})" if self._calls[path] > 1 else ""
        return Layer((path or kind) + again, path, kind, len(axes.outputs) if axes else 1)  # no path: the model itself

    def see(self, layer: Layer, visit: Visit) -> None:
        """Keep a visit."""
        self.layers[layer.name] = layer
        self.visits[layer.name] = visit


def is_floating(value: Any) -> bool:
    """Whether it is an array of floating numbers."""
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
