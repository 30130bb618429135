"""When readings are written that somebody may look at while a run goes on."""

import pytest

from xinit.runs import pace
from xinit.runs.pace import SHARE, SOONEST, ReadingsSoFar


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves: clock[0] is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    return now


def written(clock, n, seconds, cost, every):
    """When which of n members was written, with a probe point every so many seconds."""
    times = []

    def write(r, readings):
        assert readings == {"of": r}
        times.append((clock[0] - 100, r))
        clock[0] += cost

    so_far = ReadingsSoFar(n, lambda r: {"of": r}, write)
    while clock[0] - 100 < seconds:
        clock[0] += every
        so_far.write_if_due(grown=True)
    return times


@pytest.mark.parametrize(("n", "cost"), [(1, 0.04), (1, 0.5), (8, 0.04), (1000, 0.04)])
def test_writing_takes_its_share_at_most(clock, n, cost):
    times = written(clock, n, 600, cost, 0.5)
    assert times[0][0] >= SOONEST
    assert (len(times) - 1) * cost <= SHARE * 601
    assert len(times) * cost >= 0.8 * SHARE * 600


def test_every_member_has_its_turn(clock):
    members = [r for _, r in written(clock, 8, 100, 0.04, 0.5)]
    assert members[:16] == [*range(8)] * 2


def test_what_has_not_changed_is_not_written_again(clock):
    times = []
    so_far = ReadingsSoFar(2, lambda r: {}, lambda r, readings: times.append(r))
    clock[0] += 10
    for grown in (False, True, False):
        so_far.write_if_due(grown)
    assert times == [0, 1]


def test_a_short_run_writes_nothing_before_its_end(clock):
    assert written(clock, 4, SOONEST - 0.5, 0.04, 0.1) == []
