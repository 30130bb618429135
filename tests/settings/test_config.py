"""What the config accepts, what it becomes, and the sentence for everything else."""

import dataclasses

import pytest

from xinit.core.errors import InputError
from xinit.core.identity import names_outside_identity
from xinit.runs import record
from xinit.settings.compose import compose
from xinit.settings.config import Config
from xinit.settings.parse import parse


def parsed(*overrides):
    return parse(compose("train", overrides))


def test_defaults():
    config = parsed()
    assert (config.scheme.fn, config.widths, config.batch_size, config.steps) == ("standard", (256,) * 5, 10, 20_000)
    assert (config.data.kind, config.activations[0].fn, config.optimizer.fn) == ("shapeset", "tanh", "sgd")
    assert (config.init_seed, config.data_seed, config.precision) == (0, 0, "float32")
    assert config.name == "shapeset-tanh-5x256-standard"


def test_a_scheme_holds_only_its_own_keys():
    assert parsed("+scheme=xavier").scheme.options == {"distribution": "uniform"}
    assert parsed("scheme=orthogonal").scheme.options == {}


@pytest.mark.parametrize("spelling", ["+scheme=he", "scheme=he"])
def test_both_spellings_are_one_run(spelling):
    assert parsed(spelling).identity() == parsed("+scheme=he").identity()


def test_an_experiment_sets_the_papers_network():
    assert parsed("+experiment=glorot2010").widths == (1000,) * 5
    assert parsed("experiment=glorot2010", "depth=4").widths == (1000,) * 4


@pytest.mark.parametrize(
    ("override", "steps"),
    [("20000", 20_000), ("2e4", 20_000), ("20_000", 20_000), ("200000examples", 20_000), ("3epochs", 60_000),
     ("400000examples", 40_000), ("2epochs", 40_000),
     ("0.5epochs", 10_000), ("1epoch", 20_000), ("1005 examples", 100)],
)  # fmt: skip
def test_durations(override, steps):
    assert parsed(f"steps='{override}'").steps == steps


def test_epochs_of_a_stored_set_are_its_own():
    assert parsed("data=mnist", "steps=3epochs").steps == 15_000


@pytest.mark.parametrize(
    ("overrides", "widths"),
    [(["width=[512,256,128]"], (512, 256, 128)), (["profile=explicit", "profile.widths=[9,8]"], (9, 8)),
     (["profile=taper", "depth=3"], (256, 128, 64)), (["depth=2", "width=7"], (7, 7))],
)  # fmt: skip
def test_widths(overrides, widths):
    assert parsed(*overrides).widths == widths


def test_a_deep_list_of_widths_has_a_short_name_and_no_scheme_may_be_null():
    assert parsed(f"width=[{','.join(['100'] * 100)}]", "scheme=null").name == "shapeset-tanh-100layers-standard"


def test_a_number_is_one_run_however_it_is_written():
    identities = [parsed("scheme=he", f"scheme.negative_slope={zero}").identity() for zero in ("0", "0.0")]
    assert identities[0] == identities[1]
    assert [type(one["scheme"]["options"]["negative_slope"]) for one in identities] == [float, float]


def test_the_same_widths_are_the_same_run_however_they_are_said():
    assert parsed("width=[256,256,256,256,256]").identity() == parsed().identity()


@pytest.mark.parametrize(("optimizer", "told"), [("sgd", "sgd"), ("momentum", "sgd"), ("adam", "adam")])
def test_mup_is_told_the_optimizer(optimizer, told):
    chosen = ["scheme=mup", f"optimizer={optimizer}"]
    assert parsed(*chosen).scheme.options["optimizer"] == told
    assert parsed(*chosen, f"scheme.optimizer={told}").identity() == parsed(*chosen).identity()


def test_an_activation_for_each_layer():
    config = parsed("activation=[tanh,relu,softsign]", "depth=3")
    assert [activation.fn for activation in config.activations] == ["tanh", "relu", "softsign"]


def test_identity_leaves_out_what_changes_no_result():
    same = ["out=elsewhere", "force=true", "checkpoint_every=1", "stop_after=10", "keep_params=true", "figure=false",
            "name=mine", "strict=true", "verdict.signal_fail=9", "steps=200000examples"]  # fmt: skip
    assert parsed(*same).identity() == parsed().identity()
    for other in ("seed=1", "init_seed=1", "steps=10", "scheme=xavier", "optimizer.learning_rate=0.1", "probe=full"):
        assert parsed(other).identity() != parsed().identity()
    mnist = [parsed("data=mnist", f"data.dir={folder}").identity() for folder in ("a", "b")]
    assert mnist[0] == mnist[1]


def test_what_is_outside_a_runs_identity():
    outside = {"verdict", "tracker", "population", "name", "out", "force", "stop_after", "checkpoint_every"}
    assert names_outside_identity(Config) == outside | {"keep_params", "figure", "strict"}
    config = parsed("data=mnist")
    assert names_outside_identity(type(config.data)) == {"dir"}
    assert config.identity().keys() == {field.name for field in dataclasses.fields(Config)} - outside - {
        "keep_params", "figure", "strict", "prng", "network", "loss", "schedule"}  # fmt: skip


def test_the_hashes_of_runs_stay():
    hashes = {scheme: record.run_hash(parsed(f"scheme={scheme}").identity(), "") for scheme in ("standard", "xavier")}
    assert hashes == {"standard": "3d58854dd439", "xavier": "2acb3c099700"}


