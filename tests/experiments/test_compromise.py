"""The study of the compromise: its claim checker, its formulas, a tiny run, and the results that are kept."""

import copy
import functools
import itertools
import json
import pathlib
import re

import numpy as np
import pytest

from experiments import claims, page, publishing, study, tiers
from experiments.claims import FAIL, PASS
from experiments.compromise import __main__ as command
from experiments.compromise import ends, linear, minimax, propagation, roughness, trained
from xinit.commands import cli
from xinit.settings.compose import overrides_from

DOCS = pathlib.Path(__file__).parents[2] / "docs"
STUDY = study.load("compromise")
CLAIMS = STUDY.claims()
COUNTEREXAMPLES = [claim.id for claim in CLAIMS if claim.counterexample]  # tried here


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["init"], "The argument init cannot be read"),
        (["tier=huge"], "Unknown tier"),
        (["schemes.xavier=nix"], "Unknown scheme 'nix'"),
        (["schemes.xavier=orthogonal"], "does not draw independent weights"),
        (["profiles.taper=nix"], "Unknown profile 'nix'"),
        (["tier=cpu", "data_dir=/nowhere/at/all", "schemes.xavier=he"], "/nowhere/at/all"),
    ],
)
def test_a_mistake_ends_with_2_before_any_work(tmp_path, capsys, arguments, words):
    assert command.main([*arguments, f"out={tmp_path / 'out'}"]) == cli.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# n_in Var W and n_out Var W against r = n_out / n_in, as PAPERS has them; s = ln(r) / 2.
FACTORS = {
    "fan_in": lambda r: (1.0, r),
    "fan_out": lambda r: (1 / r, 1.0),
    "geometric": lambda r: (r**-0.5, r**0.5),
    "xavier": lambda r: (2 / (1 + r), 2 * r / (1 + r)),
    "mean_of_variances": lambda r: ((1 + 1 / r) / 2, (1 + r) / 2),
}


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("widths", [(8, 2, 8, 2), (100, 60, 30), (784, 128, 10), (5, 5, 5)])
def test_products_are_those_of_the_closed_forms(name, widths):
    forward, backward = zip(*(FACTORS[name](o / i) for i, o in itertools.pairwise(widths)), strict=True)
    scheme = linear.scheme_named(name)
    np.testing.assert_allclose(linear.signal(scheme, widths), np.cumprod([1, *forward]), rtol=1e-12)
    np.testing.assert_allclose(linear.gradient(scheme, widths)[::-1], np.cumprod([1, *backward[::-1]]), rtol=1e-12)


@pytest.mark.parametrize("widths", [(8, 2, 8, 2), (100, 60, 30), (1024, 9)])
def test_glorots_loss_is_the_product_of_sech_s(widths):
    s = np.diff(np.log(widths)) / 2
    assert roughness.loss(linear.scheme_named("xavier"), widths) == pytest.approx(np.prod(1 / np.cosh(s)))
    assert roughness.loss(linear.scheme_named("geometric"), widths) == pytest.approx(1)
    assert roughness.roughness(widths) == pytest.approx(np.sum(s**2) / 2)


def test_drawn_networks_keep_to_the_exact_mean_and_scatter():
    """400 networks: the mean within five standard errors; the scatter a little below that of normal weights."""
    widths, scheme = (16, 8, 16), linear.scheme_named("xavier")
    signal_SL, gradient_SL = linear.drawn(scheme, widths, range(400))
    for drawn_SL, exact_L, scatter_L in (
        (signal_SL, linear.signal(scheme, widths), linear.scatter_of_signal(widths)),
        (gradient_SL, linear.gradient(scheme, widths), linear.scatter_of_gradient(widths)),
    ):
        assert np.all(np.abs(drawn_SL.mean(0) / exact_L - 1) <= 5 * scatter_L / np.sqrt(400))
        np.testing.assert_allclose(drawn_SL.std(0) / exact_L, scatter_L, rtol=0.3, atol=1e-12)


@pytest.mark.parametrize(("n_in", "n_out"), [(784, 100), (9, 1024), (64, 64)])
def test_the_least_worst_error_is_where_both_are_equal(n_in, n_out):
    variance, error = minimax.least("difference", n_in, n_out)
    assert variance == pytest.approx(2 / (n_in + n_out), rel=1e-6)
    assert error == pytest.approx(abs(n_in - n_out) / (n_in + n_out), abs=1e-6)
    variance, error = minimax.least("ratio", n_in, n_out)
    assert variance == pytest.approx((n_in * n_out) ** -0.5, rel=1e-6)
    assert error == pytest.approx(abs(np.log(n_out / n_in)) / 2, abs=1e-6)


SMALL = {
    "width": 16,
    "networks": 2,
    "depth": 2,
    "longest": 6,
    "roughness.ratios": [2.0],
    "nonlinear": {"depth": 2, "width": 8, "networks": 2, "examples": 10},
    "trained": {"search_seeds": 2, "score_seeds": 2},
    "trained.settings.shapeset": {"data": "synthetic", "depth": 2, "width": 8, "steps": 20},
    "trained.settings.shapeset.rates": [0.1],
    "trained.settings.shapeset.profiles": ["constant"],
}
# Few shapes and programs, so that little is compiled.
ALIKE = {f"profiles.{label}": "alternating" for label in ("taper", "grow", "bottleneck")}
ALIKE |= {
    f"nonlinear.rows.{label}": {"activation": "tanh", "scheme": "xavier"} for label in ("relu", "relu_he", "sigmoid")
}
TINY = ["tier=cpu", *overrides_from(SMALL | ALIKE)]


