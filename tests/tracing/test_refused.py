"""What is refused of models: those that are none, those that jax cannot trace, those that fail in the call."""

import types

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from flax.training.train_state import TrainState

from tests.tracing.test_models import KEY, PARAMS, Dropping, Linen, X, function, haiku_with_state, run
from xinit.core.errors import InputError
from xinit.tracing.models import model_of, refusals

pytestmark = pytest.mark.usefixtures("compile_quickly")


def foreign(module, name="Net"):
    """An object of a class that looks as if it came from this package."""
    base = type("Module", (), {"__module__": module, "__call__": lambda self, x: x})
    return type(name, (base,), {"__module__": "users"})()


class Wrapper:
    """Looks like a Hugging Face model of Flax."""

    module, params = Linen(), PARAMS

    def __call__(self, x):
        return x


def train_state():
    transform = types.SimpleNamespace(init=lambda params: (), update=None)
    return TrainState.create(apply_fn=function, params=PARAMS, tx=transform)


NO_PARAMETERS = "has no parameters; it must have some that are floating arrays."
REFUSED = {
    "torch": ((foreign("torch.nn.modules.module"), None), "model is a Net of PyTorch; it must be"),
    "keras": ((foreign("keras.src.models"), None), "model is a Net of Keras; it must be"),
    "hugging_face": ((Wrapper(), None), "give model.module with variables={'params': model.params}."),
    "train_state": ((train_state(), None), "with variables={'params': state.params}."),
    "class": ((Linen, None), "model is the class Linen; it must be a flax.linen"),
    "string": (("resnet18", None), "model is 'resnet18'; it must be"),
    "optimizer_state": (((PARAMS, PARAMS), None), "model is a tuple; it must be"),
    "parameters": ((PARAMS, None), "model is a dict; it must be"),
    "shapes": (
        (Linen(), jax.eval_shape(Linen().init, KEY, X)),
        "variables holds shapes, as jax.eval_shape gives them; it must hold arrays",
    ),
    "inner_tree": ((Linen(), PARAMS), "variables has ['w1', 'w2']; it must have params"),
    "no_variables": ((function, None), "comes without parameters; give a function f(params, x) its params"),
    "no_parameters_linen": ((linen.Dropout(0.5, deterministic=True), None), f"model is a Dropout and {NO_PARAMETERS}"),
    "no_parameters_nnx": ((nnx.Sequential(jnp.tanh), None), f"model is a Sequential and {NO_PARAMETERS}"),
    "no_parameters_equinox": ((eqx.nn.Identity(), None), f"model is a Identity and {NO_PARAMETERS}"),
    "no_parameters_function": ((function, {"n": np.arange(3)}), NO_PARAMETERS),
    "haiku_state": (
        (hk.transform_with_state(haiku_with_state), {"linear": {}}),
        "variables of a Haiku pair with state must be (params, state)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_in_a_sentence(name):
    (model, variables), message = REFUSED[name]
    with pytest.raises(InputError) as caught:
        model_of(model, X, variables)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rngs", [0, "dropout", {"dropout": 1}])
def test_what_is_no_key_is_refused(rngs):
    with pytest.raises(InputError, match=r"it must be a key, or keys by name"):
        model_of(Dropping(), X, None, rngs)


def test_a_missing_key_is_named():
    variables = Dropping().init({"params": KEY, "dropout": KEY}, X)
    with pytest.raises(InputError) as caught, refusals(X):
        run(model_of(Dropping(), X, variables))
    assert "Keys are given as rngs={'dropout': jax.random.key(0)}." in str(caught.value)


UNTRACEABLE = {
    "if": (lambda params, x: x @ params["w1"] if x.sum() > 0 else x, "decides by the values of an array in Python"),
    "float": (lambda params, x: x @ params["w1"] * float(x.sum()), "takes a number of Python from an array"),
    "int": (lambda params, x: x[:, : [1, 2, 3][x.astype(int).sum()]], "takes a whole number of Python from an array"),
    "numpy": (lambda params, x: np.asarray(x) @ params["w1"], "gives an array to NumPy, as with `np.asarray`"),
    "mask": (lambda params, x: x[x > 0] @ params["w1"], "selects with a mask, so that a shape depends on the values"),
}


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_a_model_that_jax_cannot_trace_is_told_why(name):
    call, reason = UNTRACEABLE[name]
    made = model_of(call, X, PARAMS)
    with pytest.raises(InputError) as caught, refusals(X):
        jax.make_jaxpr(made.call)(made.params, made.others, made.inputs)
    assert str(caught.value).startswith(f"The model cannot be traced: it {reason}")
    assert str(caught.value).endswith("it must be one that jax.jit can compile.")


def test_a_model_that_fails_is_quoted():
    made = model_of(function, X[:, :2], PARAMS)
    message = r"The model cannot be called with x of \(4, 2\) float32: TypeError: "
    with pytest.raises(InputError, match=message), refusals(X[:, :2]):
        run(made)
