"""From a Hydra config to frozen, checked dataclasses: the only place where a config is parsed.

Every field is looked at: an unknown key, a wrong type or sign raises `InputError` before anything else happens.
Durations come out in steps, and whatever only names things (profile, depth, width) comes out as what it means.
"""

import dataclasses
import math
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from xinit.core import prng
from xinit.core.custom import calling, import_function, is_custom
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words, call_factory
from xinit.core.rules import (
    Count,
    Number,
    Positive,
    Rule,
    Seed,
    at_least,
    build,
    build_with_rest,
    mapping,
    typed,
)
from xinit.data.contract import DataSettings, settings_class
from xinit.networks import profiles
from xinit.settings.config import (
    DEPTH,
    PLAIN,
    ActivationConfig,
    Config,
    LossConfig,
    NetworkConfig,
    PopulationConfig,
    ProbeConfig,
    SchemeConfig,
    TrackerConfig,
)
from xinit.settings.optimization import optimizer_settings, schedule_settings, told
from xinit.settings.thresholds import thresholds

# What a person sets, where it differs from what comes of it.
SETTINGS = {field.name for field in dataclasses.fields(Config)} - {"activations", "widths", "prng"}
SETTINGS |= {"activation", "profile", "depth", "width", "seed", "experiment"}


def count_of(raw: dict[str, Any], key: str, *rules: Rule) -> int:
    """A whole number that is a setting of an entry and not of its runs, taken from the container.

    Raises:
      InputError: it is missing, or not what the rules say.
    """
    return typed(_take(raw, key), Annotated[int, *rules], key)


def check_names(raw: Mapping[str, Any], own: Collection[str] = (), not_taken: Collection[str] = ()) -> None:
    """Check that every key of a container is a setting of runs, or one of an entry's `own`.

    Raises:
      InputError: one is neither; the message lists both but for those that the entry does not take.
    """
    for key in raw:
        if key not in SETTINGS and key not in own:
            raise InputError(f"Unknown setting {key}; {allowed_words(str(key), {*SETTINGS, *own} - {*not_taken})}")


def parse(raw: Mapping[str, Any]) -> Config:
    """The checked config of the resolved container of conf/run.yaml.

    Raises:
      InputError: an unknown key, or a value of the wrong type or outside its bounds.
    """
    raw = {key: value for key, value in raw.items() if key != "hydra"}
    check_names(raw)
    if "experiment" in raw:
        raise InputError("The experiment is a study's tier; it has a command, as in python -m experiments.glorot2010.")
    batch_size = typed(_take(raw, "batch_size"), Count, "batch_size")
    data = _data(_take(raw, "data"), batch_size)
    sizes = data.sizes
    probe = _probe(_take(raw, "probe"))
    if data.of_the_user and 2 <= sizes.test < probe.examples:
        probe = dataclasses.replace(probe, examples=sizes.test)
    if probe.examples > sizes.test:
        raise InputError(
            f"probe.examples is {probe.examples}; the test set has {sizes.test} examples, so at most that."
        )
    steps = lambda key: _steps(_take(raw, key), batch_size, sizes.train, key)
    widths, shape = _widths(_take(raw, "depth"), _take(raw, "width"), _take(raw, "profile"))
    optimizer, schedule = optimizer_settings(_take(raw, "optimizer")), schedule_settings(_take(raw, "schedule"))
    loss = build_with_rest(LossConfig, _take(raw, "loss"), "loss", "options")
    scheme = told(_scheme(_take(raw, "scheme")), optimizer)
    activations = _activations(_take(raw, "activation"), len(widths))
    network = _network(_take(raw, "network"))
    data = data if network == PLAIN else data.with_shape()
    parts = [data.label, *([network.label] if network != PLAIN else [])]
    functions = list(dict.fromkeys(activation.label for activation in activations))
    name = _take(raw, "name")
    if name is None:
        name = re.sub(r"[^\w.+=,-]", "-", "-".join([*parts, *functions, shape, scheme.label]))[:100]
    typed(_take(raw, "seed"), Seed, "seed")  # only its children, init_seed and data_seed, count
    made = {
        "scheme": scheme,
        "activations": activations,
        "widths": widths,
        "data": data,
        "optimizer": optimizer,
        "probe": probe,
        "network": network,
        "loss": loss,
        "schedule": schedule,
        "prng": prng.generator(),
        "verdict": _verdict(_take(raw, "verdict")),
        "tracker": build_with_rest(TrackerConfig, _take(raw, "tracker"), "tracker", "options"),
        "population": build(PopulationConfig, _take(raw, "population"), "population"),
        "batch_size": batch_size,
        "steps": steps("steps"),
        "stop_after": steps("stop_after"),
        "name": name,
    }
    return build(Config, raw | made, "", made=set(made) - {"name"})


def _take(raw: dict[str, Any], key: str) -> Any:
    if key not in raw:
        raise InputError(f"The setting {key} is missing; conf/run.yaml has its default.")
    return raw.pop(key)


def _probe(raw: Any) -> ProbeConfig:
    """The choice; one function of the user's may stand without a list around it."""
    raw = mapping(raw, "probe")
    if isinstance(raw.get("extra"), str):
        raw["extra"] = [raw["extra"]]
    probe = build(ProbeConfig, raw, "probe")
    if probe.extra and probe.tier == "off":
        said = "probe=off measures nothing: choose economy, standard or full"
        raise InputError(f"probe.extra is {list(probe.extra)}; {said}.")
    return probe


