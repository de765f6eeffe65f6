"""A data set that takes a second to extract, extracted by one process, and processes to do the same with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import weldcache
from weldcache.tests.children import Children
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


@pytest.fixture(scope="session")
def with_mortal(tmp_path_factory: pytest.TempPathFactory, child_environment: dict[str, str]) -> dict[str, str]:
    """An environment in which the kind of feature in mortal.py is installed."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).parent / "mortal.py", site)
    (site / "mortal-1.dist-info").mkdir()
    (site / "mortal-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mortal\nVersion: 1\n")
    points = "[weldcache.features]\nmortal = mortal:MortalEncoder\n"
    (site / "mortal-1.dist-info" / "entry_points.txt").write_text(points)
    return {**child_environment, "PYTHONPATH": f"{site}:{Path(weldcache.__file__).parent / '.import'}"}


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory, with_mortal: dict[str, str]) -> Iterator[Children]:
    with Children(tmp_path_factory.mktemp("children"), with_mortal) as children:
        yield children
