"""A configuration before any training: what theory predicts of every layer beside what its networks show.

The measured side is the probe that training uses, on the initial networks of several seeds.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from xinit import ensemble, verdict
from xinit.build import Plan, Problem, build_scheme, load, plan
from xinit.config import ActivationConfig, Config, SchemeConfig
from xinit.data.dataset import Arrays
from xinit.errors import InputError
from xinit.initializers import Law
from xinit.inspected import HORIZON, Inspection, Reach
from xinit.schemes import law_of
from xinit.theory.advice import Candidate, expected_dead, remedy
from xinit.theory.mean_field import longest_depth, phase, walk
from xinit.theory.prediction import Prediction, predict

RANGES = ("act_low", "act_high")
NARROW = 16  # units: wider layers of rectifiers are not dead in one network of ten thousand
ALSO_MEASURED = {"act_cosine": "act_cosine_mean", "act_slope": "act_slope", "act_dead": "act_dead",
                 "jacobian_sv_mean": "jacobian_sv_mean"}  # fmt: skip


@jax.enable_x64(False)  # as a run computes, whatever else the session does
def inspect_config(config: Config, n_seeds: int) -> Inspection:
    """Predict, measure over seeds from `init_seed` on, and judge; nothing is trained.

    Raises:
      InputError: fewer than two hidden layers or seeds, inputs that are not finite, an activation without finite
        moments, and whatever `plan` raises.
    """
    if len(config.widths) < 2:
        raise InputError(f"depth is {len(config.widths)}; a slope over depth needs at least 2 hidden layers.")
    planned, data = prepare(config)
    gram, labels = examples(planned.problem, data)
    networks = ensemble.measure(planned, data, range(config.init_seed, config.init_seed + n_seeds))
    problem, limits = planned.problem, dataclasses.asdict(config.verdict)
    laws, source = laws_of(planned, networks)
    prediction = predict(problem.widths, problem.activations, laws, gram, labels)
    measured = _measured(networks, problem.widths)
    findings = verdict.judge_start(networks | bounds(problem) | _dead_of(prediction, laws, problem, gram), limits)
    others = range(config.init_seed + n_seeds, config.init_seed + 2 * n_seeds)
    fault = functools.partial(fault_of, config, data, others)
    sentence = remedy_for(config, problem, data, laws, fault) if verdict.calls_for_remedy(findings) else None
    return Inspection(
        config,
        problem.widths,
        prediction,
        measured,
        {name: _score(prediction, name, values) for name, values in measured.items()},
        findings,
        sentence,
        _reach(planned, laws, prediction, limits),
        source,
    )


def prepare(config: Config) -> tuple[Plan, Arrays]:
    """The plan of a config, with a probe that suffices, and its data."""
    tier = "full" if config.probe.tier == "full" else "economy"
    planned = plan([dataclasses.replace(config, probe=dataclasses.replace(config.probe, tier=tier))])
    return planned, load(planned)


def examples(problem: Problem, data: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Of the probe batch, the second moments between inputs (B, B) and the labels (B,).

    Raises:
      InputError: an input is not finite.
    """
    batch = ensemble.probe_batch(problem, data)
    x, labels = np.asarray(batch[0], float), np.asarray(batch[1])
    if not np.all(np.isfinite(x)):
        raise InputError("The probe examples have values that are infinite or not numbers; inputs must be finite.")
    return x @ x.T / x.shape[1], labels


@jax.enable_x64(False)  # as a run computes, whatever else the session does
def predict_config(config: Config) -> Prediction:
    """What theory says of a config; a scheme that states no law is drawn once to see its variances."""
    planned, data = prepare(config)
    problem = planned.problem
    gram, labels = examples(problem, data)
    networks = {} if stated_laws(config.scheme, problem) else ensemble.measure(planned, data, [config.init_seed])
    return predict(problem.widths, problem.activations, laws_of(planned, networks)[0], gram, labels)


