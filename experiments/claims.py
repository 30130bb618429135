"""Claims of a study, each checked against what was measured: PASS, DIRECTION, FAIL or NOT RUN.

A study lists its claims in YAML, with the fields of `Claim`, and hands over the metrics that its tier has measured. An
interval must lie on the right side of the bound, not its middle alone; a claim about something that was not measured is
NOT RUN, with the reason.
"""

import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from xinit.analysis.intervals import Interval
from xinit.commands import cli

TIERS = ("init", "cpu", "tenth", "paper")  # the smallest first: a claim of one is checked in those after it too
PASS, FAIL, NOT_RUN = "PASS", "FAIL", "NOT RUN"
DIRECTION = "DIRECTION"  # what is claimed holds, in the same direction but not of the same size as what was published


class Measured(NamedTuple):
    """A metric: its value, the ends of an interval for it, and the number n behind it; exact where there is none."""

    value: float
    low: float
    high: float
    n: int | None = None


class NotRun(NamedTuple):
    """Why a metric was not measured."""

    why: str


# By name, dots between its parts. A NotRun under the beginning of names stands for all of them.
Metrics = Mapping[str, Measured | NotRun]


def exact(value: float) -> Measured:
    """A metric without scatter."""
    return Measured(value, value, value)


def over_runs(interval: Interval, scale: float = 1.0) -> Measured:
    """A mean over n independent runs, times `scale`."""
    return Measured(*(scale * float(part) for part in (interval.mean, interval.low, interval.high)), interval.n)


# What an interval [low, high] must satisfy.
DIRECTIONS: dict[str, Callable[[Measured, Any], bool]] = {
    "above": lambda measured, bound: measured.low > bound,
    "below": lambda measured, bound: measured.high < bound,
    "within": lambda measured, bound: bound[0] < measured.low and measured.high < bound[1],
}


@dataclass(frozen=True)
class Claim:
    """One claim of a study.

    `bound` is a number, or [low, high] where `direction` is "within"; `reason` says why it is where it is. `tier` is
    the smallest that measures `metric`, `seeds` how many its interval must at least rest on. `published` is what a
    paper says, `size` the range [low, high] about its number within which ours is called of the same size, and
    `deviation` what is known to differ from it. `counterexample` are settings of the study under which the
    claim must FAIL, since a claim that cannot fail says nothing; `no_counterexample` is why no setting is one.
    `chosen_after` says what of the claim was chosen after data were seen. `agrees` and `opposes` are claims of other
    studies, "study.claim-id", that must both hold or both fail, or cannot both hold. `at` names tiers at which some of
    the fields are others, such as a bound: {"tenth": {"bound": 0.1, "seeds": 1, "reason": "..."}}.
    """

    id: str
    statement: str
    metric: str
    direction: str
    bound: float | list[float]
    reason: str
    tier: str
    seeds: int | None = None
    published: str | None = None
    size: tuple[float, float] | None = None
    deviation: str | None = None
    counterexample: tuple[str, ...] = ()
    no_counterexample: str | None = None
    chosen_after: str | None = None
    agrees: tuple[str, ...] = ()
    opposes: tuple[str, ...] = ()
    at: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_range = isinstance(self.bound, list) and len(self.bound) == 2
        tiers = {self.tier, *self.at}
        if self.direction not in DIRECTIONS or not tiers <= set(TIERS) or is_range != (self.direction == "within"):
            raise ValueError(f"The claim {self.id} has an unknown direction or tier, or a bound that does not fit it.")
        for tier in self.at:
            self.at_tier(tier)

    def at_tier(self, tier: str) -> "Claim":
        """The claim as it is checked at a tier."""
        return replace(self, **self.at.get(tier, {}), at={})


class Checked(NamedTuple):
    """A claim, its state, and what was measured or why nothing was."""

    claim: Claim
    state: str
    found: Measured | NotRun


def load(path: pathlib.Path) -> list[Claim]:
    """The claims of a YAML file.

    Raises:
      ValueError: two of them share an id.
    """
    import yaml

    claims = [Claim(**raw) for raw in yaml.safe_load(path.read_text())]
    if len({claim.id for claim in claims}) < len(claims):
        raise ValueError(f"Two claims of {path} share an id.")
    return claims


