"""How a process comes by a working copy of a store in a bucket: of a whole store or a new one, of an extraction that
was interrupted, or of one that somebody else has begun."""

import tempfile
from pathlib import Path

from ...configs.place import BucketUrl
from ...documents import fingerprint, parse_json
from ...errors import NotFoundError, OutputExistsError, StoreError
from ...wording import count_of
from ..index import Index
from ..nodes import JsonObject
from ..store import FeatureStore
from .bucket import Bucket
from .inventory import EXTRACTION, INVENTORY, JOB, STATE, FoundInventory, found_inventory
from .opened import Snapshot
from .shards import FEATURES
from .state import State, unpack_state
from .working_copy import WorkingCopy
from .writing import WRITER


def scratch_path(url: BucketUrl) -> Path:
    """Where working copies of a store in a bucket are made, each in a folder beside it: among the temporary files of
    this machine."""
    return Path(tempfile.gettempdir()) / f"weldcache-{fingerprint(str(url))[:8]}"


def open_working_copy(bucket: Bucket, folder: Path, *, index: Index) -> WorkingCopy:
    """The working copy, in the new `folder`, of the store in the bucket; of an empty one with the rows of `index` where
    there is none yet. What an interrupted extraction has delivered is in it.

    Raises:
        NotFoundError: if a mirror was begun there, and is not complete.
        OutputExistsError: if something else is there.
        StoreError: if the store is damaged.
    """
    held = bucket.listed()
    if INVENTORY not in held:
        if foreign := [name for name in held if name != WRITER and not name.startswith(EXTRACTION)]:
            raise OutputExistsError(
                f"{bucket.url} holds {count_of(len(foreign), 'object')} of something else than a store, such as "
                f"{min(foreign)}. Choose another prefix."
            )
        FeatureStore.create(folder, index=index)
        return WorkingCopy(bucket, folder, State.new({}, {}), None)
    found = found_inventory(bucket)
    if found is not None and found.inventory.complete:
        snapshot = Snapshot(bucket)
        folder.mkdir()
        snapshot.bring(folder)
        objects = {
            key: entry.model_copy(update={"e_tag": snapshot.held[key].e_tag})  # a copied bucket has its own
            for key, entry in snapshot.inventory.objects.items()
            if key.startswith(FEATURES) and key in snapshot.shards and snapshot.is_as_put(key)
        }
        chunks = {name: each.chunks_a_shard for name, each in snapshot.shardings.items() if name.startswith(FEATURES)}
        working = WorkingCopy(
            bucket, folder, State.new(objects, chunks), FoundInventory(snapshot.inventory, found.version)
        )
        working.forget(working.lost())
        return working
    if (interrupted := interrupted_copy(bucket, folder)) is None:
        raise NotFoundError(
            f"The store at {bucket.url} is not complete: a mirror was begun and not ended. Run `weldcache mirror "
            f"FOLDER {bucket.url}` to go on with it."
        )
    return interrupted


def interrupted_copy(bucket: Bucket, folder: Path) -> WorkingCopy | None:
    """As `open_working_copy`, of an extraction that was interrupted; None where none was."""
    found = found_inventory(bucket)
    if found is None or found.inventory.complete or STATE not in bucket.listed():
        return None
    working = WorkingCopy(bucket, folder, unpack_state(bucket, folder), found)
    working.take_in()
    return working


def join_working_copy(bucket: Bucket, folder: Path) -> WorkingCopy:
    """The working copy, in the new `folder`, that somebody else has prepared and begun with.

    Raises:
        StoreError: if nobody has, or it is damaged.
    """
    working = WorkingCopy(bucket, folder, unpack_state(bucket, folder), found_inventory(bucket))
    working.is_begun = True
    return working


def told_in(bucket: Bucket) -> JsonObject:
    """What those who work on an extraction that has begun are told; nothing where there is none.

    Raises:
        StoreError: if what says it is damaged.
    """
    told, found = bucket.claimed(JOB), found_inventory(bucket)
    if told is None or found is None or found.inventory.complete:
        return {}
    try:
        return dict(parse_json(told[0]))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{bucket.url}/{JOB} does not tell of an extraction ({error}).") from None
