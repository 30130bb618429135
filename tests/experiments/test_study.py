"""What holds for every study: its files fit together, its kept results are its page, and each claim can fail."""

import contextlib
import importlib
import json
import pathlib
import re
import shutil

import pytest

from experiments import __main__ as listing
from experiments import claims, kept, measuring, page, publishing, study, tiers
from experiments.claims import FAIL, NOT_RUN, PASS, Claim
from experiments.study import Place
from tests.conftest import assert_same_but_for_rounding
from tests.experiments import counterexamples
from xinit.commands import cli
from xinit.core.errors import InputError

pytestmark = pytest.mark.usefixtures("compile_quickly")
PAPERS = pathlib.Path(__file__).parents[2] / "docs" / "papers.md"
STUDIES = [study.load(name) for name in study.names()]
CLAIMS = [pytest.param(own, claim, id=f"{own.name}.{claim.id}") for own in STUDIES for claim in own.claims()]
every_study = pytest.mark.parametrize("own", STUDIES, ids=lambda own: own.name)
every_kept_run = pytest.mark.parametrize(("name", "below"), kept.runs())


# ---- the files of a study


@every_study
def test_its_stages_and_parts_are_modules_and_its_tiers_have_settings_for_them(own):
    assert set(own.minutes) <= set(own.tiers())
    for module in own.stages.values():
        assert callable(own.module(module).prepare)
    for part in own.parts:
        assert set(own.module(part).STAGES) <= set(own.stages)
        assert callable(own.module(part).metrics)
        assert hasattr(own.module(part), "draw") or hasattr(own.module(part), "table")
    measured = {stage for settings in own.tiers().values() for stage in own.stages_of(settings)}
    assert measured == set(own.stages)
    assert {part for settings in own.tiers().values() for part in own.parts_of(settings)} == set(own.parts)
    assert {file.stem for file in (own.folder / "claims").glob("*.yaml")} <= set(own.parts)


@every_study
def test_its_command_is_there_and_its_help_has_every_figure_and_example(own, capsys):
    main = importlib.import_module(f"experiments.{own.name}.__main__").main
    assert main(["--help"]) == cli.DONE
    words = capsys.readouterr().out
    assert all(figure in words for figure in own.figures())
    assert max(map(len, words.splitlines())) <= 120
    for example in own.examples:
        assert example in words
        given = dict(argument.split("=", 1) for argument in example.split())
        tier = given.pop("tier", "init")
        changes = [f"{key}={value}" for key, value in given.items() if key not in ("data_dir", "stop_after", "figure")]
        assert own.asked(given.get("figure", "all"), tier, tiers.load(own.name, tier, changes))


@every_study
def test_its_page_has_a_section_for_each_part_and_names_figures_that_it_draws(own):
    text = (own.folder / "page.md").read_text()
    sections = [section.partition(" ")[0] for section in text.split("\n## ")[1:]]
    assert [section for section in sections if section in own.parts] == list(own.parts)
    drawn = {part for part in own.parts if hasattr(own.module(part), "draw")}
    assert set(re.findall(r"\]\((\w+)\.png\)", text)) == drawn
    for tier, settings in own.tiers().items():
        sections = [section.partition(" ")[0] for section in publishing.template(own, tier).split("\n## ")[1:]]
        assert set(own.parts_of(settings)) <= set(sections)


@every_study
def test_every_claim_has_an_id_of_its_own(own):
    ids = [claim.id for claim in own.claims()]
    assert len(set(ids)) == len(ids) > 0


@pytest.mark.parametrize(("own", "claim"), CLAIMS)
def test_a_claim_is_about_its_part_which_its_tier_measures_and_says_how_it_can_fail(own, claim):
    (part,) = (part for part in own.parts if claim in own.claims_of(part))
    assert claim.metric.split(".")[0] == part
    assert part in own.parts_of(tiers.load(own.name, claim.tier))
    assert bool(claim.counterexample) != bool(claim.no_counterexample)
    tiers.load(own.name, claim.tier, claim.counterexample)  # they are settings of the tier


