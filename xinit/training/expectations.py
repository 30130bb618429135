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
from xinit.settings.config import Config, SchemeConfig
from xinit.theory.advice import expected_dead, remedy
from xinit.theory.prediction import predict
from xinit.training import ensemble, remedies
from xinit.training.choices import stated_laws
from xinit.training.places import about, places
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
        self._faults: dict[str, str] = {}

    def readings(self, scheme: SchemeConfig) -> dict[str, Float[np.ndarray, " _"]]:
        """What the verdict compares with, and what is predicted of a scheme's initial networks; nothing unprobed."""
        return self._common | self._predicted(scheme)

    def remedy(self, config: Config) -> str:
        """What would mend the initialisation of one of the runs, in a sentence."""
        laws = stated_laws(config.scheme, self._problem.network)
        try:
            return remedy_for(config, self._problem, self._data, laws, self._fault)
        except InputError as error:  # no finite moments where the signal goes
            return f"No remedy is known. {error}"

    @functools.cached_property
    def _examples(self) -> tuple[Float[np.ndarray, "batch batch"], Shaped[np.ndarray, "batch ..."]]:
        return examples(self._problem, self._data)

    @functools.cached_property
    def _common(self) -> dict[str, np.ndarray]:
        if not self._problem.probe:
            return {}
        return places(self._problem.network) | dead_expected(self._problem, self._examples[0])

    def _predicted(self, scheme: SchemeConfig) -> dict[str, np.ndarray]:
        if self._config.probe.tier not in PREDICTING:
            return {}
        if (key := repr(scheme)) not in self._predictions:
            self._predictions[key] = predicted_readings(self._problem, scheme, *self._examples)
        return self._predictions[key]

    def _fault(self, changed: Config) -> str:
        """What is wrong with networks of a config that a remedy would name; every one is measured once."""
        key = repr((changed.scheme, changed.activations, changed.network))
        if key not in self._faults:
            seeds = range(self._config.init_seed + 1, self._config.init_seed + 1 + MEASURED_ANEW)
            self._faults[key] = fault_of(changed, self._data, seeds)
        return self._faults[key]


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
    laws = stated_laws(scheme, problem.network)
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


def bounds(problem: Problem) -> dict[str, Float[np.ndarray, " layer"]]:
    """(layer,) the range of each activation function, by the names of the readings."""
    return {
        name: np.array([getattr(f, name.removeprefix("act_")) for f in problem.network.activations]) for name in RANGES
    }


def dead_expected(problem: Problem, gram: Float[np.ndarray, "batch batch"]) -> dict[str, Float[np.ndarray, " layer"]]:
    """(layer,) the dead units that the verdict compares with; nothing where not all functions are rectifiers.

    Only of plain stacks, whose layers' own sizes do not matter: over skips they do.
    """
    if not problem.network.is_plain or not all(f.rectifies for f in problem.network.activations):
        return {}
    return {"act_dead_expected": expected_dead(problem.network.activations, gram)}


def remedy_for(
    config: Config, problem: Problem, data: Arrays, laws: Sequence[Law], fault: Callable[[Config], str]
) -> str:
    """The sentence of `theory.advice.remedy` for networks of a config, on its probe examples.

    Of networks that are no plain stack of layers that of `remedies.remedy`.

    Args:
      config: of the networks that failed.
      problem: its problem.
      data: its data.
      laws: of its weights, or none where they are not known.
      fault: what is wrong with networks of another config, as `fault_of` says.
    """
    gram, targets = examples(problem, data)
    q = float(np.mean(np.diag(gram)))
    network = problem.network
    if not network.is_plain:
        return remedies.remedy(config, network, q, fault)
    narrow = min(network.widths[1:-1]) <= NARROW and all(f.rectifies for f in network.activations)
    dead = predict(network, laws, gram, targets, problem.loss).dead if narrow and laws else 0.0
    within = config.verdict["signal_warn"], config.verdict["signal_fail"]
    wrong = lambda candidate: fault(remedies.with_weights(config, candidate))
    return remedy(network.widths, network.activations, q, *within, laws, wrong, dead)


def fault_of(config: Config, data: Arrays, seeds: Sequence[int]) -> str:
    """What the verdict finds wrong with networks of a config that another initialisation may mend, or ""."""
    planned = plan([dataclasses.replace(config, probe=dataclasses.replace(config.probe, tier="economy"))])
    network, measured = planned.problem.network, ensemble.measure(planned, data, seeds)
    networks = measured | bounds(planned.problem) | places(network)
    findings = verdict.judge_start(networks, config.verdict, about(network))
    return verdict.sentences_at(findings, "FAIL") if verdict.calls_for_remedy(findings) else ""
