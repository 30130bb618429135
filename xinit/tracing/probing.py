"""Any JAX model measured layer by layer and judged: `xinit.probe`, and `xinit.Probe` for many calls."""

import collections
import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xinit.analysis.probe_report import Report
from xinit.core.errors import InputError
from xinit.tracing import measure, remedies, reports, zeros
from xinit.tracing.batches import Batch, batch_of
from xinit.tracing.models import Model, model_of, refusals
from xinit.tracing.patterns import matcher, no_match
from xinit.tracing.structure.layers import Layer, Structure, structure_of

Loss = Callable[[Any, Any], jax.Array]
MOST_KEPT = 8  # compiled probes that wait for another call of `probe`
# Settings of jax under which the same model is another program; each can be set for a while, as by `with`.
SETTINGS = (
    "jax_default_matmul_precision", "jax_enable_x64", "jax_default_prng_impl", "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
)  # fmt: skip


def probe(
    model: Any,
    batch: Any,
    *,
    variables: Any = None,
    loss: Loss | None = None,
    rngs: Any = None,
    layers: str | Sequence[str] | None = None,
    axis_name: str | None = None,
    past_zeros: bool = False,
    **call_kwargs: Any,
) -> Report:
    """Measure the layers of a model on a batch, forward and backward, and judge its initialisation.

        print(xinit.probe(model, (x, y)))                                  # flax.nnx: the model as it is
        print(xinit.probe(model, (x, y), variables=variables, train=True)) # flax.linen, train is the model's own
        print(xinit.probe(f, (x, y), variables=params))                    # a function f(params, x)

    The model is traced, as `jax.jit` does it, and every product of something that depends on the batch with parameters
    alone is a layer, whatever library wrote it: matrices, convolutions, tables that are looked up; inside `jit`,
    `remat`, `vmap` and `scan` too, where each iteration with parameters of its own is a layer. Nothing of the model,
    its batch statistics or its keys is changed. Parameters whose product was not seen are named with the reason, and no
    verdict speaks of them. Another call with other values of the same model and batches of the same shapes compiles
    nothing.

    >>> from flax import nnx
    >>> model = nnx.Sequential(nnx.Linear(8, 16, rngs=nnx.Rngs(0)), nnx.tanh, nnx.Linear(16, 3, rngs=nnx.Rngs(1)))
    >>> report = xinit.probe(model, (jax.random.normal(jax.random.key(0), (20, 8)), np.arange(20) % 3))
    >>> report.names
    ('layers/0', 'layers/2')
    >>> report.functions
    ('tanh', None)

    Args:
      model: a flax.nnx or flax.linen module; an Equinox module, which takes one example; a pair of Haiku's `transform`;
        or a function `f(params, x)` with its params as `variables`.
      batch: (x, y) or x. The model is called with x, an array or any tree of arrays, examples first. A mapping or a
        NamedTuple with a label in it, as {"image": ..., "label": ...}, is taken apart.
      variables: of a linen module, as trained or as `model.init` returns (else drawn with the key `rngs["params"]`, or
        key 0); of an nnx module, a state in place of its own; the parameters of a function or of a Haiku pair.
      loss: `loss(output, batch)`, one number. Else cross-entropy for whole y, squared error for others, and without y
        a fixed random linear functional of the output (see `measure.default_loss`).
      rngs: a key, or keys by name, as {"dropout": key}.
      layers: patterns for the names of layers, as "**/Dense_*", or of modules, which stand for all layers in them. By
        default all layers are measured.
      axis_name: of a mapped axis that the model sums over, as batch normalisation across devices does.
      past_zeros: where parameters that are 0 on purpose let no gradient through, measure with kernels drawn by lecun
        and scales of 1 in their place; the report says so.
      call_kwargs: what else the model is called with.

    Raises:
      InputError: what is given is no model; jax cannot trace it, or it cannot be called with this batch; it has no
        parameters or needs a key; no layer fits the patterns; x is not finite; y does not fit the output.
    """
    given = batch_of(batch)
    with refusals(given.x):
        seen = model_of(model, given.x, variables, rngs, call_kwargs, axis_name)
    key = _key(seen, given, loss, layers)
    compiled = _kept.get(key) if key is not None else None
    if compiled is None:
        compiled = _Compiled(seen, given, loss, layers, once=True)
        if key is not None:
            _kept[key] = compiled
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)
    else:
        _kept.move_to_end(key)
    report = compiled.report(seen, given)
    if past_zeros and (moved := zeros.moved(report, seen.params, compiled.structure)):
        seen = seen._replace(params=moved.params)
        report = zeros.with_finding(compiled.report(seen, given), moved)
    call = remedies.make_call(model, variables, rngs, call_kwargs)
    measured = lambda params: compiled.report(seen, given, params)
    return dataclasses.replace(report, remedy=remedies.remedy(report, seen.params, compiled.structure, measured, call))