def test_claims_that_others_name_are_there():
    every = {f"{own.name}.{claim.id}": claim for own in STUDIES for claim in own.claims()}
    named = {other for claim in every.values() for other in (*claim.agrees, *claim.opposes)}
    assert {other for other in named if other.partition(".")[0] in study.names()} <= every.keys()


# ---- what is kept of it


def read(name, below):
    own = study.load(name)
    about, found = publishing.read(own, own.results / below)
    return own, own.results / below, about, found, own.parts_of(about["settings"])


@every_kept_run
def test_every_kept_number_comes_from_the_stored_arrays(name, below):
    own, folder, about, found, parts = read(name, below)
    checked = publishing.check(own, parts, about, found)
    stored = (folder / "page.md").read_text()
    assert_same_but_for_rounding(claims.as_json(checked), (folder / "claims.json").read_text(), digits=9)
    assert_same_but_for_rounding(publishing.render(own, about, found), stored, digits=3)
    assert page.ABSENT not in stored
    assert set(found) == set(own.stages_of(about["settings"]))
    for part in publishing.drawn(own, parts, found):
        assert (folder / f"{part}.png").exists()


@every_kept_run
def test_every_claim_of_its_tier_was_checked_on_the_settings_of_the_tier(name, below):
    own, _, about, found, parts = read(name, below)
    unchecked = [one for one in publishing.check(own, parts, about, found) if one.state == NOT_RUN]
    of_tier = claims.TIERS[: claims.TIERS.index(about["tier"]) + 1]
    assert [one.claim.id for one in unchecked if one.claim.tier in of_tier] == []
    assert about["settings"] == tiers.load(own.name, about["tier"])


@every_kept_run
@pytest.mark.heavy
def test_every_figure_is_drawn_from_what_is_kept(name, below):
    own, _, _, found, parts = read(name, below)
    for part in publishing.drawn(own, parts, found):
        figure = own.module(part).draw(publishing.own_results(own, part, found))
        assert figure.axes or figure.subfigs
        assert all(axes.has_data() or axes.tables or axes.texts or not axes.axison for axes in figure.axes)


def test_the_page_of_papers_has_the_table_of_the_studies():
    shown = re.search(r"<!-- studies -->\n(.*)<!-- /studies -->", PAPERS.read_text(), re.DOTALL)[1]
    assert_same_but_for_rounding(kept.linked_table(), shown.strip(), digits=3)


def test_no_claim_contradicts_one_of_another_study():
    assert kept.contradictions() == []


# ---- counterexamples


@pytest.mark.parametrize(("own", "claim"), [one for one in CLAIMS if counterexamples.is_quick(*one.values)])
@pytest.mark.slow  # minutes in all; of some studies a single one takes one
def test_a_quick_claim_holds_when_small_and_fails_under_its_counterexample(own, claim):
    if counterexamples.state_kept(own, claim) != FAIL:
        assert counterexamples.state_small(own, claim, ()) == PASS
    assert counterexamples.state_small(own, claim, claim.counterexample) == FAIL


@pytest.mark.parametrize(("own", "claim"), [one for one in CLAIMS if counterexamples.is_exchange(*one.values)])
def test_a_claim_about_trained_models_fails_where_they_are_exchanged(own, claim):
    assert counterexamples.state_exchanged(own, claim) == FAIL


@every_study
def test_every_counterexample_is_tried(own):
    """Here, or in the study's own tests, which name the claims in COUNTEREXAMPLES."""
    tried = ()
    with contextlib.suppress(ModuleNotFoundError):
        tried = getattr(importlib.import_module(f"tests.experiments.test_{own.name}"), "COUNTEREXAMPLES", ())
    here = lambda claim: counterexamples.is_quick(own, claim) or counterexamples.is_exchange(own, claim)
    untried = [claim.id for claim in own.claims() if claim.counterexample and not here(claim)]
    assert set(untried) <= set(tried)


# ---- the command


TINY = ["figure=5", "surfaces.points=9", "surfaces.seeds=3"]


@pytest.fixture
def commanded(tmp_path, capsys):
    def command(*arguments):
        code = study.main("experiments.glorot2010", [*arguments, f"out={tmp_path}"])
        return code, capsys.readouterr()

    return command


