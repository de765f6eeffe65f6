"""An HDF5 file for `weldcache import` that reads other files, or declares what is not there: refused before it is read.

Each file's own digest is right, as an attacker would make it: what is refused here is refused for what it is.
"""

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from weldcache.cache.description import ATTRIBUTE, sealed_description
from weldcache.cache.exchange import export_hdf5, import_hdf5
from weldcache.cache.hdf5_arrays import write_text
from weldcache.cache.hdf5_border import checked_contents
from weldcache.cache.store import FeatureStore
from weldcache.errors import BadInputError

SECRET = b"what nobody else should read: 0123456789"
Change = Callable[[h5py.File, Path], object]


@pytest.fixture(scope="session")
def pristine_export(pristine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "stranger.h5"
    export_hdf5(FeatureStore.open(pristine_store), path)
    return path


@pytest.fixture
def exported(pristine_export: Path, tmp_path: Path) -> Path:
    """A copy that a test may change, and a file that is the user's own."""
    (tmp_path / "secret").write_bytes(SECRET)
    path = tmp_path / "stranger.h5"
    path.write_bytes(pristine_export.read_bytes())
    return path


def replace(file: h5py.File, name: str, **how: Any) -> h5py.Dataset:
    """Another dataset under this name, which says the same of itself."""
    metadata = file[name].attrs["zarr.json"].decode()
    del file[name]
    dataset = file.create_dataset(name, **how)
    write_text(dataset, "zarr.json", metadata)
    return dataset


def external(file: h5py.File, folder: Path) -> None:
    replace(file, "constants/text/prompt", shape=(3,), dtype="f4", external=[(str(folder / "secret"), 0, 12)])


def virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.frombuffer(SECRET[:12], "<f4")
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "x", shape=(3,))
    metadata = file["constants/text/prompt"].attrs["zarr.json"].decode()
    del file["constants/text/prompt"]
    write_text(file.create_virtual_dataset("constants/text/prompt", layout), "zarr.json", metadata)


