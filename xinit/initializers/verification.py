"""`verify_initializer`: an initialiser against its law, and the report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from xinit.core.errors import InputError
from xinit.initializers import DISTRIBUTIONS, Kernel, KernelAxes, Law, Stated, StatesLaw
from xinit.initializers.checks import CHECKS, OWED, STRUCTURES, Check, Result, Sample
from xinit.initializers.formulas import explained, recognised
from xinit.initializers.kernel import check_axes
from xinit.initializers.law import as_law, law_of

SHAPES = ((256, 256), (512, 128), (96, 640))  # the fans far apart, so that a wrong one shows
FEWEST = 1000  # weights: with fewer little can be told, and errors are not nearly normal


@dataclass(frozen=True)
class Verification:
    """What came of `verify_initializer`: the checks, and `found`, what formula the variance follows in fact, or ""."""

    checks: tuple[Check, ...]
    found: str

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        failed = [check.name for check in self.checks if not check.passed]
        head = f"FAIL: {', '.join(failed)}" if failed else f"OK: {', '.join(check.name for check in self.checks)}"
        width = max(len(check.name) for check in self.checks)
        lines = [f"  {'  ' if one.passed else '! '}{one.name:<{width}}  {one.sentence}" for one in self.checks]
        return "\n".join([head, *lines, *([self.found] if self.found else [])])


def verify_initializer(
    fn: Initializer,
    law: Stated | StatesLaw | None = None,
    *,
    shapes: Sequence[Sequence[int]] = SHAPES,
    dtypes: Sequence[Any] = (jnp.float32, jnp.bfloat16),
    seed: int = 0,
    **axes: Unpack[KernelAxes],
) -> Verification:
    """Test a function `(key, shape, dtype) -> Array` against the law it is meant to keep.

        print(xinit.verify_initializer(my_init, lambda fan_in, fan_out: 2 / fan_in))
        assert xinit.verify_initializer(my_init, xinit.initializers.he()).ok

    Tested: shape and precision; finite values; equal weights from equal keys, unrelated ones from a key, its splits and
    the next seed; E W = 0; E W^2, its error from the sample's kurtosis; bounds and, by Kolmogorov & Smirnov, the
    distribution; the structure, which for independent weights is the mean squared cosine between units. Each is tested
    at every shape and precision, and the worst is reported. A sound initialiser fails one of them, at one shape, with a
    probability below one in a million.

    >>> law = lambda fan_in, fan_out: 1 / fan_in
    >>> verification = verify_initializer(xinit.initializers.he(), law, shapes=[(40, 100)])
    >>> verification.ok, verification.found
    (False, "Var W is 2/n_in, He's for rectifiers.")

    A kernel may have any number of axes. Its inputs and outputs are then named, as here of 4 heads of 64 numbers that
    256 units read:

    >>> fn = jax.nn.initializers.he_normal(in_axis=(0, 1), out_axis=2)
    >>> law = lambda fan_in, fan_out: 2 / fan_in
    >>> verify_initializer(fn, law, shapes=[(4, 64, 256)], in_axis=(0, 1), out_axis=2).ok
    True

    Args:
      fn: the initialiser.
      law: what it promises: a number (Var W), a `Law`, a function of (fan_in, fan_out) to either, or an initialiser
        that states one. By default fn's own, its attribute `law`; without any, only what every random initialiser owes
        is tested.
      shapes: of at least 1,000 weights.
      dtypes: precisions of real numbers to ask for.
      seed: of the keys.
      **axes: what the axes of the shapes are, see `KernelAxes`; by default those that the law or fn was made with, if
        it is an initialiser of `xinit.initializers`; else the last two are (inputs, outputs), any others a window.

    Returns:
      A `Verification`: `.ok`, `.checks`, `.found`, and the report as its text.

    Raises:
      InputError: fn cannot be called; a law, a shape or a precision that makes no sense; axes that a shape lacks.
    """
    if not callable(fn):
        raise InputError(f"fn is {fn!r}; it must be a function (key, shape, dtype).")
    shapes, dtypes = list(shapes), [_real(dtype) for dtype in dtypes]
    if not shapes or not dtypes:
        raise InputError(f"shapes is {shapes} and dtypes {dtypes}; each must have at least one entry.")
    own = law_of(fn)
    stated = own if law is None else law_of(law) or as_law(law)
    check_axes(axes)
    made_with: KernelAxes = (stated and stated.axes) or (own and own.axes) or {}
    named: KernelAxes = {**made_with, **axes}
    kernels = [_checked(Kernel(tuple(shape), **named)) for shape in shapes]
    results: list[tuple[str, Result]] = []
    samples = []
    for dtype in dtypes:
        for kernel in kernels:
            sample, owed = _drawn(fn, kernel, dtype, seed)
            results += owed
            if sample is not None:
                samples.append(sample)
                results += _tested(sample, stated and _sensible(stated.at(kernel)))
    checks = _worst(results)
    in_doubt = stated is None or any(check.name == "variance" and not check.passed for check in checks)
    found = (explained if in_doubt else recognised)(samples) if samples else ""
    return Verification(checks, found)


def _real(dtype: Any) -> Any:
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"A precision is {jnp.dtype(dtype)}; the tests are of real numbers, such as float32.")
    return jnp.dtype(dtype)


def _checked(kernel: Kernel) -> Kernel:
    if len(kernel.shape) < 2 or math.prod(kernel.shape) < FEWEST:
        raise InputError(f"A shape is {kernel.shape}; it must have inputs, outputs and at least {FEWEST:,} weights.")
    kernel.check()
    return kernel


def _sensible(law: Law) -> Law:
    if not 0 <= law.variance < math.inf:
        raise InputError(f"The law's variance is {law.variance}; it must be finite and at least 0.")
    if law.structure not in STRUCTURES:
        raise InputError(f"The law's structure is {law.structure!r}; it must be one of {', '.join(STRUCTURES)}.")
    if law.distribution not in (None, *DISTRIBUTIONS):
        allowed = ", ".join(DISTRIBUTIONS)
        raise InputError(f"The law's distribution is {law.distribution!r}; it must be None or one of {allowed}.")
    return law


def _drawn(fn: Initializer, kernel: Kernel, dtype: Any, seed: int) -> tuple[Sample | None, list[tuple[str, Result]]]:
    """A sample, None where nothing more can be tested, and the checks on the way to it."""
    key = jax.random.key(seed)
    keys = key, key, *jax.random.split(key), jax.random.key(seed + 1)
    try:
        sample = Sample(kernel, dtype, tuple(fn(one, kernel.shape, dtype) for one in keys))
    except Exception as error:  # whatever the function does
        asked = f"(key, {kernel.shape}, {dtype})"
        return None, [("call", (math.inf, f"called with {asked} it raised {type(error).__name__}: {error}"))]
    results = []
    for name, check in OWED.items():
        results.append((name, check(sample)))
        if results[-1][1][0] > 1:
            return None, results
    return sample, results


def _tested(sample: Sample, law: Law | None) -> list[tuple[str, Result]]:
    place = f", at {sample.shape} in {sample.dtype}"
    results = [(name, check(sample, law)) for name, check in CHECKS.items()]
    return [(name, (found[0], found[1] + place)) for name, found in results if found is not None]


def _worst(results: Sequence[tuple[str, Result]]) -> tuple[Check, ...]:
    """One check a name: of all shapes and precisions, the one that came nearest to its limit or passed it furthest."""
    names = dict.fromkeys(name for name, _ in results)
    worst = {name: max((found for own, found in results if own == name), key=lambda found: found[0]) for name in names}
    return tuple(Check(name, share <= 1, f"{sentence}.") for name, (share, sentence) in worst.items())
