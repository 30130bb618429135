"""What every stored parameter of a model is to `xinit.initialize`: a kernel with its axes, a table, or neither.

A traced model tells it. For an nnx module without a batch, Flax's own layers tell the shapes with which they were made.
In a tree of arrays without its model only matrices are certain.
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen, nnx

from xinit.tracing.models import Model
from xinit.tracing.structure import origins
from xinit.tracing.structure.kernels import KERNEL_NAMES, TABLE_NAMES, Axes, Unclear, by_path, dense, lookup
from xinit.tracing.structure.layers import Structure, structure_of
from xinit.tracing.structure.products import Product, kernel_uses
from xinit.tracing.structure.search import products_of

LOW_RANK = ("lora_a", "lora_b")  # what Flax's layers call the parts of a low-rank kernel
USUAL = (*KERNEL_NAMES, *LOW_RANK)
VECTORS = ("bias", "scale", "offset")  # which are no kernels, whatever their rank


class Stored(NamedTuple):
    """What a parameter is.

    `axes` are those of a kernel or a table, and None for what has no fans, such as biases and positions. `is_kernel`:
    whether a scheme for all kernels draws it. It does not draw a table, not even one that is also read as a matrix.
    `stack_is_known` is False where another axis of the same size may be the stacked one: the fans are known then, but
    not which weights belong to one layer.
    """

    axes: Axes | Unclear | None
    is_kernel: bool
    stack_is_known: bool = True


Layout = Mapping[str, Stored]  # by the path of a parameter

LEFT_OUT = "give patterns that leave it out"
A_TREE = Unclear(
    "a tree does not say which of its axes are inputs, outputs, a window or stacked layers: give the model as well, "
    f"model= and batch=, what it is called with, or {LEFT_OUT}"
)
NOT_CALLED = Unclear(f"no product that the batch passes through has it: {LEFT_OUT}")
NEITHER = Stored(None, is_kernel=False)


def of_tree(params: Any) -> Layout:
    """The layout of a tree of arrays that comes without its model: matrices and tables alone are certain."""
    return {path: _by_name(path, np.shape(leaf), A_TREE) for path, leaf in by_path(params).items()}


def _by_name(path: str, shape: Sequence[int], unclear: Unclear) -> Stored:
    name = path.rpartition("/")[2]
    if len(shape) < 2 or name in VECTORS:
        return NEITHER
    if name in TABLE_NAMES:
        return Stored(lookup() if len(shape) == 2 else unclear, is_kernel=False)
    return Stored(dense() if len(shape) == 2 else unclear, is_kernel=name in ("kernel", *LOW_RANK))


def of_nnx(module: nnx.Module) -> Layout:
    """The layout of an nnx module's parameters, by the shapes with which its layers were made."""
    modules = {"/".join(map(str, path)): part for path, part in nnx.iter_modules(module)}
    layout = {}
    for path, leaf in by_path(nnx.to_pure_dict(nnx.state(module, nnx.Param))).items():
        owner, _, name = path.rpartition("/")
        declared = _declared(modules.get(owner)) if name in ("kernel", "embedding") else None
        kind = type(modules.get(owner)).__name__
        reason = f"its module, {kind}, does not say what its axes are: give batch=, what the model is called with, or "
        layout[path] = _by_name(path, leaf.shape, Unclear(reason + LEFT_OUT))
        if declared is not None:
            layout[path] = _placed(*declared, leaf.shape, is_kernel=name == "kernel")
    return layout


