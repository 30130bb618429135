"""Schemes: the weights of a whole network.

A scheme is `(key, network, hyper, batch) -> (Params, lr_scale)`: `network.weights` says of each kernel its shape, its
fans, the activation it reads, its role and its place, `hyper["gain"]` multiplies every kernel and may be traced,
`batch` is (x_BI, y_B) for those that look at data, and `lr_scale` (one number a weight) multiplies the learning rate.
What is left out of the parameters is as the network starts it. An initialiser of one kernel becomes a scheme through
`layerwise`, so most schemes are just a factory in `initializers` and a YAML file in `conf/scheme`. Here are those that
look at more than one kernel: at the activation (`by_activation`), at the whole network (`whole`), or at the residual
branches (`branches`, `depth`). To add a scheme: a factory in one of these, which names it in `__all__`, and a YAML file
in `conf/scheme`.
"""

from xinit.schemes.branches import *
from xinit.schemes.by_activation import *
from xinit.schemes.contract import *
from xinit.schemes.depth import *
from xinit.schemes.whole import *
