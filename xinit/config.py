"""From a Hydra config to frozen, checked dataclasses: the only place where a config is parsed.

Every field is looked at: an unknown key, a wrong type or sign raises `InputError` before anything else happens.
Durations come out in steps, and whatever only names things (profile, depth, width) comes out as what it means.
"""

import dataclasses
import json
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from xinit import folders, prng, profiles
from xinit.data import tfds
from xinit.errors import InputError
from xinit.factories import allowed_words, call_factory


class Rule(NamedTuple):
    """What a value must satisfy beyond its type, and the words for it."""

    holds: Callable[[Any], bool]
    words: str


def at_least(least: int) -> Rule:
    """The rule of what is counted."""
    return Rule(lambda v: v >= least, f"a whole number, at least {least}")


def at_most(most: int, reason: str) -> Rule:
    """The rule of what is bounded, with the reason for the bound."""
    return Rule(lambda v: v <= most, f"at most {most}: {reason}")


LEAST_FLOAT32, MOST_FLOAT32 = 2.0**-126, (2 - 2.0**-23) * 2.0**127
MOST_BELOW_1 = 1 - 2.0**-24  # a larger share is 1 in float32
IN_FLOAT32 = Rule(
    lambda v: v == 0 or LEAST_FLOAT32 <= abs(v) <= MOST_FLOAT32,
    f"of a size from {LEAST_FLOAT32:.3g} to {MOST_FLOAT32:.3g}: programs compute in float32, which holds no other",
)
INDEX = at_most(2**31 - 1, "no array of jax is longer")
DEPTH = at_most(1000, "each layer is a part of the program, and so many compile for minutes")
JACOBIANS = at_most(1000, "the singular values of each take the width cubed")
POINTS = at_most(10_000, "each keeps its readings of every layer")
NETWORKS = at_most(10_000, "each is drawn and measured, and the errors of so many are one hundredth")
WAIT = at_most(10**9, "that is 32 years")

Count = Annotated[int, at_least(1), INDEX]
Seed = Annotated[int, Rule(lambda v: 0 <= v < 2**32, "a whole number from 0 to 4294967295")]
Number = Annotated[float, Rule(math.isfinite, "a finite number"), IN_FLOAT32]
Positive = Annotated[float, Rule(lambda v: 0 < v < math.inf, "a finite number above 0"), IN_FLOAT32]
Seconds = Annotated[float, Rule(lambda v: 0 <= v < math.inf, "a number of seconds, at least 0"), WAIT]
Range = Annotated[
    tuple[float, float],
    Rule(lambda v: v[0] < v[1], "two numbers, the lower one first"),
    Rule(lambda v: all(map(IN_FLOAT32.holds, v)), f"two numbers, each 0 or {IN_FLOAT32.words}"),
]
Flag = Annotated[bool, Rule(lambda v: True, "true or false")]
Text = Annotated[str, Rule(bool, "a text")]
PART = "a whole number, at least 1, or a slice as TFDS writes it, such as train[:80%]"
Part = Annotated[int | str, Rule(lambda v: v if isinstance(v, str) else v >= 1, PART)]
Folder = Annotated[str, Rule(folders.can_be_folder, folders.WORDS)]
TAKEN = ("comparisons", "hydra", "inspections", "sweeps", "theory")  # folders below `out` that hold other things
PathName = Annotated[
    str,
    Rule(
        lambda v: re.fullmatch(r"[\w.+=,-]{1,100}", v) and v.strip("."),
        "a plain folder name of at most 100 characters",
    ),
    Rule(lambda v: v not in TAKEN, f"another name than {', '.join(TAKEN)}: folders of these names hold other things"),
]


def one_of(*values: str) -> Any:
    """The type of a text that must be one of the given ones."""
    return Annotated[str, Rule(lambda v: v in values, "one of " + ", ".join(values))]


@dataclass(frozen=True)
class SchemeConfig:
    """`fn` names a factory in xinit.schemes or xinit.initializers, or is "module:function"."""

    fn: Text = "standard"
    gain: Positive = 1.0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.fn.rpartition(":")[2]


@dataclass(frozen=True)
class ActivationConfig:
    """`fn` names a factory in xinit.activations; one for all hidden layers."""

    fn: Text
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerConfig:
    """`fn` names a function in xinit.optimizers; `numbers` are its traced hyper-parameters."""

    fn: Text
    learning_rate: Positive
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class ShapesetConfig:
    """Shapeset-3x2, generated."""

    kind: Text
    size: Annotated[int, Rule(lambda v: 10 <= v <= 256, "a whole number of pixels from 10 to 256")]
    pixel_range: Range
    valid: Count
    test: Count
    epoch: Count

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.kind


