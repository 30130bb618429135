"""Where Hydra looks for launchers and sweepers; the launcher's work is in `xinit.launcher`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # as Hydra has just loaded it
from hydra.core.config_store import ConfigStore

from xinit import launcher


class PopulationLauncher(launcher.PopulationLauncher):
    """Hydra instantiates plugins of modules below hydra_plugins only."""


class PopulationSweeper(BasicSweeper):
    """Hydra's basic sweeper, which leaves the check of the jobs to the launcher.

    Its own composes every job (65 ms each) only to throw it away.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: `PopulationLauncher` checks all jobs before it begins."""


@dataclass
class PopulationLauncherConf:
    """The config node hydra/launcher=population; `inner` holds another launcher's node, to hand the groups to."""

    _target_: str = "hydra_plugins.xinit_population.PopulationLauncher"
    _recursive_: bool = False  # the launcher instantiates `inner` itself, as Hydra does launchers
    inner: Any = None


@dataclass
class PopulationSweeperConf:
    """The config node hydra/sweeper=population, with the settings of Hydra's own basic one."""

    _target_: str = "hydra_plugins.xinit_population.PopulationSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store("population", PopulationLauncherConf, group="hydra/launcher", provider="xinit")
ConfigStore.instance().store("population", PopulationSweeperConf, group="hydra/sweeper", provider="xinit")
