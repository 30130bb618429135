"""Training as a pure function of parameters, key, numbers and data: what one replica does.

The host runs segments from one probe point to the next; a segment is one compiled loop whose bounds are arguments, so
every schedule uses the same program, and cutting a run anywhere leaves its result bitwise the same. `population` maps
these functions over replicas.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jaxtyping import Float, Int

from xinit.data.dataset import Arrays, Chunk, Examples
from xinit.networks.mlp import Params
from xinit.probes.edges import Edges
from xinit.probes.probe import Batch, Readings, errors, mean_loss
from xinit.schemes import Hyper
from xinit.training.problem import Problem

State = TypeVar("State")

VALID_EXAMPLES = 1000  # for the error at a probe point; the whole sets are seen once, at the end
EVALUATION_BATCH = 500  # keeps the activations of a 10,000-example set out of memory


class TrainState(NamedTuple):
    """What a replica needs to go on: parameters, optimizer state, running sums since the last probe, and whether.

    `diverged_at` is the first step whose loss was not finite, 0 while there is none.
    """

    params: Params
    opt_state: optax.OptState
    loss_sum: Float[Array, "*replica"]
    error_sum: Float[Array, "*replica"]
    diverged_at: Int[Array, "*replica"]


@runtime_checkable
class Start(Protocol):
    """The state of a replica before its first step."""

    def __call__(self, params: Params, hyper: Hyper) -> TrainState:
        """The state."""


@runtime_checkable
class Advance(Protocol):
    """Training on the steps first..last-1 of a chunk of batches, the c-th."""

    def __call__(
        self,
        state: TrainState,
        hyper: Hyper,
        chunk: Chunk,
        data: Arrays,
        c: Int[Array, ""],
        first: Int[Array, ""],
        last: Int[Array, ""],
    ) -> TrainState:
        """The state after them."""


@runtime_checkable
class Measure(Protocol):
    """A look at a replica `steps` after the one before: 0 at step 0, where running means are nan."""

    def __call__(
        self,
        state: TrainState,
        data: Arrays,
        edges: Edges,
        steps: Float[Array, ""],
        update_ratio: Float[Array, " weight"],
    ) -> Readings:
        """The readings."""


@runtime_checkable
class Evaluate(Protocol):
    """Loss and error on the whole valid and test sets."""

    def __call__(self, params: Params, data: Arrays) -> Readings:
        """Both, by their names."""


class Program(NamedTuple):
    """The pure functions a run is made of; each is mapped over replicas and jitted by who runs it.

    `draw(key, c, data)` prepares chunk c of the batches.
    """

    start: Start
    draw: Callable[[Array, Array, Arrays], Chunk]
    advance: Advance
    update_ratio: Callable[[Params, Params], Float[Array, " weight"]]
    measure: Measure
    evaluate: Evaluate


def make_program(problem: Problem) -> Program:
    """The program of a problem: everything that decides a shape or the arithmetic is closed over here."""
    return Program(
        _make_start(problem),
        problem.dataset.draw,
        _make_advance(problem),
        _update_ratio,
        _make_measure(problem),
        _make_evaluate(problem),
    )


def for_each_chunk(
    chunk_steps: int,
    start: Int[Array, ""] | int,
    stop: Int[Array, ""] | int,
    train: Callable[[Array, Array, Array, State], State],
    state: State,
) -> State:
    """`train(c, first, last, state)` for each chunk of batches that the steps start..stop-1 lie in.

    Chunks, and steps within a chunk: nested loops, since a conditional would run both its sides under vmap.
    """
    K = chunk_steps
    one = lambda c, state: train(c, jnp.maximum(start - c * K, 0), jnp.minimum(stop - c * K, K), state)
    trained: State = lax.fori_loop(start // K, jnp.where(stop > start, (stop + K - 1) // K, 0), one, state)
    return trained


def _make_start(problem: Problem) -> Start:
    def start(params: Params, hyper: Hyper) -> TrainState:
        zero = jnp.float32(0)
        return TrainState(params, problem.optimizer(hyper).init(params), zero, zero, jnp.int32(0))

    return start


def _make_step(problem: Problem) -> Callable[[TrainState, Hyper, Batch, Int[Array, ""]], TrainState]:
    def step(state: TrainState, hyper: Hyper, batch: Batch, number: Int[Array, ""]) -> TrainState:
        hyper = problem.schedule(hyper, number)
        loss_of = lambda params: mean_loss(problem.apply, params, batch, loss=problem.loss)
        (loss, (outputs, _)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        value_of = lambda params: mean_loss(problem.apply, params, batch, loss=problem.loss)[0]
        of_the_batch = {"value": loss, "grad": grads, "value_fn": value_of}  # for optimizers that search along a line
        update: Callable[..., tuple[Params, optax.OptState]] = problem.optimizer(hyper).update
        updates, opt_state = update(grads, state.opt_state, state.params, **of_the_batch)
        first_failure = ~jnp.isfinite(loss) & (state.diverged_at == 0)
        return TrainState(
            params=optax.apply_updates(state.params, _scaled(updates, jnp.asarray(hyper["lr_scale"]))),
            opt_state=opt_state,
            loss_sum=state.loss_sum + loss,
            error_sum=state.error_sum + jnp.mean(errors(outputs, batch[1])),
            diverged_at=jnp.where(first_failure, number, state.diverged_at),
        )

    return step


def _scaled(updates: Params, lr_scale: Float[Array, " weight"]) -> Params:
    """Each layer's update times its own learning-rate factor."""
    layers = updates["layers"]
    return {"layers": {l: {part: u * lr_scale[l] for part, u in layer.items()} for l, layer in layers.items()}}


