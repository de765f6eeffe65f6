"""The feature store: opening, creating and describing it. One Zarr v3 group a data set.

    <name>.zarr/
      zarr.json                    attributes: schema version, manifest of every feature set, fingerprint
      index/<column>               who each row is; index/attributes/<name> what is known of it without media
      targets/<name>               what is to be predicted or judged of it, see `targets.py`
      splits/<name>                which rows are trained, validated and tested on, see `splits.py`
      status/<set>                 what is recorded of each row, see `records.py`: its status, written last,
      problem/<set>                why it is absent or unreadable, or what is not whole about it,
      source/<set>                 the files that it was made from,
      digest/<set>                 and a digest over all of it
      features/<set>/<array>       first axis row, one chunk a row, uncompressed with a checksum
      constants/<name>             vectors that belong to no row

A feature set is what is made and complete together, such as `video` or `image/block_10`. A chunk that was never
written reads back as the fill value in every Zarr reader. So a row exists only where its status says so, and features
have NaN for a fill value, to be loud where somebody reads past the status.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from shutil import rmtree
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from ..atomic import fsync_path, fsync_tree, new_folder, write_json
from ..configs.place import BucketUrl, StorePlace, require_folder
from ..documents import Json, fingerprint, read_document
from ..errors import NotFoundError, StoreError
from .arrays import NUMPY_TYPES, ArraySpec, FeatureSetSpec
from .buckets.opened import OpenedBucket
from .chunk_files import HOW_TO_MEND
from .chunks import FolderChunks, RowChunks, Rows
from .description import (
    ATTRIBUTE,
    RENEWABLE_VERSION,
    SCHEMA_VERSION,
    Description,
    empty_description,
    made_with_random_weights,
    read_description,
)
from .following import following
from .index import Index
from .layout import create_array, create_record_array, open_root, read_whole, resize_rows, write_constant
from .nodes import METADATA_FILE, inside, room_for
from .record_arrays import Values
from .records import LAYOUTS, TYPES, Records
from .row_tables import (
    read_index,
    read_splits,
    replace_splits,
    replace_tables,
    write_former_tables,
    write_tables,
)
from .splits import OFFICIAL, Split
from .status import SourceFile, Status

_MUCH = 1 << 30  # bytes of features that are read together


class FeatureStore:
    """An open store. Reading returns rows whose status is COMPLETE and refuses all others.

    Attributes:
        path: where it is, for people: a folder, or a URL of a bucket.
        folder: where its files are; of one in a bucket all but the features, until the process ends.
        bucket: what reads the features of one in a bucket.
        split: the name of the split that `index.parts` tells.
    """

    def __init__(
        self, path: StorePlace, folder: Path, description: Description, *, split: str, bucket: OpenedBucket | None
    ) -> None:
        self.path = path
        self.folder = folder
        self.bucket = bucket
        self.split = split
        self._description = description
        self.index = read_index(folder, num_rows=description.num_rows, split=split)
        self.records = Records(folder, self.index.keys, LAYOUTS[description.schema_version])
        self._seen_complete: dict[
            str, NDArray[np.bool_]
        ] = {}  # by feature set; rows whose status need not be read again

    @classmethod
    def open(cls, path: StorePlace, *, split: str = OFFICIAL) -> "FeatureStore":
        """Open an existing store, its rows divided as in one of its splits. One in a bucket can only be read.

        Raises:
            NotFoundError: if there is none at `path`, or something else, or it has no such split.
            FingerprintError: if it has another version of the schema.
            StoreError: if its description or its index is damaged, or is of something that no store can hold.
            BucketAccessError, BucketError: if the bucket cannot be had.
        """
        if isinstance(path, BucketUrl):
            bucket = OpenedBucket(path)
            description = read_description(inside(bucket.folder, METADATA_FILE))
            return cls(path, bucket.folder, description, split=split, bucket=bucket)
        metadata_path = inside(path, METADATA_FILE)
        if not metadata_path.is_file():
            raise NotFoundError(f"There is no feature store at {path}. Make it with `weldcache extract`.")
        return cls(path, path, read_description(metadata_path), split=split, bucket=None)

    @classmethod
    def open_copy(cls, folder: Path, *, of: BucketUrl) -> "FeatureStore":
        """Open what an extraction into a bucket has in `folder` of the store `of`: all but its features. It can be
        written to as one in a folder can; raises as `open`."""
        return cls(of, folder, read_description(inside(folder, METADATA_FILE)), split=OFFICIAL, bucket=None)

    @classmethod
    def create(cls, path: Path, *, index: Index, schema_version: int = SCHEMA_VERSION) -> "FeatureStore":
        """Make an empty store with the rows of `index`; it appears at `path` whole or not at all.

        Raises:
            OutputExistsError: if something is at `path` already.
        """
        with new_folder(path) as temporary:
            description = empty_description(num_rows=len(index), schema_version=schema_version)
            root = zarr.create_group(temporary, attributes={ATTRIBUTE: description})
            for name in (*LAYOUTS[schema_version].groups, "features", "constants"):
                root.require_group(name)
            (write_tables if schema_version == SCHEMA_VERSION else write_former_tables)(root, index)
        return cls.open(path)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What made each feature set (`features`) and each constant (`constants`), as plain JSON values."""
        return self._description.plain_manifest

    @property
    def description(self) -> Mapping[str, Any]:
        """All that the store says of itself, as plain JSON values."""
        return self._description.model_dump(mode="json")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the manifest: equal fingerprints mean that equal files give equal numbers."""
        return fingerprint(self.manifest)

    def manifest_of(self, names: Sequence[str]) -> dict[str, Any]:
        """The part of the manifest that speaks of these feature sets and constants; others do not matter to who uses
        only these."""
        return {
            kind: {name: entry for name, entry in entries.items() if name in names}
            for kind, entries in self.manifest.items()
        }

    def fingerprint_of(self, names: Sequence[str]) -> str:
        """SHA-256 over `manifest_of` these names."""
        return fingerprint(self.manifest_of(names))

    @property
    def schema_version(self) -> int:
        """Version of the store's layout; what is added is laid out alike."""
        return self._description.schema_version

    @property
    def created(self) -> str:
        """When the store was made, as an ISO 8601 time."""
        return self._description.created

    @property
    def versions(self) -> Mapping[str, str]:
        """Library versions at the store's making."""
        return self._description.versions

    @property
    def batching(self) -> Mapping[str, int]:
        """How rows were grouped when they were made: remembered, so that going on groups them alike. It changes at most
        the last bit of a feature and is not in the fingerprint."""
        return self._description.batching

    def set_batching(self, batching: Mapping[str, int]) -> None:
        """Remember how rows are grouped."""
        if dict(batching) != self.batching:
            self._describe(batching=dict(batching))

    @property
    def noun(self) -> str:
        """What the data set calls one of its samples; in no fingerprint."""
        return self._description.noun

    def set_noun(self, noun: str) -> None:
        """Remember what a sample is called."""
        if noun != self.noun:
            self._describe(noun=noun)

    @property
    def waits_for_requests(self) -> bool:
        """Whether reading is mostly waiting, so that several readings are worth having under way together."""
        return self.bucket is not None

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets that have arrays, extracted or not."""
        return tuple(self._description.manifest.features)

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the vectors that belong to no row."""
        return tuple(self._description.manifest.constants)

    @property
    def random_backbones(self) -> bool:
        """Whether any backbone that made features had random weights."""
        return bool(self.made_with_random_weights[0])

    @property
    def made_with_random_weights(self) -> tuple[list[str], list[str]]:
        """Names of what backbones with random weights made, and of what others did; what none made is in neither."""
        return made_with_random_weights(self.manifest)

    def arrays(self, feature_set: str) -> Mapping[str, ArraySpec]:
        """The arrays of a feature set by name.

        Raises:
            StoreError: if the store has no such set; the message lists those it has.
        """
        entry = self._description.manifest.features.get(feature_set)
        if entry is None:
            raise StoreError(
                f"{self.path} has no features {feature_set}; it has {', '.join(self.feature_sets) or 'none yet'}."
            )
        return entry.specs

    def array_spec(self, array: str) -> ArraySpec:
        """Shape, dimensions, storage type and attributes of the array `<set>/<name>`.

        Raises:
            StoreError: if the store has no such array; the message lists those it has.
        """
        feature_set, _, name = array.rpartition("/")
        specs = self.arrays(feature_set)
        if name not in specs:
            raise StoreError(f"{self.path} has no array {array}; {feature_set} has {', '.join(specs)}.")
        return specs[name]

    def status(self, feature_set: str) -> UInt8[np.ndarray, " row"]:
        """`Status` of every row in one feature set; MISSING where it was never extracted, and for what is none."""
        status = self.records.statuses(feature_set, range(len(self.index)))
        status[status > max(Status)] = Status.MISSING
        return status

    def notes(self, feature_set: str) -> dict[str, str]:
        """Why rows are absent, unreadable or failed, or what is not quite whole about complete ones, by key."""
        return {str(self.index.keys[row]): note for row, note in self.records.notes(feature_set).items()}

    def sources(self, feature_set: str, rows: Rows) -> list[tuple[SourceFile, ...]]:
        """The files that each of `rows` was made from; none where it was not made."""
        return self.records.sources(feature_set, rows)

    def rows(self, part: str, *, feature_sets: Sequence[str]) -> NDArray[np.int64]:
        """Rows of `part` that are complete in all of `feature_sets`."""
        chosen = self.index.parts == part
        for name in feature_sets:
            chosen &= self.status(name) == Status.COMPLETE
        return np.flatnonzero(chosen)

    def read(self, array: str, rows: Rows, *, out: NDArray[np.generic] | None = None) -> NDArray[np.generic]:
        """Read rows of `<set>/<name>` in their storage type (bfloat16 as its bits in uint16), into `out` where given.

        Checksums are verified.

        Raises:
            StoreError: if a row is not complete, or its chunk is missing or damaged.
        """
        spec = self.array_spec(array)
        numbers = np.asarray(rows, dtype=np.int64)
        self._refuse_incomplete(array.rpartition("/")[0], numbers)
        chunks = self.chunks(array)
        if out is None and len(numbers) * spec.row_bytes > _MUCH:
            # Before room is made for all of it: are there rows as large as the store says they are?
            chunks.read(numbers[:1])
        return chunks.read(numbers, out=out)

    def chunks(self, array: str) -> RowChunks:
        """The chunks of `<set>/<name>`: of a store in a bucket those of complete rows, of one in a folder all that are
        there.

        Raises:
            StoreError: if the store has no such array, or the bucket lacks some of it.
        """
        spec = self.array_spec(array)
        if self.bucket is None:
            path = inside(self.folder, f"features/{array}")
            return FolderChunks(self.folder, path, spec.shape, NUMPY_TYPES[spec.dtype])
        feature_set = array.rpartition("/")[0]
        return self.bucket.chunks(array, spec, complete=lambda: self.status(feature_set) == Status.COMPLETE)

    def constant(self, name: str) -> Float32[np.ndarray, " dim"]:
        """A vector that belongs to no row, such as `text/prompt`.

        Raises:
            StoreError: if the store does not hold it, or it is damaged.
        """
        if name not in self.constants:
            raise StoreError(f"{self.path} has no constant {name}; `weldcache extract` makes it.")
        try:
            return np.asarray(read_whole(inside(self.folder, f"constants/{name}")), dtype=np.float32)
        except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path}: the constant {name} is damaged ({error}). {HOW_TO_MEND}") from None

    def splits(self) -> dict[str, Split]:
        """Every split as it was made, by name, the data set's own first.

        Raises:
            StoreError: if one is damaged, or was changed by hand.
        """
        return read_splits(self.folder, num_rows=len(self.index))

    def divided_by(self, split: str) -> "FeatureStore":
        """This store, its rows divided as in another of its splits; raises as `open`."""
        if split == self.split:
            return self
        return FeatureStore(self.path, self.folder, self._description, split=split, bucket=self.bucket)

    @property
    def split_hash(self) -> str:
        """What the split that the store was opened with is known by."""
        return self.splits()[self.split].hash_of(self.index.keys)

    def add_splits(self, splits: Iterable[Split]) -> None:
        """Keep splits beside the others, in the place of those of their names.

        Raises:
            StoreError: if the store is of a schema that can only be read.
        """
        if self.schema_version < SCHEMA_VERSION:
            self.follow(self.index)
        kept = self.splits() | {split.name: split for split in splits}
        replace_splits(self.folder, kept.values(), keys=self.index.keys)

    def require_writable(self) -> None:
        """Refuse a store of a schema that can only be read.

        Raises:
            SettingsError: if it is in a bucket.
            StoreError: with what to do.
        """
        if self.bucket is not None:
            require_folder(self.path, what="writes to")
        if self.schema_version < RENEWABLE_VERSION:
            raise StoreError(
                f"{self.path} is of schema version {self.schema_version}, which this weldcache reads, and does not "
                "write. Extract into another cache with --cache, or go on with the weldcache that made it."
            )

    def follow(self, data_set: Index, *, relabel: bool = False) -> None:
        """Give the store the rows of a data set; see `following` for what becomes of others, and is refused.

        Rows that join the store take no part in splits that were made before. A store of the former schema is brought
        up to date by this.

        Raises:
            StoreError: if the store is of a schema that can only be read.
        """
        assert self.split == OFFICIAL, "the data set says its own split alone"
        self.require_writable()
        followed = following(self.index, data_set, relabel=relabel)
        if followed is self.index and self.schema_version == SCHEMA_VERSION:
            return
        if len(followed) > len(self.index):
            for name in self.feature_sets:
                for path in self._array_paths(name):
                    resize_rows(path, num_rows=len(followed))
                    fsync_path(path / "zarr.json")
        made = [split.extended(len(followed)) for name, split in self.splits().items() if name != OFFICIAL]
        replace_tables(self.folder, followed, made)
        self._describe(num_rows=len(followed), schema_version=SCHEMA_VERSION)
        self.index = followed
        self.records = Records(self.folder, followed.keys, self.records.layout)
        self._seen_complete.clear()

    def add_feature_set(self, spec: FeatureSetSpec) -> None:
        """Make the arrays of a feature set that the store does not have yet.

        What an interrupted attempt, or one to replace it, has left in their place is removed: nobody reads what the
        manifest does not name.

        Raises:
            StoreError: if the set would lie inside another one, or the other way round.
        """
        self.require_room_for(spec.name)
        layout, num_rows = self.records.layout, len(self.index)
        folders = [room_for(self.folder, f"{group}/{spec.name}") for group in (*layout.groups, "features")]
        for folder in folders:
            rmtree(folder, ignore_errors=True)
        root = open_root(self.folder)
        for array in spec.arrays:
            create_array(root, f"features/{spec.name}/{array.name}", array, num_rows=num_rows)
        for group in layout.groups:
            path = f"{group}/{spec.name}"
            create_record_array(root, path, TYPES[group], num_rows=num_rows, rows_a_chunk=layout.rows_a_chunk)
        for folder in folders:
            fsync_tree(folder)
            for above in PurePosixPath(folder.relative_to(self.folder)).parents:
                fsync_path(self.folder / above)
        self._describe(manifest=self._manifest_with("features", spec.name, spec.to_manifest()))

    def require_room_for(self, feature_set: str) -> None:
        """Refuse a name that stands above or below another one: Zarr would take one array for the other's folder.

        Raises:
            StoreError: if the store has such a feature set.
        """
        for held in self.feature_sets:
            if held.startswith(f"{feature_set}/") or feature_set.startswith(f"{held}/"):
                raise StoreError(
                    f"{self.path} has features {held}, so others cannot be named {feature_set}; choose another name "
                    "in `features`."
                )

    def replace_feature_set(self, spec: FeatureSetSpec) -> None:
        """Forget every row of a feature set and make its arrays anew, for what `spec` says makes them now.

        The store first loses the set and then gets it: an interruption leaves a store without it, which is whole.
        """
        self._seen_complete.clear()
        self._describe(manifest=self._manifest_without("features", spec.name))
        self.add_feature_set(spec)

    def forget(self, feature_set: str, rows: Rows) -> None:
        """Take rows out of a feature set: they read as MISSING from here on, whatever happens next."""
        self._seen_complete.clear()
        self.records.forget(feature_set, rows)

    def replace_records(self, feature_set: str, number: int, values: Mapping[str, Values]) -> None:
        """Replace a whole chunk of records by `values`, by group; see `Records.replace_chunk`."""
        self._seen_complete.clear()
        self.records.replace_chunk(feature_set, number, values)

    def add_constant(self, name: str, values: Float32[np.ndarray, " dim"], *, made_by: Mapping[str, Json]) -> None:
        """Keep a vector that belongs to no row; one that is there already is dropped first."""
        if name in self.constants:
            self.drop_constant(name)
        room_for(self.folder, f"constants/{name}")
        write_constant(open_root(self.folder), f"constants/{name}", values)
        fsync_tree(self.folder / "constants")
        self._describe(manifest=self._manifest_with("constants", name, {"made_by": dict(made_by)}))

    def drop_constant(self, name: str) -> None:
        """Forget a vector that belongs to no row, so that it is made again."""
        self._describe(manifest=self._manifest_without("constants", name))
        rmtree(inside(self.folder, f"constants/{name}"), ignore_errors=True)

    def _array_paths(self, feature_set: str) -> list[Path]:
        features = [inside(self.folder, f"features/{feature_set}/{name}") for name in self.arrays(feature_set)]
        return features + [inside(self.folder, f"{group}/{feature_set}") for group in self.records.layout.groups]

    def _manifest_with(self, kind: str, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.manifest, kind: {**self.manifest[kind], name: entry}}

    def _manifest_without(self, kind: str, name: str) -> dict[str, Any]:
        kept = {other: entry for other, entry in self.manifest[kind].items() if other != name}
        return {**self.manifest, kind: kept}

    def _refuse_incomplete(self, feature_set: str, rows: NDArray[np.int64]) -> None:
        if feature_set not in self._seen_complete:
            self._seen_complete[feature_set] = np.zeros(len(self.index), dtype=bool)
        seen = self._seen_complete[feature_set]
        unseen = rows[~seen[rows]]
        statuses = self.records.statuses(feature_set, unseen)
        seen[unseen[statuses == Status.COMPLETE]] = True
        incomplete = unseen[statuses != Status.COMPLETE]
        if len(incomplete):
            raise StoreError(
                f"{self.path}: {len(incomplete)} of {len(rows)} rows have no {feature_set} features, the first is "
                f"{self.index.keys[incomplete[0]]}. Run `weldcache extract`, or leave out what it cannot read."
            )

    def _describe(self, **changes: Any) -> None:
        """Rewrite the description; what it speaks of must be on the disk by now."""
        changed = self._description.changed(**changes)
        path = inside(self.folder, METADATA_FILE)
        metadata = read_document(path)
        metadata["attributes"][ATTRIBUTE] = changed.model_dump(mode="json")
        write_json(path, metadata)
        self._description = changed
