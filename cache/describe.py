"""A store described in plain JSON values: what it holds, what made it, what is missing, whether it was verified."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from ..documents import fingerprint
from ..errors import StoreError
from .arrays import ACTIVE
from .description import RENEWABLE_VERSION, SCHEMA_VERSION, has_random_backbones
from .index import Index
from .notes import Note, notes_of
from .splits import LEFT_OUT, Split, parts_in
from .splitting import torn_groups
from .status import Status
from .store import FeatureStore
from .targets import DEFECT, LABEL, NORMAL, UNKNOWN
from .verification.outcome import ROW_DIGESTS, changed_rows, read_record

_BLOCK_ROWS = 4096  # of onsets that are read together

Statuses = Mapping[str, UInt8[np.ndarray, " row"]]


def identity_json(store: FeatureStore) -> dict[str, Any]:
    """Which store it is."""
    return {"store": str(store.path), "fingerprint": store.fingerprint, "num_rows": len(store.index)}


def describe_store(store: FeatureStore) -> dict[str, Any]:
    """Everything that `weldcache info` tells. Chunks of features are not read, but for the onsets."""
    statuses = {name: store.status(name) for name in store.feature_sets}
    feature_sets = {name: _describe_set(store, name, statuses[name]) for name in store.feature_sets}
    return {
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "store_schema_version": store.schema_version,
        "schema_note": _schema_note(store),
        "created": store.created,
        "noun": store.noun,
        "versions": dict(store.versions),
        "batching": dict(store.batching),
        "random_backbones": store.random_backbones,
        "num_rows": len(store.index),
        "num_left_out": int(np.sum(store.index.parts == LEFT_OUT)),
        "classes": class_counts(store.index),
        "normal_classes": sorted(set(store.index.class_names[store.index.labels == NORMAL].tolist())),
        "labels": label_counts(store.index),
        "targets": {
            name: {
                "dtype": spec.dtype,
                "shape": list(spec.shape),
                "classes": None if spec.classes is None else list(spec.classes),
                "unit": spec.unit,
            }
            for name, target in store.index.targets.items()
            for spec in [target.spec]
        },
        "splits": splits_json(store, list(store.splits().values())),
        "feature_sets": feature_sets,
        "constants": {
            name: {"made_by": entry["made_by"], "fingerprint": store.fingerprint_of([name])}
            for name, entry in store.manifest["constants"].items()
        },
        "bytes": sum(entry["bytes"] for entry in feature_sets.values()),
        "disk": _disk_usage(store),
        "health": _describe_health(store, statuses),
    }


def splits_json(store: FeatureStore, splits: Sequence[Split]) -> dict[str, Any]:
    """Splits of a store by name: rows by part, hash, what each was made by, and what is to be known of its groups."""
    return {
        split.name: {
            "rows": split.counts(),
            "hash": split.hash_of(store.index.keys),
            "made_by": dict(split.made_by),
            "torn_groups": torn_groups(store.index, split, noun=store.noun),
        }
        for split in splits
    }


def class_counts(index: Index) -> dict[str, dict[str, int]]:
    """Rows by class and part, without those that are left out."""
    counted = Counter(zip(index.parts.tolist(), index.class_names.tolist(), strict=True))
    listed = index.select(np.flatnonzero(index.parts != LEFT_OUT))
    # Normal classes first, unknown ones (-1) last, each by name, so that equal stores print equal tables.
    order = sorted(set(zip(listed.labels.astype(np.uint8).tolist(), listed.class_names.tolist(), strict=True)))
    parts = parts_in(index.parts)
    return {name: {part: counted[part, name] for part in parts} for _, name in order}


def label_counts(index: Index) -> dict[str, Any]:
    """How many rows are normal, defects, or neither is known, and of which classes; nothing where there is no label."""
    if LABEL.name not in index.targets:
        return {}
    listed = index.parts != LEFT_OUT
    described = {}
    for name, label in (("normal", NORMAL), ("defects", DEFECT), ("unknown", UNKNOWN)):
        chosen = listed & (index.labels == label)
        classes = sorted(set(index.class_names[chosen].tolist()))
        described[name] = {"rows": int(chosen.sum()), "classes": classes}
    return described


def _schema_note(store: FeatureStore) -> str | None:
    """What to know of a store that a former weldcache made."""
    if store.schema_version == SCHEMA_VERSION:
        return None
    made = f"made by a former weldcache (schema version {store.schema_version})"
    if store.schema_version < RENEWABLE_VERSION:
        return f"{made}: it can be read, trained on and judged, and nothing can be added; extract into another --cache"
    return f"{made}: it can be read; `weldcache extract` brings it up to date without computing anything again"


def _describe_set(store: FeatureStore, name: str, status: UInt8[np.ndarray, " row"]) -> dict[str, Any]:
    entry = store.manifest["features"][name]
    rows = {state.name.lower(): int(np.sum(status == state)) for state in Status}
    arrays = {
        array: {
            **entry["arrays"][array],
            "bytes": spec.row_bytes * rows["complete"],
            "fingerprint": fingerprint({"made_by": entry["made_by"], "array": entry["arrays"][array]}),
        }
        for array, spec in store.arrays(name).items()
    }
    return {
        "made_by": entry["made_by"],
        "random_weights": has_random_backbones({"features": {name: entry}}),
        "fingerprint": store.fingerprint_of([name]),
        "rows": rows,
        "bytes": sum(array["bytes"] for array in arrays.values()),
        "arrays": arrays,
    }


def _disk_usage(store: FeatureStore) -> dict[str, int]:
    """Room that a store's files take on the disk, in whole blocks of it, and how many they are; or those of the objects
    in a bucket."""
    if store.bucket is not None:
        return {"bytes": store.bucket.num_bytes, "files": store.bucket.num_objects}
    num_bytes = num_files = 0
    waiting = [str(store.folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                with suppress(FileNotFoundError):  # a temporary file of a writer that is at work
                    # What st_blocks counts is 512 bytes, whatever the disk's blocks are.
                    num_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
                    num_files += 1
    return {"bytes": num_bytes, "files": num_files}


def _describe_health(store: FeatureStore, statuses: Statuses) -> dict[str, Any]:
    listed = store.index.parts != LEFT_OUT
    complete = listed.copy()
    for status in statuses.values():
        complete &= status == Status.COMPLETE
    num_complete = int(complete.sum()) if statuses else 0
    damage = list(_lost_statuses(store))
    return {
        "num_complete": num_complete,
        "complete_share": num_complete / int(listed.sum()) if listed.any() else 0.0,
        "problems": [_describe_note(note) for note in notes_of(store, damage=damage)],
        "onset_offsets": _onset_offsets(store, statuses, damage),
        "damage": damage,
        "verification": _describe_verification(store, statuses, damage),
    }


def _describe_verification(store: FeatureStore, statuses: Statuses, damage: list[str]) -> dict[str, Any] | None:
    """The last verification's record, and how many rows it does not speak of, as they are now."""
    try:
        record = read_record(store.folder)
    except StoreError as error:
        damage.append(str(error))
        return None
    if record is None:
        return None
    digests = record.pop(ROW_DIGESTS, None)
    complete = np.zeros(len(store.index), dtype=bool)
    for status in statuses.values():
        complete |= status == Status.COMPLETE
    num_changed = changed_rows(store, statuses, digests if isinstance(digests, dict) else {})
    return {**record, "num_complete": int(complete.sum()), "num_changed": num_changed}


