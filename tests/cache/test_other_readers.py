"""A store is an ordinary Zarr store: zarr-python and xarray read from it what weldcache reads."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec, StorageType
from weldcache.cache.index import Index
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor
from weldcache.cache.writer import StoreWriter

COMPLETE = [0, 2, 3]


@pytest.fixture(scope="module", params=["float16", "float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> StorageType:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, make_index: Callable[..., Index], dtype: StorageType
) -> FeatureStore:
    """Five rows, three of them complete, with ragged tokens and an embedding. Not to be changed."""
    made = FeatureStore.create(tmp_path_factory.mktemp(dtype) / "features.zarr", index=make_index(5))
    arrays = [
        ArraySpec("tokens", (4, 3), ("time", "dim"), dtype, attributes={"unit": "none"}),
        ArraySpec("tokens_length", (), (), "int32"),
        ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True),
    ]
    made.add_feature_set(FeatureSetSpec("video", arrays, {"backbone": {"model": "tiny"}}))
    generator, lengths = np.random.default_rng(0), np.array([4, 1, 0], dtype="<i4")
    tokens = generator.normal(size=(3, 4, 3)) * (np.arange(4)[:, None] < lengths[:, None, None])
    as_stored = torch.from_numpy(tokens).to(getattr(torch, dtype))
    features = {
        "tokens": (as_stored.view(torch.uint16) if dtype == "bfloat16" else as_stored).numpy(),
        "tokens_length": lengths,
        "arc_on": np.array([[1.5, 9.25], [np.nan, np.nan], [0.0, 3.0]]),
    }
    StoreWriter(made).write("video", COMPLETE, features, sources=[[]] * 3, notes=["", "blitzt später", ""])
    StoreWriter(made).report("video", 1, Status.UNREADABLE, reason="kein Film")
    return made


def test_zarr_python_reads_the_same_values_under_the_same_names(store: FeatureStore, dtype: StorageType) -> None:
    root = zarr.open_group(store.path, mode="r")
    assert sorted(root) == sorted(
        ["constants", "digest", "features", "index", "problem", "source", "splits", "status", "targets"]
    )
    assert sorted(root["features/video"]) == ["arc_on", "tokens", "tokens_length"]
    for name in store.arrays("video"):
        foreign = root[f"features/video/{name}"][:][COMPLETE]
        mine = store.read(f"video/{name}", COMPLETE)
        assert foreign.dtype == mine.dtype and foreign.tobytes() == mine.tobytes()
    tokens = root["features/video/tokens"]
    assert tokens.metadata.dimension_names == ("row", "time", "dim")
    assert dict(tokens.attrs) == {"storage_type": dtype, "unit": "none"}
    assert root.attrs["weldcache"]["manifest"] == store.manifest


def test_zarr_python_reads_who_the_rows_are_and_how_they_fared(store: FeatureStore) -> None:
    root = zarr.open_group(store.path, mode="r")
    assert root["index/keys"][:].tolist() == [f"day/00{row}" for row in range(5)]
    np.testing.assert_array_equal(root["index/attributes/CURRENT_A"][:], [100, 101, 102, 103, 104])
    kind, split = root["targets/class"], root["splits/official"]
    assert [kind.attrs["classes"][code] for code in kind[:]] == ["good"] * 5
    assert [split.attrs["parts"][code] for code in split[:]] == ["train"] * 5
    np.testing.assert_array_equal(root["targets/label"][:], [0] * 5)
    np.testing.assert_array_equal(root["status/video"][:], [1, 3, 1, 1, 0])
    assert root["problem/video"][:].tolist() == ["", "kein Film", "blitzt später", "", ""]


def test_rows_that_are_not_complete_are_loud_in_zarr_python(store: FeatureStore, dtype: StorageType) -> None:
    unwritten = zarr.open_group(store.path, mode="r")["features/video/tokens"][4]
    if dtype == "bfloat16":
        assert torch.from_numpy(unwritten).view(torch.bfloat16).isnan().all()
    else:
        assert np.isnan(unwritten).all()


def test_xarray_reads_the_same_values_under_the_same_dimensions(store: FeatureStore, dtype: StorageType) -> None:
    data = xr.open_zarr(store.path, group="features/video", consolidated=False, chunks=None)
    assert dict(data.sizes) == {"row": 5, "time": 4, "dim": 3, "bound": 2}
    assert (data.tokens.dims, data.tokens_length.dims) == (("row", "time", "dim"), ("row",))
    assert data.tokens.attrs["storage_type"] == dtype
    for name in store.arrays("video"):
        foreign, mine = data[name].isel(row=COMPLETE).to_numpy(), store.read(f"video/{name}", COMPLETE)
        assert foreign.dtype == mine.dtype and foreign.tobytes() == mine.tobytes()
    if dtype == "bfloat16":  # a 16-bit shift makes the float32 of it
        bits = data.tokens.isel(row=COMPLETE).to_numpy().astype(np.uint32) << 16
        expected = read_tensor(store, "video/tokens", COMPLETE).float().numpy()
        np.testing.assert_array_equal(bits.view(np.float32), expected)
