"""The working copy of a store in a bucket as one object there: its files and what is known beside them, packed.

One object is put whole or not at all, where many files could be of two states.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from ...documents import faults_told, parse_json, seal_holds, sealed
from ...errors import StoreError
from ..nodes import METADATA_FILE, Text, Told, inside
from ..store import FeatureStore
from .bucket import Bucket
from .inventory import STATE, Entry
from .shards import FEATURES

_TOLD = "state.json"  # in it, beside the files of the working copy
_STORE = "store/"
# What damaged archives and strangers' make the library raise.
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, zipfile.BadZipFile)


class State(Told):
    """What is known beside the working copy.

    Attributes:
        job: whose deliveries are not in the copy yet; others' are.
        objects: of features, that hold what the copy says is complete.
        chunks_a_shard: of the arrays of features.
    """

    job: Text
    objects: dict[str, Entry]
    chunks_a_shard: dict[str, int]
    checksum: Text = ""

    @classmethod
    def new(cls, objects: Mapping[str, Entry], chunks_a_shard: Mapping[str, int]) -> "State":
        """That of a copy to which nobody delivers yet."""
        return cls(job="none", objects=dict(objects), chunks_a_shard=dict(chunks_a_shard))


def packed_state(store: FeatureStore, state: State) -> bytes:
    """The state with all files of the working copy but chunks of features; not compressed, so that none can be made
    that unpacks to more than it is."""
    content = io.BytesIO()
    told = sealed(state.model_dump(mode="json"))
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_TOLD, json.dumps(told))
        for path in sorted(store.folder.rglob("*")):
            name = path.relative_to(store.folder).as_posix()
            is_chunk = name.startswith(FEATURES) and path.name != METADATA_FILE
            if path.is_file() and not is_chunk and not path.name.startswith("."):
                archive.writestr(f"{_STORE}{name}", path.read_bytes())
    return content.getvalue()


def unpack_state(bucket: Bucket, folder: Path) -> State:
    """Lay the working copy out in `folder`, which is new, and return what is known beside it."""
    where = f"{bucket.url}/{STATE}"
    try:
        with zipfile.ZipFile(io.BytesIO(bucket.read(STATE))) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")
            told = parse_json(archive.read(_TOLD))
            if not seal_holds(told):
                raise ValueError("it does not agree with its own checksum")
            folder.mkdir()
            for name in archive.namelist():
                if name != _TOLD:
                    path = inside(folder, name.removeprefix(_STORE))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(name))
        return State.model_validate(told)
    except ValidationError as error:
        raise StoreError(f"{where} is no working copy: {faults_told(error)}.") from None
    except _DAMAGE as error:
        raise StoreError(f"{where} is no working copy, or damaged ({error}).") from None
