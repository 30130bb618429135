"""From the config to the problem: the only reader of the config on the way to the trainer."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from xinit.core import backend
from xinit.core.custom import is_custom
from xinit.core.errors import InputError
from xinit.core.extra import NOTHING, Extra
from xinit.data.dataset import Arrays, Dataset
from xinit.networks import custom_loss
from xinit.networks.choices import activation_of, loss_of, losses_for, network_of
from xinit.networks.losses import Loss
from xinit.networks.network import Frame, Network, Params, State, completed
from xinit.probes.edges import BINS
from xinit.probes.extra import ExtraReading, describe, import_extra
from xinit.probes.jacobians import n_jacobians
from xinit.probes.passes import Batch, signals
from xinit.probes.probe import Probe, make_probe
from xinit.schemes import Hyper, Scheme
from xinit.settings.config import Config
from xinit.tracing.as_network import as_network
from xinit.training.choices import check_scheme, scheme_of
from xinit.training.optimization import Optimizer, Schedule, check_optimizer, numbers_of, optimizer_of, schedule_of

TARGETS = {"labels": "labels, whole numbers of an integer type", "values": "values, real numbers of a float type"}

# (key, hyper, batch): the weights, the network's state, and one factor of the learning rate for each weight.
Draw = Callable[[Array, Hyper, Batch], tuple[Params, State, Float[Array, " weight"]]]


class Problem(NamedTuple):
    """What decides the compiled program. `points` are the probed steps.

    `extra` describes the readings of the user's that the probe gives, `extra_numbers` is how many numbers they have.
    """

    network: Network
    dataset: Dataset
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    probe: Probe | None
    points: tuple[int, ...]
    steps: int
    batch_size: int
    extra: Extra = NOTHING
    extra_numbers: int = 0


class Run(NamedTuple):
    """A problem and what is a number or an array in it: weights to start from, data order, hyper-parameters, data.

    `state` is what the network changes beside its weights. Where it draws numbers while it trains, the hyper-parameters
    hold the words of its key, `network_key`.
    """

    problem: Problem
    params: Params
    state: State
    data_key: Array
    hyper: Hyper
    data: Arrays


class Plan(NamedTuple):
    """Checked configs that share a program, before anything is generated or compiled.

    One way to draw the weights and one set of numbers for each config; `draws` are jitted, and equal ones are one
    function.
    """

    configs: tuple[Config, ...]
    problem: Problem
    draws: tuple[Draw, ...]
    hypers: tuple[Hyper, ...]


def plan(configs: Sequence[Config]) -> Plan:
    """What configs of one program describe, the parts checked against each other.

    Raises:
      InputError: the parts do not go together, a function of the user's fails, data is missing, no run fits the memory.
    """
    problem = build_problem(configs[0])
    backend.check_memory(needed_bytes(problem, configs[0]))
    check_optimizer(configs[0].optimizer, problem.optimizer, problem.network.like[0])
    batch = abstract_batch(problem)
    jitted = {}
    for config in configs:
        name = repr((config.scheme.fn, config.scheme.options))
        if name not in jitted:
            scheme = scheme_of(config.scheme)
            check_scheme(scheme, problem.network, numbers_of(config), batch, config.scheme.fn)
            jitted[name] = jax.jit(_drawing(scheme, problem.network))
    draws = tuple(jitted[repr((config.scheme.fn, config.scheme.options))] for config in configs)
    return Plan(tuple(configs), problem, draws, tuple(map(numbers_of, configs)))


def _drawing(scheme: Scheme, network: Network) -> Draw:
    """What the scheme draws, completed with what it does not; the network's state; the factors of the rates."""

    def draw(key: Array, hyper: Hyper, batch: Batch) -> tuple[Params, State, Float[Array, " weight"]]:
        start, state = network.start(key)
        drawn, lr_scale = scheme(key, network, hyper, batch)
        return completed(start, drawn), state, lr_scale

    return draw


