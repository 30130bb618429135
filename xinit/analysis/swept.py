"""What varies between the runs of a sweep: the settings that some have and others have not, under short names."""

from collections.abc import Mapping, Sequence
from typing import Any

from xinit.settings.config import Config

SEEDS = ("seed", "init_seed", "data_seed")
# Settings of a choice count as swept only where they differ between runs that chose the same; one after the other.
CHOICES = {"scheme": ["scheme.fn"], "optimizer": ["optimizer.fn"], "data": ["data.kind", "data.file", "data.fn"],
           "probe": ["probe.tier"], "loss": ["loss.fn"], "schedule": ["schedule.fn"],
           "network": ["network.fn"]}  # fmt: skip


def swept(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """For each config what it has that others have not, under the shortest names that tell the settings apart.

    >>> swept(configs)
    [{'seed': 0}, {'seed': 1}]
    """
    settings = [_settings(config) for config in configs]
    if all(run_settings["init_seed"] == run_settings["data_seed"] for run_settings in settings):
        settings = [{"seed": run_settings["init_seed"], **run_settings} for run_settings in settings]
        settings = [
            {k: v for k, v in run_settings.items() if k not in ("init_seed", "data_seed")} for run_settings in settings
        ]
    keys = dict.fromkeys(key for run_settings in settings for key in run_settings)
    varied = [key for key in keys if _varies(key, settings)]
    names = _short_names(varied)
    return [{names[key]: run_settings[key] for key in varied if key in run_settings} for run_settings in settings]


def label(settings: Mapping[str, Any]) -> str:
    """Swept settings in words: "scheme=xavier learning_rate=0.03".

    >>> label({"scheme": "xavier", "learning_rate": 0.03})
    'scheme=xavier learning_rate=0.03'
    """
    return " ".join(f"{name}={as_text(value)}" for name, value in settings.items())


def as_text(value: Any) -> str:
    """A setting's value for a table.

    >>> as_text(0.00001), as_text(256)
    ('1e-05', '256')
    """
    return f"{value:g}" if isinstance(value, float) else str(value)


def _varies(key: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    parents = CHOICES.get(key.partition(".")[0], [])
    parents = parents[: parents.index(key)] if key in parents else parents
    values: dict[Any, set[str]] = {}
    for run_settings in settings:
        choice = tuple(run_settings.get(parent) for parent in parents)
        values.setdefault(choice, set()).add(repr(run_settings.get(key)))
    return any(len(distinct) > 1 for distinct in values.values())


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    short = {key: key.removesuffix(".fn").rpartition(".")[2] for key in keys}
    once = lambda name: list(short.values()).count(name) == 1
    return {key: name if once(name) else key for key, name in short.items()}


def _settings(config: Config) -> dict[str, Any]:
    """What decides a run, flat, with what has a short name under it."""
    names = [activation.fn for activation in config.activations]
    short: dict[str, Any] = {
        "scheme.fn": config.scheme.fn,
        "loss.fn": config.loss.fn,
        "schedule.fn": config.schedule.fn,
        "network.fn": config.network.fn,
        **{f"network.options.{name}": value for name, value in config.network.options.items()},
        "optimizer.weight_decay": config.optimizer.weight_decay,
        "optimizer.decay_biases": config.optimizer.decay_biases,
        "optimizer.clip": config.optimizer.clip,
        "activation": ", ".join(names if len(set(names)) > 1 else names[:1]),
        "width": " ".join(map(str, config.widths)),
    }
    if len(set(config.widths)) == 1:
        short |= {"depth": len(config.widths), "width": config.widths[0]}
    identity = config.identity()
    options = [activation["options"] for activation in identity.pop("activations")]
    del identity["widths"]
    if identity["data"].pop("content", None) and hasattr(config.data, "file"):
        short["data.file"] = config.data.file  # which the checksum of its content stands for
    if any(options) and all(layer_options == options[0] for layer_options in options):
        identity["activation_options"] = options[0]
    return _flat(identity) | short


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix("."): tree}
    return {key: value for name, branch in tree.items() for key, value in _flat(branch, f"{prefix}{name}.").items()}
