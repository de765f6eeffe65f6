"""Exchange: a whole store as one HDF5 file, and back, file for file and bit for bit.

    <name>.h5                     attributes: `weldcache` (the store's description as JSON), `sha256` (written last)
      index/<column>              text as UTF-8 of one length
      targets/<name>  splits/<name>
      status/<set>  problem/<set>  source/<set>  digest/<set>
      features/<set>/<array>      first axis row; bfloat16 as its bits in uint16, which `storage_type` says
      constants/<name>

The file mirrors the store, so `file["features/video/tokens"][row]` is what its name says, and dimensions have their
names as labels. What is a chunk in the store is a chunk here, with a checksum (fletcher32); a row that is not complete
takes no room and reads as the same fill value. Each node's `zarr.json` goes along word for word. `sha256`
is over everything that makes the store again: an import compares it before the store appears.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from io import FileIO
from pathlib import Path
from typing import Any

import h5py

from ..atomic import new_folder, read_locked_folder, remove_abandoned_files, replaced_file
from ..configs.place import StorePlace, require_folder
from ..errors import BadInputError, BusyError, NotFoundError, OutputExistsError, WeldcacheError, disk_errors
from ..progress import ByteProgress
from .contents import complete_rows, feature_arrays, nodes_of, read_node
from .description import ATTRIBUTE
from .hdf5_arrays import (
    NOTHING_KEPT,
    Tally,
    export_records,
    export_rows,
    export_whole,
    import_records,
    import_rows,
    import_whole,
    row_bytes,
    write_text,
)
from .hdf5_border import Contents, checked_contents, read_text
from .nodes import METADATA_FILE, inside
from .record_arrays import RecordArray
from .records import LAYOUTS, TYPES
from .store import FeatureStore

_DIGEST = "sha256"
# What the system refuses while a file is read, and is no fault of the file.
_NO_DAMAGE = frozenset(
    {errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)


def export_hdf5(store: FeatureStore, path: Path, *, overwrite: bool = False) -> None:
    """Write all of `store` to the HDF5 file `path`, which appears whole or not at all.

    Every checksum of the store is verified on the way. Memory does not grow with the number of rows beyond the index.
    What killed exports to `path` left beside it is removed.

    Raises:
        OutputExistsError: if `path` exists and is not to be overwritten.
        SettingsError: if the store is in a bucket.
        BusyError: if somebody writes to the store.
        StoreError: if a chunk of the store is missing or damaged, or the disk refuses the write.
    """
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder. Name the file to write, such as {path / 'features.h5'}.")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already. Choose another name, or replace it with --overwrite.")
    folder = require_folder(store.path, what="exports from")
    with read_locked_folder(folder):
        held = FeatureStore.open(folder)  # as it is now that nobody writes to it
        remove_abandoned_files(path)
        with (
            disk_errors(path, kept=NOTHING_KEPT, kinds=(OSError, RuntimeError)),
            replaced_file(path) as temporary,
            _Sink(temporary, "w+") as sink,
        ):
            sink.hold()
            with h5py.File(sink, "w", libver="v110") as file:
                _export(held, file, check=sink.raise_refusal)
            sink.raise_refusal()


def import_hdf5(path: Path, destination: StorePlace) -> FeatureStore:
    """Make the store that was exported to `path` again at `destination`, where it appears whole or not at all.

    The file may come from anybody: see `hdf5_border` for what of it is used. What killed imports to `destination` left
    beside it is removed.

    Raises:
        NotFoundError: if there is no file at `path`.
        BusyError: if somebody writes to it.
        OutputExistsError: if there is something at `destination`.
        SettingsError: if `destination` is in a bucket.
        BadInputError: if `path` is not an export of a store, or has changed since it was written.
        FingerprintError: if its store has another version of the schema.
        StoreError: if the disk refuses the write.
    """
    destination = require_folder(destination, what="imports into")
    with _opened_export(path) as file:
        with _damage_told(path):
            contents = checked_contents(file)
        with new_folder(destination) as temporary, _damage_told(path):
            _import(file, contents, temporary)
            FeatureStore.open(temporary)  # reads the index, as it is on the disk
    return FeatureStore.open(destination)


class _Sink(FileIO):
    """A file that takes all that comes once the disk has refused, and tells it to who asks.

    HDF5 cannot close a file whose disk refuses: it tries again for every dataset, complains where nobody can catch it,
    and then ends the process with a segmentation fault (HDF5 2.0).
    """

    _refusal: OSError | None = None

    def hold(self) -> None:
        """Lock the file, for as long as it is open, as a sign that it is being written; not every drive can."""
        with suppress(OSError):
            flock(self, LOCK_EX | LOCK_NB)

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
    rows = complete_rows(store)
    records = {
        f"{group}/{name}": store.records.array(group, name)
        for group in store.records.layout.groups
        for name in store.feature_sets
    }
    num_bytes = sum(spec.row_bytes * len(rows[name]) for name, spec in feature_arrays(store).items())
    with ByteProgress(f"Exporting {store.folder.name}", num_bytes=num_bytes) as progress:
        tally = Tally(progress, check=check)
        for name, is_array in nodes_of(store).items():
            source, text = read_node(store.folder, name, is_array=is_array)
            metadata = text.decode()
            tally.add_text(f"{name} {metadata}")
            if name in rows:
                export_rows(source, file, name, rows=rows[name], tally=tally)
            elif name in records:
                export_records(records[name], file, name, tally=tally)
            elif is_array:
                export_whole(source, file, name, tally=tally)
            else:
                file.require_group(name)
            write_text(file[name], METADATA_FILE, metadata)
        write_text(file, ATTRIBUTE, json.dumps(store.description, indent=2))
        tally.add_text(read_text(file, ATTRIBUTE))
        write_text(file, _DIGEST, tally.digest())


def _import(file: h5py.File, contents: Contents, target: Path) -> None:
    layout = LAYOUTS[contents.description.schema_version]
    features = [name for name in contents.datasets if name.startswith("features/")]
    num_bytes = sum(len(contents.rows[name]) * row_bytes(contents.datasets[name]) for name in features)
    with ByteProgress(f"Importing {Path(file.filename).name}", num_bytes=num_bytes) as progress:
        tally = Tally(progress)
        for name, metadata in sorted(contents.metadata.items()):
            node = target if name == "." else inside(target, name)
            tally.add_text(f"{name} {metadata}")
            _write_file(node / METADATA_FILE, metadata)
            dataset, group = contents.datasets.get(name), name.split("/")[0]
            if dataset is None:
                continue
            if group == "features":
                import_rows(dataset, node, rows=contents.rows[name], tally=tally)
            elif group in layout.groups:
                array = RecordArray(node, dtype=TYPES[group], rows_a_chunk=layout.rows_a_chunk)
                import_records(dataset, array, rows=contents.rows[name], tally=tally)
            else:
                import_whole(dataset, node, tally=tally)
        tally.add_text(read_text(file, ATTRIBUTE))
        if tally.digest() != read_text(file, _DIGEST):
            raise ValueError("what it holds is not what was exported")


def _write_file(path: Path, text: str) -> None:
    with disk_errors(path, kept=NOTHING_KEPT):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


@contextmanager
def _opened_export(path: Path) -> Iterator[h5py.File]:
    """Open the file that is to be imported, which nobody may be writing; refuse what is no export at all."""
    if not path.exists():
        raise NotFoundError(f"There is no file {path}. `weldcache export --to {path}` makes one from a store.")
    no_hdf5 = f"{path} is not an HDF5 file; `weldcache export` makes what can be imported."
    if not path.is_file():
        raise BadInputError(no_hdf5)
    with path.open("rb") as held:
        try:
            flock(held, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"Another process is writing to {path}; wait for it to end.") from None
        except OSError:
            pass  # the drive has no locks, and reading harms nobody
        if not h5py.is_hdf5(path):
            raise BadInputError(no_hdf5)
        with _damage_told(path):
            file = h5py.File(path, "r", locking=False)
        with file:
            with _damage_told(path):
                is_export = ATTRIBUTE in file.attrs
            if not is_export:
                raise BadInputError(f"{path} was not made by `weldcache export`, which makes what can be imported.")
            yield file


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 or its contents make of a damaged file into a sentence."""
    try:
        yield
    except WeldcacheError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno in _NO_DAMAGE:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise BadInputError(
            f"{path} is damaged or cut short, or no export of a store ({error}). Nothing was imported; copy it or "
            "export it again."
        ) from error
