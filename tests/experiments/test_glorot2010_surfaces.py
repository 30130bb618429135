"""Figure 1, samples of Shapeset and how often their classes come, and Figure 5, two costs over two weights."""

import functools
import itertools
import json
import pathlib
import re

import jax
import numpy as np
import pytest

from experiments import claims, drawing, tiers
from experiments.claims import FAIL, PASS
from experiments.glorot2010 import figure1, figure5
from experiments.study import Place
from xinit.core import readings
from xinit.core.errors import InputError
from xinit.data import scenes as shapeset
from xinit.networks import activations

FOLDER = pathlib.Path(figure1.__file__).parent / "claims"
PRIOR, SURFACES = (claims.load(FOLDER / f"figure{n}.yaml") for n in (1, 5))
SMALL = {"rows": 1, "columns": 2, "size": 16, "scenes": 50, "seeds": 2}  # settings of the stage `samples`


@functools.cache
def surfaces(*changes):
    return figure5.prepare("surfaces", tiers.load("glorot2010", "init", changes), Place(pathlib.Path()))()


@pytest.mark.parametrize("claim", SURFACES, ids=lambda claim: claim.id)
def test_a_claim_holds_and_fails_under_its_counterexample(claim):
    own, against = ({"surfaces": surfaces(*changes)} for changes in ((), claim.counterexample))
    states = [claims.check([claim], figure5.metrics(found), "init")[0].state for found in (own, against)]
    assert states == [PASS, FAIL]


def test_over_many_random_examples_cross_entropy_has_the_larger_plateaus():
    """What the deviation of figure5-plateaus says."""
    measured = figure5.metrics({"surfaces": surfaces("surfaces.examples=100")})
    assert measured["figure5.plateau.difference"].high < 0


def test_the_cut_of_a_plateau_is_that_of_saturation():
    assert tiers.load("glorot2010", "init")["surfaces"]["flat"] == readings.FLAT


def test_slopes_of_the_costs_in_the_margin():
    m = np.linspace(-6, 6, 25, dtype=np.float32)
    p = 1 / (1 + np.exp(-m.astype(np.float64)))
    for name, slope in {"cross_entropy": -(1 - p), "squared_error": -2 * p * (1 - p) ** 2}.items():
        np.testing.assert_allclose(jax.vmap(jax.grad(figure5.COSTS[name]))(m), slope, rtol=1e-4)


