"""The report that is made of what one pass measured."""

import dataclasses
from typing import Any

import numpy as np

from xinit.analysis.probe_report import Report
from xinit.core.readings import FLAT, QUANTILES
from xinit.tracing import rules
from xinit.tracing.batches import Batch
from xinit.tracing.measure import Measured
from xinit.tracing.parameters import kernel_rows, parameter_table
from xinit.tracing.structure.kernels import by_path
from xinit.tracing.structure.layers import Layer, Structure

NOT_TAKEN = "it lies in a branch that this batch does not take"
BINS = 40  # of a histogram of a layer


def report_of(structure: Structure, params: Any, batch: Batch, measured: Measured, chance_loss: float | None) -> Report:
    """The report of one pass, with the findings of the rules."""
    readings = layer_readings(structure, measured)
    if len((taken := _taken(structure, readings)).layers) < len(structure.layers):
        structure, readings = taken, layer_readings(taken, measured)
    layers = structure.layers
    rows = parameter_table(structure, by_path(params), measured.parameters)
    kernels = kernel_rows(layers, rows, measured.parameters)
    readings["grad_w_norm"] = np.array([row.grad_norm for row in kernels])
    report = Report(
        names=tuple(layer.name for layer in layers),
        kinds=tuple(layer.product.kind for layer in layers),
        shapes=tuple(layer.shape for layer in layers),
        widths=tuple(layer.width for layer in layers),
        depths=tuple(layer.depth for layer in layers),
        paths=tuple(layer.paths for layer in layers),
        fans=tuple((layer.product.fan_in, layer.product.fan_out) for layer in layers),
        functions=tuple(layer.function.name if layer.function else None for layer in layers),
        normalised=tuple(layer.normalised for layer in layers),
        fed_by=_fed_by(structure),
        recurrent=tuple(layer.product.recurrent for layer in layers),
        kernels=tuple(kernels),
        readings=readings,
        parameters=rows,
        unseen=dict(structure.unseen),
        n_examples=batch.n_examples,
        loss=float(measured.loss),
        chance_loss=chance_loss,
        x_moments=batch.moments or _first_moments(layers, readings),
        one_class=batch.one_class,
        skips=structure.skips,
    )
    return dataclasses.replace(report, findings=rules.judge(report))


def _taken(structure: Structure, numbers: dict[str, np.ndarray]) -> Structure:
    """The structure without layers in a branch that this batch does not take, since nothing of them was computed."""
    idle = np.isnan(numbers["pre_std"]) & (numbers["grad_pre_std"] == 0)
    pairs = list(zip(structure.layers, idle, strict=True))
    taken = tuple(layer for layer, is_idle in pairs if not (is_idle and layer.product.branch))
    kernels = {layer.kernel for layer in structure.layers} - {layer.kernel for layer in taken}
    return structure._replace(layers=taken, unseen=structure.unseen | dict.fromkeys(sorted(kernels), NOT_TAKEN))


def layer_readings(structure: Structure, measured: Measured) -> dict[str, np.ndarray]:
    """Readings by their names in `xinit.core.readings`, SHARED and TRACED, with the axis layer first.

    A reading that a layer does not have is nan, such as the input of a lookup.
    """
    at = [_at(layer) for layer in structure.layers]
    pick = lambda name: [measured.readings[name].get(site) for site, _ in at]
    readings = _flatness(structure.layers, [None] * len(at))
    for name in measured.readings:
        values = [None if of is None else of[place] for of, (_, place) in zip(pick(name), at, strict=True)]
        if name == "into_sample":
            readings |= _flatness(structure.layers, values)
        elif name.endswith("_sample"):
            readings |= _distribution(name.removesuffix("_sample"), values)
        else:
            readings[name] = np.array([np.nan if value is None else value for value in values], np.float64)
    return readings


def _at(layer: Layer) -> tuple[int, int]:
    """The site of a layer's product, and which of its stacked iterations it is, in the order of the stack."""
    iterations = [t for t in layer.product.iteration if t is not None]
    if len(iterations) < 2:
        return layer.product.site, iterations[0] if iterations else 0
    lengths = layer.lengths
    return layer.product.site, int(np.ravel_multi_index(iterations, lengths))


def _flatness(layers: tuple[Layer, ...], samples: list[Any]) -> dict[str, np.ndarray]:
    """The share of saturated units and the mean of abs f' over its maximum, where a layer's function f is known."""
    saturated, slope = np.full((2, len(layers)), np.nan)
    for number, (layer, sample) in enumerate(zip(layers, samples, strict=True)):
        shape = layer.function.shape if layer.function else None
        if sample is None or shape is None or layer.function is None or not shape.bounded:
            continue
        slopes = layer.function.slope(np.asarray(sample, np.float64)) / shape.slope_max
        slope[number] = slopes.mean()
        if shape.saturates:
            saturated[number] = np.mean(slopes < FLAT)
    return {"act_saturated": saturated, "act_slope": slope}


def _distribution(name: str, samples: list[Any]) -> dict[str, np.ndarray]:
    """Quantiles and a histogram of samples of each layer, between the least and the largest value."""
    quantiles, shares, edges = [], [], []
    for sample in samples:
        finite = np.asarray(sample, np.float64)
        finite = finite[np.isfinite(finite)]
        if not finite.size:
            finite = np.zeros(1)
        counts, own = np.histogram(finite, BINS)
        quantiles.append(np.quantile(finite, QUANTILES))
        shares.append(counts / finite.size)
        edges.append(own)
    return {f"{name}_quantile": np.array(quantiles), f"{name}_hist": np.array(shares), f"{name}_edges": np.array(edges)}


def _fed_by(structure: Structure) -> tuple[tuple[int, ...], ...]:
    """For each layer the places of those that feed it; what lies between layers that were not chosen is left out."""
    products = structure.found.products
    place = {id(layer.product): number for number, layer in enumerate(structure.layers)}
    nearest: list[set[int]] = []  # for each product the chosen layers that it stands for
    fed_by = []
    for number, product in enumerate(products):
        sources = set().union(*(nearest[source] for source in product.fed_by if source < number))
        if id(product) in place:
            fed_by.append(tuple(sorted(sources)))
            nearest.append({place[id(product)]})
        else:
            nearest.append(sources)
    return tuple(fed_by)


def _first_moments(layers: tuple[Layer, ...], readings: dict[str, np.ndarray]) -> tuple[float, float, float] | None:
    """Mean, standard deviation and mean cosine of what the first layer reads, for inputs that are whole numbers."""
    for number, layer in enumerate(layers):
        if layer.depth == 1 and layer.product.reads is not None and not layer.product.recurrent:
            mean, std, cosine = (float(readings[f"input_{name}"][number]) for name in ("mean", "std", "cosine_mean"))
            return mean, std, cosine
    return None
