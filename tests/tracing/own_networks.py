"""Classifiers as users write them, one of each kind, in a file that tests copy to a folder outside the project."""

import jax
import jax.numpy as jnp
from flax import linen, nnx


class Block(nnx.Module):
    def __init__(self, width, heads, rate, activation, rngs):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, dropout_rate=rate, rngs=rngs)
        self.up = nnx.Linear(width, 2 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)
        self.activation = activation

    def __call__(self, x):
        x = x + self.dropout(self.attention(self.norms[0](x)))
        return x + self.dropout(self.down(self.activation(self.up(self.norms[1](x)))))


class Transformer(nnx.Module):
    def __init__(self, input_shape, n_outputs, width, depth, patch, heads, rate, activation, rngs):
        height, wide, channels = input_shape
        self.patches = nnx.Conv(channels, width, (patch, patch), strides=patch, rngs=rngs)
        places = (height // patch) * (wide // patch), width
        self.places = nnx.Param(0.02 * jax.random.normal(rngs.params(), places))
        self.blocks = nnx.List([Block(width, heads, rate, activation, rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, n_outputs, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x)
        x = x.reshape(len(x), -1, x.shape[-1]) + self.places[...][None]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(axis=1))


def transformer(input_shape, n_outputs, width, depth, activation, rngs, patch=4, heads=2, rate=0.1):
    return Transformer(input_shape, n_outputs, width, depth, patch, heads, rate, activation, rngs)


class ResNet(linen.Module):
    width: int
    depth: int
    n_outputs: int

    @linen.compact
    def __call__(self, x, train: bool):
        norm = lambda: linen.BatchNorm(use_running_average=not train, momentum=0.9)
        x = linen.Conv(self.width, (3, 3), strides=2)(x)
        for _ in range(self.depth):
            h = linen.Conv(self.width, (3, 3))(linen.relu(norm()(x)))
            x = x + linen.Conv(self.width, (3, 3), feature_group_count=2)(linen.relu(norm()(h)))
        return linen.Dense(self.n_outputs)(linen.relu(norm()(x)).mean(axis=(1, 2)))


def resnet(n_outputs, width, depth):
    return ResNet(width, depth, n_outputs)


class Dropped(linen.Module):
    """Linen's way to dropout, a layer that is called twice, and a matrix of the user's own."""

    n_outputs: int

    @linen.compact
    def __call__(self, x, deterministic: bool):
        twice = linen.Dense(6)
        x = twice(jnp.tanh(twice(linen.Dense(6)(x.reshape(len(x), -1)))))
        x = linen.Dropout(0.5, deterministic=deterministic)(x)
        return Mine(self.n_outputs)(x)


class Mine(linen.Module):
    n: int

    @linen.compact
    def __call__(self, x):
        return x @ self.param("w", linen.initializers.lecun_normal(), (x.shape[-1], self.n))


def dropped(n_outputs):
    return Dropped(n_outputs)


class Step(linen.Module):
    """A residual block, as the step of a loop: with a matrix for each expert, mixed."""

    width: int

    @linen.compact
    def __call__(self, x, _):
        experts = linen.vmap(
            linen.Dense,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            out_axes=-1,
            axis_size=2,
        )
        h = linen.Dense(self.width, name="down")(jnp.tanh(linen.Dense(2 * self.width, name="up")(x)))
        return x + h + jnp.mean(jnp.tanh(experts(self.width, name="experts")(x)), axis=-1), None


class Scanned(linen.Module):
    """Blocks in a loop, each computed again on the way back; or one after the other."""

    width: int
    depth: int
    n_outputs: int
    loop: bool

    @linen.compact
    def __call__(self, x):
        x = jax.jit(lambda x: x.reshape(len(x), -1, x.shape[2]))(x)
        x = linen.jit(linen.Dense)(self.width, name="first")(x)
        if self.loop:
            body = linen.remat(Step, prevent_cse=False)
            stack = linen.scan(body, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.depth)
            x, _ = stack(self.width, name="blocks")(x, None)
        else:
            for number in range(self.depth):
                x, _ = Step(self.width, name=f"block_{number}")(x, None)
        return linen.Dense(self.n_outputs, name="head")(x.mean(axis=1))


def scanned(n_outputs, width, depth, loop=True):
    return Scanned(width, depth, n_outputs, loop)


class Recurrent(linen.Module):
    """A loop over the rows of an image, which shares its kernels."""

    width: int
    n_outputs: int

    @linen.compact
    def __call__(self, x):
        x = linen.RNN(linen.SimpleCell(self.width))(x[..., 0])
        return linen.Dense(self.n_outputs)(x[:, -1])


def recurrent(n_outputs, width):
    return Recurrent(width, n_outputs)


def images():
    """120 images of 8 x 8, of 3 classes."""
    x = jax.random.normal(jax.random.key(0), (120, 8, 8, 1))
    return jnp.asarray(x), jnp.argmax(x.reshape(120, -1)[:, :3], axis=1)


# What is refused.


class Hidden(nnx.Module):
    """The kernel is made symmetric in front of the product, so that no axis is that of its inputs alone."""

    def __init__(self, n, n_outputs, rngs):
        self.inner = nnx.Linear(n, n, rngs=rngs)
        self.head = nnx.Linear(n, n_outputs, rngs=rngs)

    def __call__(self, x):
        kernel = self.inner.kernel[...]
        return self.head(x.reshape(len(x), -1) @ (kernel + kernel.T))


def hidden(input_shape, n_outputs, rngs):
    return Hidden(input_shape[0] * input_shape[1], n_outputs, rngs)


class Flat(linen.Module):
    n: int
    dtype: jnp.dtype = jnp.float32
    param_dtype: jnp.dtype = jnp.float32

    @linen.compact
    def __call__(self, x):
        return linen.Dense(self.n, dtype=self.dtype, param_dtype=self.param_dtype)(x.reshape(len(x), -1))


class Mean(linen.Module):
    n: int

    @linen.compact
    def __call__(self, x):
        return jnp.broadcast_to(x.mean(axis=(1, 2)), (len(x), self.n))


wrong_size = lambda n_outputs: Flat(n_outputs + 1)
wrong_type = lambda n_outputs: Flat(n_outputs, jnp.bfloat16)
wrong_parameters = lambda n_outputs: Flat(n_outputs, param_dtype=jnp.bfloat16)
no_layer = Mean
no_module = lambda n_outputs: n_outputs
a_class = lambda: Flat
no_rngs = lambda n_outputs: nnx.Linear(8, n_outputs, rngs=nnx.Rngs(0))
no_call = lambda n_outputs, rngs: nnx.Linear(5, n_outputs, rngs=rngs)


def fails():
    raise RuntimeError("on purpose")
