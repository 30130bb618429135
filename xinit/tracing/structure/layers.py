"""The layers of a model by name, in the order in which a signal meets them, and which of them feed which."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from xinit.core.errors import InputError
from xinit.tracing.structure import origins
from xinit.tracing.structure.functions import Function, ways_of
from xinit.tracing.structure.kernels import KERNEL_NAMES, TABLE_NAMES, Axes, Unclear, by_path
from xinit.tracing.structure.normalisation import normalised
from xinit.tracing.structure.products import WHILE, Found, Product, Use, kernel_uses
from xinit.tracing.structure.program import Program, traced
from xinit.tracing.structure.search import products_of


class Layer(NamedTuple):
    """A product with its name.

    `paths`: the parameters behind it, each with its place in a stack, as in blocks/mlp/kernel[3]; the first is the
    layer's kernel. `shape`: of its output in one iteration. `lengths`: those of the loops whose iterations are layers
    of their own. `depth`: 1 for a layer that no other feeds, else 1 more than the deepest layer that feeds it.
    `function`: the elementwise function that is applied next, and `normalised`: the kind of normalisation in front of
    or behind it; None where there is none.
    """

    name: str
    product: Product
    paths: tuple[str, ...]
    shape: tuple[int, ...]
    lengths: tuple[int, ...]
    width: int
    depth: int
    function: Function | None
    normalised: str | None

    @property
    def kernel(self) -> str:
        """The path of the stored array that its kernel is in."""
        return self.paths[0].partition("[")[0]


class Structure(NamedTuple):
    """A model as its layers.

    `axes`: what the axes of each stored parameter are, by its path; None for what is only added or multiplied entry by
    entry. `unseen`: why the product of a parameter was not seen, by its path. `skips`: whether signals skip layers.
    """

    program: Program
    found: Found
    layers: tuple[Layer, ...]
    axes: dict[str, Axes | Unclear | None]
    roles: dict[str, frozenset[str]]
    unseen: dict[str, str]
    skips: bool
    output: Any


NOT_MET = "it never meets the signal"
BY_ITSELF = "it meets the signal without a product: neither as a kernel nor as a bias or a scale"


def structure_of(call: Any, params: Any, others: Any, inputs: Any) -> Structure:
    """The layers of `call(params, others, inputs)`, traced in shapes alone; nothing is computed."""
    program, output = traced(call, params, others, inputs)
    named = by_path(params)
    n_others = len(jax.tree.leaves(others))
    learned = [origins.of_parameter(number, leaf.shape) for number, leaf in enumerate(named.values())]
    kinds = [program.types[value] for value in program.inputs]
    n = len(learned)
    constants = [origins.Origin(origins.plain_axes(kind.shape)) for kind in kinds[n : n + n_others]]
    batch = [origins.of_batch(kind.shape) for kind in kinds[n + n_others :]]
    found = products_of(program, [*learned, *constants, *batch])
    paths = list(named)
    _check_loops(found, paths)
    roles = {path: found.roles.get(number, frozenset()) for number, path in enumerate(paths)}
    depths = depths_of(found.products)
    ways = ways_of(program, found)
    normal = normalised(program, found, ways)
    layers = []
    for number, (name, product) in enumerate(zip(_names(found.products, named), found.products, strict=True)):
        kind = program.types[product.gives]
        n_loops = len(product.iteration)
        shape = tuple(kind.shape[n_loops:])
        lengths = tuple(n for n, t in zip(kind.shape[:n_loops], product.iteration, strict=True) if t is not None)
        width = math.prod(shape[axis] for axis in product.unit_axes)
        behind = tuple(paths[use.parameter] + _index(use) for use in product.uses)
        about = depths[number], ways[number].function, normal[number]
        layers.append(Layer(name, product, behind, shape, lengths, width, *about))
    axes = _axes(found, named)
    unseen = _unseen(found, named, roles)
    return Structure(program, found, tuple(layers), axes, roles, unseen, skips_layers(found), output)


def _check_loops(found: Found, paths: Sequence[str]) -> None:
    """Refuse products in loops of unknown length, through which no gradient passes."""
    inside = sorted(paths[number] for hidden in found.hidden if hidden.reason == WHILE for number in hidden.parameters)
    if inside:
        raise InputError(
            f"The model multiplies by {', '.join(inside)} in {WHILE}, so that no gradient passes through it; use "
            "jax.lax.scan, or fori_loop with a fixed number of iterations."
        )


def _axes(found: Found, named: Mapping[str, Any]) -> dict[str, Axes | Unclear | None]:
    """What the axes of each parameter are: of a table that is also read as a matrix, those of the matrix."""
    axes: dict[str, Axes | Unclear | None] = dict.fromkeys(named)
    paths = list(named)
    for product in found.products:
        for use in product.uses:
            path, before = paths[use.parameter], axes[paths[use.parameter]]
            if before is None or isinstance(before, Unclear) or before.lookup:
                axes[path] = use.axes
    return axes


def _unseen(found: Found, named: Mapping[str, Any], roles: Mapping[str, frozenset[str]]) -> dict[str, str]:
    hidden = {number: one.reason for one in found.hidden for number in one.parameters}
    unseen = {}
    for number, (path, leaf) in enumerate(named.items()):
        if number in hidden:
            unseen[path] = f"its product is inside {hidden[number]}"
        elif not roles[path]:
            unseen[path] = NOT_MET
        elif roles[path] == {"other"} and leaf.ndim > 1:
            unseen[path] = BY_ITSELF
    return unseen


def _index(use: Use) -> str:
    return f"[{','.join(str(place) for _, place in use.taken)}]" if use.taken else ""


def _names(products: Sequence[Product], named: Mapping[str, Any]) -> list[str]:
    """A name for each layer: the module whose only kernel it has, else the path of the kernel; and which call it is."""
    paths, shapes = list(named), [leaf.shape for leaf in named.values()]
    owner = lambda number: paths[number].rpartition("/")[0]
    is_clear = lambda use: isinstance(use.axes, Axes)
    uses_of = [list(filter(is_clear, kernel_uses(product, shapes))) or [product.uses[0]] for product in products]
    kernels = {use.parameter for uses in uses_of for use in uses}
    of_owner = Counter(owner(number) for number in kernels)

    def plain(number: int) -> str:
        path = paths[number]
        is_alone = of_owner[owner(number)] == 1 and path.rpartition("/")[2] in (*KERNEL_NAMES, *TABLE_NAMES)
        return owner(number) if is_alone and owner(number) else path

    calls: Counter[str] = Counter()
    names = []
    for uses in uses_of:
        name = _together([plain(use.parameter) for use in uses]) + _index(uses[0])
        calls[name] += 1
        names.append(f"{name} (call {calls[name]})" if calls[name] > 1 else name)
    return names


def _together(names: Sequence[str]) -> str:
    """One name for several, as lstm/{hf,hg}."""
    if len(names) == 1:
        return names[0]
    owners = {name.rpartition("/")[0] for name in names}
    if len(owners) > 1:
        return "+".join(names)
    (owner,) = owners
    return f"{owner}/{{{','.join(name.rpartition('/')[2] for name in names)}}}".removeprefix("/")


def depths_of(products: Sequence[Product]) -> list[int]:
    """The depth of each layer: 1 where no other feeds it, else 1 more than the deepest layer that feeds it."""
    depths: list[int] = []
    for number, product in enumerate(products):
        depths.append(1 + max((depths[source] for source in product.fed_by if source < number), default=0))
    return depths


def skips_layers(found: Found) -> bool:
    """Whether a connection from one layer to another, or to the output, is also made by some longer way."""
    above: list[frozenset[int]] = []
    fed_by = [frozenset(source for source in product.fed_by if source < n) for n, product in enumerate(found.products)]
    for sources in fed_by:
        above.append(sources.union(*(above[source] for source in sources)))
    return any(
        source in above[other] for sources in (*fed_by, found.feeds_output) for source in sources for other in sources
    )
