"""Strict numerics for every test, and the optional data beside the project."""

import pathlib

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def shared(name: str) -> pathlib.Path:
    """A file or folder beside the project, or a skip that names what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs ../shared/{name} beside the project, which is absent")
    return path


@pytest.fixture(scope="session")
def tfds_dir() -> pathlib.Path:
    return shared("tensorflow_datasets")
