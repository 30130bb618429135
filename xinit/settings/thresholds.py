"""The thresholds of the verdict where no run has settings of its own."""

import functools
from collections.abc import Mapping

from xinit.settings.compose import conf_dir


@functools.cache
def thresholds() -> Mapping[str, float]:
    """The thresholds by name, as conf/verdict/default.yaml has them beside their reasons."""
    import yaml

    return dict(yaml.safe_load((conf_dir() / "verdict" / "default.yaml").read_text()))
