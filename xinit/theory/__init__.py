"""What mean-field theory says of a network before it is drawn, in float64 on the host, for any activation.

`moments`: Gaussian moments and kernels. `mean_field`: wide networks, their phases and depth scales. `spectra`: singular
values of a layer's Jacobian. `prediction`: every layer of one network, along its path, by `recursion` in the wide limit
(`units`, `shares`) and `finite_width` about it (`conditioning`); `coverage`: which networks. `advice`: what to do
instead. `courses`, `plane`, `tables`, `figures`: what `python -m xinit.theory` prints and draws of an activation.
"""

import importlib
from typing import Any

# Loaded when they are asked for: the command listens for ctrl-c before jax is imported.
_MODULES = {"Prediction": "prediction", "predict": "prediction", "edge_of_chaos": "mean_field", "gains": "mean_field",
            "phase": "mean_field"}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'xinit.theory' has no attribute {name!r}")
    return getattr(importlib.import_module(f"xinit.theory.{_MODULES[name]}"), name)
