"""The study of the compromise: its claim checker, its formulas, a tiny run, and the results that are kept."""

import copy
import functools
import itertools
import json
import pathlib
import re

import numpy as np
import pytest

from experiments import claims, page, tiers
from experiments.claims import FAIL, NOT_RUN, PASS, Claim, Measured, NotRun
from experiments.compromise import __main__ as study
from experiments.compromise import ends, linear, minimax, propagation, roughness, trained
from experiments.compromise import page as compromise_page
from tests.conftest import assert_same_but_for_rounding
from xinit.commands import cli
from xinit.core.errors import InputError
from xinit.settings.compose import overrides_from

RESULTS = pathlib.Path(study.__file__).with_name("results")
CLAIMS = claims.load(study.CLAIMS)


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


@pytest.mark.parametrize(("direction", "bound"), [("near", 1), ("within", 1), ("above", [0, 1])])
def test_a_claim_that_could_not_be_checked_is_refused(direction, bound):
    with pytest.raises(ValueError, match="The claim one"):
        claim(direction, bound)


@pytest.mark.parametrize(
    ("tier", "changes", "words"),
    [
        ("gpu", [], "Unknown tier 'gpu'; did you mean cpu? Allowed: cpu, init."),
        ("init", ["widht=8"], "Unknown setting widht; did you mean width?"),
        ("init", ["nonlinear.depht=8"], "Unknown setting nonlinear.depht; did you mean depth?"),
        ("init", ["width=0"], "width is 0; it must be a whole number above 0"),
        ("init", ["width=8.5"], "width is 8.5"),
        ("init", ["schemes=xavier"], "schemes is 'xavier'; it must be a mapping"),
        ("init", ["ratios=4"], "ratios is 4; it must be a list"),
        ("init", ["schemes.xavier=[1]"], "schemes.xavier is [1]; it must be a text"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tier, changes, words):
    with pytest.raises(InputError, match=re.escape(words)):
        tiers.load("compromise", tier, changes)


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
    assert study.main([*arguments, f"out={tmp_path / 'out'}"]) == cli.BAD_INPUT
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
    "width": 16, "networks": 2, "depth": 2, "longest": 6, "ratios": [2.0], "nonlinear.depth": 2, "nonlinear.width": 8,
    "nonlinear.networks": 2, "nonlinear.examples": 10, "trained.search_seeds": 2, "trained.score_seeds": 2,
    "trained.settings.shapeset": {"data": "synthetic", "depth": 2, "width": 8, "steps": 20, "rates": [0.1],
                                  "profiles": ["constant"]},
}  # fmt: skip
# Few shapes and programs, so that little is compiled.
ALIKE = {f"profiles.{label}": "alternating" for label in ("taper", "grow", "bottleneck")}
ALIKE |= {
    f"nonlinear.rows.{label}": {"activation": "tanh", "scheme": "xavier"} for label in ("relu", "relu_he", "sigmoid")
}
TINY = ["tier=cpu", *overrides_from(SMALL | ALIKE)]


@pytest.mark.heavy
def test_a_tiny_run_writes_everything_and_does_not_train_twice(tmp_path, capsys):
    code = study.main([*TINY, f"out={tmp_path}"])
    results = json.loads((tmp_path / "results.json").read_text())
    records = {record["id"]: record for record in json.loads((tmp_path / "claims.json").read_text())}
    states = [record["state"] for record in records.values()]
    assert code == (cli.FAILED if FAIL in states else cli.DONE)
    assert [records[name]["state"] for name in ("telescoping", "he-product", "minimax")] == [PASS] * 3
    assert records["deep-zigzag"]["why"] == "needs its data: data_dir=FOLDER"
    assert records["zigzag-glorot"]["why"] == "needs depth=20 or more"
    figures = {f"{name}.png" for name in ("propagation", "roughness", "minimax", "ends", "trained")}
    assert {file.name for file in tmp_path.iterdir()} == {"results.json", "claims.json", "page.md", "runs", *figures}
    assert results["trained"]["cells"]["shapeset.constant"]["schemes"]["xavier"]["n"] == 2
    capsys.readouterr()
    settings = tiers.load("compromise", "cpu", TINY[1:])
    trained.run(settings, trained.prepare(settings, tmp_path))
    assert capsys.readouterr().out.count("are done already") == 2


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
    quick = tiers.load("compromise", tier, changes) | {"ratios": [1.0], "networks": 2, "depth": 20}
    return {"roughness": roughness.run(quick), "minimax": minimax.run(quick), "ends": ends.run(quick)}


def measured_under(changes, results):
    """The metrics under a counterexample: what is exact computed anew, what was drawn or trained relabelled."""
    tier = tiers.load("compromise", results["tier"], changes)
    rows = {(row["activation"], row["scheme"]): row for row in results["nonlinear"]["rows"].values()}
    asked = tier["nonlinear"]["rows"].items()
    exact = exact_under(results["tier"], tuple(changes)).copy()
    exact["nonlinear"] = results["nonlinear"] | {"rows": {label: rows[tuple(row.values())] for label, row in asked}}
    return study.measured(relabelled(results, tier) | exact)


@pytest.fixture(scope="module")
def results():
    """What is kept of the largest tier that was run."""
    return json.loads((RESULTS / "results.json").read_text())


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.counterexample], ids=lambda claim: claim.id)
@pytest.mark.heavy
def test_a_claim_fails_under_its_counterexample(claim, results):
    (kept,) = claims.check([claim], study.measured(results), results["tier"])
    (against,) = claims.check([claim], measured_under(claim.counterexample, results), results["tier"])
    assert (kept.state, against.state) == (PASS, FAIL)


