"""Any Flax model, or function, measured layer by layer and judged: `xinit.probe`."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xinit.core.errors import InputError
from xinit.tracing import measure, remedies, rules
from xinit.tracing.kernels import by_path
from xinit.tracing.layout import KERNELS
from xinit.tracing.networks import Network, Params, network, refusals
from xinit.tracing.parameters import kernel_of_module, parameter_table, uncovered
from xinit.tracing.patterns import matcher, no_match
from xinit.tracing.report import Report
from xinit.tracing.taps import Recorder, is_floating


def probe(
    model: Any,
    batch: Any,
    *,
    variables: Any = None,
    loss: Callable[[Any, Any], jax.Array] | None = None,
    rngs: Any = None,
    layers: str | Sequence[str] | None = None,
    **call_kwargs: Any,
) -> Report:
    """Measure the layers of a model on a batch, forward and backward, and judge its initialisation.

        print(xinit.probe(model, (x, y)))                                  # flax.nnx: the model as it is
        print(xinit.probe(model, (x, y), variables=variables, train=True)) # flax.linen, train is the model's own

    Nothing of the model, its batch statistics or its keys is changed. Arrays are seen around whole submodules, so what
    an activation function or a product of attention does in between shows in what the next layer reads. Parameters of
    which that shows nothing, as those of a recurrent cell, are named, and no verdict speaks of them.

    >>> from flax import nnx
    >>> model = nnx.Sequential(nnx.Linear(8, 16, rngs=nnx.Rngs(0)), nnx.tanh, nnx.Linear(16, 3, rngs=nnx.Rngs(1)))
    >>> report = xinit.probe(model, (jax.random.normal(jax.random.key(0), (20, 8)), np.arange(20) % 3))
    >>> report.names
    ('layers/0', 'layers/2')

    Args:
      model: a flax.nnx or flax.linen module, or a function `f(x)`, or `f(variables, x)` if variables are given, that
        returns (output, {name: intermediate}) in order from input to output. If the function takes `taps`, a mapping,
        it adds `taps[name]` to each intermediate, and gradients with respect to these are measured too.
      batch: (x, y) or x. The model is called with x, an array or any tree of arrays, examples first.
      variables: of a linen module, as trained or as `model.init` returns (else drawn with the key `rngs["params"]`, or
        key 0); of an nnx module, a state in place of its own.
      loss: `loss(output, batch)`, one number. Else cross-entropy for whole y, squared error for others, and without y
        a fixed random linear functional of the output (see `measure.default_loss`).
      rngs: a key, or keys by name, as {"dropout": key}.
      layers: patterns of paths, as "**/Dense_*". Else every submodule that has a kernel of its own, or other parameters
        and none below it that has.
      call_kwargs: what else the model is called with.

    Raises:
      InputError: it is no model, refuses this batch, lacks a key, has no such layer; x is not finite; y does not fit.
    """
    x, batch = _arrays(batch)
    with refusals(x):
        net = network(model, x, variables, rngs, call_kwargs)
        lowest = lowest_layers(net)
        wanted = lowest if layers is None else matcher(layers)
        output, seen = measure.sight(net, wanted, x)
    if not seen.layers:
        raise _nothing_seen(seen, layers)
    loss, chance_loss = measure.default_loss(output, batch) if loss is None else (loss, None)
    taps = measure.zero_taps(seen.visits) if net.is_tapped else {}
    backpropagate = measure.make_backpropagate(net, wanted, loss)
    facts = _facts(net, seen, x, batch) | _wires(net, wanted, lowest, x, seen) | {"chance_loss": chance_loss}
    look = lambda params: _look(facts, net, seen, params, backpropagate(params, x, batch, taps))
    report = look(net.params)
    call = remedies.make_call(model, variables, rngs, call_kwargs)
    return dataclasses.replace(report, remedy=remedies.remedy(report, net, look, call))


def _arrays(batch: Any) -> tuple[Any, Any]:
    """x and the batch (x, y) or x, as jax arrays.

    Raises:
      InputError: it has neither form, no examples, or values that are not finite.
    """
    if isinstance(batch, tuple) and len(batch) != 2:
        raise InputError(f"batch is a tuple of {len(batch)}; it must be x or (x, y).")
    try:
        batch = jax.tree.map(jnp.asarray, batch)
    except (TypeError, ValueError) as error:
        raise InputError(f"batch must be arrays, x or (x, y); jax refuses it: {error}.") from None
    for path, leaf in by_path(batch).items():
        wrong = np.count_nonzero(~np.isfinite(leaf)) if is_floating(leaf) else 0
        if wrong:
            raise InputError(f"The batch has {wrong} values that are infinite or not numbers{path and f' at {path}'}.")
    x = batch[0] if isinstance(batch, tuple) else batch
    leaves = jax.tree.leaves(x)
    if not leaves or leaves[0].ndim == 0 or len(leaves[0]) == 0:
        raise InputError("The batch has no examples; x must be arrays whose first axis is that of the examples.")
    return x, batch


def lowest_layers(net: Network) -> measure.Wanted:
    """Those of `lowest_modules`, by their paths; all that a function names."""
    return lowest_modules(net.params).__contains__ if net.has_modules else lambda path: True


def lowest_modules(params: Params) -> set[str]:
    """The paths of submodules that have parameters of their own and none below them that has.

    Those with a kernel count whatever is below them, as a LoRA layer with the low-rank part beside its kernel.
    """
    parameters = [path.rpartition("/") for path in by_path(params)]
    owners = {owner for owner, _, _ in parameters}
    below = lambda owner: (other for other in owners - {owner} if not owner or other.startswith(f"{owner}/"))
    lowest = {owner for owner in owners if not any(below(owner))}
    return lowest | {owner for owner, _, name in parameters if name in KERNELS}


def _nothing_seen(seen: Recorder, layers: Any) -> InputError:
    if seen.hidden:
        return InputError(
            f"All layers that fit are inside a jax transform (scan, remat, vmap, jit) of the model's own: "
            f"{', '.join(sorted(seen.hidden))}; make the model without it, or choose others with layers=."
        )
    if layers is not None:
        return no_match(layers, "layer", seen.modules)
    return InputError(
        f"No submodule with parameters of its own returns an array of floating numbers; there are: "
        f"{', '.join(sorted(filter(None, seen.modules))) or 'none'}; choose some with layers=."
    )


def _facts(net: Network, seen: Recorder, x: Any, batch: Any) -> dict[str, Any]:
    """What a report says of the layers and of the batch, before anything is measured."""
    layers = list(seen.layers.values())
    shapes = [seen.visits[layer.name].gives.shape for layer in layers]
    kinds = {type(module).__name__ for module in seen.modules.values()}
    y = np.asarray(batch[1]) if isinstance(batch, tuple) and isinstance(batch[1], jax.Array) else np.zeros(0)
    return {
        "names": tuple(layer.name for layer in layers),
        "kinds": tuple(layer.kind for layer in layers),
        "shapes": tuple(shapes),
        "widths": tuple(math.prod(shape[-layer.unit_axes :]) for shape, layer in zip(shapes, layers, strict=True)),
        "n_examples": len(jax.tree.leaves(x)[0]),
        "x_moments": _moments_of_inputs(x),
        "one_class": y.size > 1 and np.issubdtype(y.dtype, np.integer) and bool((y == y.ravel()[0]).all()),
        "normalised": tuple(sorted(kind for kind in kinds if kind.endswith("Norm"))),
        "is_tapped": net.is_tapped,
        "hidden": tuple(sorted(seen.hidden)),
    }


def _moments_of_inputs(x: Any) -> tuple[float, ...] | None:
    floating = [leaf for leaf in jax.tree.leaves(x) if is_floating(leaf)]
    return tuple(map(float, measure.moments(floating[0], len(floating[0])))) if floating else None


def _wires(net: Network, wanted: measure.Wanted, lowest: measure.Wanted, x: Any, seen: Recorder) -> dict[str, Any]:
    """Depths of the wanted layers, and whether anything is skipped among the lowest.

    Of a function, whose layers cannot be told from what lies between them, there is their order alone.
    """
    if not net.has_modules:
        return {"depths": tuple(range(1, len(seen.layers) + 1)), "skips": None}
    wires = measure.wired(net, wanted, x, seen.visits)
    if wanted is not lowest:
        wires = wires._replace(skips=measure.wired(net, lowest, x, measure.sight(net, lowest, x)[1].visits).skips)
    return wires._asdict()


def _look(facts: Mapping[str, Any], net: Network, seen: Recorder, params: Params, passed: measure.Pass) -> Report:
    """The report of one pass, judged."""
    rows = parameter_table(by_path(params), by_path(passed.param_gradients), net.layout)
    owners = {row.path.rpartition("/")[0] for row in rows}
    paths = [layer.path for layer in seen.layers.values()]
    kernels = [kernel_of_module(rows).get(path) for path in paths]
    matrices = [kernel is not None and not kernel.path.endswith("embedding") for kernel in kernels]
    report = Report(
        **facts,
        kernels=tuple(kernels),
        compared=tuple(own or path not in owners for own, path in zip(matrices, paths, strict=True)),
        readings=measure.layer_readings(passed, seen.layers, kernels, facts["n_examples"]),
        parameters=rows,
        unseen=uncovered(rows, {*paths, *seen.hidden}) if net.has_modules else (),
        loss=float(passed.loss),
    )
    return dataclasses.replace(report, findings=rules.judge(report))
