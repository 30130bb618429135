"""The page of a sweep: what came out, the best learning rate of each scheme, and what the layers of its networks do."""

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence

from xinit.analysis.layout import part
from xinit.analysis.swept import SEEDS
from xinit.report import charts, differences, extra, findings, groups, multiples, outcomes, seeds, sources, tables
from xinit.report import page as html
from xinit.report.groups import Group, Sweep
from xinit.report.multiples import MOST, SMALL, Network
from xinit.report.page import Markup

FEW = 6  # cells of a sweep that are all shown; of more, the best learning rates alone
BOXES = 12  # values of a setting that have a box each
SHARED = ("data.kind", "data.name", "activation", "depth", "width", "optimizer.fn", "optimizer.learning_rate",
          "batch_size", "steps", "probe.tier", "precision")  # fmt: skip
OVER_SETTING = (
    "Points are means over the seeds, bars their 95 % intervals; a cross says that runs diverged there. The dashed "
    "line is chance, the error of the best constant answer. Where bars overlap much, these seeds do not tell which is "
    "better."
)
COURSES = (
    "Means over the seeds on 1,000 validation examples, with 95 % intervals; the dashed line is chance. A bad sign is "
    "a line that stays there, or leaves it late."
)
BY_SEED = (
    "Thin lines are runs, the thick one is their mean with its 95 % interval, the dashed one chance; all on one axis. "
    "A bad sign is a run that goes its own way, since then luck decides."
)


def page(path: pathlib.Path) -> str:
    """The page of the sweep whose folder this is.

    Raises:
      InputError: the folder cannot be read.
    """
    sweep = groups.load(path)
    found = groups.groups(sweep.members)
    best = groups.choices(found)
    swept = findings.swept(sweep)
    filters = html.Filters({name: own for name, own in swept.items() if name not in SEEDS and 1 < len(own) <= BOXES})
    ranked = sorted((choice.best for choice in best), key=Group.rank)
    shown = _named(found if len(found) <= FEW else [ranked[i] for i in charts.chosen(len(ranked), MOST)])
    verdicts = html.findings(findings.verdicts(sweep, shown))
    facts = {"swept": findings.range_words(swept) or "nothing", "runs": len(sweep.members)}
    content = [
        *map(html.paragraph, findings.sentences(sweep, best)),
        html.card(facts | _shared(sweep, swept)),
        *([filters.controls()] if filters.values else []),
        *tables.best(best, filters),
        *_errors(sweep, found, shown),
        *([html.section("Verdicts", verdicts)] if shown else []),
        *_layers(sweep, shown, len(found), filters),
        *tables.all_of(sweep, filters),
    ]
    names = findings.listed([name for name in swept if name not in SEEDS] or [*swept] or ["one run"])
    return html.whole(f"Sweep of {names}", content, f"Made by xinit.report from {path.resolve().name}.")


def _named(found: Sequence[Group]) -> dict[str, Group]:
    """Groups by short names that tell them apart."""
    names = differences.names([tables.texts(group.settings) for group in found], [group.label for group in found])
    return dict(zip(names, found, strict=True))


def _shared(sweep: Sweep, swept: Collection[str]) -> dict[str, str]:
    """What all runs have in common, as the folder of the first of them says where it lies beside."""
    folder = groups.folder_of(sweep.path, sweep.members[0].path) if sweep.members else None
    if folder is None or not os.path.lexists(folder / "config.yaml"):
        return {}
    run = sources.load(folder)
    own = differences.settings(run.config)
    words = {name: own[name] for name in SHARED if name in own and not {name, name.rpartition(".")[2]} & set(swept)}
    versions = ", ".join(f"{name} {version}" for name, version in differences.flat(run.summary.get("versions")).items())
    return words | {"device": run.summary.get("device", "-"), "versions": versions}


def _errors(sweep: Sweep, found: Sequence[Group], shown: Mapping[str, Group]) -> list[Markup]:
    """Test errors over what was swept, and validation errors over training."""
    drawn = []
    if name := outcomes.along(found):
        drawn.append(html.figure(f"Test error over {name}", outcomes.over_setting(found, name), OVER_SETTING))
    elif len(found) > 1:
        drawn.append(html.figure("Test error", outcomes.side_by_side(_named(found)), OVER_SETTING))
    if followed := outcomes.followed(sweep.readings, shown):
        courses = {name: outcomes.course(sweep.readings, group) for name, group in followed.items()}
        chart = outcomes.over_training(courses, [group.chance for group in followed.values()])
        drawn.append(html.figure("Validation error over training", chart, COURSES + outcomes.left_out(len(followed))))
    return [html.section("Errors", html.figures(*drawn))] if drawn else []


def _layers(sweep: Sweep, shown: Mapping[str, Group], n: int, filters: html.Filters) -> list[Markup]:
    """A small figure for each of some of n groups, kind by kind: means over the seeds."""
    networks = [
        Network(name, tables.kind(filters, group.settings), part(seeds.mean(sweep.readings, group.places, sweep.extra)))
        for name, group in (shown if sweep.readings else {}).items()
    ]
    parts = [*_by_seed(sweep, shown, filters), *multiples.sections(networks), *extra.beside(networks, sweep.extra)]
    return [html.paragraph(_which(len(shown), n), "quiet"), *parts] if parts else []


def _which(n_shown: int, n: int) -> str:
    """What the small figures are of."""
    said = "Below, each small figure is of one combination of settings: the mean over its seeds."
    best = f" Of {n} these are {n_shown}, from the least validation error up, each at its best learning rate."
    return said if n_shown == n else said + best


def _by_seed(sweep: Sweep, shown: Mapping[str, Group], filters: html.Filters) -> list[Markup]:
    """The errors of each run over training."""
    followed = outcomes.followed(sweep.readings, shown)
    if not followed:
        return []
    errors = sweep.readings["valid_error"][[place for group in followed.values() for place in group.places]]
    courses = [outcomes.course(sweep.readings, group) for group in followed.values()]
    runs = {name: 100 * errors.ravel() for name in ("error", "low", "high")}
    scale = outcomes.scale_of([*courses, runs], [group.chance for group in followed.values()])
    draw = lambda group: outcomes.by_seed(sweep.readings, group, scale, SMALL)
    drawn = [html.figure(name, draw(own), kind=tables.kind(filters, own.settings)) for name, own in followed.items()]
    return [html.section("Errors seed by seed", html.paragraph(BY_SEED, "quiet"), html.figures(*drawn, small=True))]
