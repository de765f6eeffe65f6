"""A store in a folder put into a bucket: whole, or gone on with, or brought up to date.

Nobody writes to the store meanwhile. Before anything in the bucket changes, the inventory there says that the mirror is
not complete, and it says that it is when all else is there: readers see the former store, none, or the new one. Objects
that are there already stay; statuses and the store's description follow when features have arrived.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...atomic import read_locked_folder
from ...errors import OutputExistsError, StoreError
from ...progress import ByteProgress
from ...wording import count_of
from ..chunk_files import CHECKSUM, HOW_TO_MEND, checksum, read_files
from ..contents import complete_rows, nodes_of, read_node
from ..description import SCHEMA_VERSION
from ..nodes import METADATA_FILE, inside, read_array_metadata
from ..records import LAYOUTS
from ..row_tables import TABLES
from ..store import FeatureStore
from ..verification.outcome import VERIFICATION
from .bucket import Bucket, Held, Listing
from .inventory import INVENTORY, MIRROR, STATE, Entry, Inventory, Mirrored, Progressing, parse_inventory, sha256_of
from .shards import FEATURES, Sharding, bucket_metadata, metadata_key, packed, sharding_of
from .threads import with_objects
from .writing import WRITER, written_by_one

_NAMES = {METADATA_FILE, MIRROR, VERIFICATION, "features", "constants", *TABLES, *LAYOUTS[SCHEMA_VERSION].groups}


@dataclass(frozen=True)
class Planned:
    """An object that a store makes in a bucket: its name, what reads its content, its size, roughly, and of features
    what reads their traits."""

    name: str
    make: Callable[[], bytes]
    num_bytes: int
    traits: Callable[[], str | None] | None = None


def upload(folder: Path, bucket: Bucket) -> Mirrored:
    """Make a mirror of the store in `folder` in a bucket; run again, it goes on where it was interrupted.

    Every chunk is checked against its checksum before it is sent. Features that are there already are known by their
    traits, and not read.

    Raises:
        NotFoundError: if there is no store in `folder`, or not the bucket.
        OutputExistsError: if something else is there, such as the mirror of another store.
        BusyError: if somebody writes to the store, or to the bucket.
        StoreError: if a chunk of it is missing or damaged, or somebody else has written to the bucket.
    """
    FeatureStore.open(folder)  # says what is wrong, where there is none
    with read_locked_folder(folder), written_by_one(bucket):
        store = FeatureStore.open(folder)
        planned = list(planned_objects(store, chunks_a_shard={}))
        held = {name: object_ for name, object_ in bucket.listed().items() if name != WRITER}
        before = _mirror_there(bucket, held, store)
        done = {
            name: entry
            for name, entry in before.objects.items()
            if entry.e_tag is not None and held.get(name) == Held(entry.size, entry.e_tag)
        }
        unneeded = sorted(filter(is_of_a_store, held.keys() - {each.name for each in planned} - {INVENTORY}))
        objects = {each.name: done[each.name] for each in planned if each.name in done}
        begun = Inventory(str(bucket.url), identity_of(store), False, objects)
        progressing = Progressing(begun, lambda content: bucket.write(INVENTORY, content))
        sent = _send(bucket, planned, done, progressing)
        if sent.num_copied or unneeded or not before.complete or before.objects.keys() != objects.keys():
            progressing.begin()
            bucket.remove(unneeded)
            _require_alone(bucket, progressing.objects)
            progressing.finish()
    return sent


def identity_of(store: FeatureStore) -> str:
    """What tells a store from others, however it grows: when it was made, and its first sample."""
    return f"{store.created} {store.index.keys[0] if len(store.index) else ''}"


def is_of_a_store(name: str) -> bool:
    """Whether an object has a name as a store's have. What else lies below its prefix, such as another store, is
    somebody's."""
    return name.partition("/")[0] in _NAMES


def planned_objects(store: FeatureStore, *, chunks_a_shard: Mapping[str, int]) -> Iterator[Planned]:
    """Every object that the store, which is in a folder, makes in a bucket; features first.

    `chunks_a_shard` are those of arrays that are there already, by name; of others it is chosen.

    Making one raises StoreError if a chunk that it is to hold is missing or damaged.
    """
    complete, nodes = complete_rows(store), nodes_of(store)
    for name in sorted(nodes, key=lambda name: (not name.startswith(FEATURES), name)):
        path, text = read_node(store.folder, name, is_array=nodes[name])
        if not nodes[name]:
            yield Planned(metadata_key(name), partial(bytes, text), len(text))
            continue
        metadata = read_array_metadata(path)
        sharding = sharding_of(name, metadata, chunks_a_shard=chunks_a_shard.get(name))
        rows = complete.get(name)
        yield Planned(metadata_key(name), partial(bucket_metadata, text, sharding), len(text))
        for shard in range(sharding.num_shards):
            numbers = np.asarray(sharding.chunks_of(shard))
            # Chunks of features that belong to no complete row are what interruptions left.
            if rows is None:
                wanted = [number for number in numbers.tolist() if (path / sharding.file(number)).exists()]
            else:
                wanted = numbers[np.isin(numbers, rows)].tolist()
            if wanted:
                make = partial(packed_files, path, sharding, shard, wanted)
                traits = None if rows is None else partial(traits_of, store, sharding, wanted)
                yield Planned(sharding.key(shard), make, len(wanted) * metadata.chunk_bytes, traits)


