"""What to do about networks that are no plain stack of layers: changes that theory and drawn networks bear out.

A change is a few words of the command line: another scheme, another scale of the residual branches, a normalisation.
Those that come first need the least. Where theory covers a network it rules changes out; none is named before networks
under it were drawn and measured, and none of them failed.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from xinit.core.custom import is_custom
from xinit.core.errors import InputError
from xinit.networks.network import Network
from xinit.settings.config import Config, SchemeConfig
from xinit.theory.advice import Candidate, Change, change_of, plain_weights
from xinit.theory.coverage import uncovered
from xinit.training.choices import stated_laws
from xinit.training.problem import build_problem

MOST_TRIED = 4  # changes of which networks are drawn: each is another program to compile


class Remedy(NamedTuple):
    """A change in the words of the command line, and the config that has it."""

    words: str
    config: Config


def with_weights(config: Config, candidate: Candidate) -> Config:
    """The config with these weights, and their activation where they need another."""
    changed = dataclasses.replace(config, scheme=SchemeConfig(candidate.fn, candidate.gain, dict(candidate.options)))
    if not candidate.activation:
        return changed
    other = dataclasses.replace(config.activations[0], fn=candidate.activation, options={})
    return dataclasses.replace(changed, activations=(other,) * len(config.widths))


def remedies(config: Config, network: Network) -> Iterator[Remedy]:
    """The changes that may help, the smallest first; never what the config has."""
    own = not is_custom(config.network.fn)
    weights = plain_weights(network.activations[-1])
    schemes = [(candidate.scheme, with_weights(config, candidate)) for candidate in weights]
    schemes = [(words, changed) for words, changed in schemes if changed.scheme != config.scheme]
    branches: list[Mapping[str, Any]] = []
    if own and network.n_branches:
        branches = [{"scale": "1/sqrt(L)"}, {"scale": "learned"}]
    norms: list[Mapping[str, Any]] = [{"norm": "layer"}] if own else []
    changes = [(_words(options), _with_options(config, options)) for options in branches]
    if own and network.n_branches:
        changes.append(("scheme=fixup", dataclasses.replace(config, scheme=SchemeConfig("fixup"))))
    both = [
        (f"{words} {_words(options)}", _with_options(changed, options))
        for words, changed in schemes[:1]
        for options in branches[:1]
    ]
    normed = [(_words(options), _with_options(config, options)) for options in norms]
    for words, changed in [*changes, *(schemes if not network.n_branches else both), *normed]:
        if (changed.network, changed.scheme) != (config.network, config.scheme):
            yield Remedy(words, changed)


def _with_options(config: Config, options: Mapping[str, Any]) -> Config:
    network = dataclasses.replace(config.network, options={**config.network.options, **options})
    return dataclasses.replace(config, network=network)


def _words(options: Mapping[str, Any]) -> str:
    """As a shell takes them: brackets need quotes."""
    words = [f"network.{name}={value}" for name, value in options.items()]
    return " ".join(f'"{word}"' if "(" in word else word for word in words)


def remedy(config: Config, network: Network, input_second: float, fault: Callable[[Config], str]) -> str:
    """In a sentence: the first change that nothing was found wrong with, or that there is none.

    Args:
      config: of the networks that failed.
      network: as it describes them.
      input_second: mean square of an input.
      fault: what is wrong with networks drawn under another config, or "".
    """
    tried: list[str] = []
    failing = ""
    for candidate in remedies(config, network):
        if len(tried) == MOST_TRIED:
            break
        try:
            change = _change(candidate.config, input_second)
            if change is not None and not change.most <= _allowed(candidate.config, network):
                continue
            tried.append(candidate.words)
            failing = fault(candidate.config)
        except InputError:  # it does not go with this network
            continue
        if not failing:
            return f"Try {candidate.words}: {_reason(change)}."
    if not tried:
        return "No change of the scheme or the network that xinit knows keeps signal and gradient. Use fewer layers."
    return f"Networks with {' or '.join(tried)} fail as well ({failing}). Use fewer layers."


def _change(config: Config, input_second: float) -> Change | None:
    """What theory says of networks of a config; None where it says nothing, or weights that start at 0 end all."""
    network = build_problem(config).network
    laws = stated_laws(config.scheme, network)
    if not laws or uncovered(network):
        return None
    change = change_of(network, laws, input_second)
    return change if all(np.isfinite(part) for part in change) else None


def _allowed(config: Config, network: Network) -> float:
    """The bound of the verdict's WARN."""
    power: float = (1 + network.n_branches) ** config.verdict["branch_power"]
    return config.verdict["signal_warn"] * power


def _reason(change: Change | None) -> str:
    if change is None:
        return "networks drawn so do not fail (measured, since theory is silent on such networks)"
    kept = f"the signal changes by x {change.signal:.2g} and the gradient by x {change.gradient:.2g} over depth"
    return f"by theory {kept}, and networks drawn so do not fail"
