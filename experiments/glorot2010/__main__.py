"""Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", executable.

    python -m experiments.glorot2010 tier=init                     Figures 1, 5-8 and the Jacobians, at the paper's size
    python -m experiments.glorot2010 tier=cpu data_dir=FOLDER      everything, scaled for two cores
    python -m experiments.glorot2010 tier=paper data_dir=FOLDER    everything at the paper's size and budget, on a GPU
    python -m experiments.glorot2010 figure=6                      one of them: 1 to 12, table1, jacobian, widths, depth
    python -m experiments.glorot2010 figure=7 initial.activation=softsign     any setting of the tier can be changed
    python -m experiments.glorot2010 tier=paper stop_after=100000  up to that update; a later one, or none, goes on

Writes the figures (PNG and SVG), the arrays behind them (JSON, by stage), claims.json and a page to read to out=FOLDER,
by default runs/glorot2010/<tier>; training runs lie there too and are not done twice, so that a command that was cut
goes on. Without a data_dir for MNIST and CIFAR-10 what needs them is NOT RUN. Exit code 4 where a claim FAILs. On two
cores tier=init takes 20 to 60 seconds, tier=cpu a quarter of an hour. Settings: conf/experiment/glorot2010/<tier>.yaml.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import importlib
import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from experiments import claims, drawing, page, tiers
from experiments.study import about, rounded, run_command, use_this_machine, write_all
from xinit.commands.console import Reporter
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

STUDY = "glorot2010"
HERE = pathlib.Path(__file__).parent
PARTS = (*(f"figure{n}" for n in range(1, 13)), "table1", "jacobian", "widths", "depth")
DIGITS = 5  # of a stored number; the claims and the page see the stored ones


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study that the command line asks for; the exit code."""
    return run_command(__doc__, arguments, study)


def study(given: dict[str, str]) -> int:
    """Measure, check the claims, draw, write the page; the exit code.

    Raises:
      InputError: a setting is wrong; nothing was measured.
    """
    started, tier = time.perf_counter(), given.pop("tier", claims.TIERS[0])
    out, asked = pathlib.Path(given.pop("out", f"runs/{STUDY}/{tier}")), given.pop("figure", "all")
    data_dir, stop_after = given.pop("data_dir", None), given.pop("stop_after", None)
    settings = tiers.load(STUDY, tier, [f"{key}={value}" for key, value in given.items()])
    parts = _parts(asked, tier, settings)
    use_this_machine()
    reporter = Reporter()
    stages = _prepare(parts, settings, out, data_dir, stop_after)
    found = _measure(stages, out, reporter)
    said = about(tier, settings, started) | {"figure": asked}
    checked = publish(out, said, found)
    reporter.table(f"{STUDY}, tier={tier}: {said['wall_s']} s", claims.rows(checked))
    reporter.note(f"page: {out / 'page.md'}")
    return claims.exit_code(checked)


def module(part: str) -> ModuleType:
    """What a figure or table is made of: STAGES, the measurements it reads; `metrics` and `draw` of their results."""
    return importlib.import_module(f"{__package__}.{part}")


def stages_of(settings: Mapping[str, Any]) -> list[str]:
    """The stages that a tier has settings for."""
    return [*(name for name in settings if name not in ("models", "campaigns")), *settings.get("campaigns", {})]


def _parts(asked: str, tier: str, settings: Mapping[str, Any]) -> list[str]:
    """The figures and tables asked for.

    Raises:
      InputError: there is no such figure, or the tier does not measure what it shows.
    """
    measured = [part for part in PARTS if _measures(part, settings)]
    if asked == "all":
        return measured
    part = f"figure{asked}" if asked.isdigit() else asked
    if part not in PARTS:
        known = ["all", *(part.removeprefix("figure") for part in PARTS)]
        raise InputError(f"Unknown figure {asked!r}; {allowed_words(asked, known)}")
    if part not in measured:
        able = [other for other in claims.TIERS if _measures(part, tiers.load(STUDY, other))]
        raise InputError(f"tier={tier} does not measure figure={asked}; use {' or '.join(f'tier={t}' for t in able)}.")
    return [part]


def _measures(part: str, settings: Mapping[str, Any]) -> bool:
    return set(module(part).STAGES) <= set(stages_of(settings))


def _prepare(
    parts: Sequence[str], settings: Mapping[str, Any], out: pathlib.Path, data_dir: str | None, stop_after: str | None
) -> dict[str, Callable[[], dict[str, Any]]]:
    """What measures each stage that the parts read and whose data are at hand; all settings are checked."""
    from experiments.glorot2010 import figure1, figure5, initial, training

    untrained = {"samples": figure1, "surfaces": figure5, "initial": initial}

    def ready(name: str) -> Callable[[], dict[str, Any]]:
        if name in untrained:
            prepared = untrained[name].prepare(settings[name])
            return lambda: untrained[name].run(settings[name], prepared)
        campaign = training.prepare(settings, name, out, data_dir, stop_after)
        return lambda: training.run(campaign)

    needed = {name for part in parts for name in module(part).STAGES}
    campaigns = settings.get("campaigns", {})
    at_hand = [name for name in needed if name not in campaigns or not training.lacks_data(campaigns[name], data_dir)]
    if not at_hand:
        raise InputError(
            f"{' and '.join(sorted(needed))} lie in a folder that was not given; name it, data_dir=FOLDER."
        )
    prepared = {name: ready(name) for name in stages_of(settings) if name in at_hand}
    _check_models(parts, campaigns)
    return prepared


