"""Small models as others write them, in linen and in nnx: what xinit.probe and xinit.initialize are tested on."""

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

TOKENS, CLASSES = 11, 5


def drawn(key, shape, dtype=jnp.float32):
    """N(0, 1 / fan-in) by NumPy: on a CPU jax takes half a second to compile the draw of each shape."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jnp.asarray(rng.normal(size=shape) / math.sqrt(math.prod(shape[:-1])), dtype)


def variables_of(model, x, **kwargs):
    """What the init of a linen model returns, drawn by NumPy."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        name, module = path[-1].key, path[-2].key
        if name in ("kernel", "embedding"):
            fan_in = leaf.shape[0] if module in ("query", "key", "value") else math.prod(leaf.shape[:-1])
            return (rng.normal(size=leaf.shape) / math.sqrt(fan_in)).astype(leaf.dtype)
        return np.full(leaf.shape, name in ("scale", "var"), leaf.dtype)

    shapes = jax.eval_shape(lambda key: model.init(key, x, **kwargs), jax.random.key(0))
    return jax.tree_util.tree_map_with_path(fill, shapes)


class LinenMLP(linen.Module):
    depth: int = 3
    width: int = 16
    function: Callable = linen.relu
    dtype: jnp.dtype = jnp.float32

    @linen.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = self.function(linen.Dense(self.width, dtype=self.dtype)(x))
        return linen.Dense(CLASSES, dtype=self.dtype)(x)


class NnxMLP(nnx.Module):
    def __init__(self, rngs, widths=(12, 16, 16, 16, CLASSES), function=nnx.relu):
        self.function = function
        self.layers = nnx.List([nnx.Linear(i, o, kernel_init=drawn, rngs=rngs) for i, o in itertools.pairwise(widths)])

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = self.function(layer(x))
        return self.layers[-1](x)


class LinenConv(linen.Module):
    """Three convolutions with batch norm, mean pooling, and a matrix."""

    @linen.compact
    def __call__(self, x, train: bool):
        for features in (8, 12, 12):
            x = linen.BatchNorm(use_running_average=not train)(linen.Conv(features, (3, 3))(x))
            x = linen.avg_pool(linen.relu(x), (2, 2), (2, 2))
        return linen.Dense(CLASSES)(x.mean(axis=(1, 2)))


