"""Data flows one way: who may import whom, and what must stay cheap to import."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Each line may import from the lines above it (and its own).
LAYERS = [
    {"errors", "interrupts", "readings", "display"},
    {"files"},
    {"netcdf", "manifests"},
    {"backend", "factories", "folders", "prng"},
    {"core"},
    {"profiles", "data"},
    {"settings"},
    {"custom", "activations", "stats", "record", "intervals", "hosts"},
    {"run_directory"},
    {"initializers", "verdict", "plots"},
    {"outcomes", "grouping", "swept", "trackers"},
    {"sweeps", "comparison", "reporting"},
    {"comparison_tables", "frames"},
    {"comparison_plots"},
    {"sweep_lines", "sweep_plots"},
    {"report"},
    {"model", "theory"},
    {"inspected"},
    {"inspection_plots", "inspection_table"},
    {"schemes", "probes", "optimizers"},
    {"build"},
    {"loop", "ensemble"},
    {"expectations"},
    {"inspection"},
    {"population"},
    {"trainer", "history"},
    {"pace"},
    {"checkpoints", "tables", "cli", "finished"},
    {"console", "results"},
    {"supervisor", "foreign"},
    {"chunks"},
    {"runner"},
    {"sweeping"},
    {"handover", "job_callbacks"},
    {"launcher"},
    {"sweepers", "comparing", "listing"},
    {"train", "compare", "inspect", "list", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in (ROOT / "xinit").rglob("*.py") if path.name != "__init__.py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module(path):
    if path.stem == "__main__":  # an entry, whatever package it starts
        return path.stem
    return path.relative_to(ROOT / "xinit").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_go_one_way(path):
    own = module(path)
    assert own in RANK, f"{own} has no layer: add it to LAYERS"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "xinit" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[own], f"{own} imports {parts[1]}, which lies above it"


NUMPY_SIDE = [
    "files", "netcdf", "manifests", "run_directory",
    "record", "readings", "verdict", "plots", "cli", "console", "sweeps", "intervals", "comparison",
    "comparison_plots", "launcher", "sweeping", "handover", "runner", "frames", "sweep_lines", "sweep_plots",
    "trackers", "report.run", "prng", "core.rules", "data.contract", "data.shapeset", "data.synthetic", "data.tfds",
    "settings.config", "settings.parse", "settings.compose",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMPY_SIDE)
@pytest.mark.heavy
def test_the_numpy_side_imports_no_jax(name):
    code = f"import sys, xinit.{name}; sys.exit(any(m in sys.modules for m in ('jax', 'flax', 'xarray', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_only_config_and_build_know_the_config():
    knowing = {
        "settings", "record", "build", "inspection", "inspect",
        "supervisor", "runner", "launcher", "train", "outcomes", "grouping",
        "reporting", "swept", "sweeping", "console", "inspected", "comparing", "expectations", "results", "finished",
        "chunks", "trackers", "__init__",
    }  # fmt: skip
    for path in FILES:
        if module(path) not in knowing and path.name != "__init__.py":
            assert not any(
                name.startswith(("xinit.settings.config", "xinit.settings.parse")) for name in imports(path)
            ), path


@pytest.mark.heavy
def test_import_xinit_is_quick_and_loads_nothing_heavy():
    code = "import sys, xinit; print(sorted({'jax', 'flax', 'hydra', 'xarray', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
