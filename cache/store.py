"""The feature store: opening, creating and describing it. One Zarr v3 group a data set and set of backbones.

    <name>.zarr/
      zarr.json                    attributes: schema version, manifest of every modality, fingerprint
      index/<column>               who each row is; index/attributes/<name> what is known of it without media
      status/<modality>            uint8, see `Status`; written last
      problem/<modality>           text: why a row is absent or unreadable
      features/<modality>/<array>  first axis row, one chunk a row, uncompressed with a checksum
      constants/<name>             vectors that belong to no row

A chunk that was never written reads back as the fill value in every Zarr reader. So a row exists only where its
status says so, and features have NaN for a fill value, to be loud where somebody reads past the status.
"""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any, cast

import numpy as np
import zarr
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from ..atomic import fsync_path, fsync_tree, write_json
from ..errors import FingerprintError, NotFoundError, OutputExistsError, StoreError
from . import chunks
from .arrays import ArraySpec, ModalitySpec, StorageType
from .index import TEXT_COLUMNS, Index
from .precision import NUMPY_TYPES
from .provenance import Json, fingerprint, library_versions
from .status import Status

SCHEMA_VERSION = 1
_ATTRIBUTE = "weldcache"  # all of ours lies under this one attribute of the root group
_INDEX_CHUNK = 65_536  # rows an index chunk, so that appending rows rewrites no other chunk
_BFLOAT16_NAN = 0x7FC0


