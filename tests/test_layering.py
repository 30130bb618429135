"""Data flows one way: who may import whom, what must stay cheap to import, and how large the parts may be."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Each line may import from the lines above it, and a package from itself.
ORDER = [
    {"core"},
    {"initializers"},
    {"networks", "data"},
    {"settings"},
    {"theory"},
    {"analysis"},
    {"schemes", "probes"},
    {"tracing"},
    {"training"},
    {"runs"},
    {"commands"},
    {"report"},
]
ENTRIES = {
    "__main__",
    "train",
    "compare",
    "coordinates",
    "transfer",
    "inspect",
    "list",
    "theory.__main__",
    "report.__main__",
}
PACKAGES = set.union(*ORDER)
RANK = {name: rank for rank, names in enumerate([*ORDER, {"entries"}]) for name in names}
FILES = sorted((ROOT / "xinit").rglob("*.py"))
MODULES = [path for path in FILES if path != ROOT / "xinit" / "__init__.py"]
BY_NAME = lambda path: path.relative_to(ROOT).as_posix()


def dotted(path: pathlib.Path) -> str:
    """The name of a module below xinit, such as core.errors; of a package's own file, that of the package."""
    return ".".join(path.relative_to(ROOT / "xinit").with_suffix("").parts).removesuffix(".__init__")


def package(name: str) -> str:
    """The package that a dotted name below xinit belongs to; an entry's module is one of `entries`."""
    return "entries" if name in ENTRIES else name.partition(".")[0]


def imports(path: pathlib.Path) -> Iterator[str]:
    """The full names that a file imports, deferred and for types only, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def own_imports(path: pathlib.Path) -> list[str]:
    """Of what a file imports the names below xinit."""
    return [name.removeprefix("xinit.") for name in imports(path) if name.startswith("xinit.")]


@pytest.mark.parametrize("path", MODULES, ids=BY_NAME)
def test_imports_go_one_way(path):
    own = package(dotted(path))
    assert own in RANK, f"{own} has no place: it is no package of ORDER and no entry"
    for name in own_imports(path):
        other = package(name)
        assert other in RANK, (
            f"{dotted(path)} imports {name}, which is none of xinit's packages: name the module itself"
        )
        assert other == own or RANK[other] < RANK[own], f"{dotted(path)} ({own}) imports {name} ({other})"


@pytest.mark.parametrize("path", FILES, ids=BY_NAME)
def test_xinit_imports_nothing_that_is_built_on_it(path):
    for name in imports(path):
        assert name.partition(".")[0] not in ("experiments", "scripts", "tests")
        assert not name.startswith("hydra_plugins.xinit_population")


def test_every_package_lies_in_the_order():
    found = {path.parent.name for path in (ROOT / "xinit").glob("*/__init__.py")}
    assert found == PACKAGES
    assert len(found - {"theory", "report"}) <= 12
    assert len(list((ROOT / "xinit").glob("*.py"))) <= 8


@pytest.mark.parametrize("path", FILES, ids=BY_NAME)
def test_files_and_classes_are_short(path):
    source = path.read_text()
    length = source.count("\n")
    assert length <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < 150, f"{path}: class {node.name}"


# What must be cheap to import, so that a command answers at once and a page is drawn without the networks' libraries:
# packages, and single modules of packages that also hold some of the other side.
NUMPY_SIDE = [
    "core.custom", "core.errors", "core.factories", "core.files", "core.folders", "core.interrupts", "core.manifests",
    "core.netcdf", "core.prng", "core.readings", "data.parts", "settings", "analysis.intervals", "analysis.verdict",
    "analysis.probe_report", "analysis.saved_probes", "analysis.layer_marks", "analysis.figures.probe",
    "analysis.outcomes", "analysis.sweeps", "analysis.comparison", "analysis.frames", "analysis.figures.run",
    "analysis.figures.comparison", "analysis.figures.sweep", "analysis.figures.sweep_lines", "runs.record",
    "runs.run_directory", "runs.runner", "runs.hosts", "runs.trackers", "commands.cli", "commands.console",
    "commands.launcher", "commands.handover", "commands.job_callbacks", "report.run", "report.probe",
    "report.probes", "train", "compare", "coordinates", "transfer", "inspect", "list",
]  # fmt: skip
HEAVY = ("jax", "flax", "xarray", "matplotlib")


def test_the_numpy_side_imports_no_jax():
    names = [dotted(path) for path in MODULES]
    parts = {part: [name for name in names if name == part or name.startswith(f"{part}.")] for part in NUMPY_SIDE}
    assert all(parts.values()), "a part of NUMPY_SIDE is no module any more"
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'xinit.{name}')\n"
        f"    if heavy := set({HEAVY}) & set(sys.modules):\n"
        "        sys.exit(f'xinit.{name} imports {sorted(heavy)}')\n"
    )
    arguments = [sys.executable, "-c", code, *(name for part in parts.values() for name in part)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Whoever predicts, measures, traces or draws a page is told what it needs, and knows nothing of a run's config.
UNCONFIGURED = {"theory", "schemes", "probes", "tracing", "report"}


@pytest.mark.parametrize("path", [p for p in MODULES if package(dotted(p)) in UNCONFIGURED], ids=BY_NAME)
def test_what_is_told_what_it_needs_knows_no_config(path):
    assert not [name for name in own_imports(path) if name.startswith(("settings.config", "settings.parse"))]


def test_import_xinit_is_quick_and_loads_nothing_heavy():
    code = "import sys, xinit; print(sorted({'jax', 'flax', 'hydra', 'xarray', 'rich', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
