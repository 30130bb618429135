"""What mean-field theory says of a network before it is drawn, in float64 on the host, for any activation.

`moments`: Gaussian moments and kernels. `mean_field`: wide networks, their phases and depth scales. `spectra`: singular
values of a layer's Jacobian. `prediction`: every layer of one network of given widths, by `recursion` in the wide limit
and `finite_width` about it. `advice`: what to do instead.
`courses`, `plane`, `tables`, `figures`: what `python -m xinit.theory` prints and draws of an activation.
"""
