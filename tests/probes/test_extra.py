"""Readings of the user's: what their functions are given, what they may give, and what is said where they do not."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.probes.test_probe import BATCH, FUNCTIONS
from tests.probes.test_probe import network as small
from xinit.core.errors import InputError
from xinit.probes.edges import no_edges
from xinit.probes.extra import ExtraReading, describe
from xinit.probes.passes import signals
from xinit.probes.probe import make_probe

pytestmark = pytest.mark.usefixtures("compile_quickly")
DEPTH, LABELS = len(FUNCTIONS), 5


def whole(params, batch, outputs):
    """Some of everything.

    And more.
    """
    label = jax.nn.one_hot(batch[1], LABELS)
    return {
        "any": jnp.any(outputs.logits > 0),
        "number": 3,
        "peak": [jnp.max(h) for h in outputs.post],
        "norm": jnp.stack([jnp.linalg.norm(layer["kernel"]) for layer in params["layers"].values()]),
        "table": label.T @ outputs.logits,
    }


def undocumented(params, batch, outputs):
    return {"rows": np.ones(LABELS), "columns": jnp.ones((DEPTH, LABELS))}


undocumented.axes = {"rows": "label", "columns": ["layer", "label"]}


def described(*functions):
    network, params = small()
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (params, BATCH))
    own = [ExtraReading(f"mine:{function.__name__}", function) for function in functions]
    return describe(own, lambda params, batch: signals(network, params, {}, batch), *shapes, DEPTH)


def test_axes_and_definitions_are_known_before_anything_is_measured():
    found, n = described(whole, undocumented)
    assert {name: axes for name, (axes, _) in found.items()} == {
        "any": (),
        "number": (),
        "peak": ("layer",),
        "norm": ("weight",),
        "table": ("table_0", "table_1"),
        "rows": ("label",),
        "columns": ("layer", "label"),
    }
    assert found["peak"][1] == "Some of everything (mine:whole)"
    assert found["rows"][1] == "mine:undocumented"
    assert n == 2 + DEPTH + (DEPTH + 1) + LABELS**2 + LABELS + DEPTH * LABELS


def test_they_are_measured_beside_the_others_which_stay_what_they_were():
    network, params = small()
    edges = no_edges(DEPTH, DEPTH + 1)
    plain = jax.jit(make_probe(network, "economy"))(params, {}, BATCH, edges)
    own = [ExtraReading("mine:whole", whole)]
    readings = jax.jit(make_probe(network, "economy", extra=own))(params, {}, BATCH, edges)
    for name, values in plain.items():
        np.testing.assert_allclose(readings[name], values, rtol=1e-6, atol=1e-7)
    assert {readings[name].dtype for name in readings.keys() - plain.keys()} == {jnp.dtype("float32")}
    np.testing.assert_allclose(readings["peak"], plain["act_max"])
    logits = network.apply(params, {}, BATCH[0])[0]
    table = [logits[BATCH[1] == label].sum(axis=0) for label in range(LABELS)]
    np.testing.assert_allclose(readings["table"], table, rtol=1e-4, atol=1e-5)


def test_the_signals_are_those_of_forward_and_backward_pass():
    network, params = small()
    seen, (logits, outputs, _) = signals(network, params, {}, BATCH), network.apply(params, {}, BATCH[0])
    np.testing.assert_allclose(seen.logits, logits, rtol=1e-5, atol=1e-6)
    assert [h.shape for h in seen.post] == [z.shape for z in seen.pre] == [g.shape for g in seen.grad_pre]
    for f, z, h in zip(FUNCTIONS, seen.pre, seen.post, strict=True):
        np.testing.assert_allclose(h, f.function(z), rtol=1e-6)
    for l, g in enumerate(seen.grad_pre):  # per example, of which the mean is that of the mean loss
        np.testing.assert_allclose(g.mean(axis=0), seen.grad_params["layers"][l]["bias"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(seen.post[-1], outputs.post[-1], rtol=1e-5)


def giving(value, **axes):
    def function(params, batch, outputs):
        return value(outputs) if callable(value) else value

    function.axes = axes
    return function


NOT_GIVEN = {  # what a function gives -> words of the sentence
    "a number": (giving(3.0), "gives a float; it must give a mapping from names to arrays."),
    "nothing": (giving(None), "gives a NoneType; it must give a mapping"),
    "an empty mapping": (giving({}), "gives {}; it must give a mapping"),
    "no names": (giving({1: 2.0}), "gives {1: 2.0}; it must give a mapping"),
    "a text": (giving({"x": "text"}), "gives 'x' as 'text'; it must be an array of numbers."),
    "complex numbers": (giving({"x": 1j}), "gives 'x' of shape () and type complex64; it must be real numbers"),
    "nothing of it": (giving({"x": np.ones(0)}), "gives 'x' of shape (0,) and type float32"),
    "too much": (giving({"x": np.ones(100_001)}), "1 to 100,000 of them over at most 2 axes."),
    "three axes": (giving({"x": np.ones((1, 1, 1))}), "over at most 2 axes."),
    "our name": (giving({"act_std": 1.0}), "gives 'act_std' over (); xinit has something else of the name act_std."),
    "a path": (giving({"a/b": 1.0}), "a name is a letter, then at most 59 letters, digits and underscores"),
    "NumPy": (lambda *_: {"x": np.linalg.norm(_[2].logits)}, "is part of a compiled program and must compute with jax"),
    "a decision": (lambda *_: {"x": 1.0 if _[2].logits[0, 0] > 0 else 0.0}, "must compute with jax.numpy."),
    "an error": (lambda *_: {"x": 1 / 0}, "failed with ZeroDivisionError: division by zero"),
    "two arguments": (lambda params, batch: {}, "failed with TypeError"),
    "axes of one too few": (giving({"x": np.ones((2, 2))}, x="a"), "they must be 2 names, since its shape is (2, 2)."),
    "axes that are no names": (giving({"x": np.ones(2)}, x=(1,)), "axes of 'x' are (1,); they must be 1 names"),
    "an axis of ours": (giving({"x": np.ones(2)}, x="step"), "xinit has something else of the name step."),
    "a short layer": (giving({"x": np.ones(2)}, x="layer"), "gives 'x' with 2 numbers along layer, which has 3"),
    "two lengths": (giving({"x": np.ones(2), "y": np.ones(3)}, x="a", y="a"), "3 numbers along a, which has 2"),
}


@pytest.mark.parametrize(("function", "words"), NOT_GIVEN.values(), ids=NOT_GIVEN.keys())
def test_what_is_no_reading_is_one_sentence(function, words):
    with pytest.raises(InputError, match=re.escape(words)) as raised:
        described(function)
    assert str(raised.value).startswith("probe.extra 'mine:")
    assert "\n" not in str(raised.value)


def test_a_name_that_two_functions_give_is_refused():
    with pytest.raises(InputError, match="gives 'any', which another function of it gives too"):
        described(whole, whole)


def test_axes_that_are_no_mapping_are_refused():
    function = giving({"x": 1.0})
    function.axes = ("layer",)
    with pytest.raises(InputError, match=r"has axes \('layer',\); they must be a mapping from names to axes"):
        described(function)
