"""What an extraction into a bucket has made of some rows and is not yet in the store: a delivery, which counts once its
own object, the last to be put, is there.

    mirror/extraction/<job>/<attempt>.json       what is recorded of the rows, and which objects hold their chunks
    mirror/extraction/<job>/<attempt>/<object>   of one that rows of others will lie in too, the chunks of these rows

An object in which nobody else's rows will lie goes to its place at once. All others are put together when the
extraction ends: two who write to one object would lose rows.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from pydantic import ValidationError

from ...documents import faults_told, parse_json, seal_holds, sealed
from ...errors import StoreError
from ..nodes import Text, Told, inside
from ..record_arrays import Values
from ..records import TYPES
from ..status import Status
from ..store import FeatureStore
from .bucket import Bucket
from .inventory import EXTRACTION, Entry
from .shards import FEATURES, Sharding
from .threads import with_objects
from .upload import packed_files

_AT_ONCE = 64  # deliveries whose records are in memory together


class _Recorded(Told):
    """What is recorded of rows of one feature set, in each of the groups of its records."""

    rows: list[int]
    values: dict[Text, list[int | str]]


class Delivery(Told):
    """The object of a delivery.

    Attributes:
        recorded: by feature set.
        objects: that went to their places, by name.
        parts: objects with the chunks of these rows alone, by the names of those that they are parts of.
    """

    recorded: dict[Text, _Recorded]
    objects: dict[Text, Entry]
    parts: dict[Text, Entry]
    checksum: Text


def deliver(
    store: FeatureStore,
    bucket: Bucket,
    prefix: str,
    *,
    rows: Mapping[str, Sequence[int]],
    shardings: Mapping[str, Sharding],
    is_shared: Mapping[str, Bool[np.ndarray, " shard"]],
) -> None:
    """Put what `store`, a working copy, has of `rows` (by feature set) into the bucket, and forget their chunks here.

    `prefix` is that of the delivery's names, which no other has; `is_shared` says by array which of its objects hold
    other rows too.

    Raises:
        StoreError: if a chunk is gone or damaged.
    """
    statuses = {name: store.records.statuses(name, of_set) for name, of_set in rows.items()}
    packing: list[tuple[Sharding, int, list[int]]] = []
    for name, of_set in rows.items():
        complete = np.asarray(of_set, dtype=np.int64)[statuses[name] == Status.COMPLETE]
        for array in store.arrays(name):
            sharding = shardings[f"{FEATURES}{name}/{array}"]
            numbers = complete // sharding.chunks_a_shard
            packing += [
                (sharding, number, complete[numbers == number].tolist()) for number in np.unique(numbers).tolist()
            ]
    objects: dict[str, Entry] = {}
    parts: dict[str, Entry] = {}

    def put(packed: tuple[Sharding, int, list[int]]) -> None:
        sharding, number, wanted = packed
        content = packed_files(inside(store.folder, sharding.name), sharding, number, wanted)
        key = sharding.key(number)
        # Where one is already that no delivery tells of, whoever put it there may not have ended: it is left alone.
        whole = None if is_shared[sharding.name][number] else bucket.create(key, content)
        held = bucket.write(f"{prefix}/{key}", content) if whole is None else whole
        (parts if whole is None else objects)[key] = Entry.of(content, e_tag=held.e_tag)

    with_objects(put, packing)
    delivery = {
        "recorded": {name: _recorded(store, name, of_set) for name, of_set in rows.items()},
        "objects": {key: entry.model_dump() for key, entry in objects.items()},
        "parts": {key: entry.model_dump() for key, entry in parts.items()},
    }
    bucket.write(f"{prefix}.json", json.dumps(sealed(delivery)).encode())
    for sharding, _, wanted in packing:
        for row in wanted:
            (inside(store.folder, sharding.name) / sharding.file(row)).unlink()


def deliveries_of(bucket: Bucket, names: Sequence[str], job: str) -> Iterator[tuple[str, Delivery]]:
    """The deliveries of a job among the objects `names`, each with the prefix of its names; of several attempts at one,
    the first by name alone: records of one and rows of another would not belong together.

    Raises:
        StoreError: if one is damaged.
    """
    begin, first = f"{EXTRACTION}/{job}/", dict[str, str]()
    for name in sorted(name for name in names if name.startswith(begin) and name.endswith(".json")):
        if "/" not in name.removeprefix(begin):
            first.setdefault(what_of(name), name)
    for name in first.values():
        yield name.removesuffix(".json"), _parsed(bytes(bucket.read(name)), where=f"{bucket.url}/{name}")


def prefix_of(job: str, what: str) -> str:
    """A prefix for the names of an attempt to deliver `what`, such as a span."""
    return f"{EXTRACTION}/{job}/{what}.{uuid.uuid4().hex[:8]}"


def what_of(prefix: str) -> str:
    """What an attempt of this prefix is to deliver."""
    return prefix.rpartition("/")[2].partition(".")[0]


def record_deliveries(store: FeatureStore, deliveries: Sequence[Delivery]) -> None:
    """Record in `store` what was delivered; of a row that was delivered twice, what comes last.

    Raises:
        StoreError: if what is delivered is none of the store's.
    """
    for start in range(0, len(deliveries), _AT_ONCE):
        chunks: dict[tuple[str, int], dict[str, Values]] = {}
        for delivery in deliveries[start : start + _AT_ONCE]:
            for name, recorded in delivery.recorded.items():
                _lay_in(store, name, recorded, chunks)
        for (name, number), values in chunks.items():
            store.replace_records(name, number, values)


def _recorded(store: FeatureStore, feature_set: str, rows: Sequence[int]) -> dict[str, Any]:
    groups = store.records.layout.groups
    values = {group: store.records.array(group, feature_set).read(rows).tolist() for group in groups}
    return {"rows": list(map(int, rows)), "values": values}


def _lay_in(
    store: FeatureStore, feature_set: str, recorded: _Recorded, chunks: dict[tuple[str, int], dict[str, Values]]
) -> None:
    """Take records into the chunks that hold them, which are read where they are not among `chunks` yet."""
    layout = store.records.layout
    rows = np.asarray(recorded.rows, dtype=np.int64)
    fits = (
        feature_set in store.feature_sets
        and recorded.values.keys() == set(layout.groups)
        and all(_are_of(recorded.values[group], group, number=len(rows)) for group in layout.groups)
        and bool(((rows >= 0) & (rows < len(store.index))).all())
    )
    if not fits:
        raise StoreError(f"{store.path}: a delivery of {feature_set} is none of this store's.")
    for number in np.unique(rows // layout.rows_a_chunk).tolist():
        if (feature_set, number) not in chunks:
            chunks[feature_set, number] = {
                group: store.records.array(group, feature_set).chunk(number) for group in layout.groups
            }
    for place, row in enumerate(rows.tolist()):
        number, position = divmod(row, layout.rows_a_chunk)
        for group in layout.groups:
            chunks[feature_set, number][group][position] = recorded.values[group][place]


def _are_of(values: Sequence[int | str], group: str, *, number: int) -> bool:
    """Whether these are so many values as the arrays of a group of records hold."""
    is_text = TYPES[group].kind == "O"
    return len(values) == number and all(isinstance(value, str) == is_text for value in values)


def _parsed(content: bytes, *, where: str) -> Delivery:
    try:
        told = parse_json(content)
        if not seal_holds(told):
            raise ValueError("it does not agree with its own checksum")
        return Delivery.model_validate(told)
    except ValidationError as error:
        raise StoreError(f"{where} is no delivery: {faults_told(error)}.") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{where} is no delivery, or damaged ({error}).") from None
