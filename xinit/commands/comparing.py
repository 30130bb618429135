"""A comparison of schemes from its settings: it trains the runs of the search and the scores, and writes results.

All runs are runs like any others, so a comparison that was cut goes on with the same command.
"""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xinit.analysis import comparison, comparison_tables
from xinit.analysis.comparison import Comparison, Trial
from xinit.analysis.figures import comparison as comparison_figures
from xinit.analysis.learned import steps_to_tell
from xinit.analysis.networks import network_words
from xinit.analysis.outcomes import Outcome
from xinit.analysis.sweeps import error_is
from xinit.commands import sweeping
from xinit.core import folders
from xinit.core.errors import InputError
from xinit.core.readings import share_of
from xinit.runs import hosts
from xinit.settings.compose import container
from xinit.settings.config import PLAIN, Config
from xinit.settings.hydra_errors import translated_errors
from xinit.settings.parse import check_names

OWN_SETTINGS = ("schemes", "learning_rates", "search_seeds", "score_seeds")  # of conf/compare.yaml
SETTINGS = (*OWN_SETTINGS, "seed", "init_seed", "data_seed")


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how: the settings of conf/compare.yaml."""

    schemes: tuple[str, ...]
    learning_rates: tuple[float, ...]
    search_seeds: int
    score_seeds: int
    first_seed: int

    @property
    def seeds_of_search(self) -> range:
        """The seeds that learning rates are chosen on."""
        return range(self.first_seed, self.first_seed + self.search_seeds)

    @property
    def seeds_of_score(self) -> range:
        """The seeds that schemes are scored on, which the choice has not seen."""
        return range(self.first_seed + self.search_seeds, self.first_seed + self.search_seeds + self.score_seeds)


def compare(raw: dict[str, Any]) -> None:
    """Search, score, conclude: train all runs of a comparison and write and show what came of it.

    Raises:
      InputError: a setting is unknown or wrong; nothing was trained.
    """
    protocol, raw = take_protocol(raw)
    _refuse_one_rate()
    raws = {name: raw | {"scheme": _scheme(name)} for name in protocol.schemes}
    asked = list(itertools.product(raws, protocol.learning_rates, protocol.seeds_of_search))
    searched = _train(raws, asked, "the search for each scheme's learning rate")
    search = _trials(asked, searched, "valid_error")
    chosen = comparison.choose_rates(search, protocol.schemes, protocol.learning_rates)
    asked = [(name, chosen[name].learning_rate, seed) for name in raws for seed in protocol.seeds_of_score]
    scored = _train(raws, asked, "the scores at these rates, on fresh seeds")
    result = Comparison(
        title=_title(scored[0].config),
        chance=scored[0].summary["chance_error"],
        budget=f"{scored[0].config.steps:,} steps of {scored[0].config.batch_size}",
        schemes=protocol.schemes,
        rates=protocol.learning_rates,
        search=search,
        scores=_trials(asked, scored, "test_error"),
        curves=_curves(asked, scored),
        error_is=error_is([outcome.summary for outcome in scored]),
        tell=_tell(scored),
    )
    if hosts.index_and_count()[0] == 0:
        folder = _folder([*searched, *scored])
        comparison_figures.write(folder, result)
        _show(result, folder)


def _say(message: str) -> None:
    from xinit.commands.console import Reporter

    if hosts.index_and_count()[0] == 0:
        Reporter().note(message)


def take_protocol(raw: Mapping[str, Any]) -> tuple[Protocol, dict[str, Any]]:
    """The protocol, checked, and the settings that are left for the runs."""
    raw = dict(raw)
    check_names(raw, OWN_SETTINGS, ("scheme", "experiment"))
    if missing := [key for key in SETTINGS if key not in raw]:
        raise InputError(f"The setting {missing[0]} is missing; conf/compare.yaml has its default.")
    if raw.get("scheme") is not None:
        raise InputError("scheme is given; a comparison takes a list, as in schemes=[standard,xavier].")
    names, rates = raw.pop("schemes"), raw.pop("learning_rates")
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not texts or len(set(names)) < max(2, len(names)):
        raise InputError(f"schemes is {names!r}; it must be a list of at least two different schemes.")
    numbers = isinstance(rates, list) and all(type(rate) in (int, float) and rate > 0 for rate in rates)
    if not numbers or not rates or len(set(rates)) < len(rates):
        raise InputError(f"learning_rates is {rates!r}; it must be a list of different numbers above 0.")
    counts = {}
    for key, least in (("search_seeds", 1), ("score_seeds", 2)):
        counts[key] = raw.pop(key)
        if type(counts[key]) is not int or counts[key] < least:
            raise InputError(f"{key} is {counts[key]!r}; it must be a whole number, at least {least}.")
    if type(raw["seed"]) is not int or raw["init_seed"] != raw["seed"] or raw["data_seed"] != raw["seed"]:
        raise InputError("init_seed or data_seed is given; a comparison counts its seeds from seed, a whole number.")
    protocol = Protocol(tuple(names), tuple(map(float, sorted(rates))), **counts, first_seed=raw["seed"])
    sweeping.check_number(len(names) * (len(rates) * protocol.search_seeds + protocol.score_seeds))
    if protocol.seeds_of_score.stop > 2**32:
        raise InputError(f"The last seed would be {protocol.seeds_of_score.stop - 1}; it must be at most {2**32 - 1}.")
    return protocol, raw


def _refuse_one_rate() -> None:
    """A rate of the optimizer has no effect in a comparison, whose schemes get each of a list."""
    from hydra.core.hydra_config import HydraConfig

    given = [name.lstrip("+").partition("=")[0] for name in HydraConfig.get().overrides.task]
    if "optimizer.learning_rate" in given:
        raise InputError("A learning rate is given; a comparison takes a list, as in learning_rates=[0.01,0.03,0.1].")


def _scheme(name: str) -> dict[str, Any]:
    """The settings of a scheme, composed beside the rest of the command line."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    choice = ["+scheme=custom", f"++scheme.fn={name}"] if ":" in name else [f"+scheme={name}"]
    with translated_errors():
        config = hydra.compose("compare", overrides=[*HydraConfig.get().overrides.task, *choice])
        return container(config.scheme)


