"""A coordinate check of any JAX model: `xinit.coordinate_check`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from xinit.analysis.coordinates import Coordinates, Sizes, judge
from xinit.analysis.scaling import check_sizes
from xinit.core.errors import InputError
from xinit.tracing.batches import Batch, batch_of
from xinit.tracing.measure import default_loss
from xinit.tracing.models import Model, model_of, refusals
from xinit.tracing.structure.layers import Structure, structure_of
from xinit.tracing.structure.program import run

Loss = Callable[[Any, Any], Array]
Signals = Callable[[Any], Sequence[Array]]
OF_DEPTHS = ("first layer", "middle layer", "last hidden layer", "output")


def coordinate_check(
    make_model: Callable[[int, int], Any],
    *,
    batch: Any,
    optimizer: Any,
    widths: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
    loss: Loss | None = None,
    steps: int = 4,
    seeds: Sequence[int] = (0, 1, 2),
    **call_kwargs: Any,
) -> Coordinates:
    """Train models of several widths, or depths, for a few steps and fit how each layer's size and change scale.

        def make(width, seed): return MyTransformer(width, rngs=nnx.Rngs(seed))
        check = xinit.coordinate_check(make, widths=[64, 128, 256, 512], batch=(x, y), optimizer=optax.adam(1e-3))
        print(check)          # a line for each layer, with exponents and their intervals, and the verdict
        check.level, check.figure(), check.save("coordinates")

    Under the maximal update parametrisation (muP) all exponents are 0, except that of the output at step 0, which may
    be negative. Over depths the layers of one model have no partner in the other, so that the first, the middle and the
    last hidden one are compared, and the output.

    >>> import optax
    >>> def make(width, seed):
    ...     keys = jax.random.split(jax.random.key(seed))
    ...     a, b = (jax.random.normal(k, s) for k, s in zip(keys, [(8, width), (width, 4)]))
    ...     return lambda params, x: jnp.tanh(x @ params["a"]) @ params["b"] / width, {"a": a / 8**0.5, "b": b}
    >>> check = xinit.coordinate_check(make, widths=[16, 64], batch=jnp.ones((5, 8)), optimizer=optax.sgd(1e-3))
    >>> check.sizes.layers
    ('a', 'output')

    Args:
      make_model: `make_model(width, seed)`, or `make_model(depth, seed)`. It returns a flax.nnx or an Equinox module,
        a flax.linen module, which is drawn with the seed, or a pair of a model and its variables, as (f, params).
      batch: (x, y) or x, on which all steps train and all sizes are measured; see `xinit.probe`.
      optimizer: of optax; or a function of the width that returns one, where learning rates depend on it. Its updates
        get the parameters as a tree of dicts; of functions and Equinox modules as one dict with paths as its keys.
      widths, depths: one of them, at least two sizes.
      loss: as in `xinit.probe`.
      steps: how many steps are trained before the change is measured.
      seeds: of the models, at least two, for the intervals.
      call_kwargs: what else the model is called with.

    Raises:
      InputError: both or none of widths and depths, fewer than two of them; sizes that change no shape; a loss or a
        signal that is not finite; and as `xinit.probe`.

    References:
      Yang et al. 2022, "Tensor Programs V: tuning large neural networks via zero-shot hyperparameter transfer".
    """
    if (widths is None) == (depths is None):
        raise InputError("A coordinate check is over widths or over depths; give one of them.")
    over, values = ("width", widths) if depths is None else ("depth", depths)
    values, given = check_sizes(over, list(values or ())), batch_of(batch)
    if len(seeds) < 2 or steps < 1:
        raise InputError(
            f"seeds has {len(seeds)} and steps is {steps}; an interval takes at least 2 seeds, and a change 1 step."
        )
    rows, names, shapes = [], [], []
    for value in values:
        tx = optimizer if isinstance(optimizer, optax.GradientTransformation) else optimizer(value)
        measure: Callable[..., Array] | None = None
        structure: Structure | None = None
        of_seeds = []
        for seed in seeds:
            with refusals(given.x):
                model = _model(make_model(value, seed), given.x, seed, call_kwargs)
                structure = structure or structure_of(model.call, model.params, model.others, model.inputs)
            if measure is None:
                names.append(_names(structure))
                shapes.append(jax.tree.map(jnp.shape, jax.tree.leaves(model.params)))
                measure = jax.jit(_measuring(structure, given, loss, tx, steps))
            with refusals(given.x):
                of_seeds.append(np.asarray(measure(model.params, model.others, model.inputs, given.whole)))
        rows.append(np.stack(of_seeds))
    check_shapes(over, values, shapes)
    return judge(sizes_of(over, values, names, rows))


def _model(made: Any, x: Any, seed: int, call_kwargs: dict[str, Any]) -> Model:
    is_pair = isinstance(made, tuple) and len(made) == 2 and not hasattr(made, "_fields")
    model, variables = made if is_pair else (made, None)
    draws = variables is None and hasattr(model, "init") and hasattr(model, "apply")
    return model_of(model, x, variables, {"params": jax.random.key(seed)} if draws else None, call_kwargs)


def _hidden(structure: Structure) -> list[int]:
    """The layers that do not give the output; a readout is seen in the output, whatever multiplies it behind."""
    ends = set(structure.found.feeds_output)
    return [number for number in range(len(structure.layers)) if number not in ends]


def _names(structure: Structure) -> tuple[str, ...]:
    return (*(structure.layers[number].name for number in _hidden(structure)), "output")


def _measuring(
    structure: Structure, batch: Batch, loss: Loss | None, tx: optax.GradientTransformation, steps: int
) -> Callable[..., Array]:
    """The function of parameters, other arrays, inputs and batch that trains and measures."""
    products = [structure.layers[number].product for number in _hidden(structure)]
    kept = {product.gives for product in products}
    loss = loss or default_loss(structure.output, batch.y)[0]

    def measure(params: Any, others: Any, inputs: Any, whole: Any) -> Array:
        def passed(params: Any) -> tuple[Any, list[Array]]:
            outputs, records = run(structure.program, jax.tree.leaves((params, others, inputs)), {}, kept)
            own = lambda product: tuple(slice(None) if i is None else i for i in product.iteration)
            signals = [records[product.gives][own(product)] for product in products]
            floating = [jnp.ravel(part) for part in outputs if jnp.issubdtype(part.dtype, jnp.floating)]
            output = jax.tree.unflatten(jax.tree.structure(structure.output), outputs)
            return output, [*signals, jnp.concatenate(floating)]

        update = lambda grads, state, params: tx.update(grads, state, params)
        total = lambda params: loss(passed(params)[0], whole)
        return follow(lambda params: passed(params)[1], total, params, tx.init(params), update, steps)

    return measure


def follow(
    signals: Signals,
    loss: Callable[[Any], Array],
    params: Any,
    opt_state: Any,
    update: Callable[[Any, Any, Any], tuple[Any, Any]],
    steps: int,
) -> Array:
    """Train a few steps: the root mean square of each signal at the start, then of its change after each step.

    The rows are steps. Where the loss is not finite, neither are the sizes.
    """
    first = signals(params)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Array]:
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        changes = [_rms(now - before) for now, before in zip(signals(params), first, strict=True)]
        return (params, state), jnp.where(jnp.isfinite(value), jnp.stack(changes), jnp.nan)

    _, changes = lax.scan(step, (params, opt_state), None, steps)
    return jnp.concatenate([jnp.stack([_rms(z) for z in first])[None], changes])


def _rms(z: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(z.astype(jnp.float32))))


def check_shapes(over: str, values: Sequence[int], shapes: Sequence[Any]) -> None:
    """InputError where two sizes have parameters of the same shapes."""
    for value, own, following, after in zip(values, shapes, values[1:], shapes[1:], strict=False):
        if own == after:
            raise InputError(
                f"The parameters have the same shapes at {over} {value} and {following}; the {over} must change them."
            )


def sizes_of(over: str, values: Sequence[int], names: Sequence[tuple[str, ...]], rows: Sequence[np.ndarray]) -> Sizes:
    """The measurements of all sizes together, each row (seed, step, layer); over depths those layers with a partner.

    Raises:
      InputError: widths that change the layers; a depth with fewer than three hidden layers.
    """
    if over == "width":
        for value, own in zip(values, names, strict=True):
            if own != names[0]:
                raise InputError(
                    f"The layers are not the same at width {values[0]} and {value}; the width may not change them."
                )
        return Sizes(over, tuple(values), names[0], np.stack(rows))
    chosen = []
    for value, row in zip(values, rows, strict=True):
        hidden = row.shape[-1] - 1
        if hidden < 3:
            raise InputError(
                f"The model has {hidden} hidden layers at depth {value}; 3 or more are needed over depths."
            )
        chosen.append(row[..., [0, hidden // 2, hidden - 1, hidden]])
    return Sizes(over, tuple(values), OF_DEPTHS, np.stack(chosen))
