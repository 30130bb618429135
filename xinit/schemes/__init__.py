"""Schemes: the weights of a whole network.

A scheme is `(key, widths, activations, hyper, batch) -> (Params, lr_scale)`: `widths` runs from inputs to classes,
`hyper["gain"]` multiplies every kernel and may be traced, `batch` is (x_BI, y_B) for those that look at data, and
`lr_scale` (one number a layer) multiplies the learning rate. An initialiser of one kernel becomes a scheme through
`layerwise`, so most schemes are just a factory in `initializers` and a YAML file in `conf/scheme`. Here are those that
look at more than one kernel: at the activation (`by_activation`), or at the whole network (`whole`).
"""

from xinit.schemes.by_activation import critical, he, xavier_gain
from xinit.schemes.contract import (
    Hyper,
    LawfulScheme,
    Laws,
    Scheme,
    TunedScheme,
    from_function,
    law_of,
    layer_keys,
    layerwise,
    optimizers_of,
    per_layer,
)
from xinit.schemes.whole import looks_linear, lsuv, mup

__all__ = [
    "Hyper", "LawfulScheme", "Laws", "Scheme", "TunedScheme", "critical", "from_function", "he", "law_of", "layer_keys",
    "layerwise", "looks_linear", "lsuv", "mup", "optimizers_of", "per_layer", "xavier_gain",
]  # fmt: skip
