"""Narrow networks in small populations: two pixel ranges, several budgets, every learning rate of a grid.

A cell is a pixel range and a budget, of which are stored the readings that claims are about: of every model at every
rate, by seed. All errors are validation errors, so that a budget within a run has one too.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments import runs
from experiments.claims import NotRun
from experiments.glorot2010 import courses, training
from experiments.runs import Result, Run
from experiments.study import Place

KEPT = ("data", "width", "profile", "seeds", "rates", "rungs", "batch_size")


def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]] | NotRun:
    """What trains the networks, every config of them checked.

    Raises:
      InputError: a setting is wrong.
    """
    own, models = settings[name], training.models_of(name, settings)
    if lacking := runs.lacks_data(own["data"], place):
        return lacking
    configs = {
        _label(model, i): training.config(f"{name}-{model}", own | {"pixel_range": pixels}, chosen, place)
        for i, pixels in enumerate(own["pixel_ranges"])
        for model, chosen in models.items()
    }
    asked = runs.grid(configs, own["rates"], range(own["seeds"]))
    runs.check(asked)
    return functools.partial(measure, own, models, asked)


def _label(model: str, pixels: int) -> str:
    return f"{model}/{pixels}"


def measure(
    own: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], asked: Mapping[Run, Mapping[str, Any]]
) -> dict[str, Any]:
    """Train what is not trained yet; the readings of every cell, model and rate, by seed."""
    results, left = runs.train_halving(asked, own["rungs"])
    every = left | results
    cells = [
        {
            "pixel_range": pixels,
            "updates": updates,
            "models": {model: _by_rate(every, _label(model, i), models[model], updates) for model in models},
        }
        for i, pixels in enumerate(own["pixel_ranges"])
        for updates in own["budgets"]
    ]
    return {**{name: own[name] for name in KEPT}, **runs.progress(results, own["steps"]), "cells": cells}


def _by_rate(
    every: Mapping[Run, Result], label: str, model: Mapping[str, Any], updates: int
) -> dict[str, dict[str, list[float]]]:
    """The readings of a model after so many updates, at each rate at which every seed got there."""
    by_rate: dict[str, list[Result]] = {}
    for run, result in every.items():
        if run.model == label:
            by_rate.setdefault(f"{run.rate:g}", []).append(result)
    return {
        rate: {
            name: values_S.tolist()
            for name, values_S in readings({**model, **training.readings(shown, updates)}).items()
        }
        for rate, shown in by_rate.items()
        if all(result.updates >= updates and not result.diverged for result in shown)
    }


def readings(own: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What the claims are about, of a model at the end of its courses, (S,) each; no `mode` where densities lack.

    `valid`, validation error in percent; `half_way`, how far apart the layers are in when half of their change in
    standard deviation is done, in shares of the run; `furthest`, the 98-percentile of the layer that is nearest to the
    asymptote, 1; `mode`, the outermost mode of the lower layers; `apart`, largest over smallest layer of the weight
    gradients in the second half of the run; `saturated`, the share of saturated activations, the mean over layers.
    """
    found = {
        "valid": np.array(own["valid_error"])[:, -1],
        "half_way": np.ptp(courses.half_way(own), axis=1),
        "furthest": courses.markers(own)[:, -1].max(1),
        "apart": courses.apart(own),
        "saturated": courses.course(own, "act_saturated")[:, -1].mean(1),
    }
    return found | ({"mode": courses.modes(own).max(1)} if "act_hist" in own else {})