class NnxConv(nnx.Module):
    def __init__(self, rngs):
        pairs = list(itertools.pairwise((3, 8, 12, 12)))
        self.convs = nnx.List([nnx.Conv(i, o, (3, 3), kernel_init=drawn, rngs=rngs) for i, o in pairs])
        self.norms = nnx.List([nnx.BatchNorm(o, rngs=rngs) for _, o in pairs])
        self.head = nnx.Linear(12, CLASSES, kernel_init=drawn, rngs=rngs)

    def __call__(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.avg_pool(nnx.relu(norm(conv(x))), (2, 2), (2, 2))
        return self.head(x.mean(axis=(1, 2)))


class LinenNoisy(linen.Module):
    """With dropout."""

    @linen.compact
    def __call__(self, x, train: bool):
        x = linen.relu(linen.Dense(8)(x))
        return linen.Dense(CLASSES)(linen.Dropout(0.5, deterministic=not train)(x))


class NnxNoisy(nnx.Module):
    """With dropout and batch norm, both of which change when they are called."""

    def __init__(self, rngs):
        self.first = nnx.Linear(12, 8, kernel_init=drawn, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(8, CLASSES, kernel_init=drawn, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


class LinenBlock(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = x + linen.MultiHeadDotProductAttention(num_heads=2, name="attention")(linen.LayerNorm()(x))
        y = linen.Dense(2 * x.shape[-1], name="up")(linen.LayerNorm()(x))
        return x + linen.Dense(x.shape[-1], name="down")(linen.gelu(y))


class LinenTransformer(linen.Module):
    width: int = 16
    blocks: int = 2
    block: Callable = LinenBlock

    @linen.compact
    def __call__(self, tokens):
        x = linen.Embed(TOKENS, self.width)(tokens)
        for i in range(self.blocks):
            x = self.block(name=f"block_{i}")(x)
        return linen.Dense(TOKENS, name="head")(linen.LayerNorm()(x))


class NnxBlock(nnx.Module):
    def __init__(self, width, rngs):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(2, width, decode=False, kernel_init=drawn, rngs=rngs)
        self.up = nnx.Linear(width, 2 * width, kernel_init=drawn, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, kernel_init=drawn, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.down(nnx.gelu(self.up(self.norms[1](x))))


class NnxTransformer(nnx.Module):
    """With its embedding tied to its output."""

    def __init__(self, rngs, width=16, blocks=2):
        self.embed = nnx.Embed(TOKENS, width, embedding_init=drawn, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(width, rngs) for _ in range(blocks)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.embed.attend(self.norm(x))


class LinenRelu(linen.Module):
    """A matrix and a rectifier, as `linen.scan` calls it: (carry, x) -> (carry, y)."""

    width: int

    @linen.compact
    def __call__(self, x, _=None):
        return linen.relu(linen.Dense(self.width)(x)), None


class LinenAttention(linen.Module):
    """Attention in one module, whose kernels have none of the usual names, as `linen.scan` calls it."""

    width: int
    heads: int = 4

    @linen.compact
    def __call__(self, x, _=None):
        size = self.width // self.heads
        q, k, v = jnp.moveaxis(linen.DenseGeneral((3, self.heads, size), name="qkv")(x), -3, 0)
        mixed = linen.dot_product_attention(q, k, v)
        return x + linen.DenseGeneral(self.width, axis=(-2, -1), name="back")(mixed), None


class LinenScanned(linen.Module):
    """A stack of blocks made by `linen.scan`, on the axis `axis` of their parameters, and a matrix."""

    axis: int = 0
    depth: int = 3
    width: int = 16
    block: Callable = LinenRelu

    @linen.compact
    def __call__(self, x):
        axes, keys = {"params": self.axis}, {"params": True}
        blocks = linen.scan(self.block, variable_axes=axes, split_rngs=keys, length=self.depth)
        return linen.Dense(CLASSES, name="head")(blocks(self.width, name="blocks")(x, None)[0])


class LinenEnsemble(linen.Module):
    """5 x 4 matrices that read the same, made by `linen.vmap` on the axes 1 and -1 of their kernels."""

    @linen.compact
    def __call__(self, x):
        keys, members = {"params": True}, linen.Dense
        for axis, size in ((-1, 5), (1, 4)):
            axes = {"params": axis}
            members = linen.vmap(members, variable_axes=axes, split_rngs=keys, in_axes=None, axis_size=size)
        return members(8, name="members")(x)


class LinenOwn(linen.Module):
    """A user's own layer, with a kernel for each of 4 heads."""

    @linen.compact
    def __call__(self, x):
        kernel = self.param("kernel", linen.initializers.ones, (4, x.shape[-1], 8))
        return jnp.einsum("bi,hio->bho", x, kernel)


class LinenStackOfOwn(linen.Module):
    """Three layers of a user's own in one array."""

    @linen.compact
    def __call__(self, x):
        w = self.param("w", linen.initializers.normal(0.3), (3, x.shape[-1], x.shape[-1]))
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]


class LinenHandwritten(linen.Module):
    """Two matrices in one module, with a saturated tanh between them."""

    @linen.compact
    def __call__(self, x):
        first = self.param("first", linen.initializers.normal(0.3), (x.shape[-1], 16))
        second = self.param("second", linen.initializers.normal(0.3), (16, 16))
        return jnp.tanh(1000 * x @ first) @ second


class LinenAround(linen.Module):
    """A user's own matrix and shift around layers of Flax's own."""

    shift_only: bool = False

    @linen.compact
    def __call__(self, x):
        x = x + self.param("shift", linen.initializers.zeros, (x.shape[-1],))[None]
        if not self.shift_only:
            x = x @ self.param("own", linen.initializers.normal(0.3), (x.shape[-1], 12))
        return linen.Dense(CLASSES, name="head")(linen.relu(linen.Dense(16, name="hidden")(x)))


class LinenRecurrent(linen.Module):
    cell: Callable = linen.OptimizedLSTMCell

    @linen.compact
    def __call__(self, x):
        return linen.Dense(CLASSES, name="head")(linen.RNN(self.cell(8, name="cell"))(x))


class NnxRecurrent(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.LSTMCell(12, 8, rngs=rngs), rngs=rngs)
        self.head = nnx.Linear(8, CLASSES, kernel_init=drawn, rngs=rngs)

    def __call__(self, x):
        return self.head(self.rnn(x))


class NnxLowRank(nnx.Module):
    """Both of nnx's ways to adapt a matrix with two of low rank."""

    def __init__(self, rngs):
        self.first = nnx.LoRALinear(12, 16, lora_rank=2, kernel_init=drawn, rngs=rngs)
        base = nnx.Linear(16, 16, kernel_init=drawn, rngs=rngs)
        self.second = nnx.LoRA(16, 2, 16, base_module=base, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.relu(self.first(x)))


class NnxStack(nnx.Module):
    """Layers made by `nnx.vmap`, 3 at a time, on the axis `axis` of their parameters."""

    def __init__(self, axis=0, heads=2):
        init = {"kernel_init": nnx.initializers.zeros}
        axes = nnx.StateAxes({nnx.Param: axis})
        stack = lambda make: nnx.vmap(make, out_axes=axes)(nnx.Rngs(0).split(3))
        self.layers = stack(lambda rngs: nnx.Linear(16, 8, rngs=rngs, **init))
        self.attention = stack(lambda rngs: nnx.MultiHeadAttention(heads, 12, decode=False, rngs=rngs, **init))
