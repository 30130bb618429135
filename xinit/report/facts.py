"""What a run was, in words: for the card at the top of its page."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from xinit.analysis.networks import network_words
from xinit.analysis.swept import as_text, label
from xinit.core.readings import share_of
from xinit.report.sources import Run

STATES = {
    "running": "running, or cut without a word: shown is what lay in the folder",
    "stopped": "stopped as asked; the same command without stop_after goes on",
    "interrupted": "interrupted; the same command goes on",
    "failed": "failed; the same command tries again",
}


def facts(run: Run) -> dict[str, str]:
    """Names and values, those that are known."""
    config, summary = run.config, run.summary
    optimizer = {name: value for name, value in config["optimizer"].items() if value is not False}  # flags that are off
    found = {
        "scheme": _choice(config["scheme"], "fn"),
        "activation": _activation(config["activations"]),
        "network": _network(config),
        "data": _choice(_without_folder(config["data"]), "kind", ("dir",)),
        "loss": _choice(_mapping(config.get("loss")), "fn") if config.get("loss") else "",
        "optimizer": _choice(optimizer, "fn"),
        "schedule": _choice(_mapping(config.get("schedule")) or {"fn": "constant"}, "fn"),
        "training": _training(config, summary),
        "seeds": f"{config['init_seed']} of the weights, {config['data_seed']} of the data",
        "probes": _choice(config["probe"], "tier"),
        "test error": _errors(summary),
        "time": _time(summary),
        "machine": label({"device": summary.get("device", ""), **_mapping(summary.get("versions"))}) if summary else "",
        "precision": as_text(config.get("precision", "")),
        "state": _state(run),
        "folder": f"{run.path.resolve().parent.name}/{run.path.resolve().name}",
    }
    return {name: words for name, words in found.items() if words}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _without_folder(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of data; of a file its name alone, since pages are shown to others."""
    return {**raw, "file": pathlib.PurePath(str(raw["file"])).name} if "file" in raw else dict(raw)


def _choice(raw: Mapping[str, Any], key: str, hidden: Sequence[str] = ()) -> str:
    """What was chosen and its settings in brackets, those of a mapping among them: "sgd (learning_rate=0.03)"."""
    rest = {name: value for name, value in raw.items() if name not in (key, *hidden) and value is not None}
    own = {name: value for name, value in rest.items() if not isinstance(value, Mapping)}
    for value in (value for value in rest.values() if isinstance(value, Mapping)):
        own |= value
    name = as_text(raw.get(key))
    return f"{name} ({label(own)})" if own else name


def _activation(raw: Sequence[Any]) -> str:
    names = [_choice(_mapping(one), "fn") for one in raw]
    return ", ".join(names if len(set(names)) > 1 else names[:1])


def _network(config: Mapping[str, Any]) -> str:
    """A config that names none is older than there were others than the MLP."""
    chosen = _mapping(config.get("network"))
    return network_words(as_text(chosen.get("fn", "mlp")), _mapping(chosen.get("options")), config["widths"])


def _training(config: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    words = f"{config['steps']:,} steps of {config['batch_size']:,} examples"
    done = summary.get("steps")
    words += f", of which {done:,} were done" if done is not None and done < config["steps"] else ""
    share = summary.get("paper_share")
    return f"{words}, {100 * share:.2g}% of what Glorot & Bengio (2010) trained" if share else words


def _errors(summary: Mapping[str, Any]) -> str:
    error, chance = summary.get("test_error"), summary.get("chance_error")
    if error is None or chance is None:
        return ""
    if of := share_of(summary.get("error_is")):
        return f"{error:.1%}{of} (1 - R^2), where the best constant answer leaves {chance:.1%}"
    return f"{error:.1%}, where the best constant answer errs in {chance:.1%}"


def _time(summary: Mapping[str, Any]) -> str:
    """Wall time and speed; of runs that trained together both are of all of them."""
    wall, compiled, rate, runs = (summary.get(name) for name in ("wall_s", "compile_s", "steps_per_s", "replicas"))
    if wall is None:
        return ""
    words = f"{wall:,.0f} s" + (f", {compiled:,.0f} of them to compile" if compiled is not None else "")
    words += f", {rate:,.0f} steps a second" if rate is not None else ""
    return f"{words}, for {runs} runs that trained together" if runs is not None and runs > 1 else words


def _state(run: Run) -> str:
    reason = run.status.get("reason")
    return STATES.get(run.state, run.state) + (f" ({as_text(reason)})" if reason else "")
