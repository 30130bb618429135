"""Initialisers of one kernel, in the `jax.nn.initializers` protocol: `(key, shape, dtype, out_sharding) -> Array`.

Any layer of Flax takes them: `nnx.Conv(3, 64, (3, 3), kernel_init=xinit.initializers.he(), rngs=rngs)`. The last two
axes are inputs and outputs and all others a convolution's window, unless `KernelAxes` (in_axis, out_axis, batch_axis,
groups) say otherwise; `on` puts any initialiser on other axes. Each states its `Law`, what it promises of a kernel, for
the theory to predict with and for `verify_initializer` to test; a function of your own may do so too (`StatesLaw`).
`kernel` counts the fans, `law` says what is promised, `scaled` has what is one formula, `variance_scaling`, and
`structured` the others. `verification` tests anybody's initialiser against a law, by `checks` and `formulas`. To add an
initialiser: a factory in `scaled` or `structured`, which names it in `__all__`, and a YAML file in `conf/scheme`.
"""

from xinit.initializers.axes import *
from xinit.initializers.kernel import *
from xinit.initializers.law import *
from xinit.initializers.scaled import *
from xinit.initializers.structured import *
