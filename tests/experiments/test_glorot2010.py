"""Glorot & Bengio 2010, executable: a tiny run of everything, what is kept of a real one, and every counterexample."""

import contextlib
import functools
import json
import pathlib
import re
import shutil

import pytest

from experiments import claims, measuring, page, publishing, study, tiers
from experiments.claims import DIRECTION, FAIL, NOT_RUN, PASS
from experiments.glorot2010 import __main__ as command
from experiments.glorot2010 import figure11, initial, published, schemes, turns
from experiments.study import Place
from tests.conftest import assert_same_but_for_rounding
from xinit.commands import cli
from xinit.networks import activations
from xinit.networks.mlp import plain
from xinit.settings.compose import overrides_from

STUDY = study.load("glorot2010")
pytestmark = pytest.mark.usefixtures("compile_quickly")
CLAIMS = STUDY.claims()
COUNTEREXAMPLES = [claim.id for claim in CLAIMS if claim.counterexample]  # tried here, those of figure 5 in _surfaces


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure=13"], "Unknown figure '13'; did you mean 3?"),
        (["figure=tabel1"], "did you mean table1?"),
        (["figure=2"], "tier=init does not measure figure=2; use tier=cpu or tier=tenth or tier=paper."),
        (["tier=cpu", "figure=depth"], "tier=cpu does not measure figure=depth; use tier=paper."),
        (
            ["tier=cpu", "figure=12"],
            "There is nothing to measure: mnist needs its data: data_dir=FOLDER; cifar10",
        ),
        (["tier=cpu", "figure=3", "shapeset.models=[tanh]"], "figure3 shows softsign, which"),
        (["figure=5", "surfaces.activation=tahn"], "Unknown activation 'tahn'; did you mean tanh?"),
        (["tier=gpu"], "Unknown tier 'gpu'"),
        (["initial.widht=8"], "Unknown setting initial.widht; did you mean width?"),
        (["figure=6", "initial.schemes.standard=nix"], "Unknown scheme 'nix'"),
        (["figure=6", "initial.examples=20"], "initial.examples is 20; it must be at least 5 mini-batches of 10."),
        (["figure=1", "samples.scenes=3"], "samples.scenes is 3"),
        (["tier=cpu", "figure=3", "shapeset.models=[tahn]"], "Unknown model 'tahn' in shapeset.models"),
        (["tier=cpu", "figure=3", "models.tanh.activation=tahn"], "Unknown activation 'tahn'; did you mean tanh?"),
        (["tier=cpu", "figure=12", "data_dir=/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_a_mistake_ends_with_2_before_any_work(tmp_path, capsys, arguments, words):
    assert command.main([*arguments, f"out={tmp_path / 'out'}"]) == cli.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


TINY_CAMPAIGN = {"width": 8, "steps": 30, "points": 3, "seeds": 2, "rates": [0.1]}
CHOOSING = ("shapeset", "depths")  # campaigns that choose among several rates
MODELS = ("sigmoid", "sigmoid4", "tanh", "tanh_n", "tanh_p", "softsign", "softsign_n")
TINY = {
    "samples": {"rows": 1, "columns": 2, "size": 16, "scenes": 50, "seeds": 2},
    "surfaces": {"points": 9, "seeds": 2},
    "initial": {"data": "synthetic", "width": 16, "depth": 3, "examples": 20, "batches": 1, "seeds": 2},
    # One activation and depth, so that models share programs; the figures ask for labels.
    "models": {
        **{name: {"depth": 2, "activation": "tanh"} for name in MODELS},
        "pretraining": {"depth": 2, "activation": "tanh", "options": {"steps": 20, "pixel_range": [-1, 1]}},
        **{name: {"depth": [1, 2], "activation": "tanh"} for name in ("sigmoid_deep", "tanh_n_deep")},
    },
    **{
        name: TINY_CAMPAIGN
        | ({"rates": [0.1, 0.3]} if name in CHOOSING else {})
        | ({} if name == "pretraining" else {"data": "synthetic"})
        | ({"profile": "grow"} if name == "shrinking" else {})  # as the growing one, whose program it shares
        for name in (
            "sigmoid",
            "shapeset",
            "pretraining",
            "mnist",
            "cifar10",
            "growing",
            "shrinking",
            "depths",
            "as_printed",
        )
    },
    "scaling": TINY_CAMPAIGN
    | {"data": "synthetic", "pixel_ranges": [[0, 1]], "budgets": [15, 30], "rungs": [[15, 1]], "rates": [0.1, 0.3]},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Everything the study does, tiny: the folder, and the exit code."""
    out = tmp_path_factory.mktemp("glorot2010")
    return out, command.main(["tier=paper", *overrides_from(TINY), f"out={out}"])


@pytest.mark.slow
def test_a_tiny_run_draws_every_figure(tiny):
    out, code = tiny
    checked = json.loads((out / "claims.json").read_text())
    assert code == (cli.FAILED if FAIL in [one["state"] for one in checked] else cli.DONE)
    assert [one["id"] for one in checked] == [claim.id for claim in CLAIMS]
    assert {file.stem for file in out.glob("*.png")} == set(STUDY.parts) == {file.stem for file in out.glob("*.svg")}
    assert {file.stem for file in out.glob("*.json")} == {*STUDY.stages, "claims", "about"}
    states = {one["id"]: one["state"] for one in checked}
    assert states["depth-tanh-n"] == states["depth-sigmoid"] == FAIL  # of networks of one or two layers
    assert page.ABSENT not in (out / "page.md").read_text()
    for figure in re.findall(r"\]\((\w+\.png)\)", (out / "page.md").read_text()):
        assert (out / figure).exists()


@pytest.mark.slow
def test_the_same_command_trains_nothing_twice(tiny, tmp_path, capsys):
    """Stages that are there are read; where one is lost, its runs are."""
    out = shutil.copytree(tiny[0], tmp_path / "copy")
    again = ["tier=paper", "figure=11", *overrides_from(TINY), f"out={out}"]
    assert command.main(again) in (0, cli.FAILED)
    assert capsys.readouterr().out.count("measured before") == 3
    for stage in ("sigmoid", "shapeset", "pretraining"):
        (out / f"{stage}.json").unlink()
    assert command.main(again) in (0, cli.FAILED)
    assert re.findall(r"(\d+) runs; (\d+) are done", capsys.readouterr().out) == [("2", "4"), ("8", "16"), ("2", "2")]


@pytest.mark.slow
def test_a_piece_says_how_far_it_got_and_the_next_goes_on(tiny, tmp_path):
    """`stop_after`: curves so far, no test errors; then the whole, equal to a run that was never cut."""
    asked = ["tier=paper", "figure=10", *overrides_from(TINY), f"out={tmp_path}"]
    assert command.main([*asked, "stop_after=20"]) == cli.DONE
    piece = json.loads((tmp_path / "shapeset.json").read_text())
    assert (piece["done"], piece["models"]["tanh"]["test"]) == (20, None)
    assert {one["state"] for one in json.loads((tmp_path / "claims.json").read_text())} == {NOT_RUN}
    command.main(asked)
    cut, whole = ((folder / "shapeset.json").read_bytes() for folder in (tmp_path, tiny[0]))
    assert cut == whole


@pytest.mark.slow
def test_the_choice_is_the_best_on_validation(tiny):
    for stage in CHOOSING:
        for own in json.loads((tiny[0] / f"{stage}.json").read_text())["models"].values():
            assert own["valid"][f"{own['depth']} {own['rate']:g}"] == min(own["valid"].values())


def test_what_the_figures_printed_is_eq_16_but_for_the_ends():
    network = plain((30, 20, 20, 10), (activations.tanh(),) * 2)
    variances = [law.variance for law in schemes.as_printed().law(network)]
    assert variances == pytest.approx([1 / (3 * 30), 2 / 40, 1 / (3 * 20)])


# ---- what is kept of the largest tier that was run


@pytest.fixture(scope="module")
def kept():
    """What the run said of itself, and the results of its stages."""
    return publishing.read(STUDY, STUDY.results)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("at 0.0541 of 1.23e-05", True),
        ("at 0.0542 of 1.24e-05", True),
        ("at 0.0541 of 1.2e-05", False),
        ("at 0.0551 of 1.23e-05", False),
        ("in 0.0541 of 1.23e-05", False),
        ("at 0.0541 of 1", False),
    ],
)
def test_texts_may_differ_by_a_last_digit_and_by_nothing_else(text, same):
    with contextlib.nullcontext() if same else pytest.raises(AssertionError):
        assert_same_but_for_rounding(text, "at 0.0541 of 1.23e-05", digits=3)


def test_the_documentation_shows_every_claim_of_the_kept_results(kept):
    said, found = kept
    checked = publishing.check(STUDY, STUDY.parts_of(said["settings"]), said, found)
    head, _, table = publishing.summary(STUDY, said, checked).partition("\n\n")
    assert head.startswith("tier=cpu, ")
    assert [line.split(" | ")[-1] for line in table.splitlines()[2:]] == [f"{one.state} |" for one in checked]


@pytest.mark.parametrize(
    ("template", "digits"),
    [("page.md", ["3", "2", "0", "1", "0", "98", "1"]), ("page.tenth.md", ["0", "98", "1", "2", "1"])],
)
def test_no_number_on_the_page_is_typed(template, digits):
    """Digits stand in titles, numbers of equations, figures and layers, Shapeset-3x2, a range, and the paper's 98 %."""
    figures = r"Figures? \d+(?:(?:, | and | to )\d+)*"
    words = re.sub(rf"`[^`]*`|\{{[^}}]*\}}|^##+ .*$|\(\w+\.png\)|[Ee]q\. \d+|2010|95 %|CIFAR-10|{figures}", "",
                   (STUDY.folder / template).read_text(), flags=re.MULTILINE)  # fmt: skip
    assert re.findall(r"\d+", words) == digits


# ---- counterexamples


KEYS = ("activation", "scheme", "depth")


def trained_as(found, wanted):
    """A model that was trained with the settings wanted, in whatever campaign; None where there is none."""
    trained = (own for stage in found.values() for own in stage.get("models", {}).values())
    return next((own for own in trained if {key: own[key] for key in KEYS} == wanted), None)


def relabelled(found, tier):
    """The results, with every model whose settings differ replaced by one that was trained with them."""
    replaced = dict(found)
    for name in (name for name in found if "models" in found[name]):
        models = {}
        for label, own in found[name]["models"].items():
            wanted = {key: tier["models"][label][key] for key in KEYS}
            same = wanted == {key: own[key] for key in KEYS}
            models[label] = own if same else trained_as({"here": found[name], **found}, wanted)
        replaced[name] = {**found[name], "models": models}
    return replaced


def start_under(changes, found):
    """The initial networks under changed settings: another scheme's results, or small networks drawn anew."""
    tier = tiers.load(STUDY.name, "init", changes)["initial"]
    names = found["initial"]["schemes"].keys()
    if tier["schemes"] != tiers.load(STUDY.name, "init")["initial"]["schemes"]:
        by_name = dict(zip(tiers.load(STUDY.name, "init")["initial"]["schemes"].values(), names, strict=True))
        own = {label: found["initial"]["schemes"][by_name[tier["schemes"][label]]] for label in names}
        return found | {"initial": found["initial"] | {"schemes": own}}
    return found | {"initial": drawn_anew(tuple(changes))}


@functools.cache  # claims share counterexamples
def drawn_anew(changes):
    """The stage of the initial networks, small, under changed settings."""
    tier = tiers.load(STUDY.name, "init", changes)["initial"]
    small = tier | {"width": 100, "examples": 50, "batches": 2, "jacobian_examples": 1}
    return measuring.rounded(initial.prepare("initial", {"initial": small}, Place(pathlib.Path()))())


def as_printed(found):
    """The results, with validation errors at 2.5 million examples that are the printed ones."""
    paper, replaced = published.load("figure11"), dict(found)
    for name in figure11.STAGES:
        updates = int(figure11.FIRST / found[name]["batch_size"])
        models = {
            label: own | {"step": [updates], "valid_error": [[paper[label][0]]] * found[name]["seeds"]}
            for label, own in found[name]["models"].items()
        }
        replaced[name] = found[name] | {"models": models, "done": updates, "steps": updates}
    return replaced


@pytest.fixture(scope="module")
def tenth():
    """The results of the paper's own network after a tenth of its budget."""
    return publishing.read(STUDY, STUDY.results / "tenth")[1]


@pytest.mark.parametrize(
    "claim", [claim for claim in CLAIMS if claim.at_tier("tenth").seeds == 1], ids=lambda claim: claim.id
)
def test_a_claim_about_one_run_of_the_papers_network_fails_under_its_counterexample(claim, tenth):
    changed = relabelled(tenth, tiers.load(STUDY.name, "tenth", claim.at_tier("tenth").counterexample))
    state = lambda found: (
        claims.check([claim], publishing.measured(STUDY, [part_of(claim)], found, {}), "tenth")[0].state
    )
    assert state(tenth) in (PASS, FAIL)
    assert state(changed) == FAIL


def test_the_claims_that_fail_when_narrow_are_looked_at_in_every_cell(tenth):
    """The narrow cells at every rate that got there; the wide ones, of which densities are kept of the end alone."""
    narrow, wide = tenth["scaling"], tenth["shapeset"]
    ends = {cell[:3] for cell in turns.cells(tenth) if cell.updates == wide["done"] or cell.width == narrow["width"]}
    for claim in turns.TURNED:
        seeds = {(row.cell[:3], row.found.n) for row in turns.rows(claim, tenth)}
        assert ends <= {cell for cell, _ in seeds}
        assert {n for (width, *_), n in seeds if width == narrow["width"]} == {narrow["seeds"]}
        assert {n for (width, *_), n in seeds if width == wide["width"]} == {1}


def test_the_readme_has_the_table_of_the_papers_network(tenth):
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    shown = re.search(r"<!-- tenth -->\n(.*)<!-- /tenth -->", readme, re.DOTALL)[1]
    assert_same_but_for_rounding(page.table(figure11.table(tenth)), shown.strip(), digits=3)


def test_where_every_claim_that_failed_holds_is_what_the_bound_says():
    own = {"valid": [60.0, 61.0], "half_way": [0.1, 0.1], "furthest": [0.9, 0.9], "mode": [0.7, 0.7], "apart": [2, 2],
           "saturated": [0.1, 0.1]}  # fmt: skip
    models = {name: {"0.1": own} for name in ("tanh", "tanh_n", "softsign", "softsign_n")}
    models["tanh"] = {
        "0.1": own | {"valid": [70.0, 71.0], "half_way": [0.5, 0.5]},
        "0.3": own | {"valid": [90.0, 91.0]},
    }
    cell = {"pixel_range": [0, 1], "updates": 60, "models": models}
    found = {"scaling": {"width": 8, "seeds": 2, "rates": [0.1, 0.3], "cells": [cell]}}
    values = {name: measured.value for name, measured in turns.metrics(found).items()}
    assert values == pytest.approx({
        "turns.figure3-softsign-together.8.0.60": 0.4,
        "turns.figure3-softsign-asymptote.8.0.60": 0.9,
        "turns.figure4-softsign-knees.8.0.60": 0.7,
        "turns.figure11-tanh-below-softsign.8.0.60": 10,
        "turns.figure11-softsign-is-robust.8.0.60": 10,
    })  # fmt: skip
    assert {line["state"] for name in turns.TURNED for line in turns.tables(found)[name]} == {PASS}


def found_under(claim, found):
    """What was measured under a claim's counterexample."""
    if STUDY.module(part_of(claim)).STAGES == ("initial",):
        return start_under(claim.counterexample, found)
    return relabelled(found, tiers.load(STUDY.name, claim.tier, claim.counterexample))


def part_of(claim):
    return next(part for part in STUDY.parts if claim in STUDY.claims_of(part))


TRAINED_OR_DRAWN = [
    claim for claim in CLAIMS if not {"samples", "surfaces", "depths"} & set(STUDY.module(part_of(claim)).STAGES)
]


@pytest.mark.parametrize("claim", TRAINED_OR_DRAWN, ids=lambda claim: claim.id)
@pytest.mark.heavy
def test_a_claim_fails_under_its_counterexample(claim, kept):
    said, found = kept
    found = as_printed(found) if claim.tier == "tenth" else found
    state = lambda found: (
        claims.check([claim], publishing.measured(STUDY, [part_of(claim)], found, {}), claim.tier)[0].state
    )
    if claim.tier in (said["tier"], "init", "tenth"):
        assert state(found) in (PASS, DIRECTION, FAIL)  # which one is what the table says
    assert state(found_under(claim, found)) == FAIL