def _lost_statuses(store: FeatureStore) -> Iterator[str]:
    for name in store.feature_sets:
        try:
            store.records.require_statuses(name)
        except StoreError as error:
            yield str(error)


def _describe_note(note: Note) -> dict[str, Any]:
    feature_sets = {name: status.name.lower() for name, status in note.statuses.items()}
    return {"key": note.key, "reason": note.reason, "feature_sets": feature_sets}


def _onset_offsets(store: FeatureStore, statuses: Statuses, damage: list[str]) -> list[dict[str, Any]]:
    """By how much what is recorded begins later in the files of one feature set than in another's, in seconds."""
    onsets: dict[str, Float64[np.ndarray, " row"]] = {}
    for name in store.feature_sets:
        if ACTIVE in store.arrays(name) and store.arrays(name)[ACTIVE].shape == (2,):
            try:
                onsets[name] = _onsets(store, name, statuses[name])
            except StoreError as error:
                damage.append(str(error))
    return [
        _describe_offset(first, second, onsets[first] - onsets[second]) for first, second in combinations(onsets, 2)
    ]


def _onsets(store: FeatureStore, name: str, status: UInt8[np.ndarray, " row"]) -> Float64[np.ndarray, " row"]:
    """Second of the onset in every row; NaN where it is not known."""
    onsets = np.full(len(store.index), np.nan)
    complete = np.flatnonzero(status == Status.COMPLETE)
    for start in range(0, len(complete), _BLOCK_ROWS):
        rows = complete[start : start + _BLOCK_ROWS]
        onsets[rows] = store.read(f"{name}/{ACTIVE}", rows)[:, 0]
    return onsets


def _describe_offset(first: str, second: str, offsets: Float64[np.ndarray, " row"]) -> dict[str, Any]:
    known = offsets[np.isfinite(offsets)]
    described: dict[str, Any] = {"feature_sets": [first, second], "num_rows": len(known)}
    if len(known):
        described["median"] = float(np.median(known))
        described["median_absolute"] = float(np.median(np.abs(known)))
        described["p95_absolute"] = float(np.percentile(np.abs(known), 95))
    return described
