"""A store in a bucket as an extraction into it has it: a working copy of all but the features, in a folder of its own.

The copy is a store like any other, to which rows are written; their features go into the bucket as deliveries, so that
the folder holds a few at a time. What else the extraction changes goes there when it ends.

    mirror/zarr.json                the inventory: readers find no store while it says that it is not complete
    mirror/extraction/state.zip     the working copy as it was prepared, with what it needs to go on
    mirror/extraction/<job>/...     deliveries since, of the job that the state names

The inventory decides what is true: the objects that it lists while it says that they are complete; else the state, and
the deliveries of its job. Each is one object, put whole, so that a kill at any moment leaves one or the other; whatever
else lies there is left over, and removed by who comes next.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from ...documents import Json
from ...errors import BusyError, StoreError
from ...progress import say
from ...wording import count_of
from ..contents import feature_arrays
from ..nodes import inside, read_array_metadata
from ..store import FeatureStore
from .bucket import Bucket, Held, Listing
from .deliveries import Delivery, deliver, deliveries_of, prefix_of, record_deliveries, what_of
from .inventory import INVENTORY, JOB, STATE, Entry, FoundInventory, Inventory, found_inventory, sha256_of
from .shards import FEATURES, Sharding, packed, shard_named, sharding_of
from .state import State, packed_state
from .threads import with_objects
from .upload import Planned, identity_of, is_of_a_store, planned_objects
from .wanted import Wanted, rows_of, wanted_objects
from .writing import WRITER


class WorkingCopy:
    """The working copy in `folder` of the store in `bucket`, to which nobody else writes.

    Attributes:
        store: it itself; it is told of by the bucket's URL.
    """

    def __init__(self, bucket: Bucket, folder: Path, state: State, found: FoundInventory | None) -> None:
        self.store = FeatureStore.open_copy(folder, of=bucket.url)
        self.state = state
        self._bucket = bucket
        self._found = found
        self._made_by = dict(self.store.manifest["features"])
        self.is_begun = False

    def begin(self, told: Mapping[str, Json] | None = None) -> None:
        """Say in the bucket that the store is being written, as the working copy is now. `told` is what others who
        are to work on it are told, see `opened_copy.told_in`.

        Raises:
            BusyError: if somebody else has begun to write to the bucket.
        """
        job = uuid.uuid4().hex
        before = self.state.objects
        self._keep_objects_of(self._unchanged_sets())
        self.state = State(job=job, objects=self.state.objects, chunks_a_shard=self._chunks_a_shard())
        self._bucket.write(STATE, packed_state(self.store, self.state))
        self._say(complete=False, objects=self._found.inventory.objects if self._found is not None else {})
        self._bucket.write(JOB, json.dumps(told or {}).encode())
        if gone := sorted(before.keys() - self.state.objects.keys()):
            self._bucket.remove(gone)  # of sets that are made anew: their names are needed
        self.is_begun = True

    @property
    def shardings(self) -> dict[str, Sharding]:
        """How the arrays of features lie in objects, by name."""
        return {
            name: sharding_of(
                name,
                read_array_metadata(inside(self.store.folder, name)),
                chunks_a_shard=self.state.chunks_a_shard.get(name),
            )
            for name in feature_arrays(self.store)
        }

    def deliver(self, name: str, rows: Mapping[str, Sequence[int]], *, others: Bool[np.ndarray, " row"]) -> None:
        """Put what the working copy has of `rows` (by feature set) into the bucket, as an attempt at `name`, which is
        that of these rows alone. `others` are the rows that somebody else may write; raises as `deliveries.deliver`."""
        shardings = self.shardings
        is_shared = {array: self._shared(sharding, others) for array, sharding in shardings.items()}
        prefix = prefix_of(self.state.job, name)
        deliver(self.store, self._bucket, prefix, rows=rows, shardings=shardings, is_shared=is_shared)

    def record_delivered(self) -> set[str]:
        """Record in the working copy what was delivered since it was prepared; return the names of the deliveries."""
        return {what_of(prefix) for prefix, _ in self._recorded(self._bucket.listed())}

    def take_in(self) -> None:
        """Record in the working copy what was delivered since it was prepared, and put together the objects that hold
        other rows than those that are complete now. Rows that are lost are missing from here on.

        Raises:
            StoreError: if a delivery is damaged.
        """
        held = self._bucket.listed()
        parts = _parts_of(self._recorded(held))
        while lost := self._put_together(parts, held):
            self.forget(lost)
            held = self._bucket.listed()

    def forget(self, lost: Mapping[str, set[int]]) -> None:
        """Take out rows whose features are gone from the bucket, or are not those that were put there."""
        for name, rows in lost.items():
            say(
                f"{self._bucket.url}: objects with {name} of {count_of(len(rows), self.store.noun)} are gone, damaged "
                "or replaced, and so these are to be made again."
            )
            self.store.forget(name, sorted(rows))

    def lost(self) -> Mapping[str, set[int]]:
        """Rows that are complete, and of which objects are none of those that are known."""
        return rows_of(
            each for key, each in wanted_objects(self.store, self.shardings).items() if key not in self.state.objects
        )

    def _recorded(self, held: Listing) -> list[tuple[str, Delivery]]:
        """The deliveries of this job, once they are recorded in the working copy."""
        deliveries = list(deliveries_of(self._bucket, list(held), self.state.job))
        record_deliveries(self.store, [delivery for _, delivery in deliveries])
        for _, delivery in deliveries:
            self.state.objects.update(delivery.objects)
        return deliveries

    def _put_together(self, parts: Mapping[str, Sequence[tuple[str, Entry]]], held: Listing) -> Mapping[str, set[int]]:
        """Put together the objects that hold other rows than those that are complete; return rows that are lost."""
        wanted, lost = wanted_objects(self.store, self.shardings), list[Wanted]()
        wrong = {*parts, *self._wrong_objects(wanted, held), *(wanted.keys() - self.state.objects.keys())}

        def put_together(each: Wanted) -> None:
            content, without = self._joined(each, parts.get(each.key, ()), held)
            if without:
                lost.append(replace(each, rows=without))
                return
            e_tag = self._bucket.write(each.key, content).e_tag
            self.state.objects[each.key] = Entry.of(content, e_tag=e_tag)

        with_objects(put_together, [wanted[key] for key in wrong & wanted.keys()])
        for key in self.state.objects.keys() - wanted.keys():
            del self.state.objects[key]
        return rows_of(lost)

    def finish(self) -> None:
        """Make the store in the bucket what the working copy and what was delivered are, and let readers have it.

        Raises:
            StoreError: as `take_in`, if rows are lost, and if somebody else has written to the bucket meanwhile.
            BusyError: if another extraction has begun meanwhile.
        """
        if not self.is_begun:
            if self._is_as_in_bucket():
                self._remove_others()
                return
            self.begin()
        held = self._bucket.listed()
        # In this order: whoever has finished it already says so first, and then removes what was delivered.
        self._found = found = found_inventory(self._bucket)
        if found is not None and found.inventory.complete:
            self._remove_others()
            return
        if found is None or found.inventory.job != self.state.job:
            raise self._other_writer()
        if lost := self._put_together(_parts_of(self._recorded(held)), held):
            name, rows = next(iter(lost.items()))
            raise StoreError(
                f"{self._bucket.url}: {name} of {count_of(len(rows), self.store.noun)} is gone or damaged. Run the "
                "same command again, which makes it anew."
            )
        held, objects = self._bucket.listed(), dict(self.state.objects)
        changed = []
        for each in self._planned():
            if shard_named(each.name) and each.name.startswith(FEATURES):
                continue
            if (entry := self._unchanged(each, held)) is not None:
                objects[each.name] = entry
            else:
                changed.append(each)
        self._put(changed, objects)
        self._require_held(objects)
        self._say(complete=True, objects=objects)
        self._remove_others()

    def _planned(self) -> list[Planned]:
        return list(planned_objects(self.store, chunks_a_shard=self._chunks_a_shard()))

    def _chunks_a_shard(self) -> dict[str, int]:
        return {name: sharding.chunks_a_shard for name, sharding in self.shardings.items()}

    def _unchanged(self, planned: Planned, held: Listing) -> Entry | None:
        """What the inventory says of an object that is there as it is to be."""
        entry = None if self._found is None else self._found.inventory.objects.get(planned.name)
        if entry is None or held.get(planned.name) != Held(entry.size, entry.e_tag):
            return None
        content = planned.make()
        return entry if entry.content == (len(content), sha256_of(content)) else None

    def _is_as_in_bucket(self) -> bool:
        """Whether nothing of the store has changed since the copy was opened."""
        if self._found is None or not self._found.inventory.complete:
            return False
        held, planned = self._bucket.listed(), self._planned()
        rest = [each for each in planned if not each.name.startswith(FEATURES) or not shard_named(each.name)]
        return (
            {each.name for each in planned} == self._found.inventory.objects.keys()
            and not self._wrong_objects(wanted_objects(self.store, self.shardings), held)
            and all(self._unchanged(each, held) is not None for each in rest)
        )

    def _wrong_objects(self, wanted: Mapping[str, Wanted], held: Listing) -> set[str]:
        """Objects that are there and are not those that are known to be, or hold other rows."""
        return {
            key
            for key, entry in self.state.objects.items()
            if key not in wanted
            or entry.size != wanted[key].num_bytes
            or held.get(key) != Held(entry.size, entry.e_tag)
        }

    def _joined(self, wanted: Wanted, parts: Sequence[tuple[str, Entry]], held: Listing) -> tuple[bytes, list[int]]:
        """The object with the chunks of exactly its complete rows, those that were delivered or else those there; and
        the rows of which there are none."""
        contents = [self._part(name, entry) for name, entry in parts]
        entry = self.state.objects.get(wanted.key)
        if entry is not None and wanted.key in held:
            there = self._bucket.read(wanted.key)
            # Where it holds the same rows as before, nobody had anything to put there.
            is_as_before = bool(parts) or entry.size != wanted.num_bytes or sha256_of(there) == entry.sha256
            contents = [there, *contents] if is_as_before else contents
        chunks: dict[int, memoryview] = {}
        for content in contents:
            chunks |= wanted.chunks_in(content)
        lost = [row for row in wanted.rows if row not in chunks]
        kept = {row: bytes(chunks[row]) for row in wanted.rows if row in chunks}
        ordered = [kept.get(row) for row in wanted.sharding.chunks_of(wanted.number)]
        return packed(ordered, chunks_a_shard=wanted.sharding.chunks_a_shard), lost

    def _put(self, planned: Sequence[Planned], objects: dict[str, Entry]) -> None:
        def put(each: Planned) -> None:
            content = each.make()
            e_tag = self._bucket.write(each.name, content).e_tag
            objects[each.name] = Entry.of(content, e_tag=e_tag)

        with_objects(put, planned)

    def _require_held(self, objects: Mapping[str, Entry]) -> None:
        held = self._bucket.listed()
        others = [name for name, entry in objects.items() if held.get(name) != Held(entry.size, entry.e_tag)]
        if others:
            raise StoreError(
                f"Somebody else has written to {self._bucket.url} meanwhile, such as {others[0]}. See that nobody "
                "does, and run the same command again."
            )

    def _say(self, *, complete: bool, objects: Mapping[str, Entry]) -> None:
        """Put the inventory in the place of the one that this copy knows, and of no other: whoever has been taken for
        dead meanwhile, and wakes up, changes nothing that anybody reads."""
        job = "" if complete else self.state.job
        inventory = Inventory(str(self._bucket.url), identity_of(self.store), complete, objects, job)
        content = inventory.encoded()
        version = self._bucket.claim(INVENTORY, content, over=None if self._found is None else self._found.version)
        if version is None:
            there = self._bucket.claimed(INVENTORY)  # ours, if only the answer was lost on its way
            version = there[1] if there is not None and there[0] == content else None
        if version is None:
            raise self._other_writer()
        self._found = FoundInventory(inventory, version)

    def _other_writer(self) -> BusyError:
        return BusyError(f"Another extraction into {self._bucket.url} has begun meanwhile. Wait for it to end.")

    def _unchanged_sets(self) -> set[str]:
        """Feature sets that are made as they were when the copy was opened."""
        made_by = self.store.manifest["features"]
        return {name for name in self.store.feature_sets if made_by[name] == self._made_by.get(name)}

    def _keep_objects_of(self, feature_sets: set[str]) -> None:
        """Forget the objects of all other sets, which may lie otherwise by now, or not at all."""
        kept = {f"{FEATURES}{name}/{array}" for name in feature_sets for array in self.store.arrays(name)}
        self.state = self.state.model_copy(
            update={
                "objects": {
                    key: entry for key, entry in self.state.objects.items() if (shard_named(key) or ("", 0))[0] in kept
                },
                "chunks_a_shard": {name: n for name, n in self.state.chunks_a_shard.items() if name in kept},
            }
        )

    def _shared(self, sharding: Sharding, others: Bool[np.ndarray, " row"]) -> Bool[np.ndarray, " shard"]:
        """Which objects of an array hold other rows too: those that are there already, and those of `others`."""
        names = (sharding.key(number) for number in range(sharding.num_shards))
        shared = np.fromiter((name in self.state.objects for name in names), dtype=bool)
        shared[np.flatnonzero(others) // sharding.chunks_a_shard] = True
        return shared

    def _part(self, name: str, entry: Entry) -> memoryview:
        content = self._bucket.read(name)
        if entry.content != (len(content), sha256_of(content)):
            raise StoreError(f"{self._bucket.url}/{name} is damaged: it is not what was delivered.")
        return content

    def _remove_others(self) -> None:
        """Remove what the store does not need any more: what the extraction did, and what others have left."""
        assert self._found is not None
        kept = self._found.inventory.objects.keys() | {INVENTORY, WRITER}
        if others := sorted(filter(is_of_a_store, self._bucket.listed().keys() - kept)):
            self._bucket.remove(others)


def _parts_of(deliveries: Sequence[tuple[str, Delivery]]) -> dict[str, list[tuple[str, Entry]]]:
    """What deliveries, each with the prefix of its names, have of objects: by the name of these, as they are called."""
    parts: dict[str, list[tuple[str, Entry]]] = {}
    for prefix, delivery in deliveries:
        for key, entry in delivery.parts.items():
            parts.setdefault(key, []).append((f"{prefix}/{key}", entry))
    return parts