@pytest.mark.slow
def test_a_tiny_run_writes_everything_and_does_not_train_twice(tmp_path, capsys):
    code = command.main([*TINY, f"out={tmp_path}"])
    results = json.loads((tmp_path / "trained.json").read_text())
    records = {record["id"]: record for record in json.loads((tmp_path / "claims.json").read_text())}
    states = [record["state"] for record in records.values()]
    assert code == (cli.FAILED if FAIL in states else cli.DONE)
    assert [records[name]["state"] for name in ("telescoping", "he-product", "minimax")] == [PASS] * 3
    assert records["deep-zigzag"]["why"] == "needs its data: data_dir=FOLDER"
    assert records["zigzag-glorot"]["why"] == "needs depth=20 or more"
    figures = {f"{name}.{kind}" for name in STUDY.parts if name != "nonlinear" for kind in ("png", "svg")}
    stages = {f"{name}.json" for name in STUDY.stages}
    kept = {"about.json", "claims.json", "page.md", "runs", *stages, *figures}
    assert {file.name for file in tmp_path.iterdir()} == kept
    assert results["cells"]["shapeset.constant"]["schemes"]["xavier"]["n"] == 2
    (tmp_path / "trained.json").unlink()
    capsys.readouterr()
    assert command.main([*TINY, "figure=trained", f"out={tmp_path}"]) == code
    assert capsys.readouterr().out.count("are done already") == 2
    assert json.loads((tmp_path / "trained.json").read_text()) == results


def relabelled(results, tier):
    """The results of a tier in which a scheme stands for another: those of that scheme, under the label."""
    results = copy.deepcopy(results)
    labels = tier["schemes"] | ({trained.BASELINE: tier["trained"]["baseline"]} if "trained" in tier else {})
    held = [profile["schemes"] for profile in results["propagation"]["profiles"].values()]
    held += [cell["schemes"] for cell in results.get("trained", {"cells": {}})["cells"].values()]
    for schemes in held:
        schemes |= {label: schemes[name] for label, name in labels.items() if label in schemes and name in schemes}
    return results


@functools.cache  # claims share counterexamples
def exact_under(tier, changes):
    """What needs no drawn networks, or few."""
    quick = tiers.load("compromise", tier, changes) | {"roughness": {"ratios": [1.0]}, "networks": 2, "depth": 20}
    return {"roughness": roughness.measure(quick), "minimax": minimax.measure(quick), "ends": ends.measure(quick)}


def found_under(changes, tier, results):
    """The results under a counterexample: what is exact computed anew, what was drawn or trained relabelled."""
    settings = tiers.load("compromise", tier, changes)
    rows = {(row["activation"], row["scheme"]): row for row in results["nonlinear"]["rows"].values()}
    asked = settings["nonlinear"]["rows"].items()
    exact = exact_under(tier, tuple(changes)).copy()
    exact["nonlinear"] = results["nonlinear"] | {"rows": {label: rows[tuple(row.values())] for label, row in asked}}
    return relabelled(results, settings) | exact


@pytest.fixture(scope="module")
def kept():
    """What is kept of the largest tier that was run: what it says of itself, and its results."""
    return publishing.read(STUDY, STUDY.results)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.counterexample], ids=lambda claim: claim.id)
@pytest.mark.slow
def test_a_claim_fails_under_its_counterexample(claim, kept):
    about, results = kept
    measured = lambda found: publishing.measured(STUDY, STUDY.parts, found, {})
    (holds,) = claims.check([claim], measured(results), about["tier"])
    (fails,) = claims.check([claim], measured(found_under(claim.counterexample, about["tier"], results)), about["tier"])
    assert (holds.state, fails.state) == (PASS, FAIL)


@pytest.mark.parametrize("metric", ["propagation.agreement", "roughness.agreement"])
def test_networks_of_another_scheme_would_not_agree(metric):
    """The claims without a counterexample among the settings: xavier's exact products beside geometric's networks."""
    (claim,) = (claim for claim in CLAIMS if claim.metric == metric)
    widths = (256, 64) * 10 + (256,)
    drawn_SL, _ = linear.drawn(linear.scheme_named("geometric"), widths, range(20))
    exact_L = linear.signal(linear.scheme_named("xavier"), widths)
    z_L = propagation.beside(exact_L, linear.scatter_of_signal(widths), drawn_SL)["z"]
    (checked,) = claims.check([claim], {metric: claims.exact(max(map(abs, z_L)))}, "init")
    assert checked.state == FAIL


def test_the_documentation_answers_with_the_lines_of_the_page():
    shown = page.answer((DOCS / "concepts" / "answer.md").read_text())
    without_claims = lambda line: re.sub(r" \[[a-z][a-z, -]*\]\.$", ".", line)
    assert shown == [without_claims(line) for line in page.answer((STUDY.results / "page.md").read_text())]
    assert len(shown) == 12


def test_no_number_on_the_page_is_typed():
    """Digits stand only in formulas, in a year, in the level of intervals and in the question itself."""
    words = re.sub(r"`[^`]*`|\{[^}]*\}|\(2010\)|95 %|1:|:1|# Why 2 / .*", "", (STUDY.folder / "page.md").read_text())
    assert re.findall(r"\d+", words) == ["2", "6", "2"]  # "2 or 6?" and He's factor, themselves the question
