"""Training as a pure function of parameters, key, numbers and data.

The host runs segments from one probe point to the next; a segment is one compiled loop whose bounds are arguments, so
every schedule uses the same program, and cutting a run anywhere leaves its result bitwise the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from xinit.build import Problem
from xinit.data.dataset import Examples
from xinit.model import Params
from xinit.probes import Readings, mean_loss

VALID_EXAMPLES = 1000  # for the error at a probe point; the whole sets are seen once, at the end
EVALUATION_BATCH = 500  # keeps the activations of a 10,000-example set out of memory


class TrainState(NamedTuple):
    """Everything a run needs to go on: parameters, optimizer state, step, and running sums since the last probe."""

    params: Params
    opt_state: Any
    step: Array
    loss_sum: Array
    error_sum: Array
    since: Array  # the step at which the running sums began
    update_ratio: Array  # (weight,) norm of the last step's update over that of the weights, see `segment`


class Program(NamedTuple):
    """The pure functions a run is made of; each is jitted (or mapped over replicas, then jitted) by who runs it."""

    start: Callable[[Params, Mapping[str, Array]], TrainState]
    segment: Callable[..., TrainState]
    measure: Callable[..., tuple[TrainState, Readings]]
    evaluate: Callable[..., dict[str, Array]]


def make_program(problem: Problem) -> Program:
    """The program of a problem: everything that decides a shape or the arithmetic is closed over here."""
    return Program(_make_start(problem), _make_segment(problem), _make_measure(problem), _make_evaluate(problem))


def make_train(problem: Problem) -> Callable[..., tuple[TrainState, Readings]]:
    """`train(params, key, hyper, data, edges) -> (TrainState, Readings)`, readings with a leading axis probe point.

    The convenient form of `make_program` for use from Python: one run, no files.
    """
    program = Program(*(jax.jit(part) for part in make_program(problem)))

    def train(params, key, hyper, data, edges):
        state, rows = program.start(params, hyper), []
        for point in problem.points:
            if point:
                state = program.segment(state, key, hyper, data, point, True)
            state, row = program.measure(state, data, edges)
            rows.append(row)
        return state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

    return train


def _make_start(problem: Problem):
    def start(params: Params, hyper: Mapping[str, Array]) -> TrainState:
        zero, n_weights = jnp.float32(0), len(params["layers"])
        opt_state = problem.optimizer(hyper).init(params)
        return TrainState(params, opt_state, jnp.int32(0), zero, zero, jnp.int32(0), jnp.full(n_weights, jnp.nan))

    return start


def _make_step(problem: Problem):
    def step(state: TrainState, hyper: Mapping[str, Array], batch: tuple[Array, Array]) -> TrainState:
        loss_of = lambda params: mean_loss(problem.apply, params, batch)
        (loss, (logits, _)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = problem.optimizer(hyper).update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, _scaled(updates, hyper["lr_scale"]))
        error = jnp.mean(jnp.argmax(logits, axis=1) != batch[1])
        return state._replace(
            params=params,
            opt_state=opt_state,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
            error_sum=state.error_sum + error,
        )

    return step


def _scaled(updates: Params, lr_scale: Array) -> Params:
    """Each layer's update times its own learning-rate factor."""
    scale = lambda l, layer: jax.tree.map(lambda u: u * lr_scale[l], layer)
    return {"layers": {l: scale(l, layer) for l, layer in updates["layers"].items()}}


def _make_segment(problem: Problem):
    dataset, step, K = problem.dataset, _make_step(problem), problem.dataset.chunk_steps

    def advance(state: TrainState, key: Array, hyper, data, stop: Array) -> TrainState:
        """Chunks, and steps within a chunk: nested loops, since a conditional would run both its sides under vmap."""

        def chunk_steps(c, state):
            chunk = dataset.draw(key, c, data)
            one = lambda i, state: step(state, hyper, dataset.batch(chunk, i, data))
            return lax.fori_loop(state.step - c * K, jnp.minimum(stop - c * K, K), one, state)

        last = jnp.where(stop > state.step, (stop + K - 1) // K, 0)
        return lax.fori_loop(state.step // K, last, chunk_steps, state)

    def segment(state: TrainState, key: Array, hyper, data, stop: Array, last_apart: Array) -> TrainState:
        """Train up to step `stop`. With `last_apart` the last step runs on its own, for its `update_ratio`.

        Both parts are turns of one loop: the same compiled step, so the result does not depend on it.
        """

        def part(i, carry):
            state, _ = carry
            return advance(state, key, hyper, data, stop - (1 - i)), state.params

        state, before = lax.fori_loop(1 - jnp.int32(last_apart), 2, part, (state, state.params))
        return state._replace(update_ratio=jnp.where(last_apart, _update_ratio(before, state.params), jnp.nan))

    return segment


def _update_ratio(before: Params, after: Params) -> Array:
    """(weight,) ||W - W'|| / ||W||, kernels only."""
    pairs = [(before["layers"][l]["kernel"], layer["kernel"]) for l, layer in after["layers"].items()]
    return jnp.stack([jnp.linalg.norm(new - old) / jnp.linalg.norm(old) for old, new in pairs])


def _make_measure(problem: Problem):
    dataset = problem.dataset

    def measure(state: TrainState, data, edges) -> tuple[TrainState, Readings]:
        """The readings at this state, and the state with its running sums begun anew."""
        steps = state.step - state.since  # 0 at step 0: not a number, as it should be
        readings = {"train_loss": state.loss_sum / steps, "train_error": state.error_sum / steps}
        if problem.probe is not None:
            batch = dataset.decode(data["probe"].x), data["probe"].y
            valid = data["valid"].head(VALID_EXAMPLES)
            loss, (logits, _) = mean_loss(problem.apply, state.params, (dataset.decode(valid.x), valid.y))
            error = jnp.mean(jnp.argmax(logits, axis=1) != valid.y)
            readings |= {"valid_loss": loss, "valid_error": error, "update_ratio": state.update_ratio}
            readings |= problem.probe(state.params, batch, edges)
        zero = jnp.float32(0)
        return state._replace(loss_sum=zero, error_sum=zero, since=state.step), readings

    return measure


def _make_evaluate(problem: Problem):
    dataset = problem.dataset

    def totals(params: Params, examples: Examples) -> Array:
        loss, (logits, _) = mean_loss(problem.apply, params, (dataset.decode(examples.x), examples.y))
        return jnp.stack([loss * len(examples.y), jnp.sum(jnp.argmax(logits, axis=1) != examples.y)])

    def mean_over(params: Params, examples: Examples) -> Array:
        n = len(examples.y)
        whole = n // EVALUATION_BATCH * EVALUATION_BATCH
        batches = jax.tree.map(lambda a: a[:whole].reshape(-1, EVALUATION_BATCH, *a.shape[1:]), examples)
        total = jnp.sum(lax.map(lambda batch: totals(params, batch), batches), axis=0)
        if whole < n:
            total += totals(params, Examples(examples.x[whole:], examples.y[whole:]))
        return total / n

    def evaluate(params: Params, data) -> dict[str, Array]:
        """Loss and error on the whole valid and test sets."""
        valid, test = mean_over(params, data["valid"]), mean_over(params, data["test"])
        return {"valid_loss": valid[0], "valid_error": valid[1], "test_loss": test[0], "test_error": test[1]}

    return evaluate
