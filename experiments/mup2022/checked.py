"""A stage of coordinate checks: networks of several widths or depths, trained for a few steps on one batch.

Each of `checks` has the stage's other settings too, and may have its own in their place. What is kept of each is
`rms`, (size, seed, step, layer): at step 0 the root mean square of what the layer gives, then that of its change.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments import runs
from experiments.mup2022.schemes import scheme_of
from xinit.analysis.coordinates import Coordinates, Sizes, judge
from xinit.analysis.scaling import check_sizes
from xinit.settings.config import Config
from xinit.settings.parse import parse
from xinit.training import coordinates
from xinit.training.problem import plan

if TYPE_CHECKING:
    from experiments.study import Place

KEPT = ("over", "scheme", "optimizer", "rate", "seeds", "steps", "batch_size")


def prepare(name: str, settings: Mapping[str, Any], place: "Place") -> Callable[[], dict[str, Any]]:
    """Every network of every check, its settings checked.

    Raises:
      InputError: a setting is wrong.
    """
    shared = {key: value for key, value in settings[name].items() if key != "checks"}
    checks = {label: {**shared, **check} for label, check in settings[name]["checks"].items()}
    configs = {label: _configs(check, place) for label, check in checks.items()}
    for of_sizes in configs.values():
        plan([next(iter(of_sizes.values()))])
    return lambda: {label: _measured(check, configs[label]) for label, check in checks.items()}


def _configs(check: Mapping[str, Any], place: "Place") -> dict[int, Config]:
    sizes = check_sizes(check["over"], check["sizes"])
    raw = runs.config("check", _settings(check), place)
    return {size: parse({**raw, check["over"]: size}) for size in sizes}


def _settings(check: Mapping[str, Any]) -> dict[str, Any]:
    shared = {key: check[key] for key in ("depth", "activation", "batch_size", "steps", "optimizer")}
    data = {"data": "synthetic", "data.inputs": check["inputs"], "optimizer.learning_rate": check["rate"]}
    return {**shared, **data, **scheme_of(check, check["scheme"])}


def _measured(check: Mapping[str, Any], configs: Mapping[int, Config]) -> dict[str, Any]:
    sizes = coordinates.check_configs(check["over"], configs, check["seeds"], check["steps"]).sizes
    kept = {key: check[key] for key in KEPT}
    return {**kept, "sizes": sizes.values, "layers": sizes.layers, "rms": sizes.rms.tolist()}


def judged(check: Mapping[str, Any]) -> Coordinates:
    """The coordinate check again, from what is kept of it."""
    import numpy as np

    return judge(Sizes(check["over"], tuple(check["sizes"]), tuple(check["layers"]), np.array(check["rms"])))
