"""Learning-rate transfer: the best rate of every size, its exponent, what a borrowed rate costs, and the verdict."""

import json
import math

import numpy as np
import pytest

from xinit.analysis.transfer import Losses, best_rate, judge
from xinit.core.errors import InputError

RATES = tuple(0.01 * 2.0**k for k in range(9))
WIDTHS = (64, 128, 256, 512)


def losses(power, depth=0.3, noise=0.0, seeds=3, rates=RATES):
    """Parabolas over log rate, of depth `depth` an octave, whose lowest point is at 0.16 (width / 64)^power."""
    best = 0.16 * (np.array(WIDTHS) / 64) ** power
    octaves = np.log2(np.array(rates)[None, :] / best[:, None])
    scatter = noise * np.random.default_rng(0).normal(size=(len(WIDTHS), seeds, 1))
    return Losses("width", WIDTHS, rates, 1 + depth * (octaves[:, None, :] + scatter) ** 2)


@pytest.mark.parametrize("at", [0.03, 0.05, 0.11, 0.4, 1.0])
def test_the_best_rate_is_found_between_those_tried(at):
    assert best_rate(RATES, np.log(np.array(RATES) / at) ** 2) == pytest.approx(at)


def test_beside_a_run_that_diverged_it_is_one_that_was_tried():
    loss = np.log(np.array(RATES) / 0.1) ** 2
    at = int(np.argmin(loss))
    loss[at + 1 :] = np.inf
    assert best_rate(RATES, loss) == RATES[at]


@pytest.mark.parametrize(
    ("power", "depth", "noise", "level", "words"),
    [
        (0.0, 0.3, 0.1, "OK", "costs 0.0%"),
        (-1.0, 0.3, 0.1, "FAIL", "the best one goes as width^-"),
        (-0.5, 0.3, 0.1, "FAIL", "costs"),
        (-0.5, 0.001, 0.1, "WARN", "it drifts and may cost more beyond width 512"),  # so flat that nothing is lost
        (0.0, 0.3, 2.0, "WARN", "more seeds are needed to tell"),
        (-0.2, 3.0, 0.0, "WARN", "rates that lie closer may cost less"),
    ],
)
def test_the_verdict_rests_on_the_cost_and_on_the_exponent(power, depth, noise, level, words):
    transfer = judge(losses(power, depth, noise))
    assert transfer.level == level, str(transfer)
    assert words in transfer.verdict
    assert transfer.exponent.low <= transfer.exponent.mean <= transfer.exponent.high


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.0, 0.5])
def test_the_exponent_and_the_cost_are_those_of_the_parabolas(power):
    transfer = judge(losses(power))
    assert transfer.exponent.mean == pytest.approx(power, abs=1e-6)
    octaves = 3 * power
    own = 1 + 0.3 * (octaves - round(octaves)) ** 2
    assert transfer.cost.mean == pytest.approx((1 + 0.3 * octaves**2) / own - 1)


def test_a_best_rate_at_an_end_is_said():
    transfer = judge(losses(0.0, rates=RATES[:4]))  # up to 0.08; the best is 0.16
    assert transfer.level == "WARN"
    assert "At width 64, 128, 256, 512 it is the highest rate tried: give more of learning_rates." in transfer.verdict
    assert {row[""] for row in transfer.rows()} == {"highest rate tried"}


def test_where_the_borrowed_rate_diverges_it_fails():
    given = losses(-0.5)
    given.loss[-1, 0, 4:] = np.inf
    transfer = judge(given)
    assert transfer.level == "FAIL"
    assert "at width 512 the best learning rate of width 64 diverges" in transfer.verdict
    assert transfer.bests[-1].stable == RATES[3]
    assert transfer.bests[0].stable == RATES[-1]


def test_a_size_that_always_diverges_is_one_sentence():
    given = losses(0.0)
    given.loss[1, 2] = np.inf
    with pytest.raises(InputError, match=r"Runs at width 128 diverged at every learning rate from 0.01 to 2.56; give"):
        judge(given)


def test_what_is_saved_can_be_read_again(tmp_path):
    given = losses(-1.0)
    given.loss[-1, :, -1] = np.inf
    judge(given).save(tmp_path / "saved")
    names = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert names == ["transfer.csv", "transfer.json", "transfer.png"]
    stored = json.loads((tmp_path / "saved" / "transfer.json").read_text())
    back = [[[math.inf if x is None else x for x in row] for row in own] for own in stored["loss"]]
    np.testing.assert_allclose(back, given.loss)
    assert stored["verdict"].startswith("FAIL")