def needed_bytes(problem: Problem, config: Config) -> dict[str, int]:
    """The memory that a run needs at the least, by what it is for and the settings that decide it."""
    network, float32 = problem.network, 4
    values, layers = signal_values(problem), len(network.layers)
    probed = config.probe.examples if problem.probe else 0
    jacobians = min(config.probe.jacobian_examples, probed) if config.probe.tier == "full" else 0
    weights = sum(leaf.size for leaf in jax.tree.leaves(network.like))
    return {
        "the weights and their update (width, depth)": 2 * float32 * weights,
        "the fixed examples (data.valid, data.test)": config.data.generated_bytes,
        "the stored examples (data)": problem.dataset.stored_bytes,
        "the signals of a batch (batch_size)": 2 * float32 * values * config.batch_size,
        "the signals of the probe (probe.examples)": 2 * float32 * values * probed,
        "the Jacobians (probe.jacobian_examples, width)": float32 * max(network.widths) ** 2 * jacobians,
        "the histograms (probe.points, depth)": 3 * float32 * BINS * layers * len(problem.points) if probed else 0,
        "your readings (probe.extra, probe.points)": float32 * problem.extra_numbers * len(problem.points),
    }


def signal_values(problem: Problem) -> int:
    """How many numbers of one example pass a network: its inputs, what its layers read, its outputs."""
    network = problem.network
    params, state = network.like
    key = jax.random.key(0) if network.draws else None
    x = jax.ShapeDtypeStruct((1, network.n_inputs), jnp.float32)
    forward = lambda params, state, x: network.apply(params, state, x, key=key, train=True)[1].pre
    read: int = sum(shape.size for shape in jax.eval_shape(forward, params, state, x))
    return network.n_inputs + read + network.n_outputs


def load(planned: Plan) -> Arrays:
    """The data of a plan, on the device."""
    data = planned.problem.dataset.load()
    data["probe"] = data["test"].head(planned.configs[0].probe.examples)
    return data


def abstract_batch(problem: Problem) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Shapes and types of a batch (x_BI, y_B), for what is checked before there are data."""
    n = problem.batch_size
    return jax.ShapeDtypeStruct((n, problem.network.n_inputs), jnp.float32), _abstract_targets(problem.dataset, n)


def _abstract_targets(dataset: Dataset, n: int) -> jax.ShapeDtypeStruct:
    """Shape and type of the targets of n examples."""
    if dataset.targets == "values":
        return jax.ShapeDtypeStruct((n, dataset.n_outputs), jnp.float32)
    return jax.ShapeDtypeStruct((n,), jnp.int32)


def initial_run(planned: Plan, i: int, data: Arrays) -> Run:
    """The run of a plan's i-th config, its initial weights drawn: each on its own, whatever runs beside it."""
    problem, config, hyper = planned.problem, planned.configs[i], planned.hypers[i]
    first = data["valid"].head(problem.batch_size)
    batch = problem.dataset.decode(first.x), first.y
    params, state, lr_scale = planned.draws[i](init_key(config), hyper, batch)
    own = {"network_key": jax.random.key_data(network_key(config))} if problem.network.draws else {}
    return Run(problem, params, state, data_key(config), {**hyper, "lr_scale": lr_scale, **own}, data)


def build(config: Config) -> Run:
    """The run a config describes, with the errors of `plan`."""
    planned = plan([config])
    return initial_run(planned, 0, load(planned))


def chance_error(dataset: Dataset, data: Arrays) -> float:
    """The error of the best constant answer: known, or measured on the test set.

    Of labels it is that of the commonest valid one; of values, whose mean over the training examples is 0, that of 0:
    about 1, and not exactly, since the test set has another mean and variance.
    """
    if dataset.chance_error is not None:
        return dataset.chance_error
    if dataset.targets == "values":
        return float(np.mean(np.asarray(data["test"].y, float) ** 2))
    commonest = np.bincount(np.asarray(data["valid"].y), minlength=dataset.n_outputs).argmax()
    return float(np.mean(np.asarray(data["test"].y) != commonest))


