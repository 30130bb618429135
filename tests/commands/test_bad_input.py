"""Bad input to every command: exit code 2, one sentence that says what was wrong, nothing done and nothing written."""

import importlib
import sys

import numpy as np
import pytest

from xinit.commands import cli

pytestmark = pytest.mark.heavy

LONG, HUGE = "a" * 300, 10**9

TRAIN = {  # arguments -> words of the sentence
    # what float32, where programs compute, cannot hold
    "scheme=xavier scheme.gain=1e300": "scheme.gain is 1e+300; it must be of a size from 1.18e-38 to 3.4e+38",
    "scheme=xavier scheme.gain=1e-60": "scheme.gain is 1e-60; it must be of a size",
    "optimizer.learning_rate=1e300": "optimizer.learning_rate is 1e+300; it must be of a size",
    "optimizer.learning_rate=1e-60": "optimizer.learning_rate is 1e-60; it must be of a size",
    f"optimizer.learning_rate={'9' * 400}": "it must be a finite number above 0.",
    "optimizer=momentum optimizer.momentum=1e-60": "optimizer.momentum is 1e-60; it must be of a size",
    "optimizer=momentum optimizer.momentum=0.99999999999": "it must be at least 0 and below 1.",
    "scheme=sparse scheme.std=inf": "scheme.std is inf; it must be a finite number.",
    "scheme=sparse scheme.std=1e300": "scheme.std is 1e+300; it must be of a size",
    "activation=leaky_relu activation.negative_slope=1e-60": "activation.negative_slope is 1e-60; it must be of a size",
    "data.pixel_range=[0,1e300]": "data.pixel_range is [0, 1e+300]; it must be two numbers",
    "data.pixel_range=[nan,1]": "data.pixel_range is [nan, 1]; it must be two numbers, the lower one first.",
    # sizes that no machine has, or that take for ever
    f"width={HUGE}": "GB of memory or more and there are",
    f"width=[{HUGE}]": "most of it is for the weights and their update (width, depth).",
    f"width={10 * HUGE}": "width is 10000000000; it must be at most 2147483647: no array of jax is longer.",
    f"width=[{'9,' * 2000}9]": "The number of widths is 2001; it must be at most 1000",
    "depth=100000": "depth is 100000; it must be at most 1000: each layer is a part of the program",
    f"depth={'9' * 5000}": "cannot be read",
    f"batch_size={HUGE}": "most of it is for the signals of a batch (batch_size).",
    f"data.valid={HUGE} data=shapeset": "most of it is for the fixed examples (data.valid, data.test).",
    f"data.test={HUGE} probe.examples={HUGE}": "most of it is for the signals of the probe (probe.examples).",
    f"data=synthetic data.inputs={HUGE}": "GB of memory or more",
    f"data=synthetic data.classes={HUGE}": "GB of memory or more",
    f"probe.points={HUGE}": "probe.points is 1000000000; it must be at most 10000: each keeps its readings",
    f"probe=full probe.jacobian_examples={HUGE}": "probe.jacobian_examples is 1000000000; it must be at most 1000",
    "tracker.patience=1e300": "tracker.patience is 1e+300; it must be at most 1000000000: that is 32 years.",
    # folders and names
    f"out={LONG}": "it must be the name of a folder, its parts of at most 255 bytes and all of it of at most 3500.",
    f"out={'a/' * 3000}b": "it must be the name of a folder",
    "out=": "out is ''; it must be the name of a folder",
    f"data=mnist data.dir={LONG}": "it must be the name of a folder",
    "name=sweeps": "it must be another name than comparisons, coordinates, hydra, inspections, sweeps, theory, "
    "transfers: folders of these names hold other things.",
    "name=hydra": "folders of these names hold other things.",
    "name=": "name is ''; it must be a plain folder name",
    "name=..": "name is '..'; it must be a plain folder name",
    "name=été": "The argument 'name=été' cannot be read: a character in it needs quotes;",
    # losses
    "loss=regression": "loss=regression needs values, real numbers of a float type, as targets; data=shapeset has "
    "labels, whole numbers of an integer type. Choose loss=cross_entropy or loss=squared_error, or",
    "loss=hinge": "Unknown loss 'hinge'; Allowed: cross_entropy, custom, label_smoothing, regression, squared_error.",
    "loss.smoothing=1": "loss.smoothing is 1; it must be at least 0 and below 1.",
    "loss=label_smoothing loss.smoothing=nan": "loss.smoothing is nan; it must be at least 0 and below 1.",
    "loss=squared_error loss.smoothing=0.1": "Unknown setting loss.smoothing;",
    "loss=custom": "loss.fn",
    "loss.fn=nowhere:f": "loss.fn is 'nowhere:f'; there is no module 'nowhere' that can be imported.",
    "loss.fn=os:getcwd": "loss.fn 'os:getcwd' takes (); a loss takes (outputs, y), and its settings by name.",
    "loss=optax:l2_loss": "loss 'optax:l2_loss' failed with ValueError: Shape mismatch",
    "loss=jax.numpy:matmul": "loss 'jax.numpy:matmul' failed with TypeError",
    "loss.fn=optax:softmax_cross_entropy_with_integer_labels loss.axes=1": "loss.axes; did you mean axis?",
    # networks
    "network=resnet": "Unknown network 'resnet'; Allowed: convnet, custom, mlp, residual.",
    "network.norm=group": "network.norm is 'group'; it must be one of none, layer, rms, batch.",
    "network.weights=2": "Unknown setting network.weights; ",
    "network=residual network.weights=3": "network.weights is 3; it must be 1 or 2, weight layers on a branch.",
    "network=residual network.weights=two": "network.weights is 'two'; it must be of type int.",
    "network=residual network.order=mid": "network.order is 'mid'; it must be one of pre, post.",
    "network=residual network.norm_at=end": "network.norm_at is 'end'; it must be one of branch, sum.",
    "network=residual network.scale=half": "network.scale is 'half'; it must be a finite number or one of 1/sqrt(L), ",
    "network=residual network.scale=nan": "network.scale is nan; it must be a finite number.",
    "network=residual network.skip=1e300": "network.skip is 1e+300; it must be of a size",
    "network=residual network.fixup=true network.weights=1": "network.fixup is true and network.weights is 1; ",
    "network=residual network.fixup=true network.norm=layer": "network.fixup is true and network.norm is layer; ",
    "network=residual network.scale=0": "network.scale is 0, and what is multiplied by 0 never learns; it must be",
    "network=residual network.fixup=1": "network.fixup is 1; it must be of type bool.",
    "network=convnet network.halve=[6]": "network.halve is [6]; it must be a list of different whole numbers from 1",
    "network=convnet network.halve=2": "network.halve is 2; it must be of type",
    "network=convnet network.halve=[1,2,3,4]": "Convolution 5 of network=convnet would read an image of 2 x 2; ",
    "network=convnet data=synthetic": "network=convnet needs images; the data has ",
    "network=convnet network.skip=0.5": "network.skip is 0.5 and network.residual is false; it is for residual=true.",
    "network=convnet network.residual=true network.weights=0": "network.weights is 0; it must be 1 or 2",
    # functions
    "activation.fn=jax.nn:softmax": "activation.fn 'jax.nn:softmax' is not elementwise: its value at one place",
    "activation=[tanh,jax.nn:glu] depth=2": "activation.fn 'jax.nn:glu' makes shape (11,) and type float32 of x of",
    "activation.fn=jax.numpy:sign": "activation.fn 'jax.numpy:sign' is not differentiable: its slope is 0 everywhere",
    "activation=jax.numpy:log": "activation.fn 'jax.numpy:log' is not finite: it is -inf at x = 0;",
    "activation.fn=jax.nn:sillu": "activation.fn is 'jax.nn:sillu'; the module jax.nn has no function 'sillu'.",
    "activation.fn=math:tanh": "activation.fn 'math:tanh' failed with TypeError",
    "activation=jax.nn:elu activation.beta=2": "Unknown setting activation.beta; Allowed: alpha, facts, fn.",
    "activation=jax.nn:elu activation.facts.high=3": "activation.facts.high is 3; it must be at least 20, which",
    "activation=jax.nn:elu activation.facts.hihg=3": "Unknown setting activation.facts.hihg; did you mean high?",
    "activation=elu activation.alpha=0": "alpha is 0; it must be a finite number above 0.",
    "activation=prelu activation.negative_slope=1": "negative_slope is 1; it must be at least 0 and below 1.",
    "scheme=custom scheme.fn=nowhere:f": "scheme.fn is 'nowhere:f'; there is no module 'nowhere' that can be imported.",
    "scheme=custom scheme.fn=os:getcwd": "'getcwd' takes (); an initialiser takes (key, shape, dtype)",
    # schemes and the networks that they are not for
    "scheme=fixup": "scheme fixup needs residual branches, and network=mlp has none; use network=residual",
    "scheme=fixup network=residual network.weights=1": "has no value for the m = 1 weight that a branch has here;",
    "scheme=fixup network=residual network.scale=learned": "network.scale is 0 at the start too",
    "scheme=residual_scaled": "scheme residual_scaled needs residual branches, and network=mlp has none;",
    "scheme=residual_scaled network=residual scheme.power=2": "scheme.power is 2; it must be one of 0.5, 1.0.",
    "scheme=residual_scaled network=residual scheme.base=hee": "Unknown scheme.base 'hee'; did you mean he?",
    "scheme=zero_init_branches network=residual network.order=post network.norm=layer": "behind it undoes that;",
    "scheme=depth_mup network=residual network.scale=0.1": "network.scale is 0.1; it must be 1 or 1/L.",
    "scheme=depth_mup network=residual scheme.base_depth=0": "base_depth 0 and optimizer 'sgd'; the first two must be",
    "scheme=own": "scheme own keeps the weights that a module of yours draws, and network=mlp draws none;",
    "scheme=looks_linear network=residual activation=relu": "mirrors the layers of network=mlp without a norm;",
    # optimizers and schedules
    "optimizer=optax:softmax_cross_entropy": "which has no argument learning_rate; an optimizer is a function of",
    "optimizer.fn=optax:nothing": "optimizer.fn is 'optax:nothing'; the module optax has no function 'nothing'.",
    "optimizer=optax:adam optimizer.b3=0.1": "Unknown setting optimizer.b3; Allowed: b1, b2, clip, decay_biases, eps,",
    "optimizer=optax:adam optimizer.b1=[0.9,0.99]": "optimizer 'optax:adam' failed with TypeError: ",
    "optimizer=optax:adam optimizer.mu_dtype=0.5": "optimizer 'optax:adam' failed with TypeError: ",
    "optimizer=optax:adamw optimizer.nesterov=0.5": "optimizer.nesterov is 0.5; it must be of type bool.",
    "optimizer=optax.contrib:sophia": "failed with ValueError: obj_fn must be provided",
    "optimizer=muon scheme=mup": "it is not known which of them muon is like; say so by scheme.optimizer=sgd or adam.",
    "optimizer=momentum optimizer.momentum=[0.9,0.5]": "optimizer.momentum is [0.9, 0.5]; it must be a finite number.",
    "optimizer.weight_decay=-1": "optimizer.weight_decay is -1; it must be a finite number, at least 0.",
    "optimizer.decay_biases=2": "optimizer.decay_biases is 2; it must be true or false.",
    "optimizer.clip=0": "optimizer.clip is 0; it must be a finite number above 0.",
    "schedule=cosin": "Unknown schedule 'cosin'; did you mean cosine? Allowed: constant, cosine, custom, linear,",
    "schedule=cosine schedule.warmup=2": "schedule.warmup is 2.0; it must be a share of the run, from 0 to 1.",
    "schedule=cosine schedule.end=-1": "schedule.end is -1.0; it must be a finite number, at least 0.",
    "schedule=cosine schedule.steps=9": "Unknown setting schedule.steps; Allowed: end, fn, warmup.",
    "schedule=steps schedule.at=[0.5,x]": "schedule.at is 'x'; it must be a finite number.",
    "schedule=steps schedule.at=[0.5,3]": "schedule.at is 3.0; it must be a share of the run, from 0 to 1.",
    "schedule.warmup=0.1": "Unknown setting schedule.warmup; Allowed: fn.",
    "schedule=optax:cosine_decay_schedule": "returns function; it must be one number.",
    "schedule=math:sqrt": "which takes (x); a schedule takes (step, steps), and settings of its own by name.",
    "schedule=custom": "The setting schedule.fn is missing; give it as schedule.fn=VALUE.",
    # readings of one's own
    "probe.extra=5": "probe.extra is 5; it must be a list of functions of yours, each as module:function.",
    "probe.extra=mean": "probe.extra is ['mean']; it must be a list of functions of yours",
    "probe.extra=[os:getcwd,mean]": "it must be a list of functions of yours",
    "probe.extra=[nowhere:f]": "probe.extra is 'nowhere:f'; there is no module 'nowhere' that can be imported.",
    "probe.extra=os:nothing": "probe.extra is 'os:nothing'; the module os has no function 'nothing'.",
    "probe.extra=os:getcwd": "probe.extra 'os:getcwd' failed with TypeError: ",
    "probe.extra=builtins:zip": "'builtins:zip' gives a zip; it must give a mapping from names to arrays.",
    "probe=off probe.extra=os:getcwd": "probe=off measures nothing: choose economy, standard or full.",
    # what Hydra, OmegaConf and argparse refuse
    "--bogus": "This command line cannot be read: unrecognized arguments: --bogus; --help shows how it is written.",
    "depth=2 -x": "unrecognized arguments: -x;",
    "--cfg": "argument --cfg/-c: expected one argument;",
    "--cfg nothing": "argument --cfg/-c: invalid choice: 'nothing'",
    "--config-dir nowhere": "Additional config directory",
    "--config-name nowhere": "Cannot find primary config 'nowhere'.",
    "--experimental-rerun file": "--experimental-rerun is not taken: it would execute what lies in a file",
    "-m --cfg job": "Only one of --run, --multirun, --cfg",
    "hydra/launcher=nope -m seed=0,1": "Unknown hydra/launcher 'nope'; Allowed: basic,",
    "hydra.verbose=5": "This command line cannot be read",
    "hydra.nope=3": "Could not override 'hydra.nope'.",
    "hydra.run.dir=/proc/nowhere": "/proc/nowhere cannot be written",
    "name='${nope}'": "The setting name cannot be read: Interpolation key 'nope' not found.",
    "seed=${seed}": "The setting seed cannot be read: Recursive interpolation detected.",
    "init_seed=${oc.env:NOWHERE_SET}": "The setting init_seed cannot be read: KeyError raised while resolving",
    "seed=???": "The setting seed is missing; give it as seed=VALUE.",
    "depth": "The argument 'depth' cannot be read",
    "depth=3=4": "The argument 'depth=3=4' cannot be read: mismatched input '='",
    "scheme=xavier scheme=he": "scheme is given more than once; it must be one name, as in scheme=NAME.",
    "+experiment=compromise/init": "The experiment is a study's tier; it has a command",
    "~data": "The setting data is missing",
    "verdict=null": "A group takes a name",
    # what launchers hand to their workers is no setting
    "members=abc": "members is 'abc'; it is no setting, but what a launcher hands to its workers.",
    "members=": "members is ''; it is no setting",
    "members=MTIz": "members is 'MTIz'; it is no setting",
    "-m members=abc": "Unknown setting members;",
    # sweeps
    "-m seed=range(0)": "The sweep has no runs: a setting that is swept has no values.",
    "-m seed=glob(*)": "The sweep has no runs",
    "-m seed=choice()": "empty choice is not legal",
    "-m seed=": "seed is ''; it must be a whole number",
    f"-m seed=range({HUGE})": "runs; it must be at most 100,000, each with its own folder.",
    f"-m seed=shuffle(range({HUGE}))": "runs; it must be at most 100,000",
    "-m seed=range(0,1,1e-9)": "runs; it must be at most 100,000",
    "-m seed=range(400) init_seed=range(400)": "The command has 160,000 runs; it must be at most 100,000",
    "-m seed=range(0,1,0)": "This command line cannot be read: range() arg 3 must not be zero.",
    "-m seed=interval(0,1)": "does not support sweep type : INTERVAL_SWEEP",
    "-m seed=0,1 hydra.sweeper.max_batch_size=0": "hydra.sweeper.max_batch_size is 0; it must be at least 1, or null.",
    "depth=x -m seed=0,1": "depth is 'x'; it must be a whole number, at least 1. (2 of 2 jobs)",
    "seed=0,1 -m hydra/launcher=basic depth=x": "depth is 'x'; it must be a whole number, at least 1. (2 of 2 jobs)",
}
SETS = {  # arrays in files: name -> arrays; and what is said of them, as above, where SETS is their folder
    "good.npz": {"x": np.eye(50), "y": np.arange(50) % 5},
    "floats.npz": {"x": np.eye(50), "y": np.arange(50) / 5},
    "lengths.npz": {"x": np.eye(50), "y": np.arange(49) % 5},
    "nan.npz": {"x": np.eye(50) * np.nan, "y": np.arange(50) % 5},
    "negative.npz": {"x": np.eye(50), "y": np.arange(50) % 5 - 1},
    "words.npz": {"x": np.eye(50), "y": np.full(50, "cat")},
    "empty.npz": {"x": np.eye(50)[:0], "y": np.arange(0)},
    "objects.npz": {"x": np.eye(50).astype(object), "y": np.arange(50)},
    "names.npz": {"images": np.eye(50), "labels": np.arange(50)},
    "text.npz": "x,y",
}
ARRAYS = {
    "data=arrays": "The setting data.file is missing; give it as data.file=VALUE.",
    "data=arrays data.file=nowhere.npz": "data.file is nowhere.npz, which cannot be read: No such file or directory.",
    "data=arrays data.file=memory:12": "data.file is memory:12, arrays that another process was given;",
    "data=arrays data.file=SETS": "has no arrays: there are none to train on; it must have x and y, or",
    "data=arrays data.file=SETS/lengths.npz": "has 50 examples in x and 49 in y; each example needs one of both.",
    "data=arrays data.file=SETS/nan.npz": "is nan at [0, 0]; it must be finite in float32.",
    "data=arrays data.file=SETS/negative.npz": "is -1 at [0]; labels must be whole numbers from 0.",
    "data=arrays data.file=SETS/words.npz": "is of type <U3; it must be of an integer type, labels from 0,",
    "data=arrays data.file=SETS/empty.npz": "has the shape (0, 50); it must be (examples, ...), with none of them 0.",
    "data=arrays data.file=SETS/objects.npz": "holds Python objects, which are not read since that may",
    "data=arrays data.file=SETS/names.npz": "has images, labels: there are none to train on; it must have x and y, or",
    "data=arrays data.file=SETS/text.npz": "which is no .npz, or a damaged one; it must be an .npz or a folder",
    "data=arrays data.file=SETS/good.npz data.test=1": "probe.examples is 300; the test set has 1 examples, so at most",
    "data=arrays data.file=SETS/good.npz loss=regression": "loss=regression needs values, real numbers of a float type",
    "data=arrays data.file=SETS/floats.npz": "loss=cross_entropy needs labels, whole numbers of an integer type, as",
    "data=arrays data.file=SETS/good.npz batch_size=36": "has 35 training examples, so at most that.",
    "data=arrays data.file=SETS/good.npz data.classes=4": "so it must be at least 5, or null.",
    "data=arrays data.file=SETS/good.npz data.classes=many": "data.classes is 'many'; it must be a whole number",
    "data=arrays data.file=SETS/good.npz data.test=0": "data.test is 0; it must be a whole number of examples",
    "data=arrays data.file=SETS/good.npz data.test=0.9": "no examples would be left in train; data.train,",
    "data=arrays data.file=SETS/good.npz data.valid=nan": "data.valid is nan; it must be a whole number of examples",
    "data=arrays data.file=SETS/good.npz data.split_seed=-1": "it must be a whole number from 0 to 4294967295.",
    "data=arrays data.file=SETS/good.npz data.sizes=3": "Unknown setting data.sizes;",
    "data=arrays data.file=SETS/good.npz data.content=1a": "data.content is 1a; ",
    "data=custom": "The setting data.fn is missing; give it as data.fn=VALUE.",
    "data.fn=nowhere:f": "data.fn is 'nowhere:f'; there is no module 'nowhere' that can be imported.",
    "data=os:getcwd": "data.fn 'os:getcwd' returns '",
    "data=os:getcwd data.n=3": "Unknown setting data.n;",
}
INSPECT = {
    f"seeds={HUGE}": "seeds is 1000000000; it must be at most 10000: each is drawn and measured",
    "seeds=few": "seeds is 'few'; it must be a whole number, at least 2.",
    "~seeds": "The setting seeds is missing",
    "seed=4294967295": "seeds is 16; from init_seed=4294967295 on there are 1.",
    "-m seed=range(0)": "The sweep has no runs",
    f"-m seed=range({HUGE})": "runs; it must be at most 100,000",
    "-m scheme=xavier,nix": "Unknown scheme 'nix'",
    "members=abc": "Unknown setting members;",
    "depth=100000": "depth is 100000; it must be at most 1000",
    f"width={HUGE}": "GB of memory or more",
    "probe.extra=builtins:zip": "'builtins:zip' gives a zip; it must give a mapping from names to arrays.",
    "--bogus": "unrecognized arguments: --bogus;",
}
COMPARE = {
    f"score_seeds={HUGE}": "runs; it must be at most 100,000",
    f"search_seeds={HUGE}": "runs; it must be at most 100,000",
    "schemes=[xavier,[he]]": "it must be a list of at least two different schemes.",
    "schemes='${nope}'": "The setting schemes cannot be read: Interpolation key 'nope' not found.",
    "learning_rates=[0.1,1e300]": "optimizer.learning_rate is 1e+300; it must be of a size",
    "seed=4294967290": "The last seed would be 4294967299; it must be at most 4294967295.",
    "~schemes": "The setting schemes is missing; conf/compare.yaml has its default.",
    "~seed": "The setting init_seed cannot be read: Interpolation key 'seed' not found.",
    "~optimizer schemes=[xavier,he]": "The setting optimizer.fn is missing",
    f"out={LONG}": "it must be the name of a folder",
    "--bogus": "unrecognized arguments: --bogus;",
}
THEORY = {
    f"out={LONG}": "it must be the name of a folder",
    "out='${nope}'": "The setting out cannot be read: Interpolation key 'nope' not found.",
    "activation.fn=jax.nn:softmax": "activation.fn 'jax.nn:softmax' is not elementwise",
    "activation=jax.numpy:exp": "The activation jax.numpy:exp has no finite Gaussian moments",
    f"-m depth=range({HUGE})": "runs; it must be at most 100,000",
    "--bogus": "unrecognized arguments: --bogus;",
}
LIST = {
    f"schemes fans={'9' * 400},3": "it must be two whole numbers above 0",
    "schemes fans=٣,٤": "it must be two whole numbers above 0",
    "--bogus": "Unknown group '--bogus'",
}
REPORT = {
    "": "the following arguments are required: FOLDER;",
    "--bogus nowhere": "unrecognized arguments: --bogus;",
    "nowhere": "nowhere does not exist",
    "nowhere -o": "argument -o/--output: expected one argument;",
    LONG: "it must be the name of a folder",
    "a\0b": "'a\\x00b' is given; it must be the name of a folder",
}
COMPROMISE = {
    "out=": "out is ''; it must be the name of a folder",
    "out=a\0b": "out is 'a\\x00b'; it must be the name of a folder",
    "[=3": "This command line cannot be read",
    "tier=init networks=1000000000": "times what the tier has.",
    "tier=init width=200000": "most of it is for the weights (width, depth).",
}
GLOROT = {
    "tier=init initial.width=900000": "GB of memory or more",
    "tier=init initial.seeds=1000000000": "times what the tier has.",
    "tier=init initial.width=wide": "initial.width is 'wide'; it must be a whole number above 0.",
    "figure=99": "Unknown figure '99'; did you mean 9?",
}
TABLES = {
    "xinit.train": TRAIN,
    "xinit.inspect": INSPECT,
    "xinit.compare": COMPARE,
    "xinit.theory.__main__": THEORY,
    "xinit.list": LIST,
    "xinit.report.__main__": REPORT,
    "experiments.compromise.__main__": COMPROMISE,
    "experiments.glorot2010.__main__": GLOROT,
}
ROWS = [(entry, given, words) for entry, table in TABLES.items() for given, words in table.items()]


@pytest.mark.parametrize(("entry", "given", "words"), ROWS, ids=[f"{row[0]} {row[1]:.60}" for row in ROWS])
def test_bad_input_is_one_sentence_and_exit_code_2(monkeypatch, tmp_path, capsys, entry, given, words):
    check_refused(monkeypatch, tmp_path, capsys, entry, given, words)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for name, content in SETS.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
        else:
            np.savez(folder / name, **content)
    return str(folder)


@pytest.mark.parametrize(("given", "words"), ARRAYS.items(), ids=list(ARRAYS))
def test_so_are_bad_arrays(monkeypatch, tmp_path, capsys, sets, given, words):
    check_refused(monkeypatch, tmp_path, capsys, "xinit.train", given.replace("SETS", sets), words)


def check_refused(monkeypatch, tmp_path, capsys, entry, given, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [entry, *given.split(" ")] if given else [entry])
    assert importlib.import_module(entry).main() == cli.BAD_INPUT
    out, err = capsys.readouterr()
    assert err.startswith("xinit: ")
    assert words in err
    assert (out, err.count("\n")) == ("", 1)
    assert not list(tmp_path.iterdir())
