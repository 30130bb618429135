"""Which parameters a scheme draws anew, and with which initialiser each."""

from collections.abc import Callable, Mapping, Sequence

from jax.nn.initializers import Initializer

from xinit import initializers
from xinit.core.errors import InputError
from xinit.core.factories import call_factory
from xinit.initializers import Kernel, law_of
from xinit.tracing.containers import listed
from xinit.tracing.layout import USUAL, Layout, Stored
from xinit.tracing.patterns import matches, no_match
from xinit.tracing.structure.kernels import Axes

Choice = str | Initializer
Scheme = Choice | Mapping[str, Choice]


def chosen(scheme: Scheme, layout: Layout, is_zero: Callable[[str], bool]) -> dict[str, Initializer]:
    """The initialiser of each parameter that is drawn anew; `is_zero` of one whose entries are all 0.

    A scheme for all parameters draws the kernels. So does a pattern that does not name the last part of a path, among
    the parameters that fit it. Kernels that are 0 on purpose stay; if all kernels are 0, none of them is so on purpose.

    Raises:
      InputError: an unknown name; a pattern without effect; a scheme for all where nothing is known to be a kernel.
    """
    kernels = [path for path, stored in layout.items() if stored.is_kernel]
    zero = {path for path in kernels if is_zero(path)}
    on_purpose = set() if len(zero) == len(kernels) else zero
    if not isinstance(scheme, Mapping):
        initializer = initializer_of(scheme)
        if not kernels:
            raise InputError(
                f"The scheme is for kernels, and no parameter is known to be one: there are {listed(list(layout))}; "
                "name those to draw by patterns, or give model= and batch=, what the model is called with."
            )
        return {path: initializer for path in kernels if path not in on_purpose}
    choice: dict[str, Initializer] = {}
    for pattern, one in scheme.items():
        initializer = initializer_of(one)
        fitting = {path: layout[path] for path in layout if path not in choice and _fits(pattern, path, layout[path])}
        if not fitting:
            raise no_match(pattern, "parameter that no earlier pattern has", layout)
        meant = _meant(pattern, fitting, needs_fans(initializer))
        choice |= {path: initializer for path in meant if path not in on_purpose or _names(pattern, path)}
    return choice


def initializer_of(choice: Choice) -> Initializer:
    """The initialiser that a name of `xinit.initializers` stands for; a function as it is."""
    if isinstance(choice, str):
        return call_factory(initializers, choice, {}, "scheme")
    if not callable(choice):
        raise InputError(
            f"scheme is {choice!r}; it must be a name, a function (key, shape, dtype) or a mapping to them."
        )
    return choice


def needs_fans(initializer: Initializer) -> bool:
    """Whether an initialiser states a law that needs the fans of a kernel."""
    law = law_of(initializer)
    if law is None:
        return False
    try:
        law.at(Kernel((1,), in_axis=1, out_axis=1))
    except InputError:
        return True
    return False


def _fits(pattern: str, path: str, stored: Stored) -> bool:
    """Whether a pattern is one of a parameter, or of the module of a kernel or table."""
    module = path.rpartition("/")[0]
    return matches(pattern, path) or (stored.axes is not None and bool(module) and matches(pattern, module))


def _meant(pattern: str, fitting: Mapping[str, Stored], needs_fans: bool) -> list[str]:
    """Those that a pattern means among the parameters that it fits.

    All that it names by the last part of their path, as **/bias does; else the kernels; else what is most like them.
    """
    named = [path for path in fitting if _has_letters(pattern.rpartition("/")[2]) and matches(pattern, path)]
    if named:
        with_fans = [path for path in named if fitting[path].axes is not None]
        return with_fans if needs_fans and with_fans else named
    is_table = lambda stored: isinstance(stored.axes, Axes) and stored.axes.lookup
    ranks: Sequence[Callable[[Stored], bool]] = (
        lambda stored: stored.is_kernel,
        lambda stored: stored.axes is not None and not is_table(stored),
        is_table,
        lambda stored: True,
    )
    return next(like for rank in ranks if (like := [path for path, stored in fitting.items() if rank(stored)]))


def _has_letters(part: str) -> bool:
    return bool(part.strip("*?"))


def _names(pattern: str, path: str) -> bool:
    """Whether a pattern calls a parameter, or the module that holds it, by its own name.

    `head`, `**/head/kernel` and `head/*` call head/kernel so; `**`, `**/kernel` and `**/Dense_*` do not.
    """
    module, _, name = path.rpartition("/")
    literally = lambda stem, target: not set("*?") & set(stem.rpartition("/")[2]) and matches(stem, target)
    stem = pattern.rpartition("/")[0]
    return (
        pattern == path
        or (name not in USUAL and literally(pattern, path))
        or bool(module and (literally(pattern, module) or (stem and literally(stem, module))))
    )
