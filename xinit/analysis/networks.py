"""What a network is, in a few words for people: "residual, 30 branches of 2 x 256, scale learned"."""

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 6  # widths that are all named
# Settings that go without saying at these values; what else a network has stands behind its shape, as "norm layer".
UNSAID: Mapping[str, Any] = {
    "skip": 1, "order": "pre", "norm": "none", "norm_at": "branch", "fixup": False, "halve": [], "residual": False,
}  # fmt: skip


def network_words(fn: str, options: Mapping[str, Any], widths: Sequence[int]) -> str:
    """The shape of a network and the settings that matter.

    >>> network_words("mlp", {"norm": "none"}, (256, 256)), network_words("mlp", {"norm": "layer"}, (256, 128))
    ('2 hidden layers of 256', '2 hidden layers of 256, 128, norm layer')
    >>> network_words("residual", {"weights": 2, "scale": "learned", "skip": 1.0, "norm": "none"}, (256,) * 30)
    'residual, 30 branches of 2 x 256, scale learned'

    Args:
      fn: the name of the network.
      options: its settings.
      widths: of the hidden layers, as the config counts them: of a residual network one for each branch.
    """
    options = dict(options)
    branched = "weights" in options and options.get("residual", True)
    if not branched:  # settings of branches that are not there
        options = {name: value for name, value in options.items() if name in ("norm", "halve") or ":" in fn}
    sizes = _sizes(widths)
    if branched:
        shape = f"{_count(len(widths), 'branch', 'es')} of {options.pop('weights')} x {sizes}"
    else:
        shape = f"{_count(len(widths), 'hidden layer')} of {sizes}" if widths else "no hidden layer"
    kind = [] if fn == "mlp" else [fn]
    rest = [f"{name} {_short(value)}" for name, value in options.items() if UNSAID.get(name, None) != value]
    return ", ".join([*kind, shape, *rest])


def _sizes(widths: Sequence[int]) -> str:
    if len(set(map(str, widths))) == 1:
        return _short(widths[0])
    named = widths if len(widths) <= NAMED else [*widths[:3], "...", *widths[-2:]]
    return ", ".join(map(_short, named))


def _count(n: int, word: str, plural: str = "s") -> str:
    return f"1 {word}" if n == 1 else f"{n} {word}{plural}"


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
