"""Width profiles: what they promise at every depth."""

import pytest

from xinit.core.errors import InputError
from xinit.networks import profiles

DEPTHS = range(1, 12)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ["constant", "taper", "grow", "bottleneck", "alternating"])
def test_depth_and_widest_layer(name, depth):
    widths = getattr(profiles, name)()(depth, 256)
    assert len(widths) == depth
    assert max(widths) == (256 if name != "grow" or depth > 1 else 64)
    assert min(widths) >= 64


@pytest.mark.parametrize("depth", DEPTHS)
def test_grow_mirrors_taper_and_a_bottleneck_is_its_own_mirror(depth):
    assert depth == 1 or profiles.grow()(depth, 256) == profiles.taper()(depth, 256)[::-1]
    bottleneck = profiles.bottleneck()(depth, 256)
    assert bottleneck == bottleneck[::-1]


@pytest.mark.parametrize(
    ("profile", "widths"),
    [
        (profiles.taper(4), (256, 181, 128, 91, 64)),
        (profiles.bottleneck(4), (256, 128, 64, 128, 256)),
        (profiles.alternating(4), (256, 64, 256, 64, 256)),
        (profiles.explicit([3, 2, 1]), (3, 2, 1)),
    ],
)
def test_five_layers(profile, widths):
    assert profile(5, 256) == widths


@pytest.mark.parametrize("depth", range(2, 30))
def test_a_width_that_ends_in_a_half_is_rounded_alike_at_every_depth(depth):
    """50 / 4 = 12.5, which powers of a ratio miss by their last bit, and not by the same one on every processor."""
    assert profiles.taper(4)(depth, 50)[-1] == profiles.grow(4)(depth, 50)[0] == 12
    assert profiles.taper(4)(2 * depth + 1, 50)[depth] == 25


@pytest.mark.parametrize("ratio", [0.5, float("nan")])
def test_a_ratio_below_one_is_refused(ratio):
    with pytest.raises(InputError, match=r"profile.ratio is"):
        profiles.taper(ratio)


@pytest.mark.parametrize("widths", [[], [3, 0], [3, 2.5], [True]])
def test_a_bad_list_is_refused(widths):
    with pytest.raises(InputError, match="list of widths"):
        profiles.explicit(widths)