def predicted_readings(
    problem: Problem, scheme: SchemeConfig, gram: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """What theory predicts of a run at its start, by the names of `readings.PREDICTED`.

    Nothing where the scheme states no law, or theory cannot follow the signal.
    """
    laws = stated_laws(scheme, problem)
    if not laws:
        return {}
    try:
        prediction = predict(problem.widths, problem.activations, laws, gram, labels)
    except InputError:  # no finite moments where the signal goes: the run is judged by what it shows
        return {}
    found = {f"{name}_predicted": prediction.values[name] for name in ("act_slope", "act_cosine", "jacobian_sv_mean")}
    for name in prediction.networks:
        rms = f"{name.removesuffix('_second')}_rms_predicted"
        ends = prediction.interval(name)
        found |= {rms: prediction.values[name], f"{rms}_low": ends[0], f"{rms}_high": ends[1]}
    known = {name: np.sqrt(values) if "_rms_" in name else values for name, values in found.items()}
    return {name: values for name, values in known.items() if values.size and not np.all(np.isnan(values))}


def stated_laws(scheme: SchemeConfig, problem: Problem) -> list[Law]:
    """The laws of all weights, gain included, as the scheme states them; none where it states none."""
    stated = law_of(build_scheme(scheme), problem.widths, problem.activations)
    return [law.scaled(scheme.gain) for law in stated or ()]


def laws_of(planned: Plan, networks: Mapping[str, np.ndarray]) -> tuple[list[Law], str]:
    """The laws of all weights, gain included: what the scheme states, else the mean squares in networks it drew."""
    config, problem = planned.configs[0], planned.problem
    if stated := stated_laws(config.scheme, problem):
        return stated, "as the scheme states them"
    means = np.mean(networks["weight_second"], axis=0), np.mean(networks["bias_second"], axis=0)
    drawn = [Law(float(weight), bias_variance=float(bias)) for weight, bias in zip(*means, strict=True)]
    return drawn, "as drawn: the scheme states none"


def _dead_of(prediction: Prediction, laws: Sequence[Law], problem: Problem, gram: np.ndarray) -> dict[str, np.ndarray]:
    """As `expectations`; without biases a prediction has come to the same."""
    plain = all(f.rectifies for f in problem.activations) and not any(law.bias_variance for law in laws)
    same = plain and not prediction.void
    return {"act_dead_expected": prediction.values["act_dead"]} if same else expectations(problem, gram)


def bounds(problem: Problem) -> dict[str, np.ndarray]:
    """(layer,) the range of each activation function, by the names of the readings."""
    return {name: np.array([getattr(f, name.removeprefix("act_")) for f in problem.activations]) for name in RANGES}


def expectations(problem: Problem, gram: np.ndarray) -> dict[str, np.ndarray]:
    """(layer,) the dead units that the verdict compares with; nothing where not all functions are rectifiers."""
    if not all(f.rectifies for f in problem.activations):
        return {}
    return {"act_dead_expected": expected_dead(problem.activations, gram)}


def remedy_for(
    config: Config, problem: Problem, data: Arrays, laws: Sequence[Law], fault: Callable[[Candidate], str]
) -> str:
    """The sentence of `theory.advice.remedy` for networks of a config, on its probe examples.

    Args:
      config: of the networks that failed.
      problem: its problem.
      data: its data.
      laws: of its weights, or none where they are not known.
      fault: as `fault_of` says.
    """
    gram, labels = examples(problem, data)
    narrow = min(problem.widths[1:-1]) <= NARROW and all(f.rectifies for f in problem.activations)
    dead = predict(problem.widths, problem.activations, laws, gram, labels).dead if narrow and laws else 0.0
    q = float(np.mean(np.diag(gram)))
    within = config.verdict.signal_warn, config.verdict.signal_fail
    return remedy(problem.widths, problem.activations, q, *within, laws, fault, dead)


def fault_of(config: Config, data: Arrays, seeds: Sequence[int], candidate: Candidate) -> str:
    """What the verdict finds wrong with networks of other weights that another initialisation may mend, or ""."""
    scheme = SchemeConfig(candidate.fn, candidate.gain, dict(candidate.options))
    changed = dataclasses.replace(config, scheme=scheme)
    if candidate.activation:
        other = (ActivationConfig(candidate.activation),) * len(config.widths)
        changed = dataclasses.replace(changed, activations=other)
    planned = plan([dataclasses.replace(changed, probe=dataclasses.replace(config.probe, tier="economy"))])
    networks = ensemble.measure(planned, data, seeds)
    findings = verdict.judge_start(networks | bounds(planned.problem), dataclasses.asdict(config.verdict))
    return verdict.words_of(findings, "FAIL") if verdict.calls_for_remedy(findings) else ""


def _measured(networks: Mapping[str, np.ndarray], widths: Sequence[int]) -> dict[str, np.ndarray]:
    second = lambda name: networks[f"{name}_mean"] ** 2 + networks[f"{name}_std"] ** 2
    sizes = np.array(widths[:-1], float) * np.array(widths[1:])
    found = {f"{name}_second": second(name) for name in ("pre", "act", "grad_pre")}
    found["grad_w_second"] = networks["grad_w_norm"] ** 2 / sizes
    return found | {name: networks[reading] for name, reading in ALSO_MEASURED.items() if reading in networks}


def _score(prediction: Prediction, name: str, measured: np.ndarray) -> np.ndarray:
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


def _reach(planned: Plan, laws: Sequence[Law], prediction: Prediction, limits: Mapping[str, float]) -> Reach | None:
    """None where the hidden layers have different activations, or theory says nothing of them."""
    widths, functions = planned.problem.widths, planned.problem.activations
    start = float(prediction.values["pre_second"][0])
    hidden = laws[1:-1]
    if len({f.name for f in functions}) > 1 or not start > 0:
        return None
    mean = lambda fans: float(np.exp(np.mean(np.log([n * law.variance for n, law in zip(fans, hidden, strict=True)]))))
    forward, backward = mean(widths[1:-2]), mean(widths[2:-1])
    bias = float(np.mean([law.bias_variance for law in hidden]))
    walked = walk(functions[0], forward, bias, start, HORIZON, backward)
    settled = phase(functions[0], forward, bias, start)
    return Reach(longest_depth(walked, limits["signal_fail"]), settled.trainable_depth)
