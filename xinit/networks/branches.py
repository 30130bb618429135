"""Residual branches, of dense weights or of convolutions: their settings, checked, and their steps in a draft."""

import math
from collections.abc import Collection
from typing import NamedTuple

from xinit.core.errors import InputError
from xinit.networks.contract import Activation
from xinit.networks.draft import Draft
from xinit.networks.stack import check_norm

ORDERS, PLACES_OF_NORMS = ("pre", "post"), ("branch", "sum")
SCALES = ("1/sqrt(L)", "1/L", "learned")


class Branches(NamedTuple):
    """The settings of the branches of a residual network; `networks.residual` says what each means."""

    weights: int = 2
    order: str = "pre"
    skip: float = 1.0
    scale: float | str = 1.0
    norm: str = "none"
    norm_at: str = "branch"
    fixup: bool = False

    def check(self) -> None:
        """InputError where a setting is not one of those that there are, or does not go with another."""
        if type(self.weights) is not int or self.weights not in (1, 2):
            raise InputError(f"network.weights is {self.weights!r}; it must be 1 or 2, weight layers on a branch.")
        _check_word("order", self.order, ORDERS)
        _check_word("norm_at", self.norm_at, PLACES_OF_NORMS)
        check_norm(self.norm)
        if not _is_finite(self.skip):
            raise InputError(f"network.skip is {self.skip!r}; it must be a finite number.")
        if self.scale not in SCALES and not _is_finite(self.scale):
            raise InputError(f"network.scale is {self.scale!r}; it must be a finite number or one of {_list(SCALES)}.")
        if self.scale == 0:
            raise InputError(
                "network.scale is 0, and what is multiplied by 0 never learns; it must be another number, or learned, "
                "which starts at 0."
            )
        if self.fixup:
            self._check_fixup()

    def _check_fixup(self) -> None:
        if self.norm != "none":
            raise InputError(f"network.fixup is true and network.norm is {self.norm}; Fixup replaces a norm: use one.")
        if self.weights < 2:
            raise InputError(
                "network.fixup is true and network.weights is 1; Fixup starts the last weight of a branch at 0 and "
                "scales those before it, so a branch needs 2."
            )
        if self.scale == "learned":
            raise InputError(
                "network.fixup is true and network.scale is learned, from 0 on; Fixup learns a scale too, which must "
                "start at a number other than 0, since its branches end in weights that start at 0."
            )

    def start_of_scale(self, n_branches: int) -> float:
        """What a branch is multiplied with at the start."""
        if not isinstance(self.scale, str):
            return float(self.scale)
        return {"1/sqrt(L)": 1 / math.sqrt(n_branches), "1/L": 1 / n_branches, "learned": 0.0}[self.scale]

    def write(self, draft: Draft, window: int = 0, halve: Collection[int] = ()) -> None:
        """An input layer, a branch for each hidden layer of the frame, and what the last layer reads.

        With a window all are convolutions; the first weight of a branch that `halve` names, from 1, halves the
        resolution.
        """
        widths, activations = draft.frame.widths, draft.frame.activations
        draft.multiply(widths[0], window=window)
        if self.order == "post":
            self._norm_on_branch(draft)
            self._bend(draft, activations[0])
        for b, (width, activation) in enumerate(zip(widths, activations, strict=True)):
            draft.branch()
            for w in range(self.weights):
                if self.order == "pre":
                    self._norm_on_branch(draft)
                    self._bend(draft, activation)
                self._shift(draft)
                stride = 2 if w == 0 and b + 1 in halve else 1
                draft.multiply(width, end=w == self.weights - 1, window=window, stride=stride)
                if self.order == "post":
                    self._norm_on_branch(draft)
                    if w < self.weights - 1:
                        self._bend(draft, activation)
            draft.join(self.skip, self.start_of_scale(len(widths)), self.scale == "learned" or self.fixup)
            if self.norm_at == "sum":
                draft.normalise(self.norm)
            if self.order == "post":
                self._bend(draft, activation)
        if self.order == "pre":
            self._norm_on_branch(draft)
            self._bend(draft, activations[-1])

    def write_last(self, draft: Draft) -> None:
        """The last layer."""
        self._shift(draft)
        draft.multiply(draft.frame.n_outputs, last=True)

    def _norm_on_branch(self, draft: Draft) -> None:
        draft.normalise(self.norm if self.norm_at == "branch" else "none")

    def _bend(self, draft: Draft, activation: Activation) -> None:
        self._shift(draft)
        draft.activate(activation)

    def _shift(self, draft: Draft) -> None:
        if self.fixup:
            draft.shift()


def _check_word(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise InputError(f"network.{name} is {value!r}; it must be one of {_list(allowed)}.")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _list(words: Collection[str]) -> str:
    return ", ".join(words)
