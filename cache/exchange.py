"""Exchange: a whole store as one HDF5 file, and back, file for file and bit for bit.

    <name>.h5                     attributes: `weldcache` (the store's description as JSON), `sha256` (written last)
      index/<column>              text as UTF-8 of one length
      status/<set>  problem/<set>  source/<set>
      features/<set>/<array>      first axis row; bfloat16 as its bits in uint16, which `storage_type` says
      constants/<name>

The file mirrors the store, so `file["features/video/tokens"][row]` is what its name says, and dimensions have their
names as labels. What is a chunk a row in the store is a chunk a row here, with a checksum (fletcher32); a row that is
not complete takes no room and reads as the same fill value. Each node's `zarr.json` goes along word for word. `sha256`
is over everything that makes the store again: an import compares it before the store appears.
"""

import glob
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path, PurePosixPath
from shutil import rmtree
from typing import Any

import h5py
import numpy as np

from ..atomic import fsync_path, fsync_tree, replaced_file
from ..errors import (
    BadInputError,
    BusyError,
    FingerprintError,
    NotFoundError,
    OutputExistsError,
    StoreError,
    WeldcacheError,
)
from ..locking import locked_folder
from .arrays import ArraySpec
from .description import ATTRIBUTE, SCHEMA_VERSION
from .hdf5_arrays import (
    Rows,
    export_rows,
    export_whole,
    import_rows,
    import_whole,
    read_text,
    refusals_told,
    row_bytes,
    rows_of_dataset,
    tallied,
    write_text,
)
from .status import Status
from .store import ROW_GROUPS, FeatureStore
from .verification.findings import VERIFICATION

_METADATA = "zarr.json"
_DIGEST = "sha256"
_CHUNK_A_ROW = ("features", *ROW_GROUPS)
_GROUPS = ("index/attributes", "constants", *_CHUNK_A_ROW)  # there even where they hold nothing


def export_hdf5(store: FeatureStore, path: Path, *, overwrite: bool = False) -> None:
    """Write all of `store` to the HDF5 file `path`, which appears whole or not at all.

    Every checksum of the store is verified on the way. Memory does not grow with the number of rows beyond the index.

    Raises:
        OutputExistsError: if `path` exists and is not to be overwritten.
        BusyError: if somebody writes to the store.
        StoreError: if a chunk of the store is missing or damaged, or the disk refuses the write.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already. Choose another name, or replace it with --overwrite.")
    with locked_folder(store.path):
        held = FeatureStore.open(store.path)  # as it is now that nobody else writes to it
        with refusals_told(path), replaced_file(path) as temporary, _Sink(temporary, "w+") as sink:
            with h5py.File(sink, "w", libver="v110") as file:
                _export(held, file, check=sink.raise_refusal)
            sink.raise_refusal()


def import_hdf5(path: Path, destination: Path) -> FeatureStore:
    """Make the store that was exported to `path` again at `destination`, where it appears whole or not at all.

    What killed imports to `destination` left beside it is removed.

    Raises:
        NotFoundError: if there is no file at `path`.
        OutputExistsError: if there is something at `destination`.
        BadInputError: if `path` is not an export of a store, or has changed since it was written.
        FingerprintError: if its store has another version of the schema.
        StoreError: if the disk refuses the write.
    """
    if destination.exists():
        raise OutputExistsError(f"{destination} exists already. Move it away, or import into another --cache.")
    with _damage_told(path), _opened_export(path) as file, _temporary_for(destination) as temporary:
        _import(file, temporary)
        with refusals_told(destination):
            fsync_tree(temporary)
            FeatureStore.open(temporary)  # holds the fingerprint against the manifest, as both are on the disk
            temporary.rename(destination)
            fsync_path(destination.parent)
    return FeatureStore.open(destination)


@contextmanager
def _temporary_for(destination: Path) -> Iterator[Path]:
    """A new folder beside `destination`, held by this process and removed unless it was renamed by then."""
    temporary = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:8]}.tmp")
    with refusals_told(destination):
        _remove_abandoned(destination)
        temporary.mkdir(parents=True)
    try:
        with locked_folder(temporary):
            yield temporary
    finally:
        rmtree(temporary, ignore_errors=True)


def _remove_abandoned(destination: Path) -> None:
    """Remove temporary folders that a killed process left; a lock on one says that its process lives."""
    for folder in destination.parent.glob(f".{glob.escape(destination.name)}.*.tmp"):
        with suppress(BusyError, OSError), locked_folder(folder):
            rmtree(folder, ignore_errors=True)


class _Sink(FileIO):
    """A file that takes all that comes once the disk has refused, and tells it to who asks: HDF5 cannot close a file
    that refuses, and would complain of it from where nobody can catch it."""

    _refusal: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or nothing any more."""
        rest = memoryview(data).cast("B")
        num_bytes = len(rest)
        try:
            while rest and not self._refusal:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._refusal = error
        return num_bytes

    def truncate(self, size: int | None = None) -> int:
        """Give the file this size, or leave it as it is."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._refusal = error
            return self.tell()

    def raise_refusal(self) -> None:
        """Raise what the disk refused, if it did."""
        if self._refusal:
            raise self._refusal


def _export(store: FeatureStore, file: h5py.File, *, check: Callable[[], None]) -> None:
    rows = _rows_of_store(store)
    num_bytes = sum(spec.row_bytes * len(rows[f"features/{name}"]) for name, spec in _specs(store).items())
    with tallied(f"Exporting {store.path.name}", num_bytes=num_bytes) as tally:
        for name in _nodes(store):
            source, metadata = store.path / name, _read_metadata(store.path / name)
            tally.add_text(f"{name} {metadata}")
            if name in rows:
                export_rows(source, file, name, rows=rows[name], tally=tally, check=check)
            elif json.loads(metadata)["node_type"] == "array":
                export_whole(source, file, name, tally=tally)
            else:
                file.require_group(name)
            write_text(file[name], _METADATA, metadata)
            check()
        description = json.loads(_read_metadata(store.path))["attributes"][ATTRIBUTE]
        write_text(file, ATTRIBUTE, json.dumps(description, indent=2))
        tally.add_text(read_text(file, ATTRIBUTE))
        write_text(file, _DIGEST, tally.completed_digest())


def _import(file: h5py.File, target: Path) -> None:
    names = ["."]
    file.visit(names.append)
    if any(".." in PurePosixPath(name).parts for name in names):
        raise ValueError("it has names that lead out of the store")
    datasets = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
    rows = {name: rows_of_dataset(node) for name, node in datasets.items() if name.startswith(_CHUNK_A_ROW)}
    num_bytes = sum(len(rows[name]) * row_bytes(datasets[name]) for name in rows if name.startswith("features"))
    with tallied(f"Importing {Path(file.filename).name}", num_bytes=num_bytes) as tally:
        for name in sorted(names):
            metadata = read_text(file[name], _METADATA)
            tally.add_text(f"{name} {metadata}")
            _write_file(target / name / _METADATA, metadata)
            if name in rows:
                import_rows(datasets[name], target / name, rows=rows[name], tally=tally)
            elif name in datasets:
                import_whole(datasets[name], target / name, tally=tally)
        tally.add_text(read_text(file, ATTRIBUTE))
        if tally.completed_digest() != read_text(file, _DIGEST):
            raise ValueError("what it holds is not what was exported")


def _specs(store: FeatureStore) -> dict[str, ArraySpec]:
    return {f"{group}/{name}": spec for group in store.feature_sets for name, spec in store.arrays(group).items()}


def _nodes(store: FeatureStore) -> list[str]:
    """Every group and array that is a store's, in the order in which they are copied."""
    arrays = [f"index/{name}" for name in store.index.columns()] + [f"constants/{name}" for name in store.constants]
    arrays += [f"{group}/{name}" for group in ROW_GROUPS for name in store.feature_sets]
    arrays += [f"features/{name}" for name in _specs(store)]
    above = {str(folder) for name in arrays for folder in PurePosixPath(name).parents}
    verified = [VERIFICATION] if (store.path / VERIFICATION).is_dir() else []
    return sorted({".", *_GROUPS, *above, *arrays, *verified})


