"""What a sweep's callbacks (`hydra.callbacks`) hear of its jobs, which train together and begin as one."""

import contextlib
import os
from collections.abc import Iterator, Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


class JobCallbacks:
    """Tells the callbacks of each job's start and end, with the configs that Hydra's own launchers make.

    Making one takes 65 ms, so none is made where there are no callbacks.
    """

    def __init__(
        self,
        context: HydraContext,
        config: DictConfig,
        task_function: TaskFunction,
        jobs: Sequence[Sequence[str]],
        first: int,
    ) -> None:
        self.callbacks, self.task_function = context.callbacks, task_function
        load = lambda job: context.config_loader.load_sweep_config(config, list(job))
        numbered = enumerate(jobs if context.callbacks.callbacks else (), first)
        self.configs = [_numbered(load(job), number) for number, job in numbered]

    def start(self) -> None:
        """All jobs start, in their order."""
        for config in self.configs:
            with _current(config):
                self.callbacks.on_job_start(config=config, task_function=self.task_function)

    def end(self, returns: Sequence[JobReturn]) -> None:
        """All jobs end, in their order; what they return gets their configs."""
        for config, returned in zip(self.configs, returns, strict=bool(self.configs)):
            _describe(returned, config)
            with _current(config):
                self.callbacks.on_job_end(config=config, job_return=returned)


def _numbered(config: DictConfig, number: int) -> DictConfig:
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    with _current(config):
        folder = os.path.abspath(os.path.join(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = folder
    return config


def _describe(returned: JobReturn, config: DictConfig) -> None:
    returned.cfg = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    returned.hydra_cfg = OmegaConf.masked_copy(config, ["hydra"])
    returned.task_name, returned.working_dir = config.hydra.job.name, os.getcwd()


@contextlib.contextmanager
def _current(config: DictConfig) -> Iterator[None]:
    """In here HydraConfig, and what its interpolations mean, is of this job."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before
