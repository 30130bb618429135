"""The settings of a tier, changed on the command line."""

import re

import pytest

from experiments import tiers
from xinit.core.errors import InputError


@pytest.mark.parametrize(
    ("tier", "changes", "words"),
    [
        ("gpu", [], "Unknown tier 'gpu'; did you mean cpu? Allowed: cpu, init."),
        ("init", ["widht=8"], "Unknown setting widht; did you mean width?"),
        ("init", ["nonlinear.depht=8"], "Unknown setting nonlinear.depht; did you mean depth?"),
        ("init", ["width=0"], "width is 0; it must be a whole number above 0"),
        ("init", ["width=8.5"], "width is 8.5"),
        ("init", ["schemes=xavier"], "schemes is 'xavier'; it must be a mapping"),
        ("init", ["roughness.ratios=4"], "roughness.ratios is 4; it must be a list"),
        ("init", ["schemes.xavier=[1]"], "schemes.xavier is [1]; it must be a text"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tier, changes, words):
    with pytest.raises(InputError, match=re.escape(words)):
        tiers.load("compromise", tier, changes)
