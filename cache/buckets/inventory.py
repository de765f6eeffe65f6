"""What a mirror of a store consists of: every object with its size and SHA-256, written down at both ends.

In a bucket it says what readers may believe, in a folder what has arrived. It is rewritten while a mirror is made, as
one that is not complete yet, so that an interrupted one goes on where it was; and last of all as a complete one. It is
the attributes of a group without members, which other readers of Zarr may list without a warning.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field, ValidationError

from ...documents import faults_told, parse_json, seal_holds, sealed
from ...errors import StoreError
from ..nodes import Text, Told
from .bucket import Bucket, Version
from .shards import metadata_key

MIRROR = "mirror"  # the group
INVENTORY = metadata_key(MIRROR)
EXTRACTION = f"{MIRROR}/extraction"  # begins the names of what lies there while somebody extracts into the bucket
STATE = f"{EXTRACTION}/state.zip"
JOB = f"{EXTRACTION}/job.json"
MOST_INVENTORY_BYTES = 256 << 20  # with some 200 for each object
_INTERVAL = 5.0  # seconds of work that a kill may cost


_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Entry(Told):
    """An object: its size in bytes, its SHA-256, and what the bucket's service called this version of it; of features
    that a folder's mirror put there also `traits_of` their chunks."""

    size: Annotated[int, Field(ge=0)]
    sha256: _Sha256
    e_tag: Text | None
    traits: _Sha256 | None = None

    @classmethod
    def of(cls, content: bytes, *, e_tag: str | None) -> "Entry":
        """That of an object with these bytes, as it was put."""
        return cls(size=len(content), sha256=sha256_of(content), e_tag=e_tag)

    @property
    def content(self) -> tuple[int, str]:
        """By which two objects have the same bytes."""
        return self.size, self.sha256


class _ToldInventory(Told):
    url: Text
    store: Text
    complete: bool
    objects: dict[Text, Entry]
    job: Text = ""
    checksum: Text


@dataclass(frozen=True)
class Inventory:
    """What is known of a mirror.

    Attributes:
        url: where it is in a bucket.
        store: which store it is of, see `identity_of`.
        complete: whether it is all there.
        objects: by name; of one that is not complete, those that are done.
        job: the extraction that makes it complete, if one does.
    """

    url: str
    store: str
    complete: bool
    objects: Mapping[str, Entry] = field(default_factory=dict)
    job: str = ""

    def encoded(self) -> bytes:
        """The inventory as the metadata of a group."""
        objects = {name: entry.model_dump() for name, entry in sorted(self.objects.items())}
        told = {"url": self.url, "store": self.store, "complete": self.complete, "objects": objects}
        told |= {"job": self.job} if self.job else {}
        return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": sealed(told)}, indent=1).encode()


@dataclass(frozen=True)
class Mirrored:
    """What a mirroring did: how many objects there are, how many of them had to be copied, and with how many bytes."""

    num_objects: int
    num_copied: int
    num_bytes: int


def parse_inventory(content: bytes, *, where: str) -> Inventory:
    """The inventory that `encoded` made; `where` it is from, for the message.

    Raises:
        StoreError: if it is damaged, or was edited.
    """
    try:
        attributes = parse_json(content)["attributes"]
        if not seal_holds(attributes):
            raise ValueError("it does not agree with its own checksum")
        told = _ToldInventory.model_validate(attributes)
    except ValidationError as error:
        raise StoreError(f"{where} is no inventory of a mirror: {faults_told(error)}.") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StoreError(f"{where} is no inventory of a mirror, or damaged ({error}).") from None
    return Inventory(told.url, told.store, told.complete, told.objects, told.job)


@dataclass(frozen=True)
class FoundInventory:
    """The inventory as it was found or put, and what its service knows this version of it by."""

    inventory: Inventory
    version: Version


def found_inventory(bucket: Bucket) -> FoundInventory | None:
    """The inventory in a bucket; None where there is none. Raises as `parse_inventory`."""
    there = bucket.claimed(INVENTORY)
    return (
        None
        if there is None
        else FoundInventory(parse_inventory(there[0], where=f"{bucket.url}/{INVENTORY}"), there[1])
    )


def sha256_of(content: bytes | memoryview) -> str:
    """SHA-256 of an object, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


class Progressing:
    """An inventory that is being filled by several threads, and written now and then; it begins with what is done."""

    def __init__(self, inventory: Inventory, write: Callable[[bytes], object]) -> None:
        self._inventory = inventory
        self._objects = dict(inventory.objects)
        self._write = write
        self._lock = threading.Lock()
        self._begun = False
        self._last = 0.0

    def begin(self) -> None:
        """Say that the mirror is being changed, before anything of it is; what is said already is not said again."""
        with self._lock:
            if not self._begun:
                self._save(complete=False)
                self._begun = True

    def done(self, name: str, entry: Entry) -> None:
        """Take in an object that is where it belongs."""
        with self._lock:
            self._objects[name] = entry
            if time.monotonic() - self._last > _INTERVAL:
                self._save(complete=False)

    @property
    def objects(self) -> Mapping[str, Entry]:
        """Those that are where they belong."""
        return self._objects

    def finish(self) -> None:
        """Say that all is there."""
        self._save(complete=True)

    def _save(self, *, complete: bool) -> None:
        self._write(replace(self._inventory, complete=complete, objects=dict(self._objects)).encoded())
        self._last = time.monotonic()
