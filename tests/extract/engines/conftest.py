"""A data set that takes a second to extract, extracted by one process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.tests.conftest import linked_copy

MORTAL = ("extract", "--set", "features.mortal.kind=mortal", "--set", "extract.features=[mortal,sensor]")
COMMAND = ("extract", "--set", "extract.features=[image,sensor]", "--set", "extract.batch_size=2")


@pytest.fixture(scope="session")
def by_one(synthetic: Path, made_once: Callable[..., Path], weldcache: Callable[..., Any]) -> Path:
    """The data set with its store, features.zarr, as one process makes it. Not to be changed."""

    def fill(folder: Path) -> None:
        linked_copy(synthetic, folder)
        outcome = weldcache(*COMMAND, folder=folder)
        assert outcome.code == 0, outcome.err

    return made_once("by_one", fill)


@pytest.fixture
def project(synthetic: Path, linked_copy_of: Callable[[Path], Path]) -> Path:
    """The data set without a store."""
    return linked_copy_of(synthetic)