def _declared(module: Any) -> tuple[Axes, tuple[int, ...]] | None:
    """The axes and the shape of one kernel or table of a layer of nnx, as it was made; None of any other module.

    `nnx.vmap` makes a stack of layers as one module, whose array then has more axes than this.
    """
    match module:
        case nnx.Linear():
            return dense(), (module.in_features, module.out_features)
        case nnx.LinearGeneral():
            sizes = [tuple(part) for part in (module.batch_axis.values(), module.in_features, module.out_features)]
            ends = list(itertools.accumulate(map(len, sizes)))
            stacked, read, given = (tuple(range(a, b)) for a, b in itertools.pairwise([0, *ends]))
            return Axes((), read, given, stacked), tuple(itertools.chain(*sizes))
        case nnx.Conv() | nnx.ConvTranspose():
            shape = tuple(module.kernel_shape)
            *window, first, last = range(len(shape))
            inputs, outputs = (last, first) if getattr(module, "transpose_kernel", False) else (first, last)
            return Axes(tuple(window), (inputs,), (outputs,), groups=getattr(module, "feature_group_count", 1)), shape
        case nnx.Einsum() if module.einsum_str and (axes := _einsum(module.einsum_str)):
            return axes, tuple(module.kernel_shape)
        case nnx.Embed():
            return lookup(), (module.num_embeddings, module.features)
    return None


def _einsum(equation: str) -> Axes | None:
    """The axes of the second operand, which is the kernel; None if it has an ellipsis, or an axis twice.

    Axes that the result lacks are summed, hence inputs; those that only the result shares are outputs; of what all
    three have, each index has a kernel of its own.
    """
    operands, result = equation.replace(" ", "").split("->")
    read, kernel = operands.split(",")
    if len(set(kernel)) < len(kernel):
        return None
    chosen = lambda of: tuple(axis for axis, letter in enumerate(kernel) if of(letter))
    return Axes(
        window=(),
        inputs=chosen(lambda letter: letter not in result),
        outputs=chosen(lambda letter: letter in result and letter not in read),
        stacked=chosen(lambda letter: letter in result and letter in read),
    )


def _placed(axes: Axes, own: tuple[int, ...], stored: tuple[int, ...], is_kernel: bool) -> Stored:
    """The axes of one kernel of shape `own` in an array that may hold several: they are looked for in their order."""
    places = _places(own, stored)
    if not places:
        return Stored(Unclear(f"its module makes it in the shape {own}: {LEFT_OUT}"), is_kernel)
    at = lambda axes: tuple(places[0][axis] for axis in axes)
    stacked = _others(places[0], len(stored)) + at(axes.stacked)
    axes = axes._replace(window=at(axes.window), inputs=at(axes.inputs), outputs=at(axes.outputs), stacked=stacked)
    return Stored(axes, is_kernel, stack_is_known=len(places) == 1)


def _places(own: Sequence[int], stored: Sequence[int]) -> list[tuple[int, ...]]:
    """The choices of axes of an array that have the sizes of `own`, in their order."""
    choices = itertools.combinations(range(len(stored)), len(own))
    return [choice for choice in choices if [stored[axis] for axis in choice] == list(own)]


def _others(places: Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(rank) if axis not in places)


def of_model(model: Model) -> Layout:
    """The layout of a model's parameters, which is traced on what it is called with; nothing is computed."""
    with _linen_shapes() as seen:
        structure = structure_of(model.call, model.params, model.others, model.inputs)
    layout = dict(of_structure(structure))
    shapes = {path: np.shape(leaf) for path, leaf in by_path(model.params).items()}
    for path, own in seen.items():
        places = _places(own, shapes[path]) if path in shapes else []
        if len(places) == 1:
            layout[path] = with_stack(layout[path], _others(places[0], len(shapes[path])))
    return layout


@contextlib.contextmanager
def _linen_shapes() -> Iterator[dict[str, tuple[int, ...]]]:
    """The shapes in which linen's modules see their parameters while it lasts: inside `nn.vmap` those of one member."""
    seen: dict[str, tuple[int, ...]] = {}

    def intercept(method, arguments, named, context):
        module = context.module
        for name, leaf in module.variables.get("params", {}).items() if module.scope else ():
            if not isinstance(leaf, Mapping):
                seen.setdefault("/".join((*module.path, name)), np.shape(jax.tree.leaves(leaf)[0]))
        return method(*arguments, **named)

    with linen.intercept_methods(intercept):
        yield seen


