"""The coordinate check of configurations tells muP from the standard parametrisation, over widths and over depths."""

import json

import pytest

from xinit import coordinates as entry
from xinit.core.errors import InputError
from xinit.settings.compose import compose
from xinit.settings.parse import parse
from xinit.training.coordinates import check_configs

SMALL = ["data.valid=128", "data.test=512"]


def checked(over, values, *settings):
    raw = compose("coordinates", [*SMALL, *settings])
    for name in ("widths", "depths", "seeds"):
        del raw[name]
    return check_configs(over, {value: parse({**raw, over: value}) for value in values}, 3, raw["steps"])


def level(check, layer, quantity="change of z"):
    return check.fit(layer, quantity).level


def test_mup_is_told_from_one_learning_rate():
    right = checked("width", (64, 256), "scheme=mup", "depth=2")
    assert right.level == "OK", str(right)
    assert right.fit("logits", "z at step 0").exponent == pytest.approx(-0.5, abs=0.1)
    wrong = checked("width", (64, 256), "scheme=lecun", "depth=2")
    assert level(wrong, "logits") == "FAIL", str(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_mup_holds_where_the_standard_parametrisation_does_not(network, optimizer):
    settings = (f"network={network}", f"optimizer={optimizer}", "depth=3")
    right = checked("width", (64, 128, 256, 512), "scheme=mup", *settings)
    assert right.level == "OK", str(right)
    wrong = checked("width", (64, 128, 256, 512), "scheme=lecun", *settings)
    assert level(wrong, "logits") == "FAIL", str(wrong)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "grows"), [("1", True), ("1/sqrt(L)", False)])
def test_over_depths_an_unscaled_residual_net_grows(scale, grows):
    settings = ("scheme=lecun", "network=residual", "network.norm=layer", f"network.scale={scale}", "width=32")
    check = checked("depth", (4, 8, 16), *settings)
    start = check.fit("last hidden layer", "z at step 0")
    assert (start.level == "FAIL") == grows, str(check)


def test_the_entry_writes_its_result_and_says_so_by_its_exit_code(tmp_path, capsys):
    settings = ["scheme=lecun", "optimizer=adam", "widths=[16,128]", "depth=1", "steps=2", f"out={tmp_path}"]
    assert entry.check(compose("coordinates", [*SMALL, *settings])) == 4
    shown = capsys.readouterr().out
    assert "FAIL: " in shown
    assert "logits changes over 2 steps more and more" in shown
    (folder,) = (tmp_path / "coordinates").iterdir()
    found = json.loads((folder / "coordinates.json").read_text())
    assert found["layers"] == ["layer 1", "logits"]
    assert found["verdict"].startswith("FAIL")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["widths=[64]"], "widths is \\[64\\]; it must be at least two different"),
        (["depths=[4,8]"], "What is compared is widths or depths"),
        (["widths=64"], "widths is 64; it must be a list"),
        (["seeds=1"], "seeds"),
    ],
)
def test_bad_input_is_one_sentence(settings, message):
    with pytest.raises(InputError, match=message):
        entry.check(compose("coordinates", settings))
