"""From the config to the problem: the only reader of the config on the way to the trainer."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from xinit.core import backend
from xinit.core.custom import is_custom
from xinit.core.errors import InputError
from xinit.core.extra import NOTHING, Extra
from xinit.data.dataset import Arrays, Dataset
from xinit.networks import custom_loss
from xinit.networks.activations import Activation
from xinit.networks.choices import activation_of, loss_of, losses_for
from xinit.networks.losses import Loss
from xinit.networks.mlp import Apply, Params, make_apply, make_params, with_learned
from xinit.probes.edges import BINS
from xinit.probes.extra import ExtraReading, describe, import_extra
from xinit.probes.probe import Probe, make_probe, signals
from xinit.schemes import Hyper, Scheme
from xinit.settings.config import Config
from xinit.training.choices import check_scheme, scheme_of
from xinit.training.optimization import Optimizer, Schedule, check_optimizer, numbers_of, optimizer_of, schedule_of

TARGETS = {"labels": "labels, whole numbers of an integer type", "values": "values, real numbers of a float type"}


class Problem(NamedTuple):
    """What decides the compiled program. `widths` runs from inputs to classes; `points` are the probed steps.

    `extra` describes the readings of the user's that the probe gives, `extra_numbers` is how many numbers they have.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    apply: Apply
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
    """A problem and what is a number or an array in it: weights to start from, data order, hyper-parameters, data."""

    problem: Problem
    params: Params
    data_key: Array
    hyper: Hyper
    data: Arrays


class Plan(NamedTuple):
    """Checked configs that share a program, before anything is generated or compiled.

    One scheme and one set of numbers for each config; schemes are jitted, and equal ones are one function.
    """

    configs: tuple[Config, ...]
    problem: Problem
    schemes: tuple[Scheme, ...]
    hypers: tuple[Hyper, ...]


def plan(configs: Sequence[Config]) -> Plan:
    """What configs of one program describe, the parts checked against each other.

    Raises:
      InputError: the parts do not go together, a function of the user's fails, data is missing, no run fits the memory.
    """
    problem = build_problem(configs[0])
    backend.check_memory(needed_bytes(problem, configs[0]))
    check_optimizer(configs[0].optimizer, problem.optimizer, abstract_params(problem))
    batch = abstract_batch(problem)
    jitted = {}
    for config in configs:
        name = repr((config.scheme.fn, config.scheme.options))
        if name not in jitted:
            scheme = scheme_of(config.scheme)
            check_scheme(scheme, problem.widths, problem.activations, numbers_of(config), batch, config.scheme.fn)
            jitted[name] = jax.jit(scheme, static_argnums=(1, 2))
    schemes = tuple(jitted[repr((config.scheme.fn, config.scheme.options))] for config in configs)
    return Plan(tuple(configs), problem, schemes, tuple(map(numbers_of, configs)))


def needed_bytes(problem: Problem, config: Config) -> dict[str, int]:
    """The memory that a run needs at the least, by what it is for and the settings that decide it."""
    layers, values, float32 = len(config.widths), sum(problem.widths), 4
    probed = config.probe.examples if problem.probe else 0
    jacobians = min(config.probe.jacobian_examples, probed) if config.probe.tier == "full" else 0
    weights = sum((i + 1) * o for i, o in itertools.pairwise(problem.widths))
    return {
        "the weights and their update (width, depth)": 2 * float32 * weights,
        "the fixed examples (data.valid, data.test)": config.data.generated_bytes,
        "the stored examples (data)": problem.dataset.stored_bytes,
        "the signals of a batch (batch_size)": 2 * float32 * values * config.batch_size,
        "the signals of the probe (probe.examples)": 2 * float32 * values * probed,
        "the Jacobians (probe.jacobian_examples, width)": float32 * max(problem.widths) ** 2 * jacobians,
        "the histograms (probe.points, depth)": 3 * float32 * BINS * layers * len(problem.points) if probed else 0,
        "your readings (probe.extra, probe.points)": float32 * problem.extra_numbers * len(problem.points),
    }


def load(planned: Plan) -> Arrays:
    """The data of a plan, on the device."""
    data = planned.problem.dataset.load()
    data["probe"] = data["test"].head(planned.configs[0].probe.examples)
    return data


def abstract_batch(problem: Problem) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Shapes and types of a batch (x_BI, y_B), for what is checked before there are data."""
    n = problem.batch_size
    return jax.ShapeDtypeStruct((n, problem.widths[0]), jnp.float32), _abstract_targets(problem.dataset, n)


def _abstract_targets(dataset: Dataset, n: int) -> jax.ShapeDtypeStruct:
    """Shape and type of the targets of n examples."""
    if dataset.targets == "values":
        return jax.ShapeDtypeStruct((n, dataset.n_outputs), jnp.float32)
    return jax.ShapeDtypeStruct((n,), jnp.int32)


def abstract_params(problem: Problem) -> PyTree[jax.ShapeDtypeStruct]:
    """Shapes and types of the parameters, for what is checked before there are any."""
    shapes = list(itertools.pairwise(problem.widths))

    def zeros() -> Params:
        drawn = make_params([jnp.zeros(shape) for shape in shapes], [jnp.zeros(o) for _, o in shapes])
        return with_learned(drawn, problem.activations)

    return jax.eval_shape(zeros)


def initial_run(planned: Plan, i: int, data: Arrays) -> Run:
    """The run of a plan's i-th config, its initial weights drawn: each on its own, whatever runs beside it."""
    problem, config, hyper = planned.problem, planned.configs[i], planned.hypers[i]
    first = data["valid"].head(problem.batch_size)
    batch = problem.dataset.decode(first.x), first.y
    params, lr_scale = planned.schemes[i](init_key(config), problem.widths, problem.activations, hyper, batch)
    params = with_learned(params, problem.activations)
    return Run(problem, params, data_key(config), {**hyper, "lr_scale": lr_scale}, data)


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


def build_problem(config: Config) -> Problem:
    """The static side of a config."""
    made = {repr(choice): activation_of(choice.fn, choice.options) for choice in config.activations}
    functions = tuple(made[repr(choice)] for choice in config.activations)
    optimizer = optimizer_of(config.optimizer)
    dataset = config.data.dataset(config.batch_size)
    loss = _loss(config, dataset)
    widths = (dataset.n_inputs, *config.widths, dataset.n_outputs)
    apply = make_apply(widths, functions, config.precision)
    probe, extra = None, import_extra(config.probe.extra)
    if config.probe.tier != "off":
        probe = make_probe(apply, functions, config.probe.tier, config.probe.jacobian_examples, loss, extra)
    points = probe_points(config) if probe else (config.steps,)
    schedule = schedule_of(config.schedule, config.steps)
    numbers = points, config.steps, config.batch_size
    problem = Problem(widths, functions, apply, dataset, loss, optimizer, schedule, probe, *numbers)
    return _with_extra(problem, extra, config.probe.examples) if extra else problem


def _with_extra(problem: Problem, extra: Sequence[ExtraReading], n_examples: int) -> Problem:
    """The problem, with what readings of the user's give of its network on so many examples."""
    x, y = (jax.ShapeDtypeStruct((n_examples, *a.shape[1:]), a.dtype) for a in abstract_batch(problem))
    look = lambda params, batch: signals(problem.apply, params, batch, problem.loss)
    described, n = describe(extra, look, abstract_params(problem), (x, y))
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