def completed(traced: Layout, declared: Layout) -> Layout:
    """The layout of a traced model, with the stacks and the axes that only its layers say."""
    layout = dict(traced)
    for path, own in declared.items():
        if isinstance(own.axes, Axes) and own.stack_is_known and path in traced:
            is_unclear = isinstance(traced[path].axes, Unclear)
            layout[path] = own if is_unclear else with_stack(traced[path], own.axes.stacked)
    return layout


def with_stack(stored: Stored, stacked: Sequence[int]) -> Stored:
    """The parameter with these axes marked as stacked: in a `vmap`, layers with the same input are one wide product."""
    if not isinstance(stored.axes, Axes):
        return stored
    inputs, outputs = (tuple(a for a in axes if a not in stacked) for axes in (stored.axes.inputs, stored.axes.outputs))
    all_stacked = tuple(sorted({*stored.axes.stacked, *stacked}))
    return stored._replace(axes=stored.axes._replace(inputs=inputs, outputs=outputs, stacked=all_stacked))


def of_structure(structure: Structure) -> Layout:
    """The layout of a model whose layers are known."""
    shapes = [value.shape for value in _parameters(structure)]
    kernels: dict[int, Axes | Unclear] = {}
    tables: set[int] = set()
    learned, products = _after_learned_inputs(structure)
    for product in (*structure.found.products, *products):
        for use in kernel_uses(product, shapes):
            is_lookup = isinstance(use.axes, Axes) and use.axes.lookup
            before = kernels.get(use.parameter)
            if before is None or isinstance(before, Unclear) or (before.lookup and not is_lookup):
                kernels[use.parameter] = use.axes
            if is_lookup:
                tables.add(use.parameter)
    hidden = {number: one.reason for one in structure.found.hidden for number in one.parameters}
    layout = {}
    for number, (path, shape) in enumerate(zip(structure.axes, shapes, strict=True)):
        if number in kernels and number not in learned:
            layout[path] = Stored(_worded(kernels[number]), is_kernel=number not in tables)
        elif number in hidden and len(shape) > 1:
            layout[path] = Stored(Unclear(f"its product is inside {hidden[number]}: {LEFT_OUT}"), is_kernel=True)
        else:
            layout[path] = NEITHER if structure.roles[path] else _by_name(path, shape, NOT_CALLED)
    return layout


def _parameters(structure: Structure) -> list[jax.ShapeDtypeStruct]:
    program = structure.program
    return [program.types[value] for value in program.inputs[: len(structure.axes)]]


def _worded(axes: Axes | Unclear) -> Axes | Unclear:
    return axes if isinstance(axes, Axes) else Unclear(f"{axes.reason}: {LEFT_OUT}")


def _after_learned_inputs(structure: Structure) -> tuple[set[int], tuple[Product, ...]]:
    """Learned inputs, as the queries of attention pooling, and their products with the kernels that read them.

    Both are parameters, so that neither is a signal; what bears no usual name of a kernel is taken for the input.
    """
    found, paths = structure.found, list(structure.axes)
    unclear = {use.parameter for one in found.products for use in one.uses if isinstance(use.axes, Unclear)}
    learned = [number for number in unclear if paths[number].rpartition("/")[2] not in USUAL]
    if not learned or set(learned) == unclear:
        return set(), ()
    inputs = [found.origins[value] for value in structure.program.inputs]
    for number in learned:
        inputs[number] = origins.of_batch(inputs[number].shape, None)
    again = products_of(structure.program, inputs).products
    clear = lambda use: use.parameter in unclear and isinstance(use.axes, Axes)
    seen = tuple(product._replace(uses=uses) for product in again if (uses := tuple(filter(clear, product.uses))))
    return (set(learned) if seen else set()), seen