def traits_of(store: FeatureStore, sharding: Sharding, rows: Sequence[int]) -> str | None:
    """SHA-256 over what tells chunks of features from others without reading them: what made them, what is recorded of
    their rows, and their own checksums. None where any of it is not there.

    Two chunks have the same traits only if they are of one row and one making, made from the same files, and of one
    checksum.
    """
    if not store.records.layout.has_digests:
        return None
    feature_set, _, _ = sharding.name.removeprefix(FEATURES).rpartition("/")
    digests = store.records.digests(feature_set, rows)
    names = [sharding.file(row) for row in rows]
    ends = read_files(inside(store.folder, sharding.name), names, last_bytes=CHECKSUM.size)
    known = [end for end in ends if end is not None]
    if not digests.all() or len(known) < len(ends):
        return None
    made_by = store.fingerprint_of([feature_set]).encode()
    return sha256_of(b"".join([made_by, np.asarray(rows, dtype="<i8").tobytes(), digests.tobytes(), *known]))


def packed_files(path: Path, sharding: Sharding, shard: int, wanted: Sequence[int]) -> bytes:
    """The object that holds the chunks `wanted` of the array in the folder `path`; raises StoreError as making a
    `Planned` does."""
    files = [sharding.file(number) for number in wanted]
    chunks: dict[int, bytes] = {}
    for number, name, content in zip(wanted, files, read_files(path, files), strict=True):
        if content is None or checksum(content[: -CHECKSUM.size]) != content[-CHECKSUM.size :]:
            fault = "is gone" if content is None else "is damaged"
            raise StoreError(f"The chunk {path / name} {fault}, and nothing damaged is copied. {HOW_TO_MEND}")
        chunks[number] = content
    return packed([chunks.get(number) for number in sharding.chunks_of(shard)], chunks_a_shard=sharding.chunks_a_shard)


def _mirror_there(bucket: Bucket, held: Listing, store: FeatureStore) -> Inventory:
    """What there is at the URL already of a mirror of this store."""
    if INVENTORY not in held:
        if held:
            raise OutputExistsError(
                f"{bucket.url} holds {count_of(len(held), 'object')} that no mirror put there, such as {min(held)}. "
                "Choose another prefix."
            )
        return Inventory(str(bucket.url), identity_of(store), complete=False)
    found = parse_inventory(bytes(bucket.read(INVENTORY)), where=f"{bucket.url}/{INVENTORY}")
    if STATE in held and not found.complete:
        raise OutputExistsError(
            f"An extraction into {bucket.url} was interrupted, and what it has made would be lost. Go on with it by "
            f"`weldcache extract --cache {bucket.url}`, or choose another prefix."
        )
    if found.store != identity_of(store):
        raise OutputExistsError(
            f"{bucket.url} holds a mirror of another store than {store.path}. Choose another prefix, or remove what is "
            "there."
        )
    return found


def _send(bucket: Bucket, planned: Sequence[Planned], done: Mapping[str, Entry], progressing: Progressing) -> Mirrored:
    """Put what is not there already into the bucket."""
    sent: list[int] = []
    num_bytes = sum(each.num_bytes for each in planned)
    with ByteProgress(f"Mirroring to {bucket.url}", num_bytes=num_bytes) as progress:

        def send(each: Planned) -> None:
            there, traits = done.get(each.name), None if each.traits is None else each.traits()
            if there is None or traits is None or there.traits != traits:
                content = each.make()
                sha256 = sha256_of(content)
                if there is None or there.content != (len(content), sha256):
                    progressing.begin()
                    e_tag = bucket.write(each.name, content).e_tag
                    progressing.done(each.name, Entry(size=len(content), sha256=sha256, e_tag=e_tag, traits=traits))
                    sent.append(len(content))
            progress.advance(each.num_bytes)

        late = [each for each in planned if each.name.startswith("status/") or each.name == METADATA_FILE]
        early = [each for each in planned if each not in late]
        for together in (early, late):
            with_objects(send, together)
    return Mirrored(len(planned), len(sent), sum(sent))


def _require_alone(bucket: Bucket, put: Mapping[str, Entry]) -> None:
    """See that all is in the bucket as it was put there, before readers are told so.

    Raises:
        StoreError: if somebody else has written there meanwhile.
    """
    held = bucket.listed()
    others = [name for name, entry in put.items() if held.get(name) != Held(entry.size, entry.e_tag)]
    if others:
        raise StoreError(
            f"Somebody else has written to {bucket.url} meanwhile, such as {others[0]}. See that nobody does, and run "
            "the same command again."
        )
