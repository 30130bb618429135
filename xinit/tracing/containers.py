"""Where the parameters lie in a container, such as a tree, a box or a train state, and how they are replaced in it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from xinit.core.errors import InputError
from xinit.tracing.kinds import is_equinox
from xinit.tracing.structure.kernels import is_box, unboxed

PARAMS = "params"
MOST_NAMED = 5


class Contents(NamedTuple):
    """The leaves of a container, where boxes and the states of optimizers are leaves, and the place of each parameter.

    The path of a parameter starts below `params`, where there is one.
    """

    leaves: list[Any]
    names: list[tuple[str, ...]]
    structure: Any
    places: dict[str, int]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, which are arrays or the shapes of some."""
        return {path: unboxed(self.leaves[place]) for path, place in self.places.items()}

    def with_params(self, new: Mapping[str, Any]) -> Any:
        """The container with these parameters in place of its own, in the same boxes."""
        leaves = list(self.leaves)
        for path, value in new.items():
            box = leaves[self.places[path]]
            leaves[self.places[path]] = jax.tree.unflatten(jax.tree.structure(box), [value])
        return jax.tree.unflatten(self.structure, leaves)

    def shapes(self, drawn: Collection[int]) -> list[str]:
        """The paths, in the container, of arrays of which only the shape is given and which are not drawn."""
        shapes = []
        for place, (names, leaf) in enumerate(zip(self.names, self.leaves, strict=True)):
            parts = jax.tree.leaves(leaf) if place not in drawn else []
            if any(isinstance(part, jax.ShapeDtypeStruct) for part in parts):
                shapes.append("/".join(names))
        return shapes


def contents_of(container: Any) -> Contents:
    """The parameters of a container: what it calls params, or else all arrays of real numbers in it.

    Raises:
      InputError: it holds an optimizer's state and nothing that is called params, or no parameters at all.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(container, is_leaf=_is_whole)
    leaves = [leaf for _, leaf in paths]
    names = [tuple(_name(entry) for entry in path) for path, _ in paths]
    roots = _roots([path for path, _ in paths], is_equinox(container))
    if not roots:
        for name, leaf in zip(names, leaves, strict=True):
            if is_optimizer_state(leaf) and jax.tree.leaves(leaf):
                place = "/".join(name) or "its root"
                raise InputError(
                    f"The tree holds an optimizer's state, {type(leaf).__name__} at {place}, and nothing that is "
                    "called params; give the parameters alone, or a container that calls them params."
                )
    below = {place: _below(name, roots) for place, name in enumerate(names) if _is_parameter(leaves[place])}
    places = {"/".join(name): place for place, name in below.items() if name is not None}
    if not places:
        raise InputError(f"{type(container).__name__} holds no arrays of real numbers that are parameters.")
    return Contents(leaves, names, structure, places)


def _is_whole(node: Any) -> bool:
    return is_box(node) or is_optimizer_state(node)


def is_optimizer_state(node: Any) -> bool:
    """Whether a node is of optax: the moments in it are no parameters."""
    return type(node).__module__.partition(".")[0] == "optax"


def _is_parameter(leaf: Any) -> bool:
    if is_optimizer_state(leaf) or (isinstance(leaf, nnx.Variable) and not isinstance(leaf, nnx.Param)):
        return False
    dtype = getattr(unboxed(leaf), "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.inexact))


def _name(entry: Any) -> str:
    return jax.tree_util.keystr((entry,), simple=True)


def _roots(paths: Sequence[Sequence[Any]], is_module: bool) -> list[tuple[str, ...]]:
    """What is called params: the container's own, or an attribute of an object in it, as a train state has one.

    An attribute of a module may be called so too, and others are then parameters beside it.
    """
    roots: dict[tuple[str, ...], None] = {}
    for path in paths:
        for depth, entry in enumerate(path):
            is_attribute = isinstance(entry, jax.tree_util.GetAttrKey) and not is_module
            if _name(entry) == PARAMS and (depth == 0 or is_attribute):
                roots[tuple(map(_name, path[: depth + 1]))] = None
                break
    names = [tuple(map(_name, path)) for path in paths]
    return [_innermost(root, names) for root in roots]


def _innermost(root: tuple[str, ...], names: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """A train state may hold all that `model.init` returns, which calls a part of it params again."""
    inner = (*root, PARAMS)
    return _innermost(inner, names) if any(name[: len(inner)] == inner for name in names) else root


def _below(name: tuple[str, ...], roots: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The path of a parameter without what is called params, None of what lies beside it."""
    root = next((root for root in roots if name[: len(root)] == root), None if roots else ())
    return None if root is None else (*(part for part in root if part != PARAMS), *name[len(root) :])


def listed(paths: Sequence[str]) -> str:
    """Some paths as a list for a message, with the number of those that are left out."""
    more = len(paths) - MOST_NAMED
    return ", ".join(paths[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