def external_link(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.zeros(3, "f4")
    del file["constants/text/prompt"]
    file["constants/text/prompt"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def soft_link(file: h5py.File, folder: Path) -> None:
    del file["constants/text/prompt"]
    file["constants/text/prompt"] = h5py.SoftLink("/features/sensor/values")


def group_in_itself(file: h5py.File, folder: Path) -> None:
    file["features/sensor/loop"] = file["features"]


def contiguous(file: h5py.File, folder: Path) -> None:
    replace(file, "constants/text/prompt", data=np.ones(3, np.float32))


def no_checksum(file: h5py.File, folder: Path) -> None:
    replace(file, "constants/text/prompt", data=np.ones(3, np.float32), chunks=(3,))


def other_filter(file: h5py.File, folder: Path) -> None:
    replace(file, "constants/text/prompt", data=np.ones(3, np.float32), chunks=(3,), compression="lzf")


def references(file: h5py.File, folder: Path) -> None:
    dataset = replace(file, "constants/text/prompt", shape=(3,), dtype=h5py.ref_dtype, chunks=(3,), fletcher32=True)
    dataset[0] = file["index"].ref


def texts_of_any_length(file: h5py.File, folder: Path) -> None:
    replace(file, "index/keys", shape=(3,), dtype=h5py.string_dtype(), chunks=(3,))[:] = ["a", "b", "c"]


def another_type(file: h5py.File, folder: Path) -> None:
    replace(file, "constants/text/prompt", data=np.ones(3), chunks=(3,), fletcher32=True)


def a_column_without_end(file: h5py.File, folder: Path) -> None:
    metadata = json.loads(file["targets/label"].attrs["zarr.json"])
    dataset = replace(file, "targets/label", shape=(10**12,), dtype="i1", chunks=(1,), fletcher32=True)
    write_text(dataset, "zarr.json", json.dumps(metadata | {"shape": [10**12]}))


def a_column_of_missing_chunks(file: h5py.File, folder: Path) -> None:
    metadata = json.loads(file["targets/label"].attrs["zarr.json"])
    dataset = replace(file, "targets/label", shape=(2**31 - 1,), dtype="i1", chunks=(4096,), fletcher32=True)
    write_text(dataset, "zarr.json", json.dumps(metadata | {"shape": [2**31 - 1]}))


def texts_of_gigabytes(file: h5py.File, folder: Path) -> None:
    dtype = h5py.string_dtype("utf-8", 1 << 30)
    replace(file, "index/keys", shape=(3,), dtype=dtype, chunks=(3,), fletcher32=True, compression="gzip")


def rows_of_terabytes(file: h5py.File, folder: Path) -> None:
    metadata = json.loads(file["features/sensor/values"].attrs["zarr.json"])
    shape = (3, 10**6, 10**6)
    dataset = replace(file, "features/sensor/values", shape=shape, dtype="f4", chunks=(1, 1, 1), fletcher32=True)
    write_text(dataset, "zarr.json", json.dumps(metadata | {"shape": list(shape)}))


def a_name_that_leads_out(file: h5py.File, folder: Path) -> None:
    file["features"].create_group("..").create_group("..").create_group("evil")


def a_name_that_nothing_speaks_of(file: h5py.File, folder: Path) -> None:
    write_text(file.create_group("features/more"), "zarr.json", file["features"].attrs["zarr.json"].decode())


def deep_metadata(file: h5py.File, folder: Path) -> None:
    write_text(file["features"], "zarr.json", "[" * 60_000)


def an_older_format(file: h5py.File, folder: Path) -> None:
    write_text(file["index/keys"], "zarr.json", '{"zarr_format": 2, "compressor": {"id": "pickle"}}')


ATTACKS: list[Change] = [
    external,
    virtual,
    external_link,
    soft_link,
    group_in_itself,
    contiguous,
    no_checksum,
    other_filter,
    references,
    texts_of_any_length,
    another_type,
    a_column_without_end,
    a_column_of_missing_chunks,
    texts_of_gigabytes,
    rows_of_terabytes,
    a_name_that_leads_out,
    a_name_that_nothing_speaks_of,
    deep_metadata,
    an_older_format,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_it_is_refused_and_nothing_is_left(exported: Path, tmp_path: Path, attack: Change) -> None:
    with h5py.File(exported, "r+") as file:
        attack(file, tmp_path)
    with h5py.File(exported) as file, little_memory(), pytest.raises((ValueError, LookupError)):
        checked_contents(file)
    with pytest.raises(BadInputError, match=r"stranger\.h5 is damaged .*Nothing was imported"):
        import_hdf5(exported, tmp_path / "never.zarr")
    assert not list(tmp_path.glob("*never*")) and not list(tmp_path.glob(".*"))


@contextmanager
def little_memory() -> Iterator[None]:
    """No more address space than 1 GiB above what the process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_an_import_never_deletes_by_names_either(exported: Path, tmp_path: Path, precious: Path) -> None:
    """A description with names that are paths comes to a store by import as well."""
    with h5py.File(exported, "r+") as file:
        metadata = json.loads(file.attrs["zarr.json"])
        told = metadata["attributes"][ATTRIBUTE]
        told["manifest"]["features"][str(precious)] = told["manifest"]["features"]["sensor"]
        metadata["attributes"][ATTRIBUTE] = sealed_description(told)
        write_text(file, "zarr.json", json.dumps(metadata))
    with pytest.raises(BadInputError, match="pattern"):
        import_hdf5(exported, tmp_path / "never.zarr")
    assert (precious / "chapter").exists() and not (tmp_path / "never.zarr").exists()


def test_a_chunk_that_is_declared_longer_than_it_is_would_be_seen(exported: Path, tmp_path: Path) -> None:
    """All chunks together are no longer than the file: none is counted twice, none lies behind its end."""
    with h5py.File(exported) as file:
        contents = checked_contents(file)
        sizes: list[int] = []
        for dataset in contents.datasets.values():
            dataset.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
    assert sum(sizes) < exported.stat().st_size
    assert contents.rows["features/sensor/values"].tolist() == [0, 1]
    exported.write_bytes(exported.read_bytes()[:-20])
    with pytest.raises(BadInputError):
        import_hdf5(exported, tmp_path / "never.zarr")


def test_a_pipe_is_no_export(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.h5")
    with pytest.raises(BadInputError, match="not an HDF5 file"):
        import_hdf5(tmp_path / "x.h5", tmp_path / "never.zarr")