def _rows_of_store(store: FeatureStore) -> dict[str, Rows]:
    """By array that is a chunk a row: the complete rows of features, and all that is noted of the other arrays."""
    rows: dict[str, Rows] = {}
    for feature_set in store.feature_sets:
        complete = np.flatnonzero(store.status(feature_set) == Status.COMPLETE)
        rows |= {f"features/{feature_set}/{name}": complete for name in store.arrays(feature_set)}
        for group in ROW_GROUPS:
            files = (store.path / group / feature_set).glob("c.*")
            rows[f"{group}/{feature_set}"] = np.array(sorted(int(file.name[2:]) for file in files), dtype=np.int64)
    return rows


def _read_metadata(node: Path) -> str:
    try:
        return (node / _METADATA).read_bytes().decode()
    except FileNotFoundError:
        raise StoreError(f"{node / _METADATA} is gone: the store is damaged and was not exported.") from None


def _write_file(path: Path, text: str) -> None:
    with refusals_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


@contextmanager
def _opened_export(path: Path) -> Iterator[h5py.File]:
    """Open the file that is to be imported; refuse what is not an export that this version reads."""
    if not path.exists():
        raise NotFoundError(f"There is no file {path}. `weldcache export --to {path}` makes one from a store.")
    if not path.is_file() or not h5py.is_hdf5(path):
        raise BadInputError(f"{path} is not an HDF5 file; `weldcache export` makes what can be imported.")
    with h5py.File(path, "r") as file:
        if ATTRIBUTE not in file.attrs:
            raise BadInputError(f"{path} was not made by `weldcache export`, which makes what can be imported.")
        version = json.loads(read_text(file, ATTRIBUTE))["schema_version"]
        if version != SCHEMA_VERSION:
            raise FingerprintError(
                f"{path} holds a store of schema version {version}, this weldcache reads {SCHEMA_VERSION}. "
                "Import it with the weldcache that made it, or extract again."
            )
        yield file


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 or its contents make of a damaged file into a sentence."""
    try:
        yield
    except WeldcacheError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{path} is damaged or cut short ({error}). Nothing was imported; copy it or export it again."
        ) from error
