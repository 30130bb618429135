"""The examples in docstrings do what they show, in a folder of their own."""

import contextlib
import doctest
import importlib
import inspect
import io
import pathlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xinit
from xinit import analysis, initializers, schemes, theory
from xinit.analysis.comparison import Comparison, Trial
from xinit.analysis.inspection import Inspection
from xinit.analysis.verdict import Finding
from xinit.commands import sweeping
from xinit.initializers.checks import Sample
from xinit.runs import record, runner
from xinit.settings.compose import compose, overrides_from
from xinit.theory.prediction import Prediction

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = {"data": "synthetic", "depth": 2, "width": 16, "steps": 20, "probe": "economy"}
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "xinit").rglob("*.py"))
    if ">>>" in path.read_text()
]


def comparison():
    """He's scheme and Xavier's, each with two learning rates and three seeds."""
    search = (("he", 0.1, 0.3), ("he", 0.3, 0.2), ("xavier", 0.1, 0.25), ("xavier", 0.3, 0.4))
    scores = (("he", 0.3, (0.2, 0.21, 0.205)), ("xavier", 0.1, (0.25, 0.255, 0.26)))
    return Comparison(
        "MNIST, relu",
        0.9,
        "100 steps of 10",
        ("he", "xavier"),
        (0.1, 0.3),
        tuple(Trial(scheme, rate, 0, error, False) for scheme, rate, error in search),
        tuple(Trial(s, rate, seed, error, False) for s, rate, errors in scores for seed, error in enumerate(errors, 1)),
        {},
    )


def trained():
    """Two runs that differ in their seed: what examples of readings begin with. Those that train find them done."""
    sweep = xinit.sweep({"seed": [0, 1]}, progress=False, **SMALL)
    raws = [compose("train", overrides_from({**SMALL, "seed": seed})) for seed in (0, 1)]
    configs = sweeping.parse_all(raws)
    outcomes = [runner.from_disk(config) for config in configs]
    run = record.open(outcomes[0].path)
    limits = configs[0].verdict
    return {"sweep": sweep, "run": run, "outcomes": outcomes, "configs": configs, "limits": limits}


def inspection(config):
    """Two hidden layers whose signal halves, as predicted and as measured with two seeds."""
    sizes = {"act_second": [1.0, 0.25], "grad_pre_second": [0.25, 1.0], "grad_w_second": [0.5, 0.5, 0.5]}
    shares = {"act_cosine": [0.5, 0.5], "act_slope": [0.8, 0.9]}
    values = {name: np.array(layers) for name, layers in (sizes | shares).items()}
    networks = {name: np.array([[0.9], [1.0], [1.1]]) * values[name] for name in sizes}
    measured = {name: np.array([[0.95], [1.05]]) * layers for name, layers in values.items()}
    scores = {name: np.zeros(len(layers)) for name, layers in values.items()}
    findings = [Finding("OK", "signal", "the signal keeps its size", at_start=True)]
    widths = (64, *config.widths, 10)
    return Inspection(config, widths, Prediction(values, networks), measured, scores, findings, None, None, "stated")


def drawn_weights():
    """He's weights between 40 inputs and 100 units, drawn with the keys that a test of an initialiser takes."""
    key = jax.random.key(0)
    keys = key, key, *jax.random.split(key), jax.random.key(1)
    shape, he = (40, 100), initializers.he()
    sample = Sample(initializers.Kernel(shape), jnp.float32, tuple(he(one, shape, jnp.float32) for one in keys))
    return {"sample": sample, "law": he.law(*shape)}


def make_names():
    """What examples may use without an import: numpy, jax, xinit, drawn weights, a comparison, an inspection, the
    report of a probe, the folder `watched` of a monitor, and a small sweep with its first run."""
    names = {"np": np, "jax": jax, "xinit": xinit, "comparison": comparison()} | drawn_weights() | trained()
    watched()
    return names | {"inspection": inspection(names["configs"][0]), "report": probed()}


def watched():
    """What a monitor records at three steps of a function with one layer."""
    f, x = lambda params, x: jnp.tanh(x @ params["w"]), np.ones((5, 4), np.float32)
    with xinit.Monitor(f, x, "watched", variables={"w": jnp.ones((4, 3))}) as monitor:
        for step in range(3):
            monitor(step, {"w": jnp.full((4, 3), 1.0 + step)})


def probed():
    """The report of three layers of four units, each the identity and a tanh, one behind the other."""
    eye, x = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    through = lambda params, x: jax.numpy.tanh(jax.numpy.tanh(jax.numpy.tanh(x @ params[0]) @ params[1]) @ params[2])
    return xinit.probe(through, x, variables=[eye, eye, eye])


@pytest.fixture(scope="module")
def names(tmp_path_factory, compile_quickly):
    """The names that examples may use without an import; all examples run in the folder of that small sweep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("examples"))
        yield make_names()


class Finder(doctest.DocTestFinder):
    """Finds functions that a decorator wraps, too."""

    def _from_module(self, module, value):
        return super()._from_module(module, inspect.unwrap(value) if callable(value) else value)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, names):
    module, examples = importlib.import_module(name), doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for example in Finder().find(module, extraglobs=names):
            examples.run(example, out=printed.write)
    assert examples.failures == 0, printed.getvalue()
    assert examples.tries == pathlib.Path(module.__file__).read_text().count(">>> "), "an example was not found"


def public_functions(package):
    """The functions of all modules of a package whose names do not begin with an underscore."""
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            is_own = inspect.isfunction(value) and value.__module__ == module.__name__
            if is_own and not name.startswith("_") and module.__name__.rpartition(".")[2] != "__main__":
                yield f"{module.__name__}.{name}", value


def test_every_public_function_has_an_example():
    documented = {f"xinit.{name}": getattr(xinit, name) for name in xinit.__all__ if name != "InputError"}
    for package in (analysis, initializers, schemes, theory):
        documented |= dict(public_functions(package))
    assert len(documented) > 100
    assert [name for name, function in documented.items() if ">>> " not in function.__doc__] == []
