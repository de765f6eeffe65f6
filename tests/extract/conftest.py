"""Processes that extract and can be killed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import weldcache
from weldcache.tests.children import Children


@pytest.fixture(scope="session")
def with_mortal(tmp_path_factory: pytest.TempPathFactory, child_environment: dict[str, str]) -> dict[str, str]:
    """An environment in which the kind of feature in engines/mortal.py is installed."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).parent / "engines" / "mortal.py", site)
    (site / "mortal-1.dist-info").mkdir()
    (site / "mortal-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mortal\nVersion: 1\n")
    points = "[weldcache.features]\nmortal = mortal:MortalEncoder\n"
    (site / "mortal-1.dist-info" / "entry_points.txt").write_text(points)
    return {**child_environment, "PYTHONPATH": f"{site}:{Path(weldcache.__file__).parent / '.import'}"}


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory, with_mortal: dict[str, str]) -> Iterator[Children]:
    with Children(tmp_path_factory.mktemp("children"), with_mortal) as children:
        yield children
