"""The YAML files that come with the package: where they lie, and the thresholds of the verdict."""

import functools
import pathlib
from collections.abc import Mapping

import xinit


def conf_dir() -> pathlib.Path:
    """The folder of the YAML files: inside an installed package, beside it in a clone."""
    package = pathlib.Path(xinit.__path__[0]).resolve()
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


@functools.cache
def thresholds() -> Mapping[str, float]:
    """The thresholds of the verdict by name, as conf/verdict/default.yaml has them beside their reasons."""
    import yaml

    return dict(yaml.safe_load((conf_dir() / "verdict" / "default.yaml").read_text()))
