"""The change that one step of gradient descent makes in a deep relu network, in the limit of wide layers."""


def change(layers: int) -> float:
    """S(L), to which the mean squared change of the last of L hidden layers' pre-activations is in proportion.

    With Var W = 2/fan-in the step of layer m reaches layer L through J J^T, J the Jacobian of the k = L - m layers
    between them. Two such terms, of k and of k' >= k layers, have the mean product of the second moment of the spectrum
    of J J^T, 1 + 2k (Pennington et al. 2017, Gaussian weights and relu). Summed over all pairs:

        S(L) = sum_{k, k' < L} (1 + 2 min(k, k')) = L^2 + L (L - 1) (2L - 1) / 3

    so that the rate which makes this change 1 goes as S^-1/2, and for deep networks as L^-3/2.

    >>> change(1), change(2)
    (1.0, 6.0)

    Reference: Jelassi et al. 2023, "Depth dependence of muP learning rates in ReLU MLPs".
    """
    return layers**2 + layers * (layers - 1) * (2 * layers - 1) / 3
