"""The coordinate check of a configuration: networks of ours of several widths or depths, trained for a few steps."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xinit.analysis.coordinates import Coordinates, judge
from xinit.analysis.scaling import check_sizes
from xinit.probes.passes import mean_loss
from xinit.settings.config import Config
from xinit.tracing.coordinates import check_shapes, follow, sizes_of
from xinit.training.problem import Problem, initial_run, load, plan


# As a run computes, whatever else the session does.
@jax.enable_x64(False)  # type: ignore[untyped-decorator]  # of jax, which states no types of it
def check_configs(over: str, configs: Mapping[int, Config], n_seeds: int, steps: int) -> Coordinates:
    """Train the networks of all configs, which differ in their width or depth alone, on one batch, and judge.

    Sizes are those of what every nonlinearity reads, which in a residual network is the sum behind a branch, and of the
    logits; the seeds run from `init_seed` on.

    Raises:
      InputError: as `check_sizes`, `judge` and `plan`.
    """
    first = next(iter(configs.values()))
    seeds = range(first.init_seed, first.init_seed + n_seeds)
    values = check_sizes(over, list(configs))
    rows, names, shapes = [], [], []
    data = None
    for value in values:
        planned = plan([configs[value]])
        data = load(planned) if data is None else data
        problem = planned.problem
        measure = jax.jit(_measuring(problem, steps))
        of_seeds = []
        for seed in seeds:
            own = dataclasses.replace(configs[value], init_seed=seed)
            started = initial_run(planned._replace(configs=(own,)), 0, data)
            batch = data["valid"].head(problem.batch_size)
            examples = problem.dataset.decode(batch.x), batch.y
            of_seeds.append(np.asarray(measure(started.params, started.state, started.hyper, examples)))
        rows.append(np.stack(of_seeds))
        names.append((*(layer.name for layer in problem.network.layers), "logits"))
        shapes.append([leaf.shape for leaf in jax.tree.leaves(problem.network.like[0])])
    check_shapes(over, values, shapes)
    return judge(sizes_of(over, values, names, rows))


def _measuring(problem: Problem, steps: int) -> Callable[..., Array]:
    """The function of parameters, state, hyper-parameters and batch that trains and measures; nothing is drawn."""
    network = problem.network

    def measure(params: Any, state: Any, hyper: Any, batch: Any) -> Array:
        optimizer = problem.optimizer(hyper)

        def signals(params: Any) -> Sequence[Array]:
            logits, outputs, _ = network.apply(params, state, batch[0])
            return [*outputs.pre, logits]

        def update(grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return network.scaled(updates, jnp.asarray(hyper["lr_scale"])), opt_state

        loss = lambda params: mean_loss(network, params, state, batch, problem.loss)[0]
        return follow(signals, loss, params, optimizer.init(params), update, steps)

    return measure
