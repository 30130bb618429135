"""Normalisation beside a layer is found, and told by what its statistics are taken over."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from tests.tracing.structure.traces import W, X, functions_of, looked_at, normalised, of_linen


class Normalised(nn.Module):
    """Layers with normalisation and a function behind."""

    norm: type
    options: dict

    @nn.compact
    def __call__(self, x):
        x = nn.gelu(self.norm(**self.options)(nn.Dense(4)(x)))
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=False)(x))


@pytest.mark.parametrize(
    ("norm", "options", "kind"),
    [
        (nn.LayerNorm, {}, "layer"),
        (nn.LayerNorm, {"use_fast_variance": False}, "layer"),
        (nn.RMSNorm, {}, "rms"),
        (nn.GroupNorm, {"num_groups": 2}, "group"),
        (nn.BatchNorm, {"use_running_average": False}, "batch"),
        (nn.GroupNorm, {"num_groups": 4}, "group"),
        (nn.LayerNorm, {"dtype": jnp.bfloat16}, "layer"),
    ],
)
def test_normalisation_is_passed_and_named(norm, options, kind):
    call, variables, x = of_linen(Normalised(norm, options), X, mutable=["batch_stats"])
    program, found = looked_at(call, variables, x)
    assert [f and f.name for f in functions_of(program, found)] == ["gelu", None]
    assert normalised(program, found) == (kind, kind)


@pytest.mark.parametrize("function", [jax.nn.softmax, jax.nn.log_softmax, jax.nn.tanh])
def test_a_softmax_is_no_normalisation(function):
    assert normalised(*looked_at(lambda w, x: function(x @ w) @ w, W, X)) == (None, None)


def test_normalisation_over_channels_after_a_layer_over_tokens_is_of_the_layer():
    def mixed(p, x):
        h = x @ p["a"]
        h = h + jnp.swapaxes(jnp.swapaxes(h, 1, 2) @ p["tokens"], 1, 2)
        return ((h - h.mean(-1, keepdims=True)) / jnp.std(h, axis=-1, keepdims=True)) @ p["a"]

    assert normalised(*looked_at(mixed, {"a": W, "tokens": jnp.ones((4, 4))}, X[None]))[1:] == ("layer", "layer")


def test_statistics_of_past_batches_and_other_roots_are_no_normalisation():
    call = of_linen(Normalised(nn.BatchNorm, {"use_running_average": True}), X)
    assert normalised(*looked_at(*call)) == (None, None)
    assert normalised(*looked_at(lambda w, x: (x @ w) * jax.lax.rsqrt(jnp.abs(x @ w) + 1), W, X)) == (None, None)
