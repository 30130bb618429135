"""What mean-field theory says of a network before it is drawn: moments, maps of variances and cosines, predictions.

All in float64 on the host, for any activation.
"""
