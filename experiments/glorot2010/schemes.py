"""The paper's schemes: two of xinit's own, and what its printed figures seem to show."""

from xinit.initializers import standard, xavier
from xinit.networks.network import FIRST, LAST
from xinit.schemes import Scheme, per_weight


def as_printed() -> Scheme:
    """Eq. 16 on the layers between hidden ones; the first and the last keep eq. 1.

    The printed Figures 6 to 10 do not follow eq. 16 on every layer: the first layer's activations and the top layer's
    gradients equal those of the standard initialisation, which this variant reproduces.
    """
    return per_weight(lambda weight, network: standard() if weight.role in (FIRST, LAST) else xavier())