class Probe:
    """A model's probe, compiled once and called at many steps of its training.

    >>> f = lambda params, x: jnp.tanh(x @ params["w1"]) @ params["w2"]
    >>> params = {"w1": jnp.ones((8, 4)), "w2": jnp.ones((4, 3))}
    >>> probe = xinit.Probe(f, jnp.ones((5, 8)), variables=params)
    >>> [probe(jax.tree.map(lambda w: scale * w, params)).readings["pre_std"].shape for scale in (1, 2)]
    [(2,), (2,)]

    It is made with the arguments of `xinit.probe`, except past_zeros, and called with the values of a later step: the
    module, of nnx or Equinox, or the variables of a linen module, a Haiku pair or a function. A second argument
    replaces the batch; it must have the shapes of the first one. The report is that of `xinit.probe`, without a remedy.

    Raises:
      InputError: as `xinit.probe`; the values or the batch have other shapes than the first ones.
    """

    def __init__(
        self,
        model: Any,
        batch: Any,
        *,
        variables: Any = None,
        loss: Loss | None = None,
        rngs: Any = None,
        layers: str | Sequence[str] | None = None,
        axis_name: str | None = None,
        **call_kwargs: Any,
    ) -> None:
        self._batch = batch_of(batch)
        self._model, self._variables = model, variables
        self._of = lambda model, variables, x: model_of(model, x, variables, rngs, call_kwargs, axis_name)
        with refusals(self._batch.x):
            self._first = self._of(model, variables, self._batch.x)
        self._compiled = _Compiled(self._first, self._batch, loss, layers, once=False)

    def __call__(self, values: Any = None, batch: Any = None) -> Report:
        """The report of these values on this batch; by default of those that the probe was made with."""
        given = self._batch if batch is None else batch_of(batch)
        _check_shapes("The batch", self._batch, given)
        return self._compiled.report(self._seen(values, given), given)

    @property
    def structure(self) -> Structure:
        """The layers that were found in the model."""
        return self._compiled.structure

    def seen(self, values: Any = None) -> Model:
        """The model with these values, as it is measured on the probe's own batch."""
        return self._seen(values, self._batch)

    def report_of(self, seen: Model) -> Report:
        """The report of what `seen` returned."""
        return self._compiled.report(seen, self._batch)

    def _seen(self, values: Any, given: Batch) -> Model:
        is_model = values is not None and type(values) is type(self._model)
        model = values if is_model else self._model
        variables = None if is_model else self._variables if values is None else values
        with refusals(given.x):
            seen = self._of(model, variables, given.x)
        _check_shapes("The model", self._first[1:4], seen[1:4])
        return seen


class _Compiled:
    """The structure of a model and the compiled pass through it."""

    def __init__(self, model: Model, batch: Batch, loss: Loss | None, layers: Any, once: bool) -> None:
        with refusals(batch.x):
            structure = structure_of(model.call, model.params, model.others, model.inputs)
        self.structure = _chosen(structure, layers)
        self.own_loss = loss
        self.run = measure.make_pass(self.structure, batch.n_examples, self._loss(batch)[0], once)

    def _loss(self, batch: Batch) -> tuple[Loss, float | None]:
        """The loss, and what the uniform answer loses."""
        return (self.own_loss, None) if self.own_loss else measure.default_loss(self.structure.output, batch.y)

    def report(self, model: Model, batch: Batch, params: Any = None) -> Report:
        """The judged report of one pass; `params` replace the parameters of the model where they are given."""
        params = model.params if params is None else params
        _, chance_loss = self._loss(batch)
        with refusals(batch.x):
            measured = jax.device_get(self.run(params, model.others, model.inputs, batch.whole))
        return reports.report_of(self.structure, params, batch, measured, chance_loss)


_kept: collections.OrderedDict[Hashable, _Compiled] = collections.OrderedDict()


def forget() -> None:
    """Drop the compiled probes that wait for another call."""
    _kept.clear()


def _key(model: Model, batch: Batch, loss: Loss | None, layers: Any) -> Hashable | None:
    """What decides the program of a probe; None where it is not known."""
    if model.identity is None:
        return None
    shapes = _shapes((model.params, model.others, model.inputs, batch))
    patterns = layers if isinstance(layers, str | None) else tuple(layers)
    settings = tuple(getattr(jax.config, name) for name in SETTINGS)
    key = (model.identity, shapes, loss, patterns, settings, jax.sharding.get_abstract_mesh())
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _shapes(tree: Any) -> Hashable:
    leaves, form = jax.tree.flatten(tree)
    return form, tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)


def _check_shapes(what: str, first: Any, now: Any) -> None:
    if _shapes(first) != _shapes(now):
        raise InputError(f"{what} has other shapes than the probe was made with; make another Probe for it.")


def _chosen(structure: Structure, layers: Any) -> Structure:
    """The structure with the layers that are wanted.

    Raises:
      InputError: there are none.
    """
    if not structure.layers:
        unseen = "; ".join(f"{path}: {reason}" for path, reason in structure.unseen.items())
        raise InputError(
            "No product of the batch with parameters is seen, so that the model has no layer to measure"
            f"{f' ({unseen})' if unseen else ''}."
        )
    if layers is None:
        return structure
    wanted = matcher(layers)
    fits = lambda layer: any(wanted(name) for name in _names(layer))
    chosen = tuple(layer for layer in structure.layers if fits(layer))
    if not chosen:
        raise no_match(layers, "layer", [layer.name for layer in structure.layers])
    return structure._replace(layers=chosen)


def _names(layer: Layer) -> list[str]:
    """What a pattern may name: a layer as it is called, without its place in a stack and its call; its modules."""
    plain = layer.name.partition(" (call")[0].partition("[")[0]
    parts = plain.split("/")
    return [layer.name, *("/".join(parts[:end]) for end in range(1, len(parts) + 1))]