@dataclass(frozen=True)
class SyntheticConfig:
    """Gaussian inputs with a linear teacher, generated."""

    kind: Text
    inputs: Count
    classes: Annotated[int, at_least(2), INDEX]
    valid: Count
    test: Count
    epoch: Count

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.kind


@dataclass(frozen=True)
class TfdsConfig:
    """An image classification set of TFDS."""

    kind: Text
    name: Text
    dir: Folder | None
    pixel_range: Range
    train: Part | None
    valid: Part
    test: Part | None

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.name.replace("/", "-")


DATA = {"shapeset": ShapesetConfig, "synthetic": SyntheticConfig, "tfds": TfdsConfig}


@dataclass(frozen=True)
class ProbeConfig:
    """What is measured, and when."""

    tier: one_of("off", "economy", "standard", "full")
    schedule: one_of("log", "linear")
    points: Annotated[int, at_least(2), POINTS]
    examples: Annotated[int, at_least(2), INDEX]
    jacobian_examples: Annotated[int, at_least(1), JACOBIANS]


@dataclass(frozen=True)
class VerdictConfig:
    """Thresholds of the verdict; conf/verdict/default.yaml holds the reason for each."""

    signal_warn: Positive
    signal_fail: Positive
    rate_fail: Positive
    saturated_warn: Positive
    slope_absorbed: Positive
    range_end: Positive
    dead_excess: Positive
    copies_warn: Positive
    copies_fail: Positive
    cosine_warn: Positive
    spectrum_warn: Positive
    update_high: Positive
    update_low: Positive
    chance_sigmas: Positive
    chance_gain: Positive


@dataclass(frozen=True)
class TrackerConfig:
    """`fn` names a factory in xinit.trackers; a command waits `patience` seconds for it at its end."""

    fn: Text
    patience: Seconds
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class PopulationConfig:
    """How replicas are laid out on the devices; it changes no result."""

    strategy: one_of("auto", "vmap", "map", "sequential")
    chunk: Count | None


@dataclass(frozen=True)
class Config:
    """One training run. The fields after `verdict` do not change its results."""

    scheme: SchemeConfig
    activations: tuple[ActivationConfig, ...]
    widths: tuple[int, ...]
    data: ShapesetConfig | SyntheticConfig | TfdsConfig
    optimizer: OptimizerConfig
    probe: ProbeConfig
    batch_size: Count
    steps: Count
    init_seed: Seed
    data_seed: Seed
    precision: one_of("float32", "tensorfloat32", "bfloat16")
    prng: Text  # jax's generator of random numbers, which the process has, not a setting
    verdict: VerdictConfig
    tracker: TrackerConfig
    population: PopulationConfig
    name: PathName
    out: Folder
    force: Flag
    stop_after: Count | None
    checkpoint_every: Seconds
    keep_params: Flag
    figure: Flag | None
    strict: Flag

    def identity(self) -> dict[str, Any]:
        """What decides the results: the part of the config that a run's hash covers."""
        fields = [field.name for field in dataclasses.fields(self)]
        kept = fields[: fields.index("verdict")]
        identity = {name: value for name, value in dataclasses.asdict(self).items() if name in kept}
        identity["data"].pop("dir", None)
        if self.prng == prng.DEFAULT:
            del identity["prng"]
        for choice in (identity["scheme"], *identity["activations"]):  # 0 and 0.0 are one number, hence one run
            options = choice["options"].items()
            choice["options"] = {key: float(v) if type(v) is int else v for key, v in options}
        return identity

    def program(self) -> str:
        """What configs must share to train as one population: all of `identity` that is not a number of a replica."""
        identity = self.identity()
        for number in ("scheme", "init_seed", "data_seed"):
            del identity[number]
        identity["optimizer"] = [self.optimizer.fn, *sorted(self.optimizer.numbers)]
        identity["stop_after"] = self.stop_after
        return json.dumps(identity, sort_keys=True, default=list)


# What a person sets, where it differs from what comes of it.
SETTINGS = {field.name for field in dataclasses.fields(Config)} - {"activations", "widths", "prng"}
SETTINGS |= {"activation", "profile", "depth", "width", "seed", "experiment"}


def count_of(raw: dict[str, Any], key: str, *rules: Rule) -> int:
    """A whole number that is a setting of an entry and not of its runs, taken from the container.

    Raises:
      InputError: it is missing, or not what the rules say.
    """
    return _typed(_take(raw, key), Annotated[int, *rules], key)


