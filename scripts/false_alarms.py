"""How often `xinit.probe` raises an alarm: networks of each usual kind, drawn several times as their users draw them.

    python scripts/false_alarms.py [NAMES]

Prints a Markdown table: of the networks that are known to train no verdict may be FAIL, of those that are known not to
every one must be. It takes two minutes on two cores.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import xinit

SEEDS = range(5)
CLASSES, WIDTH, TOKENS = 10, 32, 20
Params = dict[str, Any]


class Case(NamedTuple):
    """A network: `draw(rng)` gives its parameters, `apply(params, x)` its output on one batch; whether it trains."""

    draw: Callable[[np.random.Generator], Params]
    apply: Callable[[Params, Any], Any]
    x: Any
    y: Any
    trains: bool


def normal(variance: float = 1.0) -> Callable[..., np.ndarray]:
    """N(0, variance / n_in); of convolutions n_in counts the window."""
    return lambda rng, *shape: (math.sqrt(variance / math.prod(shape[:-1])) * rng.normal(size=shape)).astype("float32")


def uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """U[-1 / sqrt(n), 1 / sqrt(n)], the standard scheme."""
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    return rng.uniform(-bound, bound, shape).astype("float32")


LECUN, HE = normal(1), normal(2)
DATA = np.random.default_rng(0)
X, Y = DATA.normal(size=(48, 20)).astype("float32"), DATA.integers(0, CLASSES, 48)
# Neighbouring places of an image are alike.
IMAGES = DATA.normal(size=(16, 4, 4, 3)).astype("float32").repeat(4, 1).repeat(4, 2)
LABELS = DATA.integers(0, CLASSES, 16)
TEXT = DATA.integers(0, TOKENS, (8, 12))


def norm(x: jax.Array) -> jax.Array:
    """Layer normalisation without scale and shift."""
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)


def mlp(depth: int, draw: Any, function: Any, trains: bool, width: int = 64, bias: float = 0.0) -> Case:
    """A plain stack of layers and a head."""

    def drawn(rng: np.random.Generator) -> Params:
        widths = [X.shape[1], *[width] * depth, CLASSES]
        layers = range(depth + 1)
        kernels = {f"w{l:02}": draw(rng, widths[l], widths[l + 1]) for l in layers}
        return kernels | {f"b{l:02}": np.full(widths[l + 1], bias * (l < depth), "float32") for l in layers}

    def apply(p: Params, x: jax.Array) -> jax.Array:
        for l in range(depth):
            x = function(x @ p[f"w{l:02}"] + p[f"b{l:02}"][None])
        return x @ p[f"w{depth:02}"] + p[f"b{depth:02}"][None]

    return Case(drawn, apply, X, Y, trains)


def residual(branches: int, draw: Any, trains: bool, normalised: bool) -> Case:
    """Branches of two layers, with or without normalisation in front."""

    def drawn(rng: np.random.Generator) -> Params:
        blocks = {f"block{i}": {"up": draw(rng, 64, 64), "down": draw(rng, 64, 64)} for i in range(branches)}
        return {"stem": draw(rng, X.shape[1], 64), "head": draw(rng, 64, CLASSES)} | blocks

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x = x @ p["stem"]
        for i in range(branches):
            h = norm(x) if normalised else x
            x = x + jax.nn.relu(h @ p[f"block{i}"]["up"]) @ p[f"block{i}"]["down"]
        return (norm(x) if normalised else x) @ p["head"]

    return Case(drawn, apply, X, Y, trains)


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """With padding, channels last."""
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def cnn() -> Case:
    """Three convolutions with strides, a hidden layer and a head, under LeCun."""
    widths = [3, 16, 32, 32]

    def drawn(rng: np.random.Generator) -> Params:
        kernels = {f"conv{i}": LECUN(rng, 3, 3, widths[i], widths[i + 1]) for i in range(3)}
        return kernels | {"hidden": LECUN(rng, 2 * 2 * 32, 64), "head": LECUN(rng, 64, CLASSES)}

    def apply(p: Params, x: jax.Array) -> jax.Array:
        for i in range(3):
            x = jax.nn.relu(convolve(x, p[f"conv{i}"], 2))
        return jax.nn.relu(x.reshape(len(x), -1) @ p["hidden"]) @ p["head"]

    return Case(drawn, apply, IMAGES, LABELS, trains=True)


def actor_critic() -> Case:
    """Convolutions with a head for the policy and one of one unit for the value, under LeCun."""

    def drawn(rng: np.random.Generator) -> Params:
        sizes = {"conv1": (5, 5, 3, 16), "conv2": (4, 4, 16, 32), "conv3": (3, 3, 32, 32), "hidden": (512, 128)}
        return {k: LECUN(rng, *s) for k, s in (sizes | {"policy": (128, 6), "value": (128, 1)}).items()}

    def apply(p: Params, x: jax.Array) -> Any:
        for name, stride in (("conv1", 2), ("conv2", 2), ("conv3", 1)):
            x = jax.nn.relu(convolve(x, p[name], stride))
        x = jax.nn.relu(x.reshape(len(x), -1) @ p["hidden"])
        return jax.nn.log_softmax(x @ p["policy"]), x @ p["value"]

    return Case(drawn, apply, IMAGES, None, trains=True)


def resnet() -> Case:
    """Convolutions with batch normalisation whose last scale is 0 in each branch, under He."""

    def drawn(rng: np.random.Generator) -> Params:
        blocks = {
            f"block{i}": {
                "first": HE(rng, 3, 3, 16, 16),
                "last": HE(rng, 3, 3, 16, 16),
                "scale": np.zeros(16, "float32"),
            }
            for i in range(4)
        }
        return {"stem": HE(rng, 3, 3, 3, 16), "head": LECUN(rng, 16, CLASSES)} | blocks

    def over_batch(x: jax.Array) -> jax.Array:
        return (x - x.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(x.var((0, 1, 2), keepdims=True) + 1e-5)

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(over_batch(convolve(x, p["stem"])))
        for i in range(4):
            block = p[f"block{i}"]
            h = over_batch(convolve(jax.nn.relu(over_batch(convolve(x, block["first"]))), block["last"]))
            x = jax.nn.relu(x + h * block["scale"][None, None, None])
        return x.mean((1, 2)) @ p["head"]

    return Case(drawn, apply, IMAGES, LABELS, trains=True)


def attention(p: Params, x: jax.Array, memory: jax.Array) -> jax.Array:
    """One head, that reads a memory."""
    q, k, v = x @ p["query"], memory @ p["key"], memory @ p["value"]
    weights = jax.nn.softmax(jnp.einsum("btd,bsd->bts", q, k) / math.sqrt(q.shape[-1]))
    return jnp.einsum("bts,bsd->btd", weights, v) @ p["out"]


def _attention(rng: np.random.Generator) -> Params:
    return {name: LECUN(rng, WIDTH, WIDTH) for name in ("query", "key", "value", "out")}


def transformer(pre_norm: bool, blocks: int = 3, zero_head: bool = False) -> Case:
    """Attention and a gelu network in each block, normalised before (GPT) or behind (BERT) them."""

    def drawn(rng: np.random.Generator) -> Params:
        block = lambda: _attention(rng) | {"up": LECUN(rng, WIDTH, 4 * WIDTH), "down": LECUN(rng, 4 * WIDTH, WIDTH)}
        head = LECUN(rng, WIDTH, TOKENS) * (not zero_head)
        table = rng.normal(size=(TOKENS, WIDTH)).astype("float32")
        return {"embedding": table, "head": head} | {f"block{i}": block() for i in range(blocks)}

    def apply(p: Params, x: jax.Array) -> jax.Array:
        before, behind = (norm, lambda x: x) if pre_norm else (lambda x: x, norm)
        x = behind(p["embedding"][x])
        for i in range(blocks):
            block = p[f"block{i}"]
            x = behind(x + attention(block, before(x), before(x)))
            x = behind(x + jax.nn.gelu(before(x) @ block["up"]) @ block["down"])
        return before(x) @ p["head"]

    return Case(drawn, apply, TEXT, TEXT, trains=True)


def encoder_decoder() -> Case:
    """A decoder whose attention reads what an encoder gives."""

    def drawn(rng: np.random.Generator) -> Params:
        parts = {name: _attention(rng) for name in ("encoder0", "encoder1", "own0", "cross0", "own1", "cross1")}
        table = rng.normal(size=(TOKENS, WIDTH)).astype("float32")
        return {"embedding": table, "head": LECUN(rng, WIDTH, TOKENS)} | parts

    def apply(p: Params, x: jax.Array) -> jax.Array:
        memory = x = p["embedding"][x]
        for i in range(2):
            memory = memory + attention(p[f"encoder{i}"], norm(memory), norm(memory))
        for i in range(2):
            x = x + attention(p[f"own{i}"], norm(x), norm(x))
            x = x + attention(p[f"cross{i}"], norm(x), norm(memory))
        return norm(x) @ p["head"]

    return Case(drawn, apply, TEXT, TEXT, trains=True)


def autoencoder() -> Case:
    """A variational one: two heads in the middle, an exponential, noise, and a decoder, under LeCun."""
    sizes = {"enc1": (20, 64), "enc2": (64, 32), "mean": (32, 8), "log": (32, 8), "dec1": (8, 32), "dec2": (32, 64)}
    noise = DATA.normal(size=(len(X), 8)).astype("float32")

    def apply(p: Params, x: jax.Array) -> jax.Array:
        h = jax.nn.relu(jax.nn.relu(x @ p["enc1"]) @ p["enc2"])
        z = h @ p["mean"] + jnp.exp(0.5 * (h @ p["log"])) * noise
        return jax.nn.relu(jax.nn.relu(z @ p["dec1"]) @ p["dec2"]) @ p["top"]

    draw = lambda rng: {k: LECUN(rng, *s) for k, s in (sizes | {"top": (64, 20)}).items()}
    return Case(draw, apply, X, X, trains=True)


def lstm() -> Case:
    """A recurrent classifier over tokens."""

    def drawn(rng: np.random.Generator) -> Params:
        table = rng.normal(size=(TOKENS, WIDTH)).astype("float32")
        cell = {"input": LECUN(rng, WIDTH, 4 * WIDTH), "state": LECUN(rng, WIDTH, 4 * WIDTH)}
        return {"embedding": table, "cell": cell, "hidden": LECUN(rng, WIDTH, 64), "head": LECUN(rng, 64, CLASSES)}

    def apply(p: Params, x: jax.Array) -> jax.Array:
        def step(carry: Any, x: jax.Array) -> Any:
            c, h = carry
            i, f, g, o = jnp.split(x @ p["cell"]["input"] + h @ p["cell"]["state"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (c, jax.nn.sigmoid(o) * jnp.tanh(c)), None

        zero = jnp.zeros((x.shape[0], WIDTH))
        (_, h), _ = jax.lax.scan(step, (zero, zero), p["embedding"][x].swapaxes(0, 1))
        return jnp.tanh(h @ p["hidden"]) @ p["head"]

    return Case(drawn, apply, TEXT, np.arange(8) % CLASSES, trains=True)


def unet(depth: int = 3) -> Case:
    """Down by strides, up again by repetition, with what was on the way down joined to it."""

    def drawn(rng: np.random.Generator) -> Params:
        kernels = {"stem": LECUN(rng, 3, 3, 3, 16), "head": LECUN(rng, 3, 3, 16, 3)}
        for i in range(depth):
            kernels |= {f"down{i}": HE(rng, 3, 3, 16, 16), f"up{i}": HE(rng, 3, 3, 32, 16)}
        return kernels

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x, passed = convolve(x, p["stem"]), []
        for i in range(depth):
            passed.append(x)
            x = jax.nn.relu(convolve(x, p[f"down{i}"], 2))
        for i in reversed(range(depth)):
            x = jnp.concatenate([x.repeat(2, 1).repeat(2, 2), passed[i]], -1)
            x = jax.nn.relu(convolve(x, p[f"up{i}"]))
        return convolve(x, p["head"])

    return Case(drawn, apply, IMAGES, IMAGES, trains=True)


def mixture(blocks: int = 2) -> Case:
    """Experts of a gelu network, the better two of four for each token."""

    def drawn(rng: np.random.Generator) -> Params:
        experts = lambda i, o: np.stack([LECUN(rng, i, o) for _ in range(4)])
        block = lambda: {"router": LECUN(rng, WIDTH, 4), "up": experts(WIDTH, 64), "down": experts(64, WIDTH)}
        table = rng.normal(size=(TOKENS, WIDTH)).astype("float32")
        return {"embedding": table, "head": LECUN(rng, WIDTH, TOKENS)} | {f"block{i}": block() for i in range(blocks)}

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x = p["embedding"][x]
        for i in range(blocks):
            h, block = norm(x), p[f"block{i}"]
            gates = jax.nn.softmax(h @ block["router"])
            gates = jnp.where(gates >= jnp.sort(gates, -1)[..., -2:-1], gates, 0)
            given = jnp.einsum(
                "btef,efd->bted", jax.nn.gelu(jnp.einsum("btd,edf->btef", h, block["up"])), block["down"]
            )
            x = x + jnp.einsum("bte,bted->btd", gates, given)
        return norm(x) @ p["head"]

    return Case(drawn, apply, TEXT, TEXT, trains=True)


def mixer(blocks: int = 3) -> Case:
    """Layers over places and layers over units in turn."""

    def drawn(rng: np.random.Generator) -> Params:
        names = {"in": (16, 32), "back": (32, 16), "up": (WIDTH, 64), "down": (64, WIDTH)}
        block = lambda: {name: LECUN(rng, *shape) for name, shape in names.items()}
        ends = {"patches": LECUN(rng, 4, 4, 3, WIDTH), "head": LECUN(rng, WIDTH, CLASSES)}
        return ends | {f"block{i}": block() for i in range(blocks)}

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x = convolve(x, p["patches"], 4).reshape(len(x), 16, WIDTH)
        for i in range(blocks):
            block = p[f"block{i}"]
            h = norm(x).swapaxes(1, 2)
            x = x + (jax.nn.gelu(h @ block["in"]) @ block["back"]).swapaxes(1, 2)
            x = x + jax.nn.gelu(norm(x) @ block["up"]) @ block["down"]
        return norm(x).mean(1) @ p["head"]

    return Case(drawn, apply, IMAGES, LABELS, trains=True)


def graph() -> Case:
    """Messages between the nodes of one graph of each example, three times."""
    neighbours = (DATA.random((12, 12)) < 0.3).astype("float32") / 4

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x = p["embedding"][x]
        for i in range(3):
            x = jax.nn.relu(x @ p[f"self{i}"] + jnp.einsum("st,btd->bsd", neighbours, x @ p[f"message{i}"]))
        return x.mean(1) @ p["head"]

    def drawn(rng: np.random.Generator) -> Params:
        kernels = {f"{name}{i}": LECUN(rng, WIDTH, WIDTH) for i in range(3) for name in ("self", "message")}
        table = rng.normal(size=(TOKENS, WIDTH)).astype("float32")
        return {"embedding": table, "head": LECUN(rng, WIDTH, CLASSES)} | kernels

    return Case(drawn, apply, TEXT, np.arange(8) % CLASSES, trains=True)


def equal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """All weights the same."""
    return np.full(shape, 0.05, "float32")


CASES: dict[str, Case] = {
    "4 relu layers, LeCun": mlp(4, LECUN, jax.nn.relu, True),
    "6 relu layers, LeCun": mlp(6, LECUN, jax.nn.relu, True),
    "8 relu layers, LeCun": mlp(8, LECUN, jax.nn.relu, True),
    "20 relu layers, He": mlp(20, HE, jax.nn.relu, True, width=128),
    "22 relu layers, He": mlp(22, HE, jax.nn.relu, True, width=96),
    "8 tanh layers, LeCun": mlp(8, LECUN, jnp.tanh, True),
    "4 relu layers, U[-1/sqrt n, 1/sqrt n]": mlp(4, uniform, jax.nn.relu, True),
    "CNN, LeCun": cnn(),
    "actor-critic (PPO's kind), LeCun": actor_critic(),
    "ResNet, last scales 0": resnet(),
    "residual, normalised, 12 branches": residual(12, LECUN, True, normalised=True),
    "transformer, norm first": transformer(pre_norm=True),
    "transformer, norm last": transformer(pre_norm=False),
    "transformer, head 0": transformer(pre_norm=True, zero_head=True),
    "encoder-decoder": encoder_decoder(),
    "VAE, LeCun": autoencoder(),
    "LSTM classifier": lstm(),
    "U-Net": unet(),
    "mixture of experts": mixture(),
    "mixer": mixer(),
    "graph network": graph(),
    "18 relu layers, N(0, 1/n)": mlp(18, LECUN, jax.nn.relu, False),
    "20 relu layers, N(0, 1/n)": mlp(20, LECUN, jax.nn.relu, False),
    "22 relu layers, N(0, 1/n)": mlp(22, LECUN, jax.nn.relu, False, width=128),
    "30 relu layers, N(0, 4/n)": mlp(30, normal(4), jax.nn.relu, False),
    "8 sigmoid layers, U[-1/sqrt n, 1/sqrt n]": mlp(8, uniform, jax.nn.sigmoid, False),
    "5 sigmoid layers, U[-1/sqrt n, 1/sqrt n]": mlp(5, uniform, jax.nn.sigmoid, False),
    "all weights equal": mlp(5, equal, jax.nn.relu, False),
    "biases of -9": mlp(5, HE, jax.nn.relu, False, bias=-9.0),
    "residual, not normalised, He, 30 branches": residual(30, HE, False, normalised=False),
}


def levels(case: Case, seeds: Iterable[int] = SEEDS) -> Counter[str]:
    """How often each level was the verdict, over draws of one network; compiled once."""
    batch = case.x if case.y is None else (case.x, case.y)
    draws = [case.draw(np.random.default_rng(seed)) for seed in seeds]
    probe = xinit.Probe(case.apply, batch, variables=draws[0])
    return Counter(probe(params).findings[0].level for params in draws)


def main(names: list[str]) -> None:
    """Print the table."""
    print("| network | known to | OK | WARN | FAIL |\n|---|---|---|---|---|")
    for name in names or CASES:
        counts = levels(CASES[name])
        numbers = " | ".join(str(counts[level]) for level in ("OK", "WARN", "FAIL"))
        print(f"| {name} | {'train' if CASES[name].trains else 'fail'} | {numbers} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