def _make_advance(problem: Problem) -> Advance:
    dataset, step = problem.dataset, _make_step(problem)

    def advance(
        state: TrainState,
        hyper: Hyper,
        chunk: Chunk,
        data: Arrays,
        c: Int[Array, ""],
        first: Int[Array, ""],
        last: Int[Array, ""],
    ) -> TrainState:
        one = lambda i, state: step(state, hyper, dataset.batch(chunk, i, data), c * dataset.chunk_steps + i + 1)
        trained: TrainState = lax.fori_loop(first, last, one, state)
        return trained

    return advance


def _update_ratio(before: Params, after: Params) -> Float[Array, " weight"]:
    """(weight,) ||W - W'|| / ||W||, kernels only."""
    pairs = [(before["layers"][l]["kernel"], layer["kernel"]) for l, layer in after["layers"].items()]
    return jnp.stack([jnp.linalg.norm(new - old) / jnp.linalg.norm(old) for old, new in pairs])


def _make_measure(problem: Problem) -> Measure:
    dataset = problem.dataset

    def measure(
        state: TrainState,
        data: Arrays,
        edges: Edges,
        steps: Float[Array, ""],
        update_ratio: Float[Array, " weight"],
    ) -> Readings:
        readings = {"train_loss": state.loss_sum / steps, "train_error": state.error_sum / steps}
        if problem.probe is not None:
            batch = dataset.decode(data["probe"].x), data["probe"].y
            valid = data["valid"].head(VALID_EXAMPLES)
            batch_of_valid = dataset.decode(valid.x), valid.y
            loss, (outputs, _) = mean_loss(problem.apply, state.params, batch_of_valid, loss=problem.loss)
            error = jnp.mean(errors(outputs, valid.y))
            readings |= {"valid_loss": loss, "valid_error": error, "update_ratio": update_ratio}
            readings |= problem.probe(state.params, batch, edges)
        return readings

    return measure


def _make_evaluate(problem: Problem) -> Evaluate:
    dataset = problem.dataset

    def totals(params: Params, examples: Examples) -> Float[Array, "2"]:
        batch = dataset.decode(examples.x), examples.y
        loss, (outputs, _) = mean_loss(problem.apply, params, batch, loss=problem.loss)
        return jnp.stack([loss * len(examples.y), jnp.sum(errors(outputs, examples.y))])

    def mean_over(params: Params, examples: Examples) -> Float[Array, "2"]:
        n = len(examples.y)
        whole = n // EVALUATION_BATCH * EVALUATION_BATCH
        batches = jax.tree.map(lambda a: a[:whole].reshape(-1, EVALUATION_BATCH, *a.shape[1:]), examples)
        total = jnp.sum(lax.map(lambda batch: totals(params, batch), batches), axis=0)
        if whole < n:
            total += totals(params, Examples(examples.x[whole:], examples.y[whole:]))
        return total / n

    def evaluate(params: Params, data: Arrays) -> Readings:
        valid, test = mean_over(params, data["valid"]), mean_over(params, data["test"])
        return {"valid_loss": valid[0], "valid_error": valid[1], "test_loss": test[0], "test_error": test[1]}

    return evaluate