@pytest.mark.parametrize(
    "activation", [activations.tanh(), activations.linear()], ids=lambda activation: activation.name
)
def test_surfaces_are_the_costs_of_the_network_and_their_slopes(activation):
    """Against the formulas in terms of P(1|x) and y, and central differences, in float64."""
    weights_K, (x_N, sign_N), step = np.linspace(-3, 3, 7, dtype=np.float32), figure5.examples(0, 3), 1e-5
    hidden = {"tanh": np.tanh, "linear": np.positive}[activation.name]
    w1, w2 = np.meshgrid(weights_K.astype(float), weights_K.astype(float), indexing="ij")
    y_N = (sign_N + 1) / 2

    def costs(by_1=0.0, by_2=0.0):
        a_KKN = (w2 + by_2)[..., None] * hidden((w1 + by_1)[..., None] * x_N[None, None, :])
        p_KKN = 1 / (1 + np.exp(-a_KKN))
        cross_entropy_KKN = -np.log(np.where(y_N == 1, p_KKN, 1 - p_KKN))
        return {"cross_entropy": cross_entropy_KKN.mean(-1), "squared_error": ((p_KKN - y_N) ** 2).mean(-1)}

    for name, own in figure5.surfaces(activation.function, weights_K, x_N, sign_N).items():
        slopes = [(costs(*by)[name] - costs(*-by)[name]) / (2 * step) for by in step * np.eye(2)]
        np.testing.assert_allclose(own.cost, costs()[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(own.slope, np.hypot(*slopes), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("cost", "slope", "plateau", "severe"),
    [
        ([0, 1, 2, 3], [1, 1, 1, 1], 0, 0),
        ([0, 1, 2, 3], [1, 0.05, 1, 0.05], 0, 0),  # not below the cut
        ([0, 1, 2, 3], [0.04, 1, 1, 1], 0.25, 0),
        ([0, 1, 2, 3], [0.04, 0.04, 0.04, 1], 0.75, 0.25),
        ([0, 1, 2, 3], [4, 400, 4, 4], 0.75, 0.5),  # whatever the unit of the cost
    ],
)
def test_readings_of_a_surface(cost, slope, plateau, severe):
    surface = figure5.Surface(np.reshape(cost, (2, 2)), np.reshape(slope, (2, 2)))
    assert figure5.readings(surface, 0.05) == {"plateau": plateau, "severe": severe, "height": 3}


def test_the_surface_shown_is_the_median_one_and_cross_entropy_lies_above():
    results = surfaces()
    shown = {name: figure5.Surface(*map(np.array, own.values())) for name, own in results["shown"].items()}
    plateau = {name: results["readings"][name]["plateau"] for name in shown}
    here = {name: figure5.readings(surface, results["flat"])["plateau"] for name, surface in shown.items()}
    difference = lambda of: np.subtract(of["squared_error"], of["cross_entropy"])
    assert np.mean(difference(plateau) < difference(here)) <= 0.5 <= np.mean(difference(plateau) <= difference(here))
    assert np.all(shown["cross_entropy"].cost > shown["squared_error"].cost)


def test_figure_5_says_what_was_measured_and_stays_small():
    found = json.loads(json.dumps({"surfaces": surfaces()}))
    image = drawing.rendered(figure5.draw(found), "svg").decode()
    assert len(image) < 400_000
    shown = figure5.draw(found).subfigs[1].axes[1].get_title()
    assert claims.number(100 * figure5.metrics(found)["figure5.severe.squared_error"].value) in shown


def test_an_unknown_activation_is_one_sentence():
    with pytest.raises(InputError, match=re.escape("Unknown activation 'tahn'; did you mean tanh?")):
        surfaces("surfaces.activation=tahn")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(range(3), repeat=2)))
def test_words_of_a_class_are_its_objects(first, second):
    words = [name.replace("\n", " ") for name in figure1.CLASSES]
    of_pair = words[shapeset.LABEL_OF_PAIR[first][second]]
    assert of_pair == (
        f"two {words[first]}s" if first == second else ", ".join(words[kind] for kind in sorted((first, second)))
    )


def test_a_mosaic_needs_enough_scenes():
    with pytest.raises(InputError, match=r"samples.scenes is 1; it must be at least rows times columns, here 2."):
        figure1.prepare("samples", {"samples": SMALL | {"scenes": 1}}, Place(pathlib.Path()))


def counted(shares, seeds=10, scenes=10_000):
    counts = np.random.default_rng(0).multinomial(scenes, shares, size=seeds).tolist()
    return {"samples": {"counts": counts, "prior": list(shapeset.PRIOR)}}


@pytest.mark.parametrize("claim", PRIOR, ids=lambda claim: claim.id)
def test_the_prior_passes_and_balanced_classes_fail(claim):
    states = [
        claims.check([claim], figure1.metrics(counted(shares)), "init")[0].state
        for shares in (shapeset.PRIOR, np.full(9, 1 / 9))
    ]
    assert states == [PASS, FAIL]


def test_figure_1_shows_the_samples_that_were_drawn():
    found = json.loads(json.dumps({"samples": figure1.prepare("samples", {"samples": SMALL}, Place(pathlib.Path()))()}))
    results = found["samples"]
    assert np.sum(results["counts"], axis=1).tolist() == [SMALL["scenes"]] * SMALL["seeds"]
    figure = figure1.draw(found)
    mosaic, shares = (part.axes for part in figure.subfigs)
    assert [axes.get_title() for axes in mosaic] == [figure1.CLASSES[label] for label in results["labels"]]
    np.testing.assert_array_equal(mosaic[0].images[0].get_array().T, results["images"][0])
    assert len(shares[0].get_yticks()) == len(figure1.CLASSES)
    assert drawing.rendered(figure).startswith(b"\x89PNG")
