"""What the verdict measures a run by: thresholds where no run has settings of its own, and how long learning takes."""

import functools
from collections.abc import Mapping

from xinit.settings.compose import conf_dir
from xinit.settings.config import Config


@functools.cache
def thresholds() -> Mapping[str, float]:
    """The thresholds by name, as conf/verdict/default.yaml has them beside their reasons."""
    import yaml

    return dict(yaml.safe_load((conf_dir() / "verdict" / "default.yaml").read_text()))


def learning_scale(config: Config) -> dict[str, float | None]:
    """What says how long a sound network takes to leave chance: the scale of the data set and the optimizer's rate."""
    return {"sound_examples": config.data.sound_examples, "usual_rate": _usual_rate(config.optimizer.fn)}


@functools.cache
def _usual_rate(fn: str) -> float | None:
    """The learning rate that conf/optimizer has for one of its functions; None for a user's."""
    import yaml

    choices = [yaml.safe_load(file.read_text()) for file in sorted((conf_dir() / "optimizer").glob("*.yaml"))]
    return next((choice["learning_rate"] for choice in choices if choice["fn"] == fn), None)