@pytest.mark.parametrize("metric", ["agreement", "loss.agreement"])
def test_networks_of_another_scheme_would_not_agree(metric, results):
    """The claims without a counterexample among the settings: xavier's exact products beside geometric's networks."""
    (claim,) = (claim for claim in CLAIMS if claim.metric == metric)
    widths = (256, 64) * 10 + (256,)
    drawn_SL, _ = linear.drawn(linear.scheme_named("geometric"), widths, range(20))
    exact_L = linear.signal(linear.scheme_named("xavier"), widths)
    z_L = propagation.beside(exact_L, linear.scatter_of_signal(widths), drawn_SL)["z"]
    (checked,) = claims.check([claim], {metric: claims.exact(max(map(abs, z_L)))}, "init")
    assert checked.state == FAIL


def test_every_claim_was_measured_and_the_page_is_that_of_the_results(results):
    metrics = study.measured(results)
    checked = claims.check(CLAIMS, metrics, results["tier"])
    assert [one.claim.id for one in checked if one.state == NOT_RUN] == []
    assert_same_but_for_rounding(claims.as_json(checked), (RESULTS / "claims.json").read_text(), digits=9)
    kept = (RESULTS / "page.md").read_text()
    assert_same_but_for_rounding(compromise_page.render(results, metrics, checked), kept, digits=3)
    assert page.ABSENT not in kept
    assert len(page.answer(kept)) == 12
    for figure in re.findall(r"\]\((\w+\.png)\)", kept):
        assert (RESULTS / figure).exists()


def test_the_readme_answers_with_the_lines_of_the_page():
    readme = page.answer((pathlib.Path(__file__).parents[2] / "README.md").read_text())
    without_claims = lambda line: re.sub(r" \[[a-z][a-z, -]*\]\.$", ".", line)
    assert readme == [without_claims(line) for line in page.answer((RESULTS / "page.md").read_text())]


def test_no_number_on_the_page_is_typed():
    """Digits stand only in formulas, in a year, in the level of intervals and in the question itself."""
    words = re.sub(r"`[^`]*`|\{[^}]*\}|\(2010\)|95 %|1:|:1|# Why 2 / .*", "", compromise_page.TEMPLATE.read_text())
    assert re.findall(r"\d+", words) == ["2", "6", "2"]  # "2 or 6?" and He's factor, themselves the question
