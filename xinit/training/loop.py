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
from xinit.networks.network import Network, Params
from xinit.networks.network import State as NetworkState
from xinit.probes.edges import Edges
from xinit.probes.passes import Batch, errors, mean_loss
from xinit.probes.probe import Readings
from xinit.schemes import Hyper
from xinit.training.problem import Problem

State = TypeVar("State")

VALID_EXAMPLES = 1000  # for the error at a probe point; the whole sets are seen once, at the end
EVALUATION_BATCH = 500  # keeps the activations of a 10,000-example set out of memory


class TrainState(NamedTuple):
    """What a replica needs to go on: parameters, state of the network and the optimizer, sums since the last probe.

    `diverged_at` is the first step whose loss was not finite, 0 while there is none.
    """

    params: Params
    state: NetworkState
    opt_state: optax.OptState
    loss_sum: Float[Array, "*replica"]
    error_sum: Float[Array, "*replica"]
    diverged_at: Int[Array, "*replica"]


@runtime_checkable
class Start(Protocol):
    """The state of a replica before its first step."""

    def __call__(self, params: Params, state: NetworkState, hyper: Hyper) -> TrainState:
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

    def __call__(self, params: Params, state: NetworkState, data: Arrays) -> Readings:
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
        _make_update_ratio(problem.network),
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
    def start(params: Params, state: NetworkState, hyper: Hyper) -> TrainState:
        zero = jnp.float32(0)
        return TrainState(params, state, problem.optimizer(hyper).init(params), zero, zero, jnp.int32(0))

    return start


def _make_step(problem: Problem) -> Callable[[TrainState, Hyper, Batch, Int[Array, ""]], TrainState]:
    network = problem.network

    def step(state: TrainState, hyper: Hyper, batch: Batch, number: Int[Array, ""]) -> TrainState:
        key = step_key(hyper, number) if network.draws else None
        hyper = problem.schedule(hyper, number)
        loss_of = lambda params: mean_loss(network, params, state.state, batch, problem.loss, key=key, train=True)
        (loss, (outputs, _, network_state)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        value_of = lambda params: mean_loss(network, params, state.state, batch, problem.loss, key=key, train=True)[0]
        of_the_batch = {"value": loss, "grad": grads, "value_fn": value_of}  # for optimizers that search along a line
        update: Callable[..., tuple[Params, optax.OptState]] = problem.optimizer(hyper).update
        updates, opt_state = update(grads, state.opt_state, state.params, **of_the_batch)
        first_failure = ~jnp.isfinite(loss) & (state.diverged_at == 0)
        updates = network.scaled(updates, jnp.asarray(hyper["lr_scale"]))
        return TrainState(
            params=optax.apply_updates(state.params, updates),
            state=network_state,
            opt_state=opt_state,
            loss_sum=state.loss_sum + loss,
            error_sum=state.error_sum + jnp.mean(errors(outputs, batch[1])),
            diverged_at=jnp.where(first_failure, number, state.diverged_at),
        )

    return step


def step_key(hyper: Hyper, number: Int[Array, ""]) -> Array:
    """The key of what a network draws at a step."""
    words = jnp.asarray(hyper["network_key"], jnp.uint32)
    return jax.random.fold_in(jax.random.wrap_key_data(words), number)


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


def _make_update_ratio(network: Network) -> Callable[[Params, Params], Float[Array, " weight"]]:
    def update_ratio(before: Params, after: Params) -> Float[Array, " weight"]:
        """(weight,) ||W - W'|| / ||W||, kernels only."""
        pairs = zip(network.kernels(before), network.kernels(after), strict=True)
        return jnp.stack([_size(new - old) / _size(old) for old, new in pairs])

    return update_ratio


def _size(kernel: Array) -> Float[Array, ""]:
    """Its norm. Of a window's axes XLA sums in an order that depends on how replicas lie in memory; of a row in one."""
    size: Array = jnp.linalg.norm(kernel if kernel.ndim == 2 else kernel.reshape(-1))
    return size


def _make_measure(problem: Problem) -> Measure:
    dataset, network = problem.dataset, problem.network

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
            loss, (outputs, *_) = mean_loss(network, state.params, state.state, batch_of_valid, problem.loss)
            error = jnp.mean(errors(outputs, valid.y))
            readings |= {"valid_loss": loss, "valid_error": error, "update_ratio": update_ratio}
            readings |= problem.probe(state.params, state.state, batch, edges)
        return readings

    return measure


def _make_evaluate(problem: Problem) -> Evaluate:
    dataset = problem.dataset

    def totals(params: Params, state: NetworkState, examples: Examples) -> Float[Array, "2"]:
        batch = dataset.decode(examples.x), examples.y
        loss, (outputs, *_) = mean_loss(problem.network, params, state, batch, problem.loss)
        return jnp.stack([loss * len(examples.y), jnp.sum(errors(outputs, examples.y))])

    def mean_over(params: Params, state: NetworkState, examples: Examples) -> Float[Array, "2"]:
        n = len(examples.y)
        whole = n // EVALUATION_BATCH * EVALUATION_BATCH
        batches = jax.tree.map(lambda a: a[:whole].reshape(-1, EVALUATION_BATCH, *a.shape[1:]), examples)
        total = jnp.sum(lax.map(lambda batch: totals(params, state, batch), batches), axis=0)
        if whole < n:
            total += totals(params, state, Examples(examples.x[whole:], examples.y[whole:]))
        return total / n

    def evaluate(params: Params, state: NetworkState, data: Arrays) -> Readings:
        valid, test = mean_over(params, state, data["valid"]), mean_over(params, state, data["test"])
        return {"valid_loss": valid[0], "valid_error": valid[1], "test_loss": test[0], "test_error": test[1]}

    return evaluate
