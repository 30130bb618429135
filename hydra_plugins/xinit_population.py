"""Where Hydra looks for launchers and sweepers; the launcher's work is in `xinit.launcher`."""

import importlib.util
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # as Hydra has just loaded it
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.utils import instantiate

from xinit import launcher, sweeping
from xinit.errors import InputError

# Of other people's packages the launchers and sweepers that conf/hydra builds on.
PACKAGES = {
    "hydra_joblib_launcher": ("launcher", "joblib"),
    "hydra_submitit_launcher": ("launcher", "submitit_local", "submitit_slurm"),
    "hydra_ray_launcher": ("launcher", "ray"),
    "hydra_optuna_sweeper": ("sweeper", "optuna"),
}


class PopulationLauncher(launcher.PopulationLauncher):
    """Hydra instantiates plugins of modules below hydra_plugins only."""


class BoundedSweeper(BasicSweeper):
    """Hydra's basic sweeper, which counts its jobs before it lists them, and writes no file of its own."""

    def sweep(self, arguments: list[str]) -> None:
        """Run all combinations, in batches where that is asked for.

        Raises:
          InputError: there are none, or more than can be; as the launcher.
        """
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        sweeping.check_number(math.prod(map(_count, overrides)))
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise InputError(f"hydra.sweeper.max_batch_size is {self.max_batch_size}; it must be at least 1, or null.")
        n = 0
        for batch in self.split_arguments(overrides, self.max_batch_size):
            self.validate_batch_is_legal(batch)
            for job in self.launcher.launch(batch, initial_job_idx=n):
                _ = job.return_value  # raises what the job raised
            n += len(batch)


class PopulationSweeper(BoundedSweeper):
    """The sweeper of runs, whose launcher checks the jobs and whose table stands at the end."""

    def setup(self, *, hydra_context: Any, task_function: Callable, config: Any) -> None:
        """What Hydra tells a sweeper before `sweep`."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launcher = _checking(self.launcher, hydra_context, config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: the launcher checks all jobs before it begins. Hydra would compose every job (65 ms each) twice."""

    def sweep(self, arguments: list[str]) -> None:
        """Run all combinations, and say what came of those that another's launcher ran."""
        super().sweep(arguments)
        _conclude(self.launcher)


class TuningSweeper(Sweeper):
    """Optuna's sweeper with the settings' own names, which says at its end what was best."""

    def __init__(self, sampler: Any, **settings: Any) -> None:
        self.sampler, self.settings = sampler, settings  # those of Optuna's sweeper

    def setup(self, *, hydra_context: Any, task_function: Callable, config: Any) -> None:
        """What Hydra tells a sweeper before `sweep`.

        Raises:
          InputError: Optuna's sweeper is not installed.
        """
        try:
            import optuna
            from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
        except ImportError as error:
            raise _absence("hydra_optuna_sweeper") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar was new in 2.8
            self.optuna = OptunaSweeper(instantiate(self.sampler), **self.settings)
        sweeping.check_number(self.settings["n_trials"])
        self.optuna.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.optuna.sweeper.launcher = _checking(self.optuna.sweeper.launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the study; a setting's name has no pluses in it, so one that is given takes the place of ours."""
        self.optuna.sweep([argument.lstrip("+") for argument in arguments])
        if isinstance(self.optuna.sweeper.launcher, launcher.PopulationLauncher):
            self.optuna.sweeper.launcher.conclude_study()
        _conclude(self.optuna.sweeper.launcher)


def _checking(own: Launcher, hydra_context: Any, config: Any) -> Any:
    """A launcher that checks all jobs before the first: ours does, another's is told to."""
    ours = isinstance(own, launcher.PopulationLauncher)
    return own if ours else launcher.OthersLauncher(own, hydra_context, config)


def _conclude(own: Any) -> None:
    if isinstance(own, launcher.OthersLauncher):
        own.conclude()


def _count(override: Override) -> int:
    """The values that an override goes through, as far as they are counted; one for what is not swept."""
    if not override.is_discrete_sweep():
        return 1
    value = override.value()
    values = value.range() if isinstance(value, RangeSweep) else override.sweep_iterator()
    return sum(1 for _ in itertools.islice(values, sweeping.MOST_RUNS + 1))


class Absent(Launcher, Sweeper):
    """Stands for a launcher or sweeper that is not installed, and says so where it is chosen."""

    def __init__(self, package: str, **settings: Any) -> None:
        self.package = package

    def setup(self, *, hydra_context: Any, task_function: Callable, config: Any) -> None:
        """What Hydra calls first.

        Raises:
          InputError: always.
        """
        raise _absence(self.package)

    launch = sweep = setup  # never reached


def _absence(package: str) -> InputError:
    return InputError(f"{package.replace('_', '-')} is not installed; pip install 'xinit[launchers]' brings it.")


@dataclass
class PopulationLauncherConf:
    """The config node hydra/launcher=population; `inner` holds another launcher's node, to hand the groups to."""

    _target_: str = "hydra_plugins.xinit_population.PopulationLauncher"
    _recursive_: bool = False  # the launcher instantiates `inner` itself, as Hydra does launchers
    inner: Any = None
    runs_per_job: int | None = None
    cores_per_job: int | None = None


@dataclass
class BoundedSweeperConf:
    """The config node hydra/sweeper=bounded, with the settings of Hydra's own basic one."""

    _target_: str = "hydra_plugins.xinit_population.BoundedSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


@dataclass
class PopulationSweeperConf(BoundedSweeperConf):
    """The config node hydra/sweeper=population."""

    _target_: str = "hydra_plugins.xinit_population.PopulationSweeper"


@dataclass
class TuningSweeperConf:
    """The config node hydra/sweeper=population_optuna, with the settings of Optuna's sweeper."""

    _target_: str = "hydra_plugins.xinit_population.TuningSweeper"
    _recursive_: bool = False  # the sweeper instantiates `sampler` itself, where there is an Optuna
    sampler: Any = None
    direction: Any = "minimize"
    storage: str | None = None
    study_name: str | None = None
    n_trials: int = 32
    n_jobs: int = 8
    max_failure_rate: float = 0.0
    search_space: Any = None
    custom_search_space: str | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store("population", PopulationLauncherConf, group="hydra/launcher", provider="xinit")
ConfigStore.instance().store("bounded", BoundedSweeperConf, group="hydra/sweeper", provider="xinit")
ConfigStore.instance().store("population", PopulationSweeperConf, group="hydra/sweeper", provider="xinit")
ConfigStore.instance().store("population_optuna", TuningSweeperConf, group="hydra/sweeper", provider="xinit")
for package, (group, *names) in PACKAGES.items():
    if importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        for name in names:
            node = {"_target_": f"{__name__}.Absent", "package": package}
            ConfigStore.instance().store(name, node, group=f"hydra/{group}", provider="xinit")
