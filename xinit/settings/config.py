"""The settings of a run as frozen dataclasses; a field's type carries the rule that its value satisfies."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from xinit.core import prng
from xinit.core.custom import is_custom
from xinit.core.identity import OUTSIDE_IDENTITY, identity_of, unless
from xinit.core.rules import (
    INDEX,
    Count,
    Flag,
    Folder,
    Functions,
    NotNegative,
    Positive,
    Rule,
    Seconds,
    Seed,
    Text,
    at_least,
    at_most,
    one_of,
)
from xinit.data.contract import DataSettings

DEPTH = at_most(1000, "each layer is a part of the program, and so many compile for minutes")
JACOBIANS = at_most(1000, "the singular values of each take the width cubed")
POINTS = at_most(10_000, "each keeps its readings of every layer")
NETWORKS = at_most(10_000, "each is drawn and measured, and the errors of so many are one hundredth")
# Folders below `out` that hold other things.
TAKEN = ("comparisons", "coordinates", "hydra", "inspections", "sweeps", "theory", "transfers")
Numbers = float | tuple[float, ...]
PathName = Annotated[
    str,
    Rule(
        lambda v: re.fullmatch(r"[\w.+=,-]{1,100}", v) and v.strip("."),
        "a plain folder name of at most 100 characters",
    ),
    Rule(lambda v: v not in TAKEN, f"another name than {', '.join(TAKEN)}: folders of these names hold other things"),
]


@dataclass(frozen=True)
class SchemeConfig:
    """`fn` names a factory in xinit.schemes or xinit.initializers, or is "module:function"."""

    fn: Text = "standard"
    gain: Positive = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.fn.rpartition(":")[2]


@dataclass(frozen=True)
class ActivationConfig:
    """`fn` names a factory in xinit.networks.activations, or is "module:function"; one for all hidden layers."""

    fn: Text
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.fn.rpartition(":")[2]


@dataclass(frozen=True)
class NetworkConfig:
    """`fn` names a factory in xinit.networks, or is "module:function"."""

    fn: Text = "mlp"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.fn.rpartition(":")[2]


PLAIN = NetworkConfig("mlp", {"norm": "none"})  # what there was before other networks were


@dataclass(frozen=True)
class LossConfig:
    """`fn` names a factory in xinit.networks.losses, or is "module:function"."""

    fn: Text = "cross_entropy"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerConfig:
    """`fn` names a function in xinit.training.optimizers, or is "module:function".

    `numbers` are its hyper-parameters, which are traced, so that runs which differ in them share a program; `options`
    are what decides the program: flags, whole numbers and texts for a function of the user's. Every optimizer has the
    rest: a decoupled decay of the kernels, W <- W - learning_rate weight_decay W, and the largest norm of the gradient.
    """

    fn: Text
    learning_rate: Positive
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict, metadata=unless({}))
    weight_decay: NotNegative | None = field(default=None, metadata=unless(None))
    decay_biases: Flag = field(default=False, metadata=unless(False))
    clip: Positive | None = field(default=None, metadata=unless(None))


@dataclass(frozen=True)
class ScheduleConfig:
    """The course of the learning rate: `fn` of xinit.training.schedules; the rest as of an optimizer."""

    fn: Text = "constant"
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeConfig:
    """What is measured, and when."""

    tier: Annotated[str, one_of("off", "economy", "standard", "full")]
    schedule: Annotated[str, one_of("log", "linear")]
    points: Annotated[int, at_least(2), POINTS]
    examples: Annotated[int, at_least(2), INDEX]
    jacobian_examples: Annotated[int, at_least(1), JACOBIANS]
    extra: Functions = field(default=(), metadata=unless(()))  # readings of the user's


@dataclass(frozen=True)
class TrackerConfig:
    """`fn` names a factory in xinit.runs.trackers; a command waits `patience` seconds for it at its end."""

    fn: Text
    patience: Seconds
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PopulationConfig:
    """How replicas are laid out on the devices; it changes no result."""

    strategy: Annotated[str, one_of("auto", "vmap", "map", "sequential")]
    chunk: Count | None


@dataclass(frozen=True)
class Config:
    """One training run."""

    scheme: SchemeConfig
    activations: tuple[ActivationConfig, ...]
    widths: tuple[int, ...]
    data: DataSettings
    optimizer: OptimizerConfig
    probe: ProbeConfig
    network: NetworkConfig = field(metadata=unless(PLAIN))
    loss: LossConfig = field(metadata=unless(LossConfig()))
    schedule: ScheduleConfig = field(metadata=unless(ScheduleConfig()))
    batch_size: Count
    steps: Count
    init_seed: Seed
    data_seed: Seed
    precision: Annotated[str, one_of("float32", "tensorfloat32", "bfloat16")]
    prng: Text = field(metadata=unless(prng.DEFAULT))  # jax's generator of random numbers: the process has it
    verdict: Mapping[str, float] = field(metadata=OUTSIDE_IDENTITY)  # its thresholds, as in conf/verdict/default.yaml
    tracker: TrackerConfig = field(metadata=OUTSIDE_IDENTITY)
    population: PopulationConfig = field(metadata=OUTSIDE_IDENTITY)
    name: PathName = field(metadata=OUTSIDE_IDENTITY)
    out: Folder = field(metadata=OUTSIDE_IDENTITY)
    force: Flag = field(metadata=OUTSIDE_IDENTITY)
    stop_after: Count | None = field(metadata=OUTSIDE_IDENTITY)
    checkpoint_every: Seconds = field(metadata=OUTSIDE_IDENTITY)
    keep_params: Flag = field(metadata=OUTSIDE_IDENTITY)
    figure: Flag | None = field(metadata=OUTSIDE_IDENTITY)
    strict: Flag = field(metadata=OUTSIDE_IDENTITY)

    def identity(self) -> dict[str, Any]:
        """What decides the results: the part of the config that a run's hash covers."""
        identity = identity_of(self)
        choices = [identity["scheme"], *identity["activations"], identity["optimizer"]]
        choices += [identity[name] for name in ("loss", "schedule", "network") if name in identity]
        for choice in choices:  # 0 and 0.0 are one number, hence one run
            if "options" in choice:
                choice["options"] = {k: float(v) if type(v) is int else v for k, v in choice["options"].items()}
        return identity

    def own_functions(self) -> list[tuple[str, str]]:
        """The functions of the user's that a run is made of, each with the setting that names it."""
        chosen = [("scheme.fn", self.scheme.fn)]
        chosen += [("activation.fn", name) for name in dict.fromkeys(choice.fn for choice in self.activations)]
        chosen += [("network.fn", self.network.fn)]
        chosen += [("data.fn", getattr(self.data, "fn", "")), ("loss.fn", self.loss.fn)]
        chosen += [("optimizer.fn", self.optimizer.fn), ("schedule.fn", self.schedule.fn)]
        chosen += [("probe.extra", name) for name in self.probe.extra]
        return [(path, fn) for path, fn in chosen if is_custom(fn)]


def as_yaml(config: Config) -> str:
    """The config as YAML, every value in it resolved."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(config), default=list)), sort_keys=False)
