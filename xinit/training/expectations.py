"""What theory expects of the runs of one problem: predictions beside their readings, and a remedy."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Shaped

from xinit.analysis import verdict
from xinit.core.errors import InputError
from xinit.data.dataset import Arrays
from xinit.initializers import Law
from xinit.schemes import law_of
from xinit.settings.config import ActivationConfig, Config, SchemeConfig
from xinit.theory.advice import Candidate, expected_dead, remedy
from xinit.theory.prediction import predict
from xinit.training import ensemble
from xinit.training.choices import scheme_of
from xinit.training.problem import Problem, plan

PREDICTING = ("standard", "full")  # probe tiers that are worth the second or so of a prediction
MEASURED_ANEW = 8  # networks of the weights that a remedy would name
NARROW = 16  # units: wider layers of rectifiers are not dead in one network of ten thousand
RANGES = ("act_low", "act_high")


class Expectations:
    """What theory expects of runs that share a problem and its data; all is computed when it is first asked for."""

    def __init__(self, config: Config, problem: Problem, data: Arrays) -> None:
        """`config` is one of the runs', for what they share."""
        self._config, self._problem, self._data = config, problem, data
        self._predictions: dict[str, dict[str, np.ndarray]] = {}  # by scheme

    def readings(self, scheme: SchemeConfig) -> dict[str, Float[np.ndarray, " _"]]:
        """What the verdict compares with, and what is predicted of a scheme's initial networks; nothing unprobed."""
        return self._common | self._predicted(scheme)

    def remedy(self, config: Config) -> str:
        """What would mend the initialisation of one of the runs, in a sentence."""
        laws = stated_laws(config.scheme, self._problem)
        try:
            return remedy_for(config, self._problem, self._data, laws, self._fault)
        except InputError as error:  # no finite moments where the signal goes
            return f"No remedy is known. {error}"

    @functools.cached_property
    def _examples(self) -> tuple[Float[np.ndarray, "batch batch"], Shaped[np.ndarray, "batch ..."]]:
        return examples(self._problem, self._data)

    @functools.cached_property
    def _common(self) -> dict[str, np.ndarray]:
        return dead_expected(self._problem, self._examples[0]) if self._problem.probe else {}

    def _predicted(self, scheme: SchemeConfig) -> dict[str, np.ndarray]:
        if self._config.probe.tier not in PREDICTING:
            return {}
        if (key := repr(scheme)) not in self._predictions:
            self._predictions[key] = predicted_readings(self._problem, scheme, *self._examples)
        return self._predictions[key]

    @functools.cached_property
    def _fault(self) -> Callable[[Candidate], str]:
        """What is wrong with networks of other weights; every one is measured once."""
        seeds = range(self._config.init_seed + 1, self._config.init_seed + 1 + MEASURED_ANEW)
        return functools.cache(functools.partial(fault_of, self._config, self._data, seeds))


def examples(
    problem: Problem, data: Arrays
) -> tuple[Float[np.ndarray, "batch batch"], Shaped[np.ndarray, "batch ..."]]:
    """Of the probe batch, the second moments between inputs (B, B) and the targets.

    Raises:
      InputError: an input is not finite.
    """
    batch = ensemble.probe_batch(problem, data)
    x, targets = np.asarray(batch[0], float), np.asarray(batch[1])
    if not np.all(np.isfinite(x)):
        raise InputError("The probe examples have values that are infinite or not numbers; inputs must be finite.")
    return x @ x.T / x.shape[1], targets


def predicted_readings(
    problem: Problem,
    scheme: SchemeConfig,
    gram: Float[np.ndarray, "batch batch"],
    targets: Shaped[np.ndarray, "batch ..."],
) -> dict[str, Float[np.ndarray, " _"]]:
    """What theory predicts of a run at its start, by the names of `readings.PREDICTED`.

    Nothing where the scheme states no law, or theory cannot follow the signal.
    """
    laws = stated_laws(scheme, problem)
    if not laws:
        return {}
    try:
        prediction = predict(problem.network, laws, gram, targets, problem.loss)
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
    stated = law_of(scheme_of(scheme), problem.network)
    return [law.scaled(scheme.gain) for law in stated or ()]


def bounds(problem: Problem) -> dict[str, Float[np.ndarray, " layer"]]:
    """(layer,) the range of each activation function, by the names of the readings."""
    return {
        name: np.array([getattr(f, name.removeprefix("act_")) for f in problem.network.activations]) for name in RANGES
    }


def dead_expected(problem: Problem, gram: Float[np.ndarray, "batch batch"]) -> dict[str, Float[np.ndarray, " layer"]]:
    """(layer,) the dead units that the verdict compares with; nothing where not all functions are rectifiers."""
    if not all(f.rectifies for f in problem.network.activations):
        return {}
    return {"act_dead_expected": expected_dead(problem.network.activations, gram)}


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
    gram, targets = examples(problem, data)
    narrow = min(problem.network.widths[1:-1]) <= NARROW and all(f.rectifies for f in problem.network.activations)
    dead = predict(problem.network, laws, gram, targets, problem.loss).dead if narrow and laws else 0.0
    q = float(np.mean(np.diag(gram)))
    within = config.verdict["signal_warn"], config.verdict["signal_fail"]
    return remedy(problem.network.widths, problem.network.activations, q, *within, laws, fault, dead)


def fault_of(config: Config, data: Arrays, seeds: Sequence[int], candidate: Candidate) -> str:
    """What the verdict finds wrong with networks of other weights that another initialisation may mend, or ""."""
    scheme = SchemeConfig(candidate.fn, candidate.gain, dict(candidate.options))
    changed = dataclasses.replace(config, scheme=scheme)
    if candidate.activation:
        other = (ActivationConfig(candidate.activation),) * len(config.widths)
        changed = dataclasses.replace(changed, activations=other)
    planned = plan([dataclasses.replace(changed, probe=dataclasses.replace(config.probe, tier="economy"))])
    networks = ensemble.measure(planned, data, seeds)
    findings = verdict.judge_start(networks | bounds(planned.problem), config.verdict)
    return verdict.sentences_at(findings, "FAIL") if verdict.calls_for_remedy(findings) else ""
