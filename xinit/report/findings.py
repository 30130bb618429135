"""What a sweep found, in plain sentences: which settings err least, by how much, and what went wrong."""

from collections.abc import Mapping, Sequence

from xinit.analysis.intervals import Interval, mean_interval
from xinit.analysis.swept import SEEDS, as_text, label
from xinit.analysis.verdict import LEVELS
from xinit.core.readings import share_of
from xinit.report.groups import DATA, Choice, Group, Sweep, folder_of
from xinit.runs import record

MANY = 12  # values that are not all named


def swept(sweep: Sweep) -> dict[str, list[str]]:
    """The values of each swept setting as text, numbers from the least on, others in their order; the seeds last."""
    settings = [*(member.settings for member in sweep.members), *(cell.settings for cell in sweep.cells)]
    found = {}
    for name in sorted(dict.fromkeys(name for own in settings for name in own), key=SEEDS.__contains__):
        values = dict.fromkeys(own[name] for own in settings if name in own)
        is_number = all(isinstance(value, int | float) for value in values)
        found[name] = [as_text(value) for value in (sorted(values) if is_number else values)]
    return found


def range_words(values: Mapping[str, Sequence[str]]) -> str:
    """Swept settings with their values: "scheme (standard, xavier) and seed (0 to 3)"."""
    return listed([f"{name} ({_values(name, own)})" for name, own in values.items()])


def listed(words: Sequence[str]) -> str:
    """Words with commas, and an "and" before the last."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _values(name: str, values: Sequence[str]) -> str:
    is_long = len(values) > MANY or (name in SEEDS and len(values) > 2)
    return f"{values[0]} to {values[-1]}, {len(values)} values" if is_long else ", ".join(values)


def sentences(sweep: Sweep, best: Sequence[Choice]) -> list[str]:
    """What came out: the best settings, on each data set for itself, and how many runs were lost."""
    said = []
    for data in dict.fromkeys(_data(choice.best) for choice in best):
        said += _winner([choice.best for choice in best if _data(choice.best) == data], data)
    diverged = sum(member.diverged for member in sweep.members)
    unfinished = sum(cell.results.get("unfinished", 0) for cell in sweep.cells)
    ended = f"{diverged} of {len(sweep.members)} runs diverged" if diverged else "No run diverged"
    lost = f"; {count(unfinished, 'run')} did not come to an end" if unfinished else ""
    levels = [member.level for member in sweep.members]
    counts = ", ".join(f"{level} {levels.count(level)}" for level in sorted(set(levels), key=severity))
    return [*said, *what_errors_are(sweep.error_is), f"{ended}{lost}.", *([f"Verdicts: {counts}."] if levels else [])]


def what_errors_are(error_is: object) -> list[str]:
    """A sentence where errors are not shares of examples that are misclassified."""
    of = share_of(error_is)
    return [f"Errors are shares{of} of the training targets that is left, 1 - R^2."] if of else []


def _data(group: Group) -> str:
    return label({name: value for name, value in group.settings.items() if name in DATA})


def _label(group: Group) -> str:
    return label({name: value for name, value in group.settings.items() if name not in DATA}) or "the only choice"


def _winner(groups: Sequence[Group], data: str) -> list[str]:
    ranked = sorted(groups, key=Group.rank)
    first, interval = ranked[0], ranked[0].errors()
    if not interval.n:
        return [f"Of the runs on {data} all diverged." if data else "All runs diverged."]
    measured = f"{with_interval(interval)} over {count(interval.n, 'run')}; chance is {first.chance:.1%}."
    if len(ranked) == 1:
        return [f"The test error {f'on {data}' if data else 'at the end'} is {measured}"]
    least = f"The least validation error{f' on {data}' if data else ''} has {_label(first)}"
    return [f"{least}: its test error is {measured}", _next(first, ranked[1])]


def _next(first: Group, second: Group) -> str:
    """How far the second is behind, on the seeds that both have."""
    one, other = _by_seed(first), _by_seed(second)
    difference = mean_interval([100 * (other[seed] - one[seed]) for seed in one if seed in other])
    next_is = f"Next is {_label(second)}"
    if difference.n < 2:
        return f"{next_is} with {with_interval(second.errors())}; one seed does not tell how much is chance."
    apart = "tells" if difference.low * difference.high > 0 else "does not tell"
    words = f"{difference.mean:+.2g} points of test error [{difference.low:+.2g}, {difference.high:+.2g}]"
    return f"{next_is}: {words} on {difference.n} seeds that both have, which {apart} them apart."


def _by_seed(group: Group) -> dict[str, float]:
    """The test errors of the runs that did not diverge."""
    seed = lambda member: repr([(name, member.settings[name]) for name in SEEDS if name in member.settings])
    errors = {seed(member): member.scores["test_error"] for member in group.members}
    return {seed: error for seed, error in errors.items() if error is not None}


def with_interval(interval: Interval) -> str:
    """A mean error with its interval, in percent."""
    if interval.n < 2:
        return f"{interval.mean:.1%}" if interval.n else "-"
    return f"{interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def count(n: int, word: str) -> str:
    """A number of things: "1 run", "4 runs"."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def verdicts(sweep: Sweep, groups: Mapping[str, Group]) -> list[tuple[str, str]]:
    """Of each group the worst level and what a run of that level was found to do; the worst group first."""
    found = [_verdict(sweep, name, group) for name, group in groups.items()]
    return sorted(found, key=lambda one: severity(one[0]))


def severity(level: str) -> int:
    """The place of a level among a verdict's, the worst first; after them for another word."""
    return LEVELS[::-1].index(level) if level in LEVELS else len(LEVELS)


def _verdict(sweep: Sweep, name: str, group: Group) -> tuple[str, str]:
    levels = [member.level for member in group.members]
    worst = min(levels, key=severity)
    example = group.members[levels.index(worst)]
    folder = folder_of(sweep.path, example.path)
    said = str(record.load(folder).summary.get("verdict", "")) if folder else ""
    words = said.partition(": ")[2]
    n = levels.count(worst)
    how_many = "" if len(levels) == 1 else f", {'all' if n == len(levels) else f'{n} of'} {len(levels)} runs"
    return worst, f"{name}{how_many}{'; one of them' if n > 1 and words else ''}{f': {words}' if words else '.'}"
