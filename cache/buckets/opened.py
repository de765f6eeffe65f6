"""A store in a bucket as readers see it: its features stay there, and all else, which is small, is in a folder.

The folder is temporary and laid out as a store is, so that what reads a store's index, statuses and records reads this
one's. It is a picture of one moment: an object that is replaced later is refused when it is read, and never mixed in.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import cached_property
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from ...atomic import locked_folder
from ...configs.place import BucketUrl
from ...documents import parse_json
from ...errors import BusyError, NotFoundError, StoreError
from ..arrays import NUMPY_TYPES, ArraySpec
from ..chunks import RowChunks
from ..nodes import METADATA_FILE, inside, parse_array_metadata, room_for
from .bucket import Bucket
from .inventory import INVENTORY, MOST_INVENTORY_BYTES, parse_inventory, sha256_of
from .rows import BucketChunks
from .shards import FEATURES, Sharding, files_of, folder_metadata, shard_named, sharding_of
from .threads import in_requests

_FOLDER = "weldcache-bucket-"  # and eight characters that chance chooses
_FRESH_SECONDS = 3600.0  # for which a folder without a lock may be one that is just being made


class Snapshot:
    """A mirror in a bucket as it is at one moment.

    Attributes:
        inventory: of all that belongs to it.
        held: what the bucket holds, that and other objects.

    Raises:
        NotFoundError: if there is no mirror, or it is not complete.
        StoreError: if it is damaged, or is being replaced.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        # In this order: who replaces a mirror says so in the inventory before anything else changes.
        first = bucket.listed().get(INVENTORY)
        if first is None:
            raise NotFoundError(
                f"There is no feature store at {bucket.url}. `weldcache extract --cache {bucket.url}` makes one, and "
                f"`weldcache mirror FOLDER {bucket.url}` puts one there."
            )
        if first.size > MOST_INVENTORY_BYTES:
            raise StoreError(f"{bucket.url}/{INVENTORY} is no inventory of a mirror: it is too long.")
        content = bytes(bucket.read(INVENTORY, version=first.e_tag))
        self.inventory = parse_inventory(content, where=f"{bucket.url}/{INVENTORY}")
        if not self.inventory.complete:
            raise NotFoundError(
                f"The store at {bucket.url} is not complete: it is being written, or that was interrupted. To go on, "
                "run the same command again (`weldcache extract`, or `weldcache mirror`)."
            )
        self.held = bucket.listed()
        if self.held.get(INVENTORY) != first:
            raise StoreError(f"{bucket.url} is being replaced. Run the same command again when that is done.")
        self._chunks_a_shard: dict[str, int] = {}  # by the name of the array; known when `metadata` is

    def is_as_put(self, name: str) -> bool:
        """Whether an object is there, and is the one that was put there.

        A copy of a mirror has versions of its own. Here another version is of somebody who wrote at the same time, and
        his features would be taken for those of the rows that our statuses call complete.
        """
        entry, held = self.inventory.objects[name], self.held.get(name)
        is_copy = self.inventory.url != str(self.bucket.url)
        return held is not None and held.size == entry.size and (is_copy or held.e_tag == entry.e_tag)

    def require_as_put(self) -> None:
        """Refuse objects that were replaced; what is gone is found when it is read.

        Raises:
            StoreError: with the first of them.
        """
        for name, entry in self.inventory.objects.items():
            held = self.held.get(name)
            if held is not None and held.size == entry.size and not self.is_as_put(name):
                raise self._not_as_put(name)

    def content(self, name: str) -> memoryview:
        """An object, checked against the inventory.

        Raises:
            StoreError: if it is gone, another one by now, or damaged.
        """
        entry, held = self.inventory.objects[name], self.held.get(name)
        if held is not None and held.size == entry.size:
            content = self.bucket.read(name, version=held.e_tag)
            if sha256_of(content) == entry.sha256:
                return content
        raise self._not_as_put(name)

    def _not_as_put(self, name: str) -> StoreError:
        return StoreError(
            f"{self.bucket.url}: the object {name} is gone or damaged, or is not the one that was put there. "
            f"{self.bucket.how_to_mend}"
        )

    @cached_property
    def metadata(self) -> Mapping[str, bytes]:
        """The `zarr.json` of every group and array as a folder has it, by its name in the store."""
        names = [name for name in self.inventory.objects if name.rpartition("/")[2] == METADATA_FILE]
        read: dict[str, bytes] = {}

        def fetch(name: str) -> None:
            content = bytes(self.content(name))
            is_array = b'"sharding_indexed"' in content
            try:
                if is_array:
                    read[name], self._chunks_a_shard[name.rpartition("/")[0]] = folder_metadata(content)
                else:
                    read[name] = content
            except ValueError as error:
                raise StoreError(f"{self.bucket.url}: {name} is damaged: {error}.") from None

        in_requests(fetch, names)
        return read

    @cached_property
    def shards(self) -> Mapping[str, tuple[Sharding, int]]:
        """Every object that holds chunks, with the array that they are of and the number of the shard.

        Raises:
            StoreError: if one belongs to no array.
        """
        found = {}
        for key in self.inventory.objects.keys() - self.metadata.keys():
            if (shard := self.shard_at(key)) is None:
                raise StoreError(f"{self.bucket.url} holds {key}, which belongs to no array of the store.")
            found[key] = shard
        return found

    def shard_at(self, key: str) -> tuple[Sharding, int] | None:
        """The array whose chunks an object of this name has, whether it is there or not, and the number of the shard;
        None if there is no such array."""
        array, number = shard_named(key) or ("", 0)
        sharding = self.shardings.get(array)
        known = sharding is not None and sharding.key(number) == key and number < sharding.num_shards
        return (sharding, number) if sharding is not None and known else None

    @cached_property
    def shardings(self) -> Mapping[str, Sharding]:
        """How each array lies in objects, by its name."""
        found = {}
        for key, text in self.metadata.items():
            document = parse_json(text)
            if isinstance(document, dict) and document.get("node_type") == "array":
                name = key.rpartition("/")[0]
                if name not in self._chunks_a_shard:
                    raise StoreError(f"{self.bucket.url}: {key} is damaged: it is no array in shards.")
                metadata = parse_array_metadata(document, path=Path(name))
                found[name] = sharding_of(name, metadata, chunks_a_shard=self._chunks_a_shard[name])
        return found

    def bring(self, folder: Path) -> None:
        """Lay all but the features out in an empty folder, as a store is; raises as `content`."""
        for name, text in self.metadata.items():
            _write(room_for(folder, name), text)

        def fetch(key: str) -> None:
            for path, chunk in self.files(key).items():
                if chunk is not None:
                    _write(inside(folder, path.as_posix()), chunk)

        in_requests(fetch, [key for key in self.shards if not key.startswith(FEATURES)])

    def files(self, key: str) -> dict[Path, memoryview | None]:
        """What one of the `shards` is in a folder; see `files_of`.

        Raises:
            StoreError: as `content`.
        """
        try:
            return files_of(self.content(key), *self.shards[key])
        except ValueError as error:
            raise StoreError(f"{self.bucket.url}: the object {key} is damaged: {error}.") from None


