"""The paper's schemes: two of xinit's own, and what its printed figures seem to show."""

from collections.abc import Mapping
from typing import Any

from xinit.initializers import standard, xavier
from xinit.networks.network import FIRST, LAST
from xinit.schemes import Scheme, per_weight
from xinit.settings.compose import compose


def as_printed() -> Scheme:
    """Eq. 16 on the layers between hidden ones; the first and the last keep eq. 1.

    The printed Figures 6 to 10 do not follow eq. 16 on every layer: the first layer's activations and the top layer's
    gradients equal those of the standard initialisation, which this variant reproduces.
    """
    return per_weight(lambda weight, network: standard() if weight.role in (FIRST, LAST) else xavier())


def settings(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a run's config says of a scheme: one of conf/scheme, or "module:factory" with its options."""
    if ":" in name:
        return {"fn": name, "gain": 1.0, "kwargs": dict(options or {})}
    return compose("train", [f"scheme={name}"])["scheme"]
