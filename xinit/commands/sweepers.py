"""Hydra's sweepers for our commands: one that counts its jobs first, one for runs, and one that tunes by Optuna."""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from xinit.commands import sweeping
from xinit.commands.launcher import OthersLauncher, PopulationLauncher
from xinit.core.errors import InputError
from xinit.settings.compose import normalise
from xinit.settings.hydra_errors import not_installed


class BoundedSweeper(BasicSweeper):
    """Hydra's basic sweeper, which counts its jobs before it lists them, and writes no file of its own."""

    def __init__(self, max_batch_size: int | None = None, params: dict[str, str] | None = None) -> None:
        # Not BasicSweeper's own, which looks its class up by name: Hydra defines that class anew for each session.
        Sweeper.__init__(self)
        self.max_batch_size, self.params = max_batch_size, params or {}

    def sweep(self, arguments: list[str]) -> None:
        """Run all combinations, in batches where that is asked for.

        Raises:
          InputError: there are none, or more than can be; as the launcher.
        """
        assert self.hydra_context is not None  # after `setup`
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        sweeping.check_number(math.prod(map(_count, overrides)))
        most = self.max_batch_size
        if most is not None and (type(most) is not int or most < 1):
            raise InputError(f"hydra.sweeper.max_batch_size is {most!r}; it must be at least 1, or null.")
        n = 0
        for jobs in self.split_arguments(overrides, most):
            batch = [normalise(job) for job in jobs]  # a job may choose a function of the user's
            self.validate_batch_is_legal(batch)
            for job in self.launcher.launch(batch, initial_job_idx=n):
                _ = job.return_value  # raises what the job raised
            n += len(batch)


class PopulationSweeper(BoundedSweeper):
    """The sweeper of runs, whose launcher checks the jobs and whose table stands at the end."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra tells a sweeper before `sweep`."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launcher = _checking(self.launcher, hydra_context, config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: the launcher checks all jobs before it begins. Hydra would compose every job (65 ms each) twice."""

    def sweep(self, arguments: list[str]) -> None:
        """Run all combinations, and say what came of those that another's launcher ran."""
        super().sweep(arguments)
        _conclude(self.launcher)


@dataclass
class TuningSettings:
    """The settings of Optuna's sweeper but for its sampler, with their types."""

    direction: Any = "minimize"
    storage: str | None = None
    study_name: str | None = None
    n_trials: int = 32
    n_jobs: int = 8
    max_failure_rate: float = 0.0
    search_space: Any = None
    custom_search_space: str | None = None
    params: dict[str, str] | None = None


class TuningSweeper(Sweeper):
    """Optuna's sweeper with the settings' own names, which says at its end what was best."""

    def __init__(self, sampler: DictConfig | None, **settings: Any) -> None:
        self.sampler, self.settings = sampler, settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra tells a sweeper before `sweep`.

        Raises:
          InputError: Optuna's sweeper is not installed.
          omegaconf.ValidationError: a setting has another type.
        """
        settings = _typed(self.settings)
        try:
            import optuna
            from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
        except ImportError as error:
            raise InputError(not_installed("hydra-optuna-sweeper")) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar was new in 2.8
            self.optuna = OptunaSweeper(instantiate(self.sampler), **settings)
        sweeping.check_number(settings["n_trials"])
        self.optuna.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.optuna.sweeper.launcher = _checking(self.optuna.sweeper.launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the study; a setting's name has no pluses in it, so one that is given takes the place of ours."""
        self.optuna.sweep([argument.lstrip("+") for argument in arguments])
        if isinstance(self.optuna.sweeper.launcher, PopulationLauncher):
            self.optuna.sweeper.launcher.conclude_study()
        _conclude(self.optuna.sweeper.launcher)


def _typed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as TuningSettings has them; an error names them as the command line does."""
    typed = OmegaConf.create({"hydra": {"sweeper": OmegaConf.structured(TuningSettings)}})
    for name, value in settings.items():
        OmegaConf.update(typed, f"hydra.sweeper.{name}", value, merge=False)
    return {name: typed.hydra.sweeper[name] for name in settings}


def _checking(launcher: Launcher | None, hydra_context: HydraContext, config: DictConfig) -> Launcher:
    """A launcher that checks all jobs before the first: ours does, another's is told to."""
    assert launcher is not None  # Hydra has set it up
    if isinstance(launcher, PopulationLauncher):
        return launcher
    return cast(Launcher, OthersLauncher(launcher, hydra_context, config))  # sweepers call `launch` alone


def _conclude(launcher: object) -> None:
    if isinstance(launcher, OthersLauncher):
        launcher.conclude()


def _count(override: Override) -> int:
    """The values that an override goes through, as far as they are counted; one for what is not swept.

    Raises:
      InputError: it goes through none that there can be, such as a range by steps of 0.
    """
    if not override.is_discrete_sweep():
        return 1
    value = override.value()
    try:
        values = value.range() if isinstance(value, RangeSweep) else override.sweep_iterator()
        return sum(1 for _ in itertools.islice(values, sweeping.MOST_RUNS + 1))
    except (ValueError, TypeError) as error:
        raise InputError(f"This command line cannot be read: {error}.") from error