class OpenedBucket:
    """A store in a bucket that is being read.

    Attributes:
        folder: all of it but the features; gone with the process.
    """

    def __init__(self, url: BucketUrl) -> None:
        self._snapshot = snapshot = Snapshot(Bucket(url))
        snapshot.require_as_put()
        self.folder = _held_folder()
        # With the process, and not with this object: a target with many values is read when it is asked for, which may
        # be later. Processes that a fork server started call nothing else at their end.
        Finalize(None, shutil.rmtree, args=(self.folder, True), exitpriority=0)
        snapshot.bring(self.folder)
        self._chunks: dict[str, BucketChunks] = {}

    @property
    def num_objects(self) -> int:
        """Objects of which it consists."""
        return len(self._snapshot.inventory.objects)

    @property
    def num_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(entry.size for entry in self._snapshot.inventory.objects.values())

    def chunks(self, array: str, spec: ArraySpec, *, complete: Callable[[], Bool[np.ndarray, " row"]]) -> RowChunks:
        """The chunks of `<set>/<name>`, of which the rows `complete` have one; asked for once."""
        if array not in self._chunks:
            sharding = self._snapshot.shardings.get(f"{FEATURES}{array}")
            if sharding is None:
                raise StoreError(f"{self._snapshot.bucket.url} is damaged: it has no array {FEATURES}{array}.")
            self._chunks[array] = BucketChunks(
                self._snapshot.bucket,
                sharding,
                self._snapshot.held,
                shape=spec.shape,
                dtype=NUMPY_TYPES[spec.dtype],
                complete=complete(),
            )
        return self._chunks[array]


def _write(path: Path, content: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _held_folder() -> Path:
    """A new temporary folder, which a lock marks as in use until the process ends, however it does; those that killed
    processes left are removed."""
    for abandoned in Path(tempfile.gettempdir()).glob(f"{_FOLDER}????????"):
        with suppress(BusyError, OSError):
            if not abandoned.is_symlink() and time.time() - abandoned.stat().st_mtime > _FRESH_SECONDS:
                with locked_folder(abandoned):
                    shutil.rmtree(abandoned)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
    with suppress(OSError):  # where there are no locks, nobody else gets one to remove it
        flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), LOCK_EX | LOCK_NB)
    return folder
