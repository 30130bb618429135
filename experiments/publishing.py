"""From what a study has measured: its claims checked, its figures and its page; for a run, and for what is kept."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments import claims, drawing, page, runs
from experiments.measuring import as_json, write_all
from experiments.study import Study
from xinit.core import files
from xinit.core.errors import InputError

NOT_MEASURED = claims.NotRun("not measured by this run")


def publish(
    study: Study,
    out: pathlib.Path,
    said: Mapping[str, Any],
    found: Mapping[str, Any],
    kinds: Sequence[str] = ("png", "svg"),
) -> list[claims.Checked]:
    """Write figures, claims.json and the page, from the stages' results and what the run says of itself."""
    parts = study.asked(said["figure"], said["tier"], said["settings"])
    checked = check(study, parts, said, found)
    contents = {"about.json": as_json(said), "claims.json": claims.as_json(checked).encode()}
    contents["page.md"] = render(study, said, found).encode()
    for part in drawn(study, parts, found):
        figure = study.module(part).draw(own_results(study, part, found))
        contents |= {f"{part}.{kind}": drawing.rendered(figure, kind) for kind in kinds}
    write_all(out, contents)
    return checked


def read(study: Study, folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run in that folder says of itself, and the results of its stages.

    Raises:
      InputError: the folder holds no results of the study, or a file of them is damaged.
    """
    said = files.read_json(folder, "about.json")
    found = {name: files.read_json(folder, f"{name}.json") for name in study.stages}
    found = {name: results for name, results in found.items() if results}
    if not {"tier", "settings", "figure"} <= said.keys() or not found:
        raise InputError(f"{folder} holds no results of {study.name}; name the folder out=... of a run of it.")
    return said, found


def redraw(study: Study, folder: pathlib.Path, given: Mapping[str, str]) -> int:
    """Claims, page and figures anew from the results in a folder; the exit code.

    Raises:
      InputError: other arguments are given, or there are no results.
    """
    from xinit.commands.console import Reporter

    if given:
        raise InputError(f"redraw= measures nothing and takes no other argument; {next(iter(given))}= was given too.")
    said, found = read(study, folder)
    kinds = (
        ("png",) if study.results in (folder.resolve(), folder.resolve().parent) else ("png", "svg")
    )  # half the size: what is kept is in git
    checked = publish(study, folder, said, found, kinds)
    reporter = Reporter()
    reporter.table(f"{study.name}, tier={said['tier']}", claims.rows(checked))
    reporter.note(f"page: {folder / 'page.md'}")
    reporter.next("xinit.report", str(folder))
    return claims.exit_code(checked)


def own_results(study: Study, part: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the stages that a part reads."""
    return {name: found[name] for name in study.module(part).STAGES if name in found}


def measured(
    study: Study, parts: Sequence[str], found: Mapping[str, Any], not_run: Mapping[str, str]
) -> claims.Metrics:
    """What the claims of the parts are about, from the results of the stages alone; `not_run` says why some lack."""
    metrics: dict[str, Any] = {}
    for part in parts:
        own = own_results(study, part, found)
        reasons = (claims.NotRun(not_run[name]) for name in study.module(part).STAGES if name in not_run)
        lacking = _cut(own) or (None if own else next(reasons, NOT_MEASURED))
        metrics |= {part: lacking} if lacking else study.module(part).metrics(own)
    return metrics


def _cut(own: Mapping[str, Any]) -> claims.NotRun | None:
    return next(filter(None, map(runs.unfinished, own.values())), None)


def check(
    study: Study, parts: Sequence[str], said: Mapping[str, Any], found: Mapping[str, Any]
) -> list[claims.Checked]:
    """The claims of the parts beside what was measured."""
    metrics = measured(study, parts, found, said.get("not_run", {}))
    return claims.check([claim for part in parts for claim in study.claims_of(part)], metrics, said["tier"])


def drawn(study: Study, parts: Sequence[str], found: Mapping[str, Any]) -> list[str]:
    """The parts of which there is a figure to draw."""
    return [part for part in _shown(study, parts, found) if hasattr(study.module(part), "draw")]


def _shown(study: Study, parts: Sequence[str], found: Mapping[str, Any]) -> list[str]:
    """The parts of which something was measured; of training that was stopped early, those that can show it so far."""
    own = {part: own_results(study, part, found) for part in parts}
    so_far = lambda part: getattr(study.module(part), "DRAWS_SO_FAR", False)
    return [part for part in parts if own[part] and (so_far(part) or not _cut(own[part]))]


def render(study: Study, said: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The page: its head, and of every part how to read it, what it shows, and its claims.

    A section of the template whose heading begins with the name of a part is about that part, and shown where it was
    measured; `{claims}` and `{table}` in it are the part's, elsewhere `{claims}` are all.
    """
    parts = study.asked(said["figure"], said["tier"], said["settings"])
    metrics = measured(study, parts, found, said.get("not_run", {}))
    by_part = {part: claims.check(study.claims_of(part), metrics, said["tier"]) for part in parts}
    checked = [one for own in by_part.values() for one in own]
    results = {**said, **found, "states": page.states(checked), "claims": page.claims_table(checked)}
    head, *sections = template(study, said["tier"]).split("\n## ")
    shown = _shown(study, parts, found)
    pages = [page.fill(head, page.facts(head, results, metrics)), page.by_chance(checked)]
    for section in sections:
        part, _, rest = section.partition(" ")
        if part not in study.parts:
            pages.append(page.fill(f"## {section}", page.facts(section, results, metrics)))
        elif part in shown:
            tables = _tables(study, part, by_part[part], found)
            pages.append(page.fill(f"## {rest}", page.facts(rest, results | tables, metrics)))
    return "\n".join(pages)


def template(study: Study, tier: str) -> str:
    """The page's template: page.<tier>.md where a tier has words of its own, else page.md."""
    own = study.folder / f"page.{tier}.md"
    return (own if own.exists() else study.folder / "page.md").read_text()


def _tables(study: Study, part: str, own: Sequence[claims.Checked], found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a section: its claims, and its results where a figure does not say all."""
    tables = {"claims": "\n".join([page.claims_table(own), "", *_remarks(own)]).rstrip() if own else ""}
    module, own_found = study.module(part), own_results(study, part, found)
    if hasattr(module, "table"):
        tables["table"] = page.table(module.table(own_found))
    if hasattr(module, "tables"):
        tables |= {f"tables.{name}": page.table(rows) for name, rows in module.tables(own_found).items()}
    return tables


def _remarks(checked: Sequence[claims.Checked]) -> Iterator[str]:
    for one in (one for one in checked if one.state != claims.NOT_RUN):
        if one.state == claims.DIRECTION:
            yield f"- `{one.claim.id}`: the same direction as published, not the same size."
        if one.claim.deviation:
            yield f"- `{one.claim.id}`: {one.claim.deviation}."
        if one.claim.chosen_after:
            yield f"- `{one.claim.id}`, chosen after seeing data: {one.claim.chosen_after}."


def summary(study: Study, said: Mapping[str, Any], checked: Sequence[claims.Checked]) -> str:
    """What the documentation shows of a run: where and when, how many claims are in each state, and all of them."""
    of = {claim.id: part for part in study.parts for claim in study.claims_of(part)}
    heading = lambda part: part.replace("figure", "Figure ").replace("table", "Table ")
    shown = ("published", "measured", "bound", "state")
    rows = [
        {"": heading(of[one.claim.id]), "claim": one.claim.statement, **{name: row[name] for name in shown}}
        for one, row in zip(checked, claims.rows(checked), strict=True)
    ]
    head = f"tier={said['tier']}, {said['machine']}, {said['date']}, {said['wall_s'] / 60:.0f} minutes"
    return f"{head}: {page.states(checked)}.\n\n{page.table(rows)}"