BAD = {  # overrides -> words of the message: what was wrong, what came, what is allowed
    "scheme=xaviar": "Unknown scheme 'xaviar'; did you mean xavier? Allowed: constant, critical, custom, ",
    "+scheme=xaviar": "Unknown scheme 'xaviar'; did you mean xavier?",
    "activation=tahn": "Unknown activation 'tahn'; did you mean tanh? Allowed: ",
    "activation.fn=tahn": "Unknown activation 'tahn'; did you mean tanh?",
    "data=mnits": "Unknown data 'mnits'; did you mean mnist?",
    "optimizer=sgdd": "Unknown optimizer 'sgdd'; did you mean sgd?",
    "profile=tapir": "Unknown profile 'tapir'; did you mean taper?",
    "+experiment=glorot": "Unknown experiment 'glorot'; did you mean glorot2010?",
    "depth=0": "depth is 0; it must be a whole number, at least 1.",
    "depth=-3": "depth is -3; it must be a whole number, at least 1.",
    "depth=2.5": "depth is 2.5; it must be a whole number, at least 1.",
    "depth=deep": "depth is 'deep'; it must be a whole number, at least 1.",
    "depth=true": "depth is True; it must be a whole number, at least 1.",
    "width=0": "width is 0; it must be a whole number, at least 1.",
    "width=[512,0]": "The list of widths is [512, 0]; it must name at least one layer",
    "depht=3": "Unknown setting depht; did you mean depth?",
    "+depht=3": "Unknown setting depht; did you mean depth?",
    "+optimizer.lr=3": "Unknown setting optimizer.lr; Allowed: clip, decay_biases, fn, learning_rate, weight_decay.",
    "+data.sise=3": "Unknown setting data.sise; did you mean size?",
    "+scheme.gian=3": "Unknown setting scheme.gian; did you mean gain?",
    "+probe.pionts=3": "Unknown setting probe.pionts; did you mean points?",
    "steps=0": "steps is 0; it must be a duration of at least one step, such as 20000, 200000examples or 3epochs.",
    "steps=-5": "steps is -5; it must be a duration",
    "steps=3parsecs": "steps is '3parsecs'; it must be a duration",
    "steps=null": "steps is None; it must be a duration",
    "seed=-1": "seed is -1; it must be a whole number from 0 to 4294967295.",
    "batch_size=0": "batch_size is 0; it must be a whole number, at least 1.",
    "optimizer.learning_rate=-1": "optimizer.learning_rate is -1; it must be a finite number above 0.",
    "optimizer.learning_rate=fast": "optimizer.learning_rate is 'fast'; it must be a finite number above 0.",
    "optimizer.learning_rate=nan": "optimizer.learning_rate is nan; it must be a finite number above 0.",
    "precision=float16": "precision is 'float16'; it must be one of float32, tensorfloat32, bfloat16.",
    "probe.tier=heavy": "probe.tier is 'heavy'; it must be one of off, economy, standard, full.",
    "probe.examples=20000": "probe.examples is 20000; the test set has 10000 examples, so at most that.",
    "data.size=4": "data.size is 4; it must be a whole number of pixels from 10 to 256.",
    "data.pixel_range=[1,0]": "data.pixel_range is [1, 0]; it must be two numbers, the lower one first.",
    "name=../up": "name is '../up'; it must be a plain folder name of at most 100 characters.",
    "checkpoint_every=-1": "checkpoint_every is -1; it must be a number of seconds, at least 0.",
    "force=maybe": "force is 'maybe'; it must be true or false.",
    "activation=[tanh,relu]": "activation lists 2 functions; there are 5 hidden layers, one for each.",
    "scheme=custom": "The setting scheme.fn is missing; give it as scheme.fn=VALUE.",
    "data=mnist batch_size=60000": "batch_size is 60000; mnist has 50000 training examples, so at most that.",
    "profile=taper profile.ratio=0.5": "profile.ratio is 0.5; it is the widest layer over the narrowest, at least 1.",
    "profile=taper profile.ratio=steep": "profile.ratio is 'steep'; it must be of type float.",
    "profile=taper +profile.ratoi=2": "Unknown setting profile.ratoi; did you mean ratio?",
    "optimizer=momentum optimizer.momentum=1.5": "optimizer.momentum is 1.5; it must be at least 0 and below 1.",
    "optimizer=adam optimizer.eps=-1": "optimizer.eps is -1.0; it must be at least 0 and below 1.",
    "seed=abc init_seed=1 data_seed=1": "seed is 'abc'; it must be a whole number",
    "activation=[tanh,tanh] depth=2 +activation.negative_slope=1": "a list takes no settings",
    "profile=grow profile.ratio=inf": "profile.ratio is inf;",
    "scheme=he scheme.negative_slope=relu": "scheme.negative_slope is 'relu'; it must be a number or `activation`.",
    "activation=3": "A group takes a name, as in activation=tanh;",
    "data=[1]": "A group takes a name, as in activation=tanh;",
    "probe.examples=1": "probe.examples is 1; it must be a whole number, at least 2.",
    "scheme=mup scheme.optimizer=adam": "scheme.optimizer is 'adam'; the network is trained with sgd, so it must be",
    "scheme=mup optimizer=adam scheme.optimizer=sgd": "trained with adam, so it must be adam, as it is by default.",
    "data=mnist data.train=0": "data.train is 0; it must be a whole number, at least 1, or a slice as TFDS writes it",
    "prng=rbg": "Unknown setting prng; Allowed: ",
    "scheme=xavier scheme.gain=0": "scheme.gain is 0; it must be a finite number above 0.",
}


@pytest.mark.parametrize("overrides", BAD)
def test_bad_input_is_one_sentence(overrides):
    from xinit.training.choices import scheme_of
    from xinit.training.problem import build_problem

    def build(*overrides):
        config = parsed(*overrides)
        scheme_of(config.scheme)
        build_problem(config)

    with pytest.raises(InputError) as raised:
        build(*overrides.split())
    message = str(raised.value)
    assert BAD[overrides] in message
    assert "\n" not in message
