"""What a reading is: the one table of names, axes and definitions, for the code that measures and the code that reads.

A name means one quantity wherever it is measured: in training (`probes`) and in anybody's model (`xinit.probe`). h is
what a layer reads, z = h W + b what it gives, and a = f(z) the activation. dL/dz is per example, the gradient of the
mean loss times the number of examples; dL/dW is that of the mean loss. Means and standard deviations run over units and
examples, of a convolution also over positions.

h(l) is the l-th layer of the main path, where the signal of the whole network passes: a(l), or in a residual network
whose branches begin with f the sum, of which f is a part of the branch. Jacobians have everything between two of them
in them, skips and normalisation included; there are none of convolutions, batch normalisation and networks of the
user's.
"""

QUANTILES = (0.01, 0.02, 0.05, 0.25, 0.5, 0.75, 0.95, 0.98, 0.99)

# A unit counts as saturated where abs f' is under this share of its maximum: for tanh abs a > .975.
FLAT = 0.05
_FLAT_SLOPE = f"abs f'(z) < {str(FLAT).lstrip('0')} max abs f'"

# What an error is, by the targets of the data; a run's summary has it under the name error_is.
ERROR_IS = {"labels": "share misclassified", "values": "1 - R^2"}


def share_of(error_is: object) -> str:
    """The words after an error in percent that say what it is a share of; none where it is the share misclassified."""
    return " of the variance" if error_is == ERROR_IS["values"] else ""


