"""Counterexamples without training: a quick tier measured small, or the kept results with models exchanged."""

import functools
import json
import pathlib

from experiments import claims, kept, measuring, publishing, tiers
from experiments.claims import NOT_RUN
from experiments.study import Place

RESULTS = {}  # of stages, by all that they are measured with: claims share counterexamples


def part_of(own, claim):
    return next(part for part in own.parts if claim in own.claims_of(part))


def state(own, claim, found):
    metrics = publishing.measured(own, [part_of(own, claim)], found, {})
    return claims.check([claim], metrics, claim.tier)[0].state


# ---- a quick tier, small


def is_quick(own, claim):
    """Whether study.yaml says how to make the claim's tier quick."""
    return bool(claim.counterexample) and claim.tier in own.small


def state_small(own, claim, changes):
    """The claim's state under its small tier and these changes."""
    settings = tiers.load(own.name, claim.tier, [*own.small[claim.tier], *changes])
    return state(
        own, claim, {stage: measured(own, stage, settings) for stage in own.module(part_of(own, claim)).STAGES}
    )


def measured(own, stage, settings):
    shared = {name: value for name, value in settings.items() if name not in own.stages}
    key = json.dumps([own.name, stage, settings[stage], shared])
    if key not in RESULTS:
        measure = own.module(own.stages[stage]).prepare(stage, settings, Place(pathlib.Path("nowhere")))
        RESULTS[key] = json.dumps(measuring.rounded(measure()))
    return json.loads(RESULTS[key])


# ---- kept results with models exchanged


@functools.cache
def kept_results(own_name):
    from experiments import study

    own = study.load(own_name)
    return publishing.read(own, own.results) if own_name in kept.names() else ({}, {})


def state_kept(own, claim):
    """What the kept results say of the claim."""
    found = kept_results(own.name)[1]
    return state(own, claim, found) if found else NOT_RUN


def is_exchange(own, claim):
    """Whether its counterexample only makes some models into others that the kept run has trained."""
    return bool(claim.counterexample) and not is_quick(own, claim) and exchanged(own, claim) is not None


def state_exchanged(own, claim):
    """The claim's state where the results of the models it changes are those of the models they become."""
    return state(own, claim, exchanged(own, claim))


def exchanged(own, claim):
    """The kept results under the counterexample; None where it takes more than exchanging models to have them."""
    about, found = kept_results(own.name)
    if not found or claims.TIERS.index(claim.tier) > claims.TIERS.index(about["tier"]):
        return None
    if not all("models." in change.partition("=")[0] for change in claim.counterexample):
        return None
    stages = [stage for stage in own.module(part_of(own, claim)).STAGES if stage in found]
    before, after = (tiers.load(own.name, about["tier"], changes) for changes in ((), claim.counterexample))
    replaced = {}
    for stage in stages:
        models = {label: becomes(found[stage], stage, label, before, after) for label in found[stage].get("models", {})}
        if not models or None in models.values():
            return None
        replaced[stage] = {
            **found[stage],
            "models": {label: found[stage]["models"][now] for label, now in models.items()},
        }
    return replaced


def becomes(results, stage, label, before, after):
    """The model of the stage that had the settings which the labelled one has now; None where none had."""
    known = {name: own for name, own in models_of(before, stage).items() if name in results["models"]}
    wanted = models_of(after, stage)[label]
    return label if known[label] == wanted else next((name for name in known if known[name] == wanted), None)


def models_of(settings, stage):
    """The settings of a stage's models, without what they are called: its own, or those that stages share."""
    own = settings[stage].get("models")
    models = own if isinstance(own, dict) else settings["models"]
    words = ("label", "title")
    return {name: {key: value for key, value in of.items() if key not in words} for name, of in models.items()}