def test_a_stage_that_is_measured_is_not_measured_again(commanded, tmp_path):
    assert re.search(r"surfaces: \d+ s", commanded(*TINY)[1].out)
    first = (tmp_path / "surfaces.json").read_bytes()
    assert "surfaces: measured before" in commanded(*TINY)[1].out
    assert "surfaces: measured before" not in commanded(*TINY[:2], "surfaces.seeds=4")[1].out  # another setting
    assert (tmp_path / "surfaces.json").read_bytes() != first
    (tmp_path / "surfaces.json").write_text("{")  # damaged
    commanded(*TINY)
    assert (tmp_path / "surfaces.json").read_bytes() == first


def test_a_stage_is_measured_again_where_its_code_or_the_machine_is_another(monkeypatch):
    own, settings = study.load("glorot2010"), tiers.load("glorot2010", "init")
    key = lambda: measuring.prepare(own, ["figure5"], settings, Place(pathlib.Path()))["surfaces"].key
    first = key()
    assert key() == first
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "_code", lambda *_: ["another"])
        assert key() != first
    monkeypatch.setattr("xinit.core.backend.device_words", lambda: "abacus")
    assert key() != first


def test_what_was_measured_stays_where_a_later_stage_breaks(tmp_path):
    def broken():
        raise InputError("It broke.")

    stages = {"one": measuring.Stage(lambda: {"a": [1.23456789]}, "k"), "two": measuring.Stage(broken, "k")}
    from xinit.commands.console import Reporter

    with pytest.raises(InputError, match="It broke"):
        measuring.measure(stages, {"tier": "init"}, tmp_path, Reporter(quiet=True))
    assert json.loads((tmp_path / "one.json").read_text()) == {"a": [1.2346]}
    assert list(json.loads((tmp_path / "about.json").read_text())["stages"]) == ["one"]


def test_redraw_measures_nothing_and_writes_the_same(tmp_path, capsys):
    own = study.load("compromise")
    shutil.copytree(own.results, tmp_path / "copy")
    before = (tmp_path / "copy" / "page.md").read_text()
    (tmp_path / "copy" / "page.md").unlink()
    assert study.main("compromise", [f"redraw={tmp_path / 'copy'}"]) == cli.DONE
    assert_same_but_for_rounding((tmp_path / "copy" / "page.md").read_text(), before, digits=3)
    for arguments, words in {
        (f"redraw={tmp_path}",): "holds no results of compromise",
        (f"redraw={tmp_path / 'copy'}", "width=8"): "takes no other argument; width= was given too",
    }.items():
        assert study.main("compromise", arguments) == cli.BAD_INPUT
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], cli.DONE, "glorot2010"),
        (["glorot2010"], cli.DONE, "figure6-printed-peaks"),
        (["--help"], cli.DONE, "python -m experiments"),
        (["glorot2011"], cli.BAD_INPUT, "Unknown study 'glorot2011'; did you mean glorot2010?"),
        (["glorot2010", "more"], cli.BAD_INPUT, "one too many"),
    ],
)
def test_the_list_of_studies(capsys, arguments, code, words):
    assert listing.main(arguments) == code
    said = capsys.readouterr()
    assert words in (said.err if code else said.out)


def test_contradictions_are_said():
    def one(name, metric, **more):
        claim = Claim(name, "It holds.", "a", "above", 0, "because", "init", **more)
        return claims.check([claim], {"a": metric}, "init")[0]

    yes, no, unknown = claims.exact(1), claims.exact(-1), claims.NotRun("no data")
    checked = {
        "x.same": one("same", yes, agrees=("y.no", "y.yes", "y.unknown")),
        "x.other": one("other", yes, opposes=("y.no", "y.yes")),
        "y.no": one("no", no),
        "y.yes": one("yes", yes),
        "y.unknown": one("unknown", unknown),
    }
    assert list(kept.contradicting(checked)) == [
        "x.same is PASS and y.no is FAIL; they must agree.",
        "x.other and y.yes both hold; only one of them can be true.",
    ]