def as_yaml(config: Config) -> str:
    """The config as YAML, every value in it resolved."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(config), default=list)), sort_keys=False)


def parse(raw: Mapping[str, Any]) -> Config:
    """The checked config of the resolved container of conf/train.yaml.

    Raises:
      InputError: an unknown key, or a value of the wrong type or outside its bounds.
    """
    raw = {key: value for key, value in raw.items() if key != "hydra"}
    for key in raw:
        if key not in SETTINGS:
            raise InputError(f"Unknown setting {key}; {allowed_words(str(key), SETTINGS)}")
    if "experiment" in raw:
        raise InputError("The experiment is a study's tier; it has a command, as in python -m experiments.glorot2010.")
    data, sizes = _data(_take(raw, "data"))
    batch_size = _typed(_take(raw, "batch_size"), Count, "batch_size")
    if isinstance(data, TfdsConfig) and batch_size > sizes.train:
        raise InputError(
            f"batch_size is {batch_size}; {data.name} has {sizes.train} training examples, so at most that."
        )
    probe = _build(ProbeConfig, _take(raw, "probe"), "probe")
    if probe.examples > sizes.test:
        raise InputError(
            f"probe.examples is {probe.examples}; the test set has {sizes.test} examples, so at most that."
        )
    steps = lambda key: _steps(_take(raw, key), batch_size, sizes.train, key)
    widths, shape = _widths(_take(raw, "depth"), _take(raw, "width"), _take(raw, "profile"))
    optimizer = _optimizer(_take(raw, "optimizer"))
    scheme = _told(_scheme(_take(raw, "scheme")), optimizer)
    activations = _activations(_take(raw, "activation"), len(widths))
    functions = list(dict.fromkeys(activation.fn for activation in activations))
    name = _take(raw, "name")
    if name is None:
        name = re.sub(r"[^\w.+=,-]", "-", f"{data.label}-{'-'.join(functions)}-{shape}-{scheme.label}")[:100]
    _typed(_take(raw, "seed"), Seed, "seed")  # only its children, init_seed and data_seed, count
    made = {
        "scheme": scheme,
        "activations": activations,
        "widths": widths,
        "data": data,
        "optimizer": optimizer,
        "probe": probe,
        "prng": prng.generator(),
        "verdict": _build(VerdictConfig, _take(raw, "verdict"), "verdict"),
        "tracker": _with_rest(TrackerConfig, _take(raw, "tracker"), "tracker", "options"),
        "population": _build(PopulationConfig, _take(raw, "population"), "population"),
        "batch_size": batch_size,
        "steps": steps("steps"),
        "stop_after": steps("stop_after"),
        "name": name,
    }
    return _build(Config, raw | made, "", made=set(made) - {"name"})


def _take(raw: dict[str, Any], key: str) -> Any:
    if key not in raw:
        raise InputError(f"The setting {key} is missing; conf/train.yaml has its default.")
    return raw.pop(key)


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{path} is {value!r}; it must be one of the choices in conf/{path}, as in {path}=NAME.")
    return dict(value)


def _build(cls: type, raw: Any, path: str, made: typing.Collection[str] = ()) -> Any:
    """The dataclass from a mapping, every field checked; those named in `made` are built already."""
    raw = _mapping(raw, path)
    hints = typing.get_type_hints(cls, include_extras=True)
    prefix = f"{path}." if path else ""
    for key in raw:
        if key not in hints:
            settable = [name for name in hints if name not in ("options", "numbers")]
            raise InputError(f"Unknown setting {prefix}{key}; {allowed_words(str(key), settable)}")
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.name not in raw and required:
            raise InputError(f"The setting {prefix}{field.name} is missing.")
    typed = lambda key, value: value if key in made else _typed(value, hints[key], prefix + key)
    return cls(**{key: typed(key, value) for key, value in raw.items()})


def _with_rest(cls: type, raw: Any, path: str, rest: str) -> Any:
    """As `_build`, with the keys that are no fields kept in the field `rest`: the options of a factory."""
    raw = _mapping(raw, path)
    fields = {field.name for field in dataclasses.fields(cls)} - {rest}
    options = {key: raw.pop(key) for key in list(raw) if key not in fields}
    return _build(cls, raw | {rest: options}, path, made={rest})


def _typed(value: Any, hint: Any, path: str) -> Any:
    """The value as the hinted type, or an InputError in the words of its rule."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    base, *rules = typing.get_args(hint)
    converted = _convert(value, base)
    for rule in rules:
        if converted is None or not rule.holds(converted):
            raise InputError(f"{path} is {_shown(value)}; it must be {rule.words}.")
    return converted


