"""In which settings the runs of a page differ, from their stored configs, and short names that tell the runs apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from xinit.analysis.swept import as_text, label

# What names a run before all else; a sweep knows the learning rate by its short name.
FIRST = ("scheme", "activation", "depth", "width", "optimizer.learning_rate", "learning_rate")
PLACE = ("name", "out", "force")  # where a run lies says nothing about it


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """A stored config flat, as text, under the names that the command line takes."""
    scheme = dict(config["scheme"])
    fn, options = scheme.pop("fn", None), dict(_mapping(scheme.pop("options", None)))
    rest = {key: value for key, value in config.items() if key not in (*PLACE, "scheme", "activations", "widths")}
    named = {"scheme": fn} | {f"scheme.{key}": value for key, value in (scheme | options).items()}
    own = named | _activations(config["activations"]) | _widths(config["widths"]) | flat(rest)
    if own["init_seed"] == own["data_seed"]:
        own |= {"seed": own.pop("init_seed")}
        del own["data_seed"]
    return {str(key): _text(value) for key, value in own.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _activations(raw: Sequence[Any]) -> dict[str, Any]:
    """One name where all layers have the same, and its options."""
    names = [_mapping(one).get("fn") for one in raw]
    options = [_mapping(_mapping(one).get("options")) for one in raw]
    alike = all(own == options[0] for own in options)
    more = {f"activation.{key}": value for key, value in options[0].items()} if options and alike else {}
    return {"activation": names if len({str(name) for name in names}) > 1 else next(iter(names), None)} | more


def _widths(widths: Sequence[Any]) -> dict[str, Any]:
    alike = all(width == widths[0] for width in widths)
    return {"depth": len(widths), "width": widths[0] if widths and alike else widths}


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree of mappings under their dotted names."""
    if not isinstance(tree, Mapping):
        return {prefix.removesuffix("."): tree}
    return {key: value for name, branch in tree.items() for key, value in flat(branch, f"{prefix}{name}.").items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "none" if value is None else as_text(value)


def differing(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings that are not the same in all runs, those first that a run is named by."""
    names = dict.fromkeys(name for own in runs for name in (*FIRST, *own))
    return [name for name in names if len({own.get(name) for own in runs}) > 1]


def names(runs: Sequence[Mapping[str, str]], otherwise: Sequence[str]) -> list[str]:
    """A name for each run: as few of the differing settings as tell the runs apart; where none do, `otherwise`."""
    kept: list[str] = []
    told = lambda keys: len({tuple(own.get(key) for key in keys) for own in runs})
    for name in differing(runs):
        if told([*kept, name]) > told(kept):
            kept.append(name)
    short = {name: name.rpartition(".")[2] for name in kept}
    found = [label({short[name]: own[name] for name in kept if name in own}) for own in runs]
    pairs = zip(found, otherwise, strict=True)
    return [name if name and found.count(name) == 1 else f"{name} {other}".strip() for name, other in pairs]
