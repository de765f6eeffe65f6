"""What a store says of itself in its root `zarr.json`: sealed with a checksum, so that a change of it is noticed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..documents import fingerprint
from ..documents import sealed as with_checksum
from ..errors import FingerprintError, NotFoundError, StoreError
from .provenance import library_versions

SCHEMA_VERSION = 2
ATTRIBUTE = "weldcache"  # all of ours lies under this one attribute of the root group


def empty_description(*, num_rows: int) -> dict[str, Any]:
    """That of a store without features."""
    manifest: dict[str, Any] = {"features": {}, "constants": {}}
    return sealed(
        {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": library_versions(),
            "num_rows": num_rows,
            "batching": {},
            "manifest": manifest,
        }
    )


def sealed(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description with the fingerprint of its manifest, and a checksum over everything else in it."""
    return with_checksum({**description, "fingerprint": fingerprint(description["manifest"])})


def read_description(path: Path) -> dict[str, Any]:
    """The description in the root `zarr.json` at `path`.

    Raises:
        NotFoundError: if the file describes no store of ours.
        FingerprintError: if it describes one of another version of the schema.
        StoreError: if it is damaged.
    """
    try:
        description: dict[str, Any] = json.loads(path.read_text())["attributes"][ATTRIBUTE]
        version, intact = description["schema_version"], description == sealed(description)
    except (KeyError, ValueError, TypeError, AttributeError):
        if (path.parent / "features").is_dir():
            raise _damaged(path) from None
        raise NotFoundError(
            f"{path.parent} is not a feature store of weldcache: {path} does not describe one."
        ) from None
    if version != SCHEMA_VERSION:
        raise FingerprintError(
            f"{path.parent} has schema version {version}, this weldcache reads {SCHEMA_VERSION}. "
            "Use the weldcache that made it, or extract again into another --cache."
        )
    if not intact:
        raise _damaged(path)
    return description


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is damaged, or was changed by hand: it does not agree with its own checksum. Restore the file from a "
        "copy; the features themselves are not touched by this."
    )


def has_random_backbones(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest, or a part of one, names a backbone with random weights."""
    entries = [entry for kind in manifest.values() for entry in kind.values()]
    return any(entry["made_by"].get("backbone", {}).get("random_weights", False) for entry in entries)
