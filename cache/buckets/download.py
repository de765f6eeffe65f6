"""A store in a bucket brought into a folder: whole, or gone on with, or brought up to date; bit for bit as it was.

The folder's description is there only when all else is: it is removed before anything changes and written last, so that
nobody takes half a store for one, and what was changed here since is known by it. What has arrived is written down
beside it, for the next attempt to go on from.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...atomic import fsync_path, is_empty_folder, locked_folder, write_bytes
from ...documents import read_regular_file
from ...errors import OutputExistsError, StoreError, disk_errors
from ...progress import ByteProgress
from ..chunk_files import CHECKSUM, replace_files
from ..nodes import METADATA_FILE, inside, room_for
from ..store import FeatureStore
from .arrived import kept_objects
from .bucket import Bucket
from .inventory import (
    INVENTORY,
    MOST_INVENTORY_BYTES,
    Entry,
    Inventory,
    Mirrored,
    Progressing,
    parse_inventory,
)
from .opened import Snapshot
from .threads import with_objects

_KEPT = "What has arrived is kept"


def download(bucket: Bucket, folder: Path) -> Mirrored:
    """Make the store in a bucket again in `folder`; run again, it goes on where it was interrupted, or brings up to
    date what has changed there.

    Every object that is brought is checked against its SHA-256. What is damaged or gone in the folder is brought again,
    as far as `kept_objects` sees it.

    Raises:
        NotFoundError: if there is no complete mirror in the bucket.
        OutputExistsError: if something else is in the folder, or its store was changed since it came from there.
        BusyError: if somebody writes to the folder.
        StoreError: if an object is damaged or replaced meanwhile, or the disk refuses the write.
    """
    snapshot = Snapshot(bucket)
    snapshot.require_as_put()
    with disk_errors(folder, kept=_KEPT):
        if not folder.exists():
            folder.mkdir(parents=True)
        with locked_folder(folder):
            before, description = _mirror_here(folder, snapshot), folder / METADATA_FILE
            wanted, arrived = snapshot.inventory.objects, before.objects
            # Without it nobody has had the folder for a store since.
            kept = kept_objects(folder, before, snapshot.shardings) if description.exists() else arrived.keys()
            done = {
                name: wanted[name] for name in kept & wanted.keys() if arrived[name].content == wanted[name].content
            }
            if before.complete and done.keys() == wanted.keys() == arrived.keys() and description.exists():
                return Mirrored(len(wanted), 0, 0)
            description.unlink(missing_ok=True)
            fsync_path(folder)
            inventory_file = room_for(folder, INVENTORY)
            inventory_file.parent.mkdir(exist_ok=True)
            begun = replace(snapshot.inventory, objects=done, complete=False)
            progressing = Progressing(begun, lambda content: write_bytes(inventory_file, content))
            progressing.begin()
            _remove_others(folder, before, snapshot)
            fetched = _fetch(snapshot, folder, done, progressing)
            progressing.finish()
            write_bytes(description, snapshot.metadata[METADATA_FILE])
    FeatureStore.open(folder)
    return Mirrored(len(wanted), len(fetched), sum(entry.size for entry in fetched))


def _mirror_here(folder: Path, snapshot: Snapshot) -> Inventory:
    """What came into the folder already of this mirror."""
    wanted = snapshot.inventory
    file = inside(folder, INVENTORY)
    if not file.exists():
        if not is_empty_folder(folder):
            raise OutputExistsError(f"{folder} holds something that is no mirror of {wanted.url}: name a new folder.")
        return Inventory(wanted.url, wanted.store, complete=False)
    try:
        content = read_regular_file(file, most_bytes=MOST_INVENTORY_BYTES)
    except ValueError as error:
        raise StoreError(f"{file} is no inventory of a mirror: {error}.") from None
    found = parse_inventory(content, where=str(file))
    if (found.url, found.store) != (wanted.url, wanted.store):
        raise OutputExistsError(f"{folder} is a mirror of something else than {wanted.url}: name a new folder.")
    return found


def _fetch(snapshot: Snapshot, folder: Path, done: Mapping[str, Entry], progressing: Progressing) -> list[Entry]:
    """Bring what is not there yet; return it."""
    wanted = snapshot.inventory.objects
    missing = [name for name in wanted if name not in done]
    num_bytes = sum(wanted[name].size for name in missing)
    with ByteProgress(f"Mirroring {snapshot.bucket.url}", num_bytes=num_bytes) as progress:

        def fetch(name: str) -> None:
            if name in snapshot.shards:
                _place(snapshot, name, folder)
            elif name != METADATA_FILE:
                file = room_for(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(file, snapshot.metadata[name])
            progressing.done(name, wanted[name])
            progress.advance(wanted[name].size)

        late = [name for name in missing if name.startswith("status/")]
        early = [name for name in missing if not name.startswith("status/")]
        for together in (early, late):
            with_objects(fetch, together)
    return [wanted[name] for name in missing]


def _place(snapshot: Snapshot, key: str, folder: Path) -> None:
    """Write the files of an object, and remove those that are not in it any more."""
    files: dict[Path, dict[str, np.ndarray | None]] = {}
    for path, chunk in snapshot.files(key).items():
        file = inside(folder, path.as_posix())
        content = None if chunk is None else np.frombuffer(chunk[: -CHECKSUM.size], dtype=np.uint8)
        files.setdefault(file.parent, {})[file.name] = content
    for above in files:
        above.mkdir(parents=True, exist_ok=True)
    replace_files(files)


def _remove_others(folder: Path, before: Inventory, snapshot: Snapshot) -> None:
    """Remove what an earlier state had and the store has not any more: arrays and groups, and chunks of arrays."""
    for name in before.objects.keys() - snapshot.inventory.objects.keys():
        above, _, last = name.rpartition("/")
        if last == METADATA_FILE and above:
            shutil.rmtree(inside(folder, above), ignore_errors=True)
        elif shard := snapshot.shard_at(name):
            sharding, number = shard
            for chunk in sharding.chunks_of(number):
                inside(folder, sharding.key(chunk)).unlink(missing_ok=True)
