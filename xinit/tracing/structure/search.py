"""The search for the layers of a program: the products that the walk meets, each with the bias that is added next."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from xinit.tracing.structure.origins import EXAMPLES, Origin
from xinit.tracing.structure.products import Found, Product
from xinit.tracing.structure.program import Operation, Program, Value
from xinit.tracing.structure.transfer import unit_places
from xinit.tracing.structure.walk import Walk

Readers = defaultdict[Value, list[Operation]]
# What may stand between a product and its bias.
STEPS_ON = {"transpose", "reshape", "convert_element_type", "squeeze", "copy", "name", "sharding_constraint"}


def products_of(program: Program, origins: Sequence[Origin]) -> Found:
    """The layers of a program whose inputs come from where `origins` say."""
    ranks = {next(iter(origin.params)): len(origin.axes) for origin in origins if origin.params}
    walk = Walk(ranks)
    results = walk.program(program, origins, ())
    homes = {id(home): home for home in walk.home.values()}
    readers = {number: _readers(home) for number, home in homes.items()}
    products = tuple(_completed(product, walk, readers) for product in walk.products.values())
    feeds = frozenset().union(*(origin.layers for origin in results))
    roles = {parameter: frozenset(ways) for parameter, ways in walk.roles.items()}
    return Found(products, tuple(walk.hidden), roles, feeds, walk.origins)


def _completed(product: Product, walk: Walk, readers: Mapping[int, Readers]) -> Product:
    """The product with the bias that is added next as a part of its output, and the axes of input and output."""
    gives = _with_bias(readers[id(walk.home[product.site])], product.gives, walk)
    origin = walk.origins[gives]
    reads = walk.origins.get(product.reads) if product.reads is not None else None
    return product._replace(
        gives=gives,
        unit_axes=unit_places(origin.axes),
        gives_examples=_examples_axis(origin),
        reads_examples=_examples_axis(reads) if reads else None,
    )


def _examples_axis(origin: Origin) -> int | None:
    """The axis of the examples: one whose slowest factor counts them."""
    for place, axis in enumerate(origin.axes):
        if next((factor for factor in axis if factor.size > 1), axis[0]).marks >= {EXAMPLES}:
            return place
    return None


def _with_bias(readers: Readers, value: Value, walk: Walk) -> Value:
    current = value
    while len(readers[current]) == 1:
        (operation,) = readers[current]
        if str(operation.primitive) in STEPS_ON:
            current = operation.gives[0]
            continue
        others = [walk.origins[read] for read in operation.reads if read != current]
        is_bias = str(operation.primitive) == "add" and len(others) == 1 and others[0].is_kernel
        return operation.gives[0] if is_bias else value
    return value


def _readers(program: Program) -> Readers:
    """The operations that read each value; an output has one more, so that the way to a bias ends there."""
    readers: Readers = defaultdict(list)
    for operation in program.operations:
        for value in operation.reads:
            readers[value].append(operation)
    for value in program.outputs:
        readers[value] += readers[value][:1]
    return readers