def _train(
    raws: Mapping[str, Mapping[str, Any]], asked: Sequence[tuple[str, float, int]], purpose: str
) -> list[Outcome]:
    """The outcomes of the runs asked for: scheme, learning rate, seed; `purpose` is told before the first begins."""

    def settings_of(name: str, rate: float, seed: int) -> dict[str, Any]:
        raw = raws[name]
        optimizer = {**raw.get("optimizer", {}), "learning_rate": rate}
        return {**raw, "optimizer": optimizer, "seed": seed, "init_seed": seed, "data_seed": seed}

    configs = sweeping.parse_all([settings_of(*run) for run in asked])
    _say(f"{purpose}: {len(asked)} runs of {len(raws)} schemes")
    outcomes = sweeping.run_all(configs)
    if missing := [outcome for outcome in outcomes if not outcome.summary]:
        states = f"{len(missing)} of {len(outcomes)} runs are {missing[0].state}"
        raise InputError(f"The comparison is not complete: {states}; the same command goes on (without stop_after).")
    return outcomes


def _trials(asked: Sequence[tuple[str, float, int]], outcomes: Sequence[Outcome], error: str) -> tuple[Trial, ...]:
    """A trial for each run; one that diverged has the chance error."""

    def trial(run: tuple[str, float, int], summary: Mapping[str, Any]) -> Trial:
        diverged = summary[error] is None
        return Trial(*run, summary["chance_error"] if diverged else summary[error], diverged)

    return tuple(trial(run, outcome.summary) for run, outcome in zip(asked, outcomes, strict=True))


def _curves(
    asked: Sequence[tuple[str, float, int]], outcomes: Sequence[Outcome]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each scheme the examples seen and the validation error of its runs, nan from where one diverged."""
    measured = [outcome.readings for outcome in outcomes if "valid_error" in outcome.readings]
    if not measured:
        return {}
    steps = max((readings["step"] for readings in measured), key=len)
    curves: dict[str, list[np.ndarray]] = {}
    for (name, _, _), outcome in zip(asked, outcomes, strict=True):
        errors = outcome.readings["valid_error"]
        curves.setdefault(name, []).append(np.pad(errors, (0, len(steps) - len(errors)), constant_values=np.nan))
    examples = steps * outcomes[0].config.batch_size
    return {name: (examples, np.stack(errors)) for name, errors in curves.items()}


def _tell(outcomes: Sequence[Outcome]) -> int | None:
    """The step by which it can be told, where no run has left chance and some of them were too short."""
    found = [(finding.level, finding.rule) for outcome in outcomes for finding in outcome.findings]
    if ("OK", "chance") in found or ("WARN", "early") not in found:
        return None
    return max(
        steps_to_tell(outcome.summary, outcome.readings, outcome.config.verdict)
        for outcome in outcomes
        if any(finding.rule == "early" for finding in outcome.findings)
    )


def _title(config: Config) -> str:
    functions = dict.fromkeys(activation.fn for activation in config.activations)
    if config.network != PLAIN:
        network = network_words(config.network.fn, config.network.options, config.widths)
        return f"{config.data.label}, {', '.join(functions)}, {network}"
    equal = len(set(config.widths)) == 1
    shape = f"{len(config.widths)} x {config.widths[0]}" if equal else " ".join(map(str, config.widths))
    return f"{config.data.label}, {', '.join(functions)}, hidden layers {shape}"


def _folder(outcomes: Sequence[Outcome]) -> pathlib.Path:
    """Where a comparison lies: it depends on its runs alone."""
    name = folders.name_of_members(outcome.path.name for outcome in outcomes)
    return pathlib.Path(outcomes[0].config.out, "comparisons", name)


def _show(result: Comparison, folder: pathlib.Path) -> None:
    from xinit.commands.console import Reporter

    reporter = Reporter()
    reporter.table(
        f"{result.title}; {result.budget}; chance {result.chance:.1%}{share_of(result.error_is)}",
        comparison_tables.rows(result),
    )
    for sentence in comparison.conclusions(result):
        reporter.note(f"- {sentence}")
    reporter.note(f"comparison: {folder}")
    reporter.picture(folder / "comparison.png")
    reporter.next("xinit.report", str(folder))