# Every reading of a run: its axes after `step`, and what it is.
READINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "train_loss": ((), "mean of the loss over the training batches since the last probe"),
    "train_error": ((), "mean error of the training batches since the last probe; error_is says what kind"),
    "valid_loss": ((), "mean of the loss over 1,000 validation examples"),
    "valid_error": ((), "mean error of 1,000 validation examples; error_is says what kind"),
    "act_mean": (("layer",), "mean of the activations over units and probe examples"),
    "act_std": (("layer",), "standard deviation of the activations over units and probe examples"),
    "act_min": (("layer",), "least activation"),
    "act_max": (("layer",), "largest activation"),
    "act_quantile": (("layer", "quantile"), "quantiles of the activations"),
    "act_hist": (("layer", "bin"), "share of the activations in each bin of act_edges"),
    "act_saturated": (("layer",), f"share of (unit, example) with {_FLAT_SLOPE}"),
    "act_saturated_low": (("layer",), "the part of act_saturated with z < 0"),
    "act_saturated_high": (("layer",), "the part of act_saturated with z >= 0"),
    "act_slope": (("layer",), "mean of abs f'(z) / max abs f'; nan where f' has no bound"),
    "act_learned": (("layer",), "what activations learn: prelu's slope below zero"),
    "act_inactive": (("layer",), "rectifiers: share of (unit, example) with z <= 0"),
    "act_dead": (
        ("layer",),
        f"share of units with {_FLAT_SLOPE} on every probe example; without a bound of f', f'(z) = 0",
    ),
    "act_cosine_mean": (("layer",), "mean cosine between the activations of different probe examples"),
    "act_copies": (
        ("layer",),
        "1 - (different units - 1) / (units - 1): units with the same activation and dL/dz on every example are one",
    ),
    "act_cosine_quantile": (("layer", "quantile"), "quantiles of that cosine over the pairs"),
    "pre_mean": (("layer",), "mean of the pre-activations"),
    "pre_std": (("layer",), "standard deviation of the pre-activations"),
    "pre_quantile": (("layer", "quantile"), "quantiles of the pre-activations"),
    "grad_pre_mean": (("layer",), "mean of dL/dz, per example, over units and probe examples"),
    "grad_pre_std": (("layer",), "standard deviation of dL/dz, per example, over units and probe examples"),
    "grad_pre_hist": (("layer", "bin"), "share of dL/dz in each bin of grad_pre_edges"),
    "grad_w_std": (("weight",), "standard deviation of dL/dW of the mean loss over the probe batch"),
    "grad_w_norm": (("weight",), "Frobenius norm of dL/dW of the mean loss over the probe batch"),
    "grad_w_hist": (("weight", "bin"), "share of dL/dW in each bin of grad_w_edges"),
    "update_ratio": (("weight",), "norm of the last step's update over the norm of the weights"),
    "jacobian_sv_mean": (("jacobian",), "mean singular value of dh(l+1)/dh(l)"),
    "jacobian_sv_quantile": (("jacobian", "quantile"), "quantiles of the singular values of dh(l+1)/dh(l)"),
    "jacobian_total_sv_mean": ((), "mean singular value of dh(d)/dh(1), d the last of them"),
    "jacobian_total_sv_quantile": (("quantile",), "quantiles of the singular values of dh(d)/dh(1)"),
}
# Without a step: fixed for the whole run.
EDGES: dict[str, tuple[tuple[str, ...], str]] = {
    "act_edges": (("layer", "edge"), "edges of the bins of act_hist"),
    "act_low": (("layer",), "infimum of the activation function"),
    "act_high": (("layer",), "supremum of the activation function"),
    "act_dead_expected": (("layer",), "rectifiers: the act_dead of a wide sound network at that depth, from theory"),
    "grad_pre_edges": (("layer", "edge"), "edges of the bins of grad_pre_hist"),
    "grad_w_edges": (("weight", "edge"), "edges of the bins of grad_w_hist"),
}
# Without a step too: where the layers of a network lie that is not a plain stack of them; each only where it has
# something to say.
PLACES: dict[str, tuple[tuple[str, ...], str]] = {
    "act_units": (("layer",), "number of units; of a convolution, of channels"),
    "act_branch": (("layer",), "0 on the main path, else the residual branch within which a layer lies; nan: unknown"),
    "act_skipped": (
        ("layer",),
        "1 where a skip leads past the activation function, or none but the last lacks one; else 0",
    ),
    "act_normalised": (("layer",), "1 where a normalisation stands before the activation function, else 0"),
}
EDGES |= PLACES
_BANDS: dict[str, tuple[tuple[str, ...], str]] = {
    f"{name}_rms_predicted{end}": ((axis,), f"root mean square of {words} at initialisation, {which}")
    for name, axis, words in (
        ("act", "layer", "the activations"),
        ("pre", "layer", "the pre-activations"),
        ("grad_pre", "layer", "dL/dz"),
        ("grad_w", "weight", "dL/dW"),
    )
    for end, which in (("", "predicted"), ("_low", "2.5 % of networks below"), ("_high", "2.5 % of networks above"))
}
# Without a step too: what theory predicts of the start, before a network is drawn, and where 95 % of networks lie.
# Not there where the scheme states no law.
PREDICTED: dict[str, tuple[tuple[str, ...], str]] = _BANDS | {
    "act_slope_predicted": (("layer",), "act_slope at initialisation, predicted"),
    "act_cosine_predicted": (("layer",), "act_cosine_mean at initialisation, predicted"),
    "jacobian_sv_mean_predicted": (("jacobian",), "jacobian_sv_mean at initialisation, predicted"),
}
EDGES |= PREDICTED

# What `xinit.probe` measures of each layer of any model: of these readings some, saturation and slope of some thousand
# values and only behind functions that it recognises, ...
SHARED = ("pre_mean", "pre_std", "grad_pre_mean", "grad_pre_std", "grad_w_norm", "act_saturated", "act_slope")
# ... and its own. Between two layers may lie anything, so it looks at what a layer reads, not at an activation.
TRACED: dict[str, tuple[tuple[str, ...], str]] = {
    "input_mean": (("layer",), "mean of what the layer reads"),
    "input_std": (("layer",), "standard deviation of what the layer reads"),
    "input_cosine_mean": (("layer",), "mean cosine between what the layer reads of different examples"),
    "grad_pre_zero": (("layer",), "share of (unit, example, position) with dL/dz = 0"),
    "grad_pre_zero_units": (("layer",), "share of units with dL/dz = 0 at every example and position"),
    "pre_hist": (("layer", "bin"), "share of the pre-activations in each bin of pre_edges, of some thousand of them"),
    "pre_edges": (("layer", "edge"), "edges of the bins of pre_hist"),
    "grad_pre_quantile": (("layer", "quantile"), "quantiles of dL/dz, per example, of some thousand of them"),
}