def check(claims: Sequence[Claim], metrics: Metrics, tier: str) -> list[Checked]:
    """Every claim beside what the tier measured."""
    return [_check(claim.at_tier(tier), metrics, tier) for claim in claims]


def _check(claim: Claim, metrics: Metrics, tier: str) -> Checked:
    if TIERS.index(claim.tier) > TIERS.index(tier):
        return Checked(claim, NOT_RUN, NotRun(f"needs tier={claim.tier}"))
    found = _look_up(metrics, claim.metric)
    if isinstance(found, NotRun):
        return Checked(claim, NOT_RUN, found)
    if claim.seeds and found.n is not None and found.n < claim.seeds:
        return Checked(claim, NOT_RUN, NotRun(f"measured with n = {found.n}; it must rest on {claim.seeds} seeds"))
    holds = all(map(math.isfinite, found[:3])) and DIRECTIONS[claim.direction](found, claim.bound)
    return Checked(claim, _state(claim, found.value) if holds else FAIL, found)


def _state(claim: Claim, value: float) -> str:
    """Of a claim that holds: whether what was measured is of the size that was published, if the claim says which."""
    return PASS if claim.size is None or claim.size[0] <= value <= claim.size[1] else DIRECTION


def _look_up(metrics: Metrics, name: str) -> Measured | NotRun:
    """The metric of that name; or why it, or all that begin with a part of its name, were not measured."""
    if name in metrics:
        return metrics[name]
    parts = name.split(".")
    beginnings = (metrics.get(".".join(parts[:n])) for n in range(1, len(parts)))
    reasons = (found for found in beginnings if isinstance(found, NotRun))
    return next(reasons, NotRun("not among what these settings measure"))


def by_chance(checked: Sequence[Checked]) -> tuple[int, float]:
    """How many measured claims rest on an interval about a one-sided bound, and how many would PASS by chance.

    Where the truth is just on the bound, the whole of a 95 % interval lies on the right side 2.5 % of the time.
    """
    of_means = [one for one in checked if isinstance(one.found, Measured) and (one.found.n or 0) > 1]
    n = sum(one.claim.direction != "within" for one in of_means)
    return n, 0.025 * n


def exit_code(checked: Sequence[Checked]) -> int:
    """4 where a claim fails, else 0."""
    return cli.exit_code_of(FAIL if any(one.state == FAIL for one in checked) else PASS)


def number(value: float) -> str:
    """Three digits, as every table prints them."""
    return f"{float(f'{value:.3g}'):g}"


def with_interval(found: Mapping[str, float]) -> str:
    """A mean with the low and the high end of its interval, as tables of results print them."""
    return f"{number(found['mean'])} [{number(found['low'])}, {number(found['high'])}]"


def rows(checked: Sequence[Checked]) -> list[dict[str, str]]:
    """A line for each claim, for a table."""
    return [
        {
            "claim": one.claim.id,
            "state": one.state,
            "measured": _measured(one.found),
            "bound": _bound(one.claim),
            "published": one.claim.published or "",
        }
        for one in checked
    ]


def _measured(found: Measured | NotRun) -> str:
    if isinstance(found, NotRun):
        return found.why
    if found.n is None:
        return number(found.value)
    if found.n == 1:
        return f"{number(found.value)}, n = 1"
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}], n = {found.n}"


def _bound(claim: Claim) -> str:
    if claim.direction == "within":
        return f"within {' and '.join(map(number, claim.bound))}"
    return f"{claim.direction} {number(claim.bound)}"


def as_records(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """All there is to know of each claim, for JSON."""
    return [_record(one) for one in checked]


def _record(one: Checked) -> dict[str, Any]:
    claim = asdict(one.claim)
    del claim["at"]  # the other fields are those of the tier
    if one.claim.size is None:
        del claim["size"]
    return claim | {"state": one.state} | one.found._asdict()


def as_json(checked: Sequence[Checked]) -> str:
    """The table's contents for other programs."""
    return json.dumps(as_records(checked), indent=1) + "\n"