def init_key(config: Config) -> Array:
    """The key of the initial weights."""
    return jax.random.fold_in(jax.random.key(config.init_seed), 0)


def data_key(config: Config) -> Array:
    """The key of the data order; another stream than the weights', also where the seeds are equal."""
    return jax.random.fold_in(jax.random.key(config.data_seed), 1)


def network_key(config: Config) -> Array:
    """The key of what the network draws while it trains, as dropout does."""
    return jax.random.fold_in(jax.random.key(config.data_seed), 2)


def build_problem(config: Config) -> Problem:
    """The static side of a config."""
    made = {repr(choice): activation_of(choice.fn, choice.options) for choice in config.activations}
    functions = tuple(made[repr(choice)] for choice in config.activations)
    optimizer = optimizer_of(config.optimizer)
    dataset = config.data.dataset(config.batch_size)
    loss = _loss(config, dataset)
    frame = Frame(dataset.input_shape, config.widths, functions, dataset.n_outputs, config.precision)
    network = (as_network if is_custom(config.network.fn) else network_of)(
        config.network.fn, config.network.options, frame
    )
    probe, extra = None, import_extra(config.probe.extra)
    if config.probe.tier != "off":
        probe = make_probe(network, config.probe.tier, config.probe.jacobian_examples, loss, extra)
    points = probe_points(config) if probe else (config.steps,)
    schedule = schedule_of(config.schedule, config.steps)
    numbers = points, config.steps, config.batch_size
    problem = Problem(network, dataset, loss, optimizer, schedule, probe, *numbers)
    return _with_extra(problem, extra, config.probe.examples) if extra else problem


def _with_extra(problem: Problem, extra: Sequence[ExtraReading], n_examples: int) -> Problem:
    """The problem, with what readings of the user's give of its network on so many examples."""
    x, y = (jax.ShapeDtypeStruct((n_examples, *a.shape[1:]), a.dtype) for a in abstract_batch(problem))
    network = problem.network
    params, state = network.like
    look = lambda params, batch: signals(network, params, jax.tree.map(jnp.zeros_like, state), batch, problem.loss)
    lengths = {"layer": len(network.layers), "weight": len(network.weights)}
    if n_of_jacobians := n_jacobians(network):
        lengths["jacobian"] = n_of_jacobians
    described, n = describe(extra, look, params, (x, y), len(network.layers), lengths)
    return problem._replace(extra=described, extra_numbers=n)


def _loss(config: Config, dataset: Dataset) -> Loss:
    """The loss, checked against the targets of the data."""
    loss = loss_of(config.loss.fn, config.loss.options)
    if loss.targets not in (dataset.targets, None):
        fitting = [f"loss={name}" for name in losses_for(dataset.targets)]
        raise InputError(
            f"loss={config.loss.fn} needs {TARGETS[loss.targets]}, as targets; data={config.data.label} has "
            f"{TARGETS[dataset.targets]}. Choose {' or '.join(fitting)}, or a function of your own."
        )
    if is_custom(config.loss.fn):
        custom_loss.check(loss, dataset.n_outputs, lambda n: _abstract_targets(dataset, n))
    return loss


def probe_points(config: Config) -> tuple[int, ...]:
    """Steps to probe at, from 0 to the last: evenly spaced, or the later the sparser."""
    n, last = config.probe.points, config.steps
    if config.probe.schedule == "linear":
        points = np.linspace(0, last, n)
    else:
        first = max(1, last / 2000)  # earlier than that little has moved
        points = np.concatenate([[0], np.geomspace(first, last, n - 1)[:-1], [last]])
    return tuple(int(step) for step in np.unique(np.round(points)))
