"""What mean-field theory says of a network before it is drawn, in float64 on the host, for any activation.

`moments`: Gaussian moments and kernels. `mean_field`: wide networks, their phases and depth scales. `spectra`: singular
values of a layer's Jacobian. `prediction`: every layer of one network of given widths, by `recursion` in the wide limit
and `finite_width` about it. `advice`: what to do instead.
`courses`, `plane`, `tables`, `figures`: what `python -m xinit.theory` prints and draws of an activation.
"""

from xinit.theory.mean_field import edge_of_chaos, gains, phase
from xinit.theory.moments import moments
from xinit.theory.prediction import Prediction, predict

__all__ = ["Prediction", "edge_of_chaos", "gains", "moments", "phase", "predict"]
