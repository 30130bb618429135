"""What the axes of a model's stored parameters are: which kernel each array holds, or those of several layers stacked.

The model's modules say it. Linen's are seen by running the model in shapes alone: inside `nn.scan` and `nn.vmap` a
module sees the kernel of one layer, whose axes are then looked for in the stored array.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen, nnx
from flax.core import DenyList

from xinit.tracing.kernels import Axes, axes_of, by_path, declared_shape, dense, lookup, unboxed

KERNELS = ("kernel", "embedding", "lora_a", "lora_b")  # what Flax's layers call them
VECTORS = ("bias", "scale")  # which are no kernels, whatever their axes


class Unclear(NamedTuple):
    """Stands for the axes of what may be a kernel, but of no certain meaning; the reason ends a sentence about it."""

    reason: str


Layout = Mapping[str, Axes | Unclear | None]  # by the path of a parameter; None for vectors, as biases are
A_TREE = (
    "a tree does not say which of its axes are inputs, outputs, a window or stacked layers: give the model as well, "
    "model= and batch= of flax.linen, or a flax.nnx module in place of the tree, or patterns that leave this one out"
)
NOT_CALLED = "no module that the batch passes through holds it: give patterns that leave it out"


def of_tree(params: Any) -> Layout:
    """The layout of a tree of arrays that comes without its model: matrices and tables alone are certain."""
    return {path: _axes(path, np.shape(leaf), np.shape(leaf), None, A_TREE) for path, leaf in by_path(params).items()}


def of_nnx(model: nnx.Module) -> Layout:
    """The layout of an nnx module's parameters, by the shapes with which its layers were made."""
    modules = {"/".join(map(str, path)): module for path, module in nnx.iter_modules(model)}
    layout = {}
    for path, leaf in by_path(nnx.to_pure_dict(nnx.state(model, nnx.Param))).items():
        owner, _, name = path.rpartition("/")
        module = modules.get(owner)
        declared = declared_shape(module) if name in KERNELS else None
        layout[path] = _axes(path, leaf.shape, declared or leaf.shape, module, _no_layer(module))
    return layout


def of_linen(model: linen.Module, variables: Mapping[str, Any], x: Any, call_kwargs: Mapping[str, Any]) -> Layout:
    """The layout of a linen model's parameters, by the shapes in which its modules see them on the batch x."""
    seen: dict[str, tuple[Any, tuple[int, ...]]] = {}  # module and shape by the path of a parameter

    def intercept(method, arguments, named, context):
        module = context.module
        for name, leaf in module.variables.get("params", {}).items() if module.scope else ():
            if not isinstance(leaf, Mapping):
                seen.setdefault("/".join((*module.path, name)), (module, np.shape(leaf)))
        return method(*arguments, **named)

    def call(variables, x):
        keys = {"params": jax.random.key(0)}  # stand for those of dropout too: nothing is computed
        return model.apply(variables, x, rngs=keys, mutable=DenyList("params"), **call_kwargs)

    with linen.intercept_methods(intercept):
        jax.eval_shape(call, unboxed(variables), x)
    layout = {}
    for path, leaf in by_path(variables["params"]).items():
        module, own = seen.get(path, (None, leaf.shape))
        layout[path] = _axes(path, leaf.shape, own, module, _no_layer(module))
    return layout


def _no_layer(module: Any) -> str:
    if module is None:
        return NOT_CALLED
    return f"its module, {type(module).__name__}, does not say what its axes are: give patterns that leave it out"


def _axes(path: str, stored: tuple[int, ...], own: tuple[int, ...], module: Any, unclear: str) -> Axes | Unclear | None:
    """The axes of a parameter of shape `stored`, which its module sees in shape `own`; `unclear` says why they may be.

    The axes of `own` are looked for among the stored ones, in their order.
    """
    axes = _own_axes(path.rpartition("/")[2], len(own), module, unclear)
    if not isinstance(axes, Axes):
        return axes
    choices = itertools.combinations(range(len(stored)), len(own))
    places = [choice for choice in choices if tuple(stored[axis] for axis in choice) == tuple(own)]
    if not places:
        return Unclear(f"its module sees it in the shape {tuple(own)}: give patterns that leave it out")
    return axes.placed(places[0], len(stored))._replace(stack_is_known=len(places) == 1)


def _own_axes(name: str, rank: int, module: Any, unclear: str) -> Axes | Unclear | None:
    known = axes_of(module) if name in KERNELS else None
    if known and known.rank == rank:
        return known
    if rank < 2 or name in VECTORS:
        return None
    if rank == 2:
        return lookup() if name == "embedding" else dense()
    return Unclear(unclear)
