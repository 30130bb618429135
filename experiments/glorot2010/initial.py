"""The stage that trains nothing: networks at initialisation, and what mini-batches do to them there.

The conventions are the paper's. Back-propagated gradients dC/ds are those of single examples, s the pre-activation;
weight gradients dC/dW are summed over a mini-batch. The densities of a quantity share their bins between layers, so
that their peaks compare. Axes: L layers, B bins; seeds are a leading axis.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import runs
from experiments.study import Place
from xinit import probes
from xinit.core.errors import InputError
from xinit.probes import statistics
from xinit.settings.compose import compose, overrides_from
from xinit.settings.parse import parse
from xinit.training import ensemble
from xinit.training.problem import load, plan

if TYPE_CHECKING:
    from xinit.data.dataset import Arrays
    from xinit.training.problem import Plan, Problem

QUANTITIES = ("activation", "gradient", "weight_gradient")
BINS = 250
REACH = 4.0  # where the axis of a gradient's density ends, in standard deviations of the layer where it is largest


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]]:
    """What draws and measures the networks of each scheme.

    Raises:
      InputError: a setting is wrong.
    """
    own = settings[name]
    if own["examples"] < own["batches"] * own["batch_size"]:
        raise InputError(
            f"{name}.examples is {own['examples']}; it must be at least {own['batches']} mini-batches of "
            f"{own['batch_size']}."
        )
    shared = {key: own[key] for key in ("depth", "width", "activation", "data", "batch_size")}
    shared |= {"probe.examples": own["examples"]}
    shared |= {"data.pixel_range": own["pixel_range"]} if own["data"] != "synthetic" else {}
    raw = compose("train", overrides_from(shared))
    plans = {label: plan([parse({**raw, "scheme": runs.scheme(name)})]) for label, name in own["schemes"].items()}
    return functools.partial(measure, own, plans)


def measure(settings: Mapping[str, Any], plans: "Mapping[str, Plan]") -> dict[str, Any]:
    """Of every scheme: what each seed's network shows, its densities over all seeds, and what theory predicts."""
    first = next(iter(plans.values()))
    data = load(first)
    measured = _measurement(first.problem, data, settings)
    kept = ("data", "pixel_range", "depth", "width", "activation", "examples", "batch_size", "jacobian_examples")
    return {
        **{name: settings[name] for name in (*kept, "seeds")},
        "schemes": {
            label: {"scheme": settings["schemes"][label]}
            | _scheme(settings["seeds"], planned, data, measured)
            | {"predicted": _predicted(planned, data, settings)}
            for label, planned in plans.items()
        },
    }


def _drawn(planned: "Plan", data: "Arrays", seed: int) -> Any:
    from xinit.training.problem import initial_run

    own = dataclasses.replace(planned.configs[0], init_seed=seed)
    return initial_run(planned._replace(configs=(own,)), 0, data).params


def _scheme(n_seeds: int, planned: "Plan", data: "Arrays", measure: Callable) -> dict[str, Any]:
    """What the networks of all seeds show; the densities' axes are as wide as the first one asks."""
    first = measure(_drawn(planned, data, 0), dict.fromkeys(QUANTITIES, 1.0))
    reaches = {name: REACH * float(first[f"{name}_std"].max()) for name in QUANTITIES} | {"activation": 1.0}
    rows = [measure(_drawn(planned, data, seed), reaches) for seed in range(n_seeds)]
    stacked = {name: np.stack([row[name] for row in rows]) for name in first}
    over_seeds = lambda name, values: values.mean(0) if name.endswith("_density") else values
    edges = {f"{name}_edges": np.linspace(-reach, reach, BINS + 1).tolist() for name, reach in reaches.items()}
    return edges | {name: over_seeds(name, values).tolist() for name, values in stacked.items()}


def _measurement(problem: "Problem", data: "Arrays", settings: Mapping[str, Any]) -> Callable:
    """The compiled `(params, reaches) -> readings` of one network."""
    from xinit.theory.prediction import on_one_core

    x_NI, y_N = ensemble.probe_batch(problem, data)
    network = problem.network
    n, size, n_hidden = settings["batches"], settings["batch_size"], len(network.layers)
    batches = jax.tree.map(lambda a: a[: n * size].reshape(n, size, *a.shape[1:]), (x_NI, y_N))

    def described(name: str, reach: jax.Array, values: Sequence[jax.Array]) -> dict[str, jax.Array]:
        density = lambda a: statistics.histogram(a, -reach, reach, BINS) * BINS / (2 * reach)
        one = lambda a: {f"{name}_std": jnp.std(a), f"{name}_density": density(a)}
        return probes.over_layers(one, values)

    def of_a_batch(params: Any, reach: jax.Array, batch: probes.Batch) -> dict[str, jax.Array]:
        gradient = jax.grad(lambda params: size * probes.mean_loss(network, params, {}, batch)[0])(params)
        return described("weight_gradient", reach, network.kernels(gradient)[:n_hidden])

    def measure(params: Any, reaches: Mapping[str, jax.Array], x_NI, y_N, batches) -> dict[str, jax.Array]:
        passed = probes.backpropagate(network, params, {}, (x_NI, y_N))
        found = described("activation", reaches["activation"], passed.outputs.post)
        found |= described("gradient", reaches["gradient"], passed.at_layers)
        by_batch = jax.lax.map(lambda batch: of_a_batch(params, reaches["weight_gradient"], batch), batches)
        found |= jax.tree.map(lambda a: jnp.mean(a, axis=0), by_batch)
        slopes = [f.slope(z) for f, z in zip(network.activations, passed.outputs.pre, strict=True)]
        steps = probes.jacobians(network, params, {}, x_NI[: settings["jacobian_examples"]], slopes)
        values = probes.singular_values(steps, statistics.exact_quantiles)
        return found | {"jacobian_mean": values["jacobian_sv_mean"]}

    compiled = jax.jit(measure)

    @on_one_core  # LAPACK's threads and XLA's wait for each other: ten times as long, where others use the machine too
    def measured(params: Any, reaches: Mapping[str, float]) -> dict[str, np.ndarray]:
        return {name: np.asarray(a, float) for name, a in compiled(params, reaches, x_NI, y_N, batches).items()}

    return measured


def _predicted(planned: "Plan", data: "Arrays", settings: Mapping[str, Any]) -> dict[str, list[float]]:
    """What theory says of the same standard deviations and of the Jacobians, before any network is drawn."""
    from xinit.theory.prediction import predict
    from xinit.training import inspection

    problem, size = planned.problem, settings["batch_size"]
    gram, labels = inspection.examples(problem, data)
    laws, _ = inspection.laws_of(planned, {})
    about = lambda some: predict(problem.network, laws, gram[some, some], labels[some]).values
    whole = about(slice(None))
    batches = [about(slice(b * size, (b + 1) * size))["grad_w_second"] for b in range(settings["batches"])]
    return {
        "activation_std": np.sqrt(whole["act_second"]).tolist(),
        "gradient_std": np.sqrt(whole["grad_pre_second"]).tolist(),
        "weight_gradient_std": (size * np.sqrt(np.mean(batches, axis=0)[: settings["depth"]])).tolist(),
        "jacobian_mean": whole["jacobian_sv_mean"].tolist(),
    }
