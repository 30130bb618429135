"""Pennington et al. 2017, "Resurrecting the sigmoid": the whole spectrum of a deep network's Jacobian, and training."""
