"""The checker of claims."""

import dataclasses
import json

import pytest

from experiments import claims
from experiments.claims import DIRECTION, FAIL, NOT_RUN, PASS, Claim, Measured, NotRun
from xinit.commands import cli


def claim(direction, bound, metric="a.b", tier="init"):
    return Claim("one", "It holds.", metric, direction, bound, "because", tier)


@pytest.mark.parametrize(
    ("direction", "bound", "found", "state"),
    [
        ("above", 1.0, Measured(2, 1.5, 2.5, 8), PASS),
        ("above", 1.0, Measured(2, 0.9, 3.1, 8), FAIL),  # the interval reaches across the bound
        ("below", 1.0, claims.exact(0.5), PASS),
        ("below", 1.0, claims.exact(1.0), FAIL),
        ("within", [0, 1], Measured(0.5, 0.1, 0.9, 8), PASS),
        ("within", [0, 1], Measured(0.5, 0.1, 1.1, 8), FAIL),
        ("within", [0, 1], claims.exact(float("nan")), FAIL),
        ("above", 0.0, claims.exact(float("inf")), FAIL),
        ("above", 0.0, NotRun("no data"), NOT_RUN),
    ],
)
def test_an_interval_must_lie_on_the_right_side_as_a_whole(direction, bound, found, state):
    (checked,) = claims.check([claim(direction, bound)], {"a.b": found}, "init")
    assert checked.state == state
    assert claims.exit_code([checked]) == (cli.FAILED if state == FAIL else cli.DONE)
    assert json.loads(claims.as_json([checked]))[0]["state"] == state


@pytest.mark.parametrize(("value", "state"), [(1.1, PASS), (84.0, DIRECTION), (-1.0, FAIL)])
def test_what_holds_but_not_in_the_published_size_has_a_state_of_its_own(value, state):
    (checked,) = claims.check(
        [dataclasses.replace(claim("above", 0.0), size=(0.5, 2.0))], {"a.b": claims.exact(value)}, "init"
    )
    assert checked.state == state
    assert claims.exit_code([checked]) == (cli.FAILED if state == FAIL else cli.DONE)


@pytest.mark.parametrize(
    ("metrics", "tier", "why"),
    [
        ({}, "init", "not among"),
        ({"a": NotRun("no data")}, "init", "no data"),
        ({"a.b": claims.exact(1)}, "cpu", "needs tier=cpu"),
    ],
)
def test_what_was_not_measured_is_not_run_with_the_reason(metrics, tier, why):
    (checked,) = claims.check([claim("above", 0, tier=tier)], metrics, "init")
    assert checked.state == NOT_RUN
    assert why in checked.found.why


def test_a_claim_may_have_another_bound_at_a_tier():
    one = dataclasses.replace(
        claim("above", 0.5), seeds=5, at={"tenth": {"bound": 0.1, "seeds": 1}, "paper": {"tier": "paper"}}
    )
    found = {"a.b": Measured(0.3, 0.3, 0.3, 1)}
    (checked,) = claims.check([one], found, "tenth")
    assert (checked.state, checked.claim.bound) == (PASS, 0.1)
    assert json.loads(claims.as_json([checked]))[0]["bound"] == 0.1
    (checked,) = claims.check([one], found, "cpu")
    assert (checked.state, checked.found.why) == (NOT_RUN, "measured with n = 1; it must rest on 5 seeds")
    with pytest.raises(ValueError, match="The claim one"):
        dataclasses.replace(one, at={"tenth": {"bound": [0, 1]}})


@pytest.mark.parametrize(("direction", "bound"), [("near", 1), ("within", 1), ("above", [0, 1])])
def test_a_claim_that_could_not_be_checked_is_refused(direction, bound):
    with pytest.raises(ValueError, match="The claim one"):
        claim(direction, bound)


def test_how_many_would_pass_by_chance():
    """Of those on one side of a bound, with an interval; an exact value and a range are no matter of luck."""
    found = {"a.b": Measured(2, 1, 3, 8), "a.c": claims.exact(2)}
    asked = [claim("above", 0), claim("below", 0), claim("within", [0, 1]), claim("above", 0, metric="a.c")]
    asked.append(claim("above", 0, tier="cpu"))
    assert claims.by_chance(claims.check(asked, found, "init")) == (2, 0.05)