class FeatureStore:
    """An open store. Reading returns rows whose status is COMPLETE and refuses all others."""

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self._description = description
        self.index = _read_index(path, num_rows=description["num_rows"])

    @classmethod
    def open(cls, path: Path) -> "FeatureStore":
        """Open an existing store.

        Raises:
            NotFoundError: if there is none at `path`, or something else.
            FingerprintError: if it has another version of the schema.
            StoreError: if its index is damaged.
        """
        metadata_path = path / "zarr.json"
        if not metadata_path.is_file():
            raise NotFoundError(f"There is no feature store at {path}. Make it with `weldcache extract`.")
        try:
            description = json.loads(metadata_path.read_text())["attributes"][_ATTRIBUTE]
        except (KeyError, ValueError):
            raise NotFoundError(
                f"{path} is not a feature store of weldcache: {metadata_path} does not describe one."
            ) from None
        if description["schema_version"] != SCHEMA_VERSION:
            raise FingerprintError(
                f"{path} has schema version {description['schema_version']}, this weldcache reads {SCHEMA_VERSION}. "
                "Use the weldcache that made it, or extract again into another --cache."
            )
        return cls(path, description)

    @classmethod
    def create(cls, path: Path, *, index: Index) -> "FeatureStore":
        """Make an empty store with the rows of `index`; it appears at `path` whole or not at all.

        Raises:
            OutputExistsError: if something is at `path` already.
        """
        if path.exists():
            raise OutputExistsError(f"{path} exists already and is not a complete feature store; move it away.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            root = zarr.create_group(temporary, attributes={_ATTRIBUTE: _empty_description(num_rows=len(index))})
            for name in ("index/attributes", "status", "problem", "features", "constants"):
                root.require_group(name)
            _write_index(root, index)
            fsync_tree(temporary)
            temporary.rename(path)
            fsync_path(path.parent)
        finally:
            rmtree(temporary, ignore_errors=True)
        return cls.open(path)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What made each modality and constant: as plain JSON values."""
        return cast(Mapping[str, Any], self._description["manifest"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the manifest: equal fingerprints mean that equal files give equal numbers."""
        return fingerprint(self.manifest)

    @property
    def created(self) -> str:
        """When the store was made, as an ISO 8601 time."""
        return str(self._description["created"])

    @property
    def versions(self) -> Mapping[str, str]:
        """Library versions at the store's making."""
        return cast(Mapping[str, str], self._description["versions"])

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that have arrays, extracted or not."""
        return tuple(name for name, entry in self.manifest.items() if "arrays" in entry)

    @property
    def random_backbones(self) -> bool:
        """Whether any backbone that made features had random weights."""
        return any(
            entry["made_by"].get("backbone", {}).get("random_weights", False) for entry in self.manifest.values()
        )

    def array_spec(self, array: str) -> ArraySpec:
        """Shape, dimensions, storage type and attributes of the array `<modality>/<name>`.

        Raises:
            StoreError: if the store has no such array; the message lists those it has.
        """
        modality, _, name = array.partition("/")
        entry = self.manifest.get(modality, {}).get("arrays", {}).get(name)
        if entry is None:
            held = [f"{m}/{n}" for m in self.modalities for n in self.manifest[m]["arrays"]]
            raise StoreError(f"{self.path} has no array {array}; it has {', '.join(held) or 'none yet'}.")
        return ArraySpec(
            name=name,
            shape=tuple(entry["shape"]),
            dims=tuple(entry["dims"]),
            dtype=cast(StorageType, entry["dtype"]),
            allows_nan=entry["allows_nan"],
            attributes=entry["attributes"],
        )

    def array_attributes(self, array: str) -> Mapping[str, Json]:
        """Attributes of `<modality>/<name>`, such as which blocks its first axis holds."""
        return self.array_spec(array).attributes

    def status(self, modality: str) -> UInt8[np.ndarray, " row"]:
        """`Status` of every row in one modality; MISSING throughout where it was never extracted."""
        return chunks.read_bytes_or_zeros(self.path / "status" / modality, range(len(self.index)))

    def problems(self, modality: str) -> dict[str, str]:
        """Why rows are absent or unreadable, or what is not quite whole about complete ones, by key."""
        folder = self.path / "problem" / modality
        noted = sorted(int(path.name.removeprefix("c.")) for path in folder.glob("c.*"))
        status = self.status(modality)
        if not noted:
            return {}
        reasons = _zarr_array(folder)
        return {str(self.index.keys[row]): str(reasons[row]) for row in noted if status[row] != Status.MISSING}

    def rows(self, split: str, *, modalities: Sequence[str]) -> NDArray[np.int64]:
        """Rows of `split` that are complete in all of `modalities`."""
        chosen = self.index.splits == split
        for modality in modalities:
            chosen &= self.status(modality) == Status.COMPLETE
        return np.flatnonzero(chosen)

    def read(
        self, array: str, rows: Sequence[int] | NDArray[np.int64], *, take: Sequence[int] | None = None
    ) -> NDArray[np.generic]:
        """Read rows of `<modality>/<name>` in their storage type (bfloat16 as its bits in uint16).

        `take` keeps only these entries of the first axis after the row axis. Checksums are verified.

        Raises:
            StoreError: if a row is not complete, or its chunk is missing or damaged.
        """
        spec = self.array_spec(array)
        modality = array.partition("/")[0]
        numbers = np.asarray(rows, dtype=np.int64)
        self._refuse_incomplete(modality, numbers)
        return chunks.read_rows(
            self.path / "features" / array, numbers, shape=spec.shape, dtype=NUMPY_TYPES[spec.dtype], take=take
        )

    def constant(self, name: str) -> Float32[np.ndarray, " dim"]:
        """A vector that belongs to no row, such as `text/prompt`.

        Raises:
            StoreError: if the store does not hold it.
        """
        modality = name.partition("/")[0]
        if modality not in self.manifest:
            raise StoreError(f"{self.path} has no constant {name}; `weldcache extract` makes it.")
        return np.asarray(_zarr_array(self.path / "constants" / name)[:], dtype=np.float32)

    def add_rows(self, index: Index) -> None:
        """Append the rows of `index` that the store lacks; see `Index.extended_by` for what is refused."""
        extended = self.index.extended_by(index)
        if len(extended) == len(self.index):
            return
        for path in (self.path / "features").glob("*/*/zarr.json"):
            array = _zarr_array(path.parent, mode="r+")
            array.resize((len(extended), *array.shape[1:]))
        for modality in self.modalities:
            for group in ("status", "problem"):
                _zarr_array(self.path / group / modality, mode="r+").resize((len(extended),))
        _write_index(zarr.open_group(self.path, mode="r+"), extended)
        self._describe(num_rows=len(extended))
        self.index = extended

    def add_modality(self, spec: ModalitySpec) -> None:
        """Make the arrays of a modality that the store does not have yet."""
        root = zarr.open_group(self.path, mode="r+")
        for array in spec.arrays:
            _create_array(root, f"features/{spec.name}/{array.name}", array, num_rows=len(self.index))
        status = ArraySpec(name=spec.name, shape=(), dims=(), dtype="uint8")
        _create_array(root, f"status/{spec.name}", status, num_rows=len(self.index))
        root.create_array(
            f"problem/{spec.name}",
            shape=(len(self.index),),
            chunks=(1,),
            dtype=str,
            compressors=[Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": "."},
            overwrite=True,
        )
        self._describe(manifest={**self.manifest, spec.name: spec.to_manifest()})

    def add_constant(self, name: str, values: Float32[np.ndarray, " dim"], *, made_by: Mapping[str, Json]) -> None:
        """Keep a vector that belongs to no row."""
        root = zarr.open_group(self.path, mode="r+")
        array = root.create_array(
            f"constants/{name}", shape=values.shape, dtype="float32", compressors=[Crc32cCodec()], overwrite=True
        )
        array[:] = values
        self._describe(manifest={**self.manifest, name.partition("/")[0]: {"made_by": dict(made_by)}})

    def _refuse_incomplete(self, modality: str, rows: NDArray[np.int64]) -> None:
        incomplete = rows[chunks.read_bytes_or_zeros(self.path / "status" / modality, rows) != Status.COMPLETE]
        if len(incomplete):
            raise StoreError(
                f"{self.path}: {len(incomplete)} of {len(rows)} rows have no {modality} features, the first is "
                f"{self.index.keys[incomplete[0]]}. Run `weldcache extract`."
            )

    def _describe(self, **changes: Any) -> None:
        # What the description speaks of is on the disk before the description is.
        for folder in ("index", "constants"):
            fsync_tree(self.path / folder)
        for folder_name, _, names in os.walk(self.path):
            if "zarr.json" in names:
                fsync_path(Path(folder_name, "zarr.json"))
            fsync_path(Path(folder_name))
        metadata = json.loads((self.path / "zarr.json").read_text())
        metadata["attributes"][_ATTRIBUTE] = self._description = {**self._description, **changes}
        write_json(self.path / "zarr.json", metadata)


def _empty_description(*, num_rows: int) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": library_versions(),
        "num_rows": num_rows,
        "manifest": {},
    }


def _create_array(root: zarr.Group, path: str, spec: ArraySpec, *, num_rows: int) -> None:
    fill: float = 0
    if spec.dtype.startswith("float"):
        fill = float("nan")
    elif spec.dtype == "bfloat16":
        fill = _BFLOAT16_NAN
    root.create_array(
        path,
        shape=(num_rows, *spec.shape),
        chunks=(1, *spec.shape),
        dtype=NUMPY_TYPES[spec.dtype],
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()],
        fill_value=fill,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=("row", *spec.dims),
        attributes={"storage_type": spec.dtype, **spec.attributes},
        overwrite=True,
    )


def _write_index(root: zarr.Group, index: Index) -> None:
    for name, column in index.columns().items():
        text, path = column.dtype.kind == "U", f"index/{name}"
        if path not in root:
            dtype = str if text else column.dtype
            root.create_array(
                path, shape=column.shape, chunks=(_INDEX_CHUNK,), dtype=dtype, compressors=[Crc32cCodec()]
            )
        array = cast(Any, root[path])
        array.resize(column.shape)
        array[:] = column.astype(object) if text else column


def _read_index(path: Path, *, num_rows: int) -> Index:
    attributes = sorted(entry.parent.name for entry in (path / "index/attributes").glob("*/zarr.json"))
    columns = {name: _read_column(path / "index" / name, num_rows) for name in (*TEXT_COLUMNS, "labels")}
    return Index(
        **columns, attributes={name: _read_column(path / "index/attributes" / name, num_rows) for name in attributes}
    )


def _read_column(path: Path, num_rows: int) -> NDArray[Any]:
    try:
        values = np.asarray(_zarr_array(path)[:num_rows])
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise StoreError(
            f"The index of the store is damaged ({path}: {error}); extract again into another --cache."
        ) from None
    return values if values.dtype.kind in "fu" else np.array(values.tolist(), dtype=np.str_)


def _zarr_array(path: Path, *, mode: str = "r") -> Any:
    return zarr.open_array(path, mode=cast(Any, mode))
