"""What `xinit.probe` costs beside the model's own gradient: the first call, with nothing compiled, and later ones."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen

import xinit
from xinit.tracing import probing

CLASSES = 10


class ResNet18(linen.Module):
    """The usual one: four stages of two blocks, 64 to 512 channels, batch normalisation."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Logits of images."""
        conv = functools.partial(linen.Conv, use_bias=False)
        norm = functools.partial(linen.BatchNorm, use_running_average=not train)
        x = linen.relu(norm()(conv(64, (7, 7), (2, 2))(x)))
        x = linen.max_pool(x, (3, 3), (2, 2), "SAME")
        for stage in range(4):
            for block in range(2):
                channels, strides = 64 * 2**stage, (2, 2) if stage > 0 and block == 0 else (1, 1)
                y = linen.relu(norm()(conv(channels, (3, 3), strides)(x)))
                y = norm(scale_init=linen.initializers.zeros)(conv(channels, (3, 3))(y))
                if x.shape != y.shape:
                    x = norm()(conv(channels, (1, 1), strides)(x))
                x = linen.relu(x + y)
        return linen.Dense(CLASSES)(x.mean((1, 2)))


class MLP(linen.Module):
    """Six layers of 64."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of vectors."""
        for _ in range(6):
            x = jnp.tanh(linen.Dense(64)(x))
        return linen.Dense(CLASSES)(x)


class Case(NamedTuple):
    """A model and what it is probed on."""

    name: str
    model: linen.Module
    x: jax.Array


def cases() -> Iterator[Case]:
    """A ResNet-18 on 16 images of 64 x 64, and six small layers on 64 examples."""
    key = jax.random.key(0)
    yield Case("ResNet-18, 16 images of 64 x 64", ResNet18(), jax.random.normal(key, (16, 64, 64, 3)))
    yield Case("6 x 64, 64 examples", MLP(), jax.random.normal(key, (64, 32)))


def works(case: Case) -> tuple[dict[str, Callable[[], Any]], dict[str, Callable[[], Any]]]:
    """First calls, each with empty caches, and later ones."""
    variables = jax.jit(case.model.init)(jax.random.key(0), case.x)
    y = jnp.arange(len(case.x)) % CLASSES

    def loss(variables: Any) -> jax.Array:
        logits, _ = case.model.apply(variables, case.x, mutable=["batch_stats"])
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    def anew(work: Callable[[], Any]) -> Callable[[], Any]:
        def cold() -> Any:
            jax.clear_caches()
            probing.forget()
            return work()

        return cold

    gradient = jax.jit(jax.grad(loss))
    probe = lambda: xinit.probe(case.model, (case.x, y), variables=variables)
    of_many = xinit.Probe(case.model, (case.x, y), variables=variables)
    own = lambda: jax.block_until_ready(gradient(variables))
    first = {"the first probe": anew(probe), "the model's first gradient": anew(own)}
    return first, {"another probe": probe, "a call of Probe": lambda: of_many(variables), "the model's gradient": own}