def _shown(value: Any) -> str:
    """A value in a message, which stays a line to read."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _convert(value: Any, base: Any) -> Any:
    """The value as `base` where nothing is lost by it, else None."""
    if isinstance(base, types.UnionType):
        return next((fit for part in typing.get_args(base) if (fit := _convert(value, part)) is not None), None)
    if typing.get_origin(base) is tuple:
        parts = [_convert(part, float) for part in value] if isinstance(value, list | tuple) else []
        return tuple(parts) if len(parts) == len(typing.get_args(base)) and None not in parts else None
    if base in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if base is int:
            return int(value) if isinstance(value, int) or value.is_integer() else None
        return float(value) if abs(value) <= sys.float_info.max else math.inf
    return value if base in (bool, str) and isinstance(value, base) else None


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
    profile = _mapping(profile, "profile")
    fn = profile.pop("fn", None)
    if isinstance(width, list | tuple):
        fn, profile, width = "explicit", {"widths": list(width)}, 1
    depth, width = _typed(depth, Annotated[int, at_least(1), DEPTH], "depth"), _typed(width, Count, "width")
    widths = call_factory(profiles, fn, profile, "profile")(depth, width)
    _typed(len(widths), Annotated[int, DEPTH], "The number of widths")
    for layer_width in widths:
        _typed(layer_width, Count, "width")
    shape = f"{depth}x{width}"
    if fn == "explicit":
        shape = "x".join(map(str, widths)) if len(widths) <= 8 else f"{len(widths)}layers"
    return widths, shape if fn in ("constant", "explicit") else f"{shape}-{fn}"


def _scheme(raw: Any) -> SchemeConfig:
    """The choice; what the options of a user's own function may be, that function knows."""
    scheme = _with_rest(SchemeConfig, {"fn": "standard"} if raw is None else raw, "scheme", "options")
    if ":" not in scheme.fn:
        _check_numbers(scheme.options, "scheme")
    return scheme


def _check_numbers(options: Mapping[str, Any], path: str) -> None:
    """InputError where a number among the options of a factory of ours is none that programs can hold."""
    for key, value in options.items():
        if type(value) in (int, float):
            _typed(value, Number, f"{path}.{key}")


def _activations(raw: Any, depth: int) -> tuple[ActivationConfig, ...]:
    """One choice a hidden layer, from one name or a list of them."""
    raw = _mapping(raw, "activation")
    names = raw.get("fn")
    if not isinstance(names, list | tuple):
        activation = _with_rest(ActivationConfig, raw, "activation", "options")
        _check_numbers(activation.options, "activation")
        return (activation,) * depth
    if more := set(raw) - {"fn"}:
        settings = ", ".join(f"activation.{key}" for key in sorted(more))
        raise InputError(f"activation is a list of functions and {settings} is given; a list takes no settings.")
    if len(names) != depth:
        raise InputError(f"activation lists {len(names)} functions; there are {depth} hidden layers, one for each.")
    return tuple(_build(ActivationConfig, {"fn": name}, "activation") for name in names)


def _told(scheme: SchemeConfig, optimizer: OptimizerConfig) -> SchemeConfig:
    """The scheme; one of ours that asks for the optimizer, as muP does, is told what the network is trained with."""
    if ":" in scheme.fn or "optimizer" not in scheme.options:
        return scheme
    trained_with = "sgd" if optimizer.fn == "momentum" else optimizer.fn  # for a scheme these two are one
    if scheme.options["optimizer"] not in (None, trained_with):
        raise InputError(
            f"scheme.optimizer is {scheme.options['optimizer']!r}; the network is trained with {optimizer.fn}, so it "
            f"must be {trained_with}, as it is by default."
        )
    return dataclasses.replace(scheme, options={**scheme.options, "optimizer": trained_with})


def _optimizer(raw: Any) -> OptimizerConfig:
    optimizer = _with_rest(OptimizerConfig, raw, "optimizer", "numbers")
    numbers = {key: _typed(value, Number, f"optimizer.{key}") for key, value in optimizer.numbers.items()}
    for key in numbers.keys() & {"momentum", "b1", "b2", "eps"}:  # each a share, eps a small one
        if not 0 <= numbers[key] <= MOST_BELOW_1:
            raise InputError(f"optimizer.{key} is {numbers[key]}; it must be at least 0 and below 1.")
    return dataclasses.replace(optimizer, numbers=numbers)


def _data(raw: Any) -> tuple[ShapesetConfig | SyntheticConfig | TfdsConfig, tfds.Sizes]:
    """The data, and the number of examples in each part; of generated data those of an epoch are for training."""
    raw = _mapping(raw, "data")
    kind = raw.get("kind")
    if kind not in DATA:
        raise InputError(f"data.kind is {kind!r}; it must be one of {', '.join(DATA)}.")
    data = _build(DATA[kind], raw, "data")
    if not isinstance(data, TfdsConfig):
        return data, tfds.Sizes(data.epoch, data.valid, data.test)
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    if all(isinstance(part, int) for part in parts.values()):
        return data, tfds.Sizes(**parts)  # the set need not be at hand yet
    sizes = tfds.sizes(data.name, data.dir, **parts)
    counted = {name: getattr(sizes, name) for name, part in parts.items() if part is None}
    return dataclasses.replace(data, **counted), sizes
