"""Small stores to test on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.index import Index
from weldcache.cache.store import FeatureStore
from weldcache.tests.toy import index_of


@pytest.fixture(scope="session")
def make_index() -> Callable[..., Index]:
    def make(num_rows: int, *, start: int = 0, split: str = "train") -> Index:
        names = range(start, start + num_rows)
        return index_of(
            keys=[f"day/{name:03d}" for name in names],
            splits=[split] * num_rows,
            class_names=["good"] * num_rows,
            groups=["day"] * num_rows,
            labels=[0] * num_rows,
            attributes={"CURRENT_A": [100.0 + name for name in names], "STEEL_TYPE": ["S355"] * num_rows},
        )

    return make


@pytest.fixture(scope="session")
def video_spec() -> FeatureSetSpec:
    return FeatureSetSpec(
        "video",
        [
            ArraySpec("tokens", (4, 6), ("time", "dim"), "float16"),
            ArraySpec("tokens_length", (), (), "int32", distinct=False),
        ],
        {"backbone": {"model": "tiny", "random_weights": True}},
    )


@pytest.fixture(scope="session")
def empty_store(
    tmp_path_factory: pytest.TempPathFactory, make_index: Callable[..., Index], video_spec: FeatureSetSpec
) -> Path:
    """Five rows without features. Not to be changed."""
    made = FeatureStore.create(tmp_path_factory.mktemp("empty") / "features.zarr", index=make_index(5))
    made.add_feature_set(video_spec)
    return made.path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> FeatureStore:
    """A copy of it that a test may change."""
    return FeatureStore.open(Path(shutil.copytree(empty_store, tmp_path / "features.zarr")))
