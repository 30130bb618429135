"""A configuration before any training: what theory predicts of every layer beside what its networks show.

The measured side is the probe that training uses, on the initial networks of several seeds.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float

from xinit.analysis import verdict
from xinit.analysis.inspection import HORIZON, Inspection, Reach
from xinit.core.errors import InputError
from xinit.data.dataset import Arrays
from xinit.initializers import Law
from xinit.networks.network import Network
from xinit.settings.config import Config
from xinit.theory.mean_field import longest_depth, phase, walk
from xinit.theory.prediction import Prediction, predict
from xinit.training import ensemble
from xinit.training.choices import stated_laws
from xinit.training.expectations import bounds, dead_expected, examples, fault_of, remedy_for
from xinit.training.places import about, places
from xinit.training.problem import Plan, Problem, load, plan

SIGNALS = ("pre", "act", "grad_pre")
ALSO_MEASURED = {"act_cosine": "act_cosine_mean", "act_slope": "act_slope", "act_dead": "act_dead",
                 "jacobian_sv_mean": "jacobian_sv_mean"}  # fmt: skip


# As a run computes, whatever else the session does.
@jax.enable_x64(False)  # type: ignore[untyped-decorator]  # of jax, which states no types of it
def inspect_config(config: Config, n_seeds: int) -> Inspection:
    """Predict, measure over seeds from `init_seed` on, and judge; nothing is trained.

    Raises:
      InputError: fewer than two hidden layers or seeds, inputs that are not finite, an activation without finite
        moments, and whatever `plan` raises.
    """
    if len(config.widths) < 2:
        raise InputError(f"depth is {len(config.widths)}; a slope over depth needs at least 2 hidden layers.")
    planned, data = prepare(config)
    gram, targets = examples(planned.problem, data)
    networks = ensemble.measure(planned, data, range(config.init_seed, config.init_seed + n_seeds))
    problem, limits = planned.problem, config.verdict
    laws, source = laws_of(planned, networks)
    prediction = predict(problem.network, laws, gram, targets, problem.loss)
    measured = _measured(networks, problem.network)
    known = bounds(problem) | places(problem.network) | _predicted(prediction)
    known |= _dead_of(prediction, laws, problem, gram)
    findings = verdict.judge_start(networks | known, limits, about(problem.network))
    others = range(config.init_seed + n_seeds, config.init_seed + 2 * n_seeds)
    fault = functools.partial(fault_of, data=data, seeds=others)
    sentence = remedy_for(config, problem, data, laws, fault) if verdict.calls_for_remedy(findings) else None
    return Inspection(
        config,
        problem.network.widths,
        prediction,
        measured,
        {name: _score(prediction, name, values) for name, values in measured.items()},
        findings,
        sentence,
        _reach(planned, laws, prediction, limits),
        source,
        problem.extra,
        {name: networks[name] for name in problem.extra},
        places(problem.network),
        about(problem.network),
    )


def prepare(config: Config) -> tuple[Plan, Arrays]:
    """The plan of a config, with a probe that suffices, and its data."""
    tier = "full" if config.probe.tier == "full" else "economy"
    planned = plan([dataclasses.replace(config, probe=dataclasses.replace(config.probe, tier=tier))])
    return planned, load(planned)


# As a run computes, whatever else the session does.
@jax.enable_x64(False)  # type: ignore[untyped-decorator]  # of jax, which states no types of it
def predict_config(config: Config) -> Prediction:
    """What theory says of a config; a scheme that states no law is drawn once to see its variances."""
    planned, data = prepare(config)
    problem = planned.problem
    gram, targets = examples(problem, data)
    networks = (
        {} if stated_laws(config.scheme, problem.network) else ensemble.measure(planned, data, [config.init_seed])
    )
    return predict(problem.network, laws_of(planned, networks)[0], gram, targets, problem.loss)


def laws_of(planned: Plan, networks: Mapping[str, Float[np.ndarray, "seed ..."]]) -> tuple[list[Law], str]:
    """The laws of all weights, gain included: what the scheme states, else the mean squares in networks it drew."""
    config, problem = planned.configs[0], planned.problem
    if stated := stated_laws(config.scheme, problem.network):
        return stated, "as the scheme states them"
    means = np.mean(networks["weight_second"], axis=0), np.mean(networks["bias_second"], axis=0)
    drawn = [Law(float(weight), bias_variance=float(bias)) for weight, bias in zip(*means, strict=True)]
    return drawn, "as drawn: the scheme states none"


def _predicted(prediction: Prediction) -> dict[str, np.ndarray]:
    """The sizes that theory says, by the names that the verdict knows."""
    return {f"{name}_rms_predicted": np.sqrt(prediction.values[f"{name}_second"]) for name in ("act", "grad_pre")}


def _dead_of(prediction: Prediction, laws: Sequence[Law], problem: Problem, gram: np.ndarray) -> dict[str, np.ndarray]:
    """As `dead_expected`; without biases a prediction has come to the same."""
    rectifiers = problem.network.is_plain and all(f.rectifies for f in problem.network.activations)
    plain = rectifiers and not any(law.bias_variance for law in laws)
    same = plain and not prediction.void
    return {"act_dead_expected": prediction.values["act_dead"]} if same else dead_expected(problem, gram)


def _measured(networks: Mapping[str, np.ndarray], network: Network) -> dict[str, np.ndarray]:
    sizes = np.array([math.prod(weight.shape) for weight in network.weights], float)
    found = {f"{name}_second": networks[f"{name}_mean"] ** 2 + networks[f"{name}_std"] ** 2 for name in SIGNALS}
    found["grad_w_second"] = networks["grad_w_norm"] ** 2 / sizes
    return found | {name: networks[reading] for name, reading in ALSO_MEASURED.items() if reading in networks}


def _score(prediction: Prediction, name: str, measured: Float[np.ndarray, "seed layer"]) -> Float[np.ndarray, " layer"]:
    """nan without a band, or where a network's value is zero or not finite, or the networks do not differ.

    Logarithms, since sizes of deep networks have tails that the mean of a few networks misses.
    """
    networks = prediction.networks.get(name, np.full((1, measured.shape[1]), np.nan))
    with np.errstate(all="ignore"):  # a signal may have left the range of floats
        logs, predicted = np.log(measured), np.log(networks)
        distance = np.mean(logs, axis=0) - np.mean(predicted, axis=0)
        error = np.sqrt(np.var(logs, axis=0, ddof=1) / len(logs) + np.var(predicted, axis=0) / len(predicted))
        scores = distance / error
    return np.where(np.isfinite(scores) & (error > 0), scores, np.nan)


def _mean_variance(fans: Sequence[int], laws: Sequence[Law]) -> float:
    """The geometric mean of fan x Var W."""
    return float(np.exp(np.mean(np.log([n * law.variance for n, law in zip(fans, laws, strict=True)]))))


def _reach(planned: Plan, laws: Sequence[Law], prediction: Prediction, limits: Mapping[str, float]) -> Reach | None:
    """None where the hidden layers have different activations, or theory says nothing of them."""
    network = planned.problem.network
    widths, functions = network.widths, network.activations
    start = float(prediction.values["pre_second"][0])
    hidden = laws[1:-1]
    if not network.is_plain or len({f.name for f in functions}) > 1 or not start > 0:
        return None
    forward, backward = _mean_variance(widths[1:-2], hidden), _mean_variance(widths[2:-1], hidden)
    bias = float(np.mean([law.bias_variance for law in hidden]))
    walked = walk(functions[0], forward, bias, start, HORIZON, backward)
    settled = phase(functions[0], forward, bias, start)
    return Reach(longest_depth(walked, limits["signal_fail"]), settled.trainable_depth)
