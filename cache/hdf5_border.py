"""What an HDF5 file may hold that is to become a store: exactly what `weldcache export` writes, and nothing else.

HDF5 can do much that a file from a stranger must not do here: read other files as if they were datasets (external
storage, virtual datasets, links), load filters from the disk, declare sizes that are not there. All of it is refused
before a byte of any dataset is read, and whatever is allocated later is bounded by the bytes that the file has.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import h5py
import numpy as np
from h5py import h5d, h5z
from numpy.typing import NDArray

from ..documents import parse_json
from ..errors import StoreError
from .arrays import NUMPY_TYPES
from .description import SCHEMA_VERSION, Description, description_in
from .hdf5_arrays import whole_chunks
from .index import ATTRIBUTE_NAME
from .nodes import METADATA_FILE, MOST_DOCUMENT_BYTES, ArrayMetadata, parse_array_metadata, parse_group_metadata
from .records import LAYOUTS
from .row_tables import COLUMNS, FORMER_COLUMNS, TABLES
from .verification.outcome import VERIFICATION

_NAMED_BY_DATA = re.compile(rf"index/attributes/{ATTRIBUTE_NAME}|(targets|splits)/[a-z][a-z0-9_]{{0,106}}")
_WHOLE = ("index/", "constants/", "targets/", "splits/")  # arrays that are there to their last value
_MOST_CHUNK_BYTES = 1 << 30
_MOST_DEFLATED = 1032  # times that deflate can make zeros smaller
_CHECKSUM_BYTES = 4

Node: TypeAlias = h5py.Group | h5py.Dataset


@dataclass(frozen=True)
class Contents:
    """What an export holds, looked at and fit to be imported.

    Attributes:
        description: of its store.
        metadata: by node, in the order of import: the text of its `zarr.json`.
        datasets: by name.
        rows: of each dataset that takes a chunk a row or a group of rows: where its chunks begin.
    """

    description: Description
    metadata: Mapping[str, str]
    datasets: Mapping[str, h5py.Dataset]
    rows: Mapping[str, NDArray[np.int64]]


def checked_contents(file: h5py.File) -> Contents:
    """Everything in `file`, of which nothing but metadata has been read.

    Raises:
        FingerprintError: if its store has another version of the schema.
        ValueError, LookupError, OSError: if it holds what no export holds.
    """
    try:
        return _contents(file)
    except StoreError as error:
        raise ValueError(str(error)) from None  # here it is the file that says so, not a store


def _contents(file: h5py.File) -> Contents:
    border = _Border(file)
    nodes = dict(border.nodes())
    metadata = {name: read_text(node, METADATA_FILE) for name, node in nodes.items()}
    datasets = {name: node for name, node in nodes.items() if isinstance(node, h5py.Dataset)}
    for name in nodes.keys() - datasets.keys():
        parse_group_metadata(parse_json(metadata[name]), path=Path(file.filename) / name)
    rows = {name: border.rows_of(name, dataset, metadata[name]) for name, dataset in datasets.items()}
    return Contents(border.description, metadata, datasets, rows)


def read_text(node: Node, name: str) -> str:
    """The text of an attribute, which has a fixed length: HDF5 can be made to read others without end."""
    attribute = node.attrs.get_id(name)
    string = h5py.check_string_dtype(attribute.dtype)
    if string is None or string.length is None or string.length > MOST_DOCUMENT_BYTES or attribute.shape != ():
        raise ValueError(f"{node.name}: {name} is no text of a fixed length")
    return bytes(node.attrs[name]).decode()


class _Border:
    """Looks at every node of a file before it is used."""

    def __init__(self, file: h5py.File) -> None:
        path = Path(file.filename)
        document = parse_json(read_text(file, METADATA_FILE))
        self._file = file
        self._path = path
        self._num_bytes = self._bytes_left = path.stat().st_size
        self.description = description_in(document, path=path / METADATA_FILE)
        features, records = self.description.manifest.features, LAYOUTS[self.description.schema_version]
        self._rows_a_chunk = records.rows_a_chunk
        self._features = {
            f"features/{name}/{array}": spec for name, entry in features.items() for array, spec in entry.specs.items()
        }
        former = self.description.schema_version < SCHEMA_VERSION
        arrays = [f"index/{name}" for name in (FORMER_COLUMNS if former else COLUMNS)]
        arrays += [f"{group}/{name}" for group in records.groups for name in features]
        arrays += [f"constants/{name}" for name in self.description.manifest.constants]
        self._arrays = {*arrays, *self._features}
        above = {folder.as_posix() for name in self._arrays for folder in PurePosixPath(name).parents}
        self._groups = {
            "index/attributes",
            *(() if former else TABLES),
            *records.groups,
            "features",
            "constants",
            VERIFICATION,
            *above,
        }

    def nodes(self, group: h5py.Group | None = None, name: str = ".") -> Iterator[tuple[str, Node]]:
        """Every group and dataset below a group, and itself, by name in order."""
        group = self._file if group is None else group
        yield name, group
        for child in sorted(group):
            below = child if name == "." else f"{name}/{child}"
            is_array = below in self._arrays or _NAMED_BY_DATA.fullmatch(below) is not None
            if not is_array and below not in self._groups:
                raise ValueError(f"{below!r} is not named by the store's description")
            if not isinstance(group.get(child, getlink=True), h5py.HardLink):
                raise ValueError(f"{below} is a link")
            node = group[child]
            if not isinstance(node, h5py.Dataset if is_array else h5py.Group):
                raise ValueError(f"{below} is not {'a dataset' if is_array else 'a group'}")
            if is_array:
                yield below, node
            else:
                yield from self.nodes(node, below)

    def rows_of(self, name: str, dataset: h5py.Dataset, text: str) -> NDArray[np.int64]:
        """Where the chunks of a dataset begin that take room in the file, when it is what was exported under its name.

        `text` is the dataset's `zarr.json`.
        """
        metadata = parse_array_metadata(parse_json(text), path=self._path / name)
        self._check_shape(name, dataset, metadata)
        self._check_layout(name, dataset, metadata)
        chunk_bytes = int(prod(dataset.chunks) * dataset.dtype.itemsize)
        if chunk_bytes > _MOST_CHUNK_BYTES:
            raise ValueError(f"{name} would have chunks of {chunk_bytes:,} bytes")
        found: list[h5d.StoreInfo] = []
        dataset.id.chunk_iter(found.append)
        for chunk in found:
            # The sizes of all chunks together are no more than the file has: none is there twice.
            self._bytes_left -= chunk.size
            room = chunk.size * _MOST_DEFLATED if metadata.is_text else chunk.size - _CHECKSUM_BYTES
            too_short = room < chunk_bytes if metadata.is_text else room != chunk_bytes
            beyond = chunk.byte_offset + chunk.size > self._num_bytes or self._bytes_left < 0
            if chunk.filter_mask or too_short or beyond:
                raise ValueError(f"{name} declares chunks that are not there")
        starts = np.array(sorted(chunk.chunk_offset[0] for chunk in found), dtype=np.int64)
        if name.startswith(_WHOLE) and len(starts) != -(-dataset.shape[0] // dataset.chunks[0]):
            raise ValueError(f"{name} is not whole")
        return starts

    def _check_shape(self, name: str, dataset: h5py.Dataset, metadata: ArrayMetadata) -> None:
        spec = self._features.get(name)
        shape = metadata.shape[1:] if name.startswith("targets/") else ()  # what is held against it when it is read
        row = (spec.shape, NUMPY_TYPES[spec.dtype].name) if spec else (shape, metadata.data_type)
        if dataset.shape != metadata.shape or (metadata.shape[1:], metadata.data_type) != row:
            raise ValueError(f"{name} has a shape of {dataset.shape}, which is not what is said of it")
        least, most = (0 if name.startswith("constants/") else self.description.num_rows), self._num_bytes
        if not least <= dataset.shape[0] <= most:
            raise ValueError(f"{name} has {dataset.shape[0]:,} rows, where {least:,} to {most:,} are possible")

    def _check_layout(self, name: str, dataset: h5py.Dataset, metadata: ArrayMetadata) -> None:
        properties = dataset.id.get_create_plist()
        if properties.get_layout() != h5d.CHUNKED:
            raise ValueError(f"{name} has no chunks: its values may be in another file")
        filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
        if filters != ([h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32] if metadata.is_text else [h5z.FILTER_FLETCHER32]):
            raise ValueError(f"{name} has other filters than a checksum")
        string = h5py.check_string_dtype(dataset.dtype)
        fits = string and string.length if metadata.is_text else dataset.dtype == np.dtype(metadata.data_type)
        if not fits:
            raise ValueError(f"{name} has the type {dataset.dtype}")
        chunks, held = self._chunks(name, dataset), metadata.chunk_shape
        if name.startswith(_WHOLE):  # which are cut otherwise in a store
            held = chunks
        if dataset.chunks != chunks or held != chunks:
            raise ValueError(f"{name} has chunks of {dataset.chunks}, where {chunks} belong")

    def _chunks(self, name: str, dataset: h5py.Dataset) -> tuple[int, ...]:
        """Shape of the chunks that an export has under this name."""
        if name.startswith(_WHOLE):
            return whole_chunks(dataset.shape)
        spec = self._features.get(name)
        return (1, *spec.shape) if spec else (self._rows_a_chunk,)
