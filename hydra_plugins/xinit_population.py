"""Where Hydra looks for launchers and sweepers; their work is in `xinit.commands`.

Hydra instantiates classes of modules below hydra_plugins only. Every Hydra application in the environment sees the two
nodes that are stored here; what our own commands need besides lies in conf/hydra, where they alone look.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from xinit.commands import launcher, sweepers


class PopulationLauncher(launcher.PopulationLauncher):
    """The launcher of hydra/launcher=population."""


class PopulationSweeper(sweepers.PopulationSweeper):
    """The sweeper of hydra/sweeper=population."""


class BoundedSweeper(sweepers.BoundedSweeper):
    """The sweeper of conf/hydra/sweeper/bounded.yaml."""


class TuningSweeper(sweepers.TuningSweeper):
    """The sweeper of conf/hydra/sweeper/population_optuna.yaml."""


@dataclass
class PopulationLauncherConf:
    """The config node hydra/launcher=population; `inner` holds another launcher's node, to hand the groups to."""

    _target_: str = "hydra_plugins.xinit_population.PopulationLauncher"
    _recursive_: bool = False  # the launcher instantiates `inner` itself, as Hydra does launchers
    inner: Any = None
    runs_per_job: int | None = None
    cores_per_job: int | None = None


@dataclass
class PopulationSweeperConf:
    """The config node hydra/sweeper=population, with the settings of Hydra's own basic one."""

    _target_: str = "hydra_plugins.xinit_population.PopulationSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store("population", PopulationLauncherConf, group="hydra/launcher", provider="xinit")
ConfigStore.instance().store("population", PopulationSweeperConf, group="hydra/sweeper", provider="xinit")
