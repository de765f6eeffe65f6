"""A small store that an attacker has, with all that it takes to forge it: its checksums have no key."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.description import ATTRIBUTE, sealed_description
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.verify import mend_store, verify_store
from weldcache.cache.writer import StoreWriter
from weldcache.tests.toy import index_of

SOURCE = SourceFile("a.csv", 1, 1, "ab" * 32)


@pytest.fixture(scope="session")
def pristine_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rows, two of them complete in one feature set, and a constant. Not to be changed."""
    index = index_of(
        keys=["a", "b", "c"],
        splits=["train"] * 3,
        class_names=["good"] * 3,
        groups=["s"] * 3,
        labels=[0] * 3,
        attributes={"CURRENT_A": [1.0, 2.0, 3.0]},
    )
    made = FeatureStore.create(tmp_path_factory.mktemp("stranger") / "stranger.zarr", index=index)
    made.add_feature_set(FeatureSetSpec("sensor", [ArraySpec("values", (4, 6), ("step", "channel"), "float32")], {}))
    values = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    StoreWriter(made).write("sensor", [0, 1], {"values": values}, sources=[[SOURCE], [SOURCE]], notes=["", "a note"])
    made.add_constant("text/prompt", np.ones(3, np.float32), made_by={})
    return made.path


@pytest.fixture
def store(pristine_store: Path, tmp_path: Path) -> FeatureStore:
    """A copy of it that a test may change."""
    return FeatureStore.open(Path(shutil.copytree(pristine_store, tmp_path / "stranger.zarr")))


@pytest.fixture
def forge(store: FeatureStore) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Change what the store says of itself, and seal it as it was sealed."""

    def change_description(change: Callable[[dict[str, Any]], object]) -> None:
        path = store.path / "zarr.json"
        metadata = json.loads(path.read_text())
        change(metadata["attributes"][ATTRIBUTE])
        metadata["attributes"][ATTRIBUTE] = sealed_description(metadata["attributes"][ATTRIBUTE])
        path.write_text(json.dumps(metadata))

    return change_description


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of the user's, beside the store, that must survive."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter").write_text("years of work")
    return folder


@pytest.fixture(scope="session")
def use_in_every_way() -> Callable[[Path], None]:
    """Open a store, read it, verify it and mend it, as far as it lets itself."""

    def use(path: Path) -> None:
        opened = FeatureStore.open(path)
        for name in opened.feature_sets:
            opened.notes(name)
            for array in opened.arrays(name):
                opened.read(f"{name}/{array}", np.flatnonzero(opened.status(name) == Status.COMPLETE))
        mend_store(opened, [finding for check in verify_store(opened) for finding in check.findings])

    return use