def _verdict(raw: Any) -> dict[str, float]:
    """The thresholds of the verdict: conf/verdict/default.yaml says which there are, each with its reason."""
    given, known = mapping(raw, "verdict"), thresholds()
    for key in given:
        if key not in known:
            raise InputError(f"Unknown setting verdict.{key}; {allowed_words(str(key), known)}")
    if missing := [key for key in known if key not in given]:
        raise InputError(f"The setting verdict.{missing[0]} is missing.")
    return {key: typed(given[key], Positive, f"verdict.{key}") for key in known}


def _steps(value: Any, batch_size: int, epoch: int, path: str) -> int | None:
    """A duration in steps: a number, or a text such as 200000examples or 3epochs."""
    if value is None and path == "stop_after":
        return None
    match = re.fullmatch(r"([\d.]+(?:e\d+)?)\s*(steps?|examples?|epochs?)?", str(value).replace("_", ""))
    try:
        amount = float(match[1]) if match and not isinstance(value, bool) else math.nan
    except ValueError:
        amount = math.nan
    unit = (match[2] or "steps").rstrip("s") if match else "step"
    steps = amount * {"step": 1, "example": 1, "epoch": epoch}[unit] / (1 if unit == "step" else batch_size)
    if not 1 <= steps < 2**31 or (unit == "step" and steps != int(steps)):
        raise InputError(
            f"{path} is {value!r}; it must be a duration of at least one step, such as 20000, 200000examples or "
            "3epochs."
        )
    return math.floor(steps)


def _widths(depth: Any, width: Any, profile: Any) -> tuple[tuple[int, ...], str]:
    """Widths of the hidden layers, and a short name for the shape such as 5x256."""
    profile = mapping(profile, "profile")
    fn = profile.pop("fn", None)
    if isinstance(width, list | tuple):
        fn, profile, width = "explicit", {"widths": list(width)}, 1
    depth, width = typed(depth, Annotated[int, at_least(1), DEPTH], "depth"), typed(width, Count, "width")
    if is_custom(fn):
        widths = _widths_of_own(fn, profile, depth, width)
    else:
        widths = call_factory(profiles, fn, profile, "profile")(depth, width)
    typed(len(widths), Annotated[int, DEPTH], "The number of widths")
    for layer_width in widths:
        typed(layer_width, Count, "width")
    shape = f"{depth}x{width}"
    if fn == "explicit":
        shape = "x".join(map(str, widths)) if len(widths) <= 8 else f"{len(widths)}layers"
    return widths, shape if fn in ("constant", "explicit") else f"{shape}-{fn.rpartition(':')[2]}"


def _widths_of_own(fn: str, options: Mapping[str, Any], depth: int, width: int) -> tuple[int, ...]:
    """What a profile of the user's says, `(depth, width, **options)`: a list of widths."""
    function = import_function("profile.fn", fn)
    widths = calling("profile.fn", fn, function, depth, width, **options)
    if not isinstance(widths, list | tuple) or not widths:
        raise InputError(f"profile.fn {fn!r} returned {widths!r}; it must return a list of widths, at least one.")
    return tuple(widths)


def _scheme(raw: Any) -> SchemeConfig:
    """The choice; what the options of a user's own function may be, that function knows."""
    scheme = build_with_rest(SchemeConfig, {"fn": "standard"} if raw is None else raw, "scheme", "options")
    if not is_custom(scheme.fn):
        _check_numbers(scheme.options, "scheme")
    return scheme


def _network(raw: Any) -> NetworkConfig:
    """The choice; the options of a user's own module are for its function to know."""
    network = build_with_rest(NetworkConfig, raw, "network", "options")
    if not is_custom(network.fn):
        _check_numbers(network.options, "network")
    return network


def _check_numbers(options: Mapping[str, Any], path: str) -> None:
    """InputError where a number among the options of a factory of ours is none that programs can hold."""
    for key, value in options.items():
        if type(value) in (int, float):
            typed(value, Number, f"{path}.{key}")


def _activations(raw: Any, depth: int) -> tuple[ActivationConfig, ...]:
    """One choice a hidden layer, from one name or a list of them."""
    raw = mapping(raw, "activation")
    names = raw.get("fn")
    if not isinstance(names, list | tuple):
        activation = build_with_rest(ActivationConfig, raw, "activation", "options")
        _check_numbers(activation.options, "activation")
        return (activation,) * depth
    if more := set(raw) - {"fn"}:
        settings = ", ".join(f"activation.{key}" for key in sorted(more))
        raise InputError(f"activation is a list of functions and {settings} is given; a list takes no settings.")
    if len(names) != depth:
        raise InputError(f"activation lists {len(names)} functions; there are {depth} hidden layers, one for each.")
    return tuple(build(ActivationConfig, {"fn": name}, "activation") for name in names)


def _data(raw: Any, batch_size: int) -> DataSettings:
    """The choice, as the data set that its kind names checks and completes it."""
    raw = mapping(raw, "data")
    kind = raw.setdefault("kind", "custom" if "fn" in raw else None)  # YAML of a user's may name its function alone
    settings = settings_class(kind)
    open_ended = "options" in {field.name for field in dataclasses.fields(settings)}
    checked = build_with_rest(settings, raw, "data", "options") if open_ended else build(settings, raw, "data")
    return checked.resolved(batch_size)