def _check_models(parts: Sequence[str], campaigns: Mapping[str, Any]) -> None:
    """InputError where a campaign lacks a model that a figure is about."""
    for part in parts:
        trained = [model for name in module(part).STAGES for model in campaigns.get(name, {}).get("models", [])]
        if lacking := [model for model in getattr(module(part), "MODELS", ()) if model not in trained]:
            where = f"campaigns.{module(part).STAGES[0]}.models"
            raise InputError(f"{part} shows {' and '.join(lacking)}, which {where} lacks; add it or ask for another.")


def _measure(stages: Mapping[str, Callable], out: pathlib.Path, reporter: Reporter) -> dict[str, Any]:
    """The results of every stage, each written as soon as it is there."""
    found = {}
    write_all(out, {})  # a folder that cannot be written is said before the work
    for name, measure in stages.items():
        started = time.perf_counter()
        found[name] = rounded(measure(), DIGITS)
        write_all(out, {f"{name}.json": json.dumps(found[name]).encode()})
        reporter.note(f"{name}: {time.perf_counter() - started:.0f} s")
    return found


def measured(parts: Sequence[str], found: Mapping[str, Any]) -> claims.Metrics:
    """What the claims of the parts are about, from the results of the stages alone."""
    from experiments.glorot2010 import training

    metrics: dict[str, Any] = {}
    for part in parts:
        own = {name: found[name] for name in module(part).STAGES if name in found}
        cut = next(filter(None, map(training.unfinished, own.values())), None)
        lacking = cut or (None if own else training.NO_DATA)
        metrics |= {part: lacking} if lacking else module(part).metrics(own)
    return metrics


def claims_of(part: str) -> list[claims.Claim]:
    """The claims about a figure or table."""
    file = HERE / "claims" / f"{part}.yaml"
    return claims.load(file) if file.exists() else []


def publish(out: pathlib.Path, said: Mapping[str, Any], found: Mapping[str, Any]) -> list[claims.Checked]:
    """From the results of the stages and what the run says of itself: figures, claims.json and the page."""
    parts = _parts(said["figure"], said["tier"], said["settings"])
    checked = check(parts, said["tier"], found)
    contents = {"about.json": json.dumps(said, indent=1).encode(), "claims.json": claims.as_json(checked).encode()}
    contents["page.md"] = render(said, found).encode()
    for part in drawn(parts, found):
        figure = module(part).draw({name: found[name] for name in module(part).STAGES if name in found})
        contents |= {f"{part}.{kind}": drawing.rendered(figure, kind) for kind in ("png", "svg")}
    write_all(out, contents)
    return checked


def check(parts: Sequence[str], tier: str, found: Mapping[str, Any]) -> list[claims.Checked]:
    """The claims of the parts beside what was measured."""
    return claims.check([claim for part in parts for claim in claims_of(part)], measured(parts, found), tier)


def drawn(parts: Sequence[str], found: Mapping[str, Any]) -> list[str]:
    """The parts of which there is something to draw."""
    return [part for part in parts if set(module(part).STAGES) & set(found)]


def render(said: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The page: its head, and of every part how to read it, what it shows, and its claims."""
    parts = _parts(said["figure"], said["tier"], said["settings"])
    head, *sections = (HERE / "page.md").read_text().split("\n## ")
    filled = page.facts(said, measured(parts, found))
    filled["states"] = page.states(check(parts, said["tier"], found))
    shown = {section.partition(" ")[0]: f"## {section.partition(' ')[2]}" for section in sections}
    pages = [page.fill(head, filled)]
    for part in drawn(parts, found):
        pages.append(page.fill(shown[part], filled | _tables(part, said["tier"], found)))
    return "\n".join(pages)


def summary(said: Mapping[str, Any], checked: Sequence[claims.Checked]) -> str:
    """What the README shows of a run: where and when, how many claims are in each state, and all of them."""
    of = {claim.id: part for part in PARTS for claim in claims_of(part)}
    rows = [
        {
            "": of[one.claim.id].replace("figure", "Figure ").replace("table", "Table "),
            "claim": one.claim.statement,
            **row,
        }
        for one, row in zip(checked, map(_shown, claims.rows(checked)), strict=True)
    ]
    head = f"tier={said['tier']}, {said['machine']}, {said['date']}, {said['wall_s'] / 60:.0f} minutes"
    return f"{head}: {page.states(checked)}.\n\n{page.table(rows)}"


def _shown(row: Mapping[str, str]) -> dict[str, str]:
    return {name: row[name] for name in ("published", "measured", "bound", "state")}


def _tables(part: str, tier: str, found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a section: its claims, and its results where a figure does not say all."""
    own = check([part], tier, found)
    deviations = [f"- `{one.claim.id}`: {one.claim.deviation}." for one in own if one.claim.deviation]
    tables = {"claims": "\n".join([page.claims_table(own), "", *deviations]).rstrip()} if own else {}
    return tables | ({"table": page.table(module(part).table(found))} if hasattr(module(part), "table") else {})


if __name__ == "__main__":
    sys.exit(main())
