"""A store's metadata against its manifest: what it should be is what a store made anew from that manifest has."""

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import write_json
from ...documents import read_document
from ...errors import StoreError
from ...findings import Finding, Severity
from ...wording import count_of
from ..arrays import FeatureSetSpec
from ..buckets.inventory import MIRROR
from ..chunk_files import HOW_TO_MEND
from ..description import read_description
from ..layout import open_array
from ..nodes import METADATA_FILE, MOST_DOCUMENT_BYTES, OLD_METADATA, inside, parse_group_metadata, read_array_metadata
from ..provenance import differences
from ..row_tables import NEXT_TABLES
from ..store import FeatureStore
from .outcome import VERIFICATION, Mend, StoreFinding

# Arrays that say themselves what they are, and are refused wherever a store is opened if they are something else.
_SELF_TOLD = ("targets/", "splits/")
# Groups of arrays whose first axis is rows.
_BY_ROW = ("index", "status", "problem", "source", "digest", "features")
_SHOWN = 3  # differences in a finding

_REMEDY = "`weldcache verify --mend` writes it as the manifest says it is; the chunks stay as they are."
_REMEDY_OF_EXTENSION = "Nothing needs to be done: `weldcache extract` finishes what was interrupted."
_REMEDY_OF_UNKNOWN = "Remove the folder, if nothing of yours is in it: nobody reads it."
_REMEDY_OF_LINK = "Put the folder or file itself in its place: what a link leads to is not the store's."
_REMEDY_OF_OLD = "Remove it: nobody here reads it, and other readers of Zarr could take it for what the store holds."
_REMEDY_OF_INDEX = "Who the rows are can only be told from the data set: extract again into another --cache."

Metadata = Mapping[str, Any]


def _expected_metadata(store: FeatureStore) -> dict[str, dict[str, Any]]:
    """Contents of every `zarr.json` but the root's, by its folder, for the store's manifest and number of rows.

    Made by making such a store, without a row in it, in a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="weldcache-") as folder:
        no_rows, version = store.index.select(np.arange(0)), store.schema_version
        twin = FeatureStore.create(Path(folder) / "twin.zarr", index=no_rows, schema_version=version)
        for name in store.feature_sets:
            made_by = store.manifest["features"][name]["made_by"]
            twin.add_feature_set(FeatureSetSpec(name, list(store.arrays(name).values()), made_by))
        for name in store.constants:
            twin.add_constant(
                name, np.zeros(_length(inside(store.folder, f"constants/{name}")), np.float32), made_by={}
            )
        told = [name for name in _nodes(twin.folder) if not name.startswith(_SELF_TOLD)]
        expected = {name: _read_metadata(twin.folder / name) for name in told}
    num_rows = _described_rows(store)
    for name, metadata in expected.items():
        if metadata["node_type"] == "array" and name.split("/")[0] in _BY_ROW:
            metadata["shape"] = [num_rows, *metadata["shape"][1:]]
    return expected


def verify_metadata(store: FeatureStore) -> tuple[list[Finding], int]:
    """Compare every array and group with the manifest; return what differs, and how many were compared."""
    expected = _expected_metadata(store)
    findings = []
    for name, metadata in expected.items():
        findings += _compare(store.folder / name, name, metadata)
    arrays = {name for name, metadata in expected.items() if metadata["node_type"] == "array"}
    known = {*expected, VERIFICATION, MIRROR, NEXT_TABLES}
    held = list(_nodes(store.folder, stop_at=arrays))
    self_told = [name for name in held if name.startswith(_SELF_TOLD)]
    unknown = [name for name in held if name not in known and name not in self_told]
    if unknown:  # unless somebody gave the store more since it was opened
        added = _expected_metadata(FeatureStore.open(store.path))
        findings += [_unknown(store.folder / name, name) for name in unknown if name not in added]
    for name in (".", *expected, *self_told, VERIFICATION):
        findings += _foreign(store.folder, name)
    findings += _verify_index(store)
    for name in store.constants:
        findings += _verify_constant(store, name)
    return findings, len(expected)


def restore_metadata(store: FeatureStore, names: list[str]) -> None:
    """Write the `zarr.json` of these folders as it should be, but for what the manifest does not name any more."""
    expected = _expected_metadata(store) if names else {}
    for name in (name for name in names if name in expected):
        write_json(inside(store.folder, f"{name}/{METADATA_FILE}"), expected[name])


def _foreign(root: Path, name: str) -> Iterator[Finding]:
    """What lies in the folder of a group or an array and is not Zarr's version 3: links, and older metadata."""
    links = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / name) as entries:
        for entry in entries:
            if entry.name in OLD_METADATA:
                yield _finding("error", f"{entry.name}, metadata of an older Zarr", _REMEDY_OF_OLD, name)
            elif entry.is_symlink():
                links.append(entry.name)
    if links:
        evidence = f"{count_of(len(links), 'link')}, such as {links[0]}"
        yield _finding("error", evidence, _REMEDY_OF_LINK, name)


def _compare(path: Path, name: str, expected: Metadata) -> list[Finding]:
    try:
        held = _read_metadata(path)
    except (OSError, ValueError, TypeError, KeyError) as error:  # whatever Zarr makes of it
        reason = "is gone" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        return [_finding("error", f"the metadata {reason}", _REMEDY, name, mend="restore")]
    found = []
    num_rows, should_be = _num_rows(name, held), _num_rows(name, expected)
    if num_rows is not None and should_be is not None and num_rows > should_be:
        held = {**held, "shape": expected["shape"]}
        more = count_of(num_rows - should_be, "row")
        evidence = f"{more} more than the store has, of an extension that was not finished"
        found.append(_finding("note", evidence, _REMEDY_OF_EXTENSION, name))
    if told := differences(held, expected):
        shown = "; ".join(f"{field} is {mine}, should be {theirs}" for field, mine, theirs in told[:_SHOWN])
        evidence = f"the metadata is not what the manifest says: {shown}"
        found.append(_finding("error", evidence, _REMEDY, name, mend="restore"))
    return found


def _described_rows(store: FeatureStore) -> int:
    """Number of rows that the root's description names."""
    return read_description(inside(store.folder, METADATA_FILE)).num_rows


def _num_rows(name: str, metadata: Metadata) -> int | None:
    """Length of the first axis of an array that has the store's rows."""
    shape = metadata.get("shape")
    return int(shape[0]) if shape and name.split("/")[0] in _BY_ROW else None


def _unknown(path: Path, name: str) -> Finding:
    with os.scandir(path) as entries:
        has_chunks = any(entry.name.startswith("c.") for entry in entries)
    evidence = "the manifest does not know this " + ("array, which has chunks" if has_chunks else "folder")
    return _finding("warning" if has_chunks else "note", evidence, _REMEDY_OF_UNKNOWN, name)


def _verify_index(store: FeatureStore) -> list[Finding]:
    """What opening the store, which reads the whole index and its checksums, does not find."""
    found = []
    index, num_rows = store.index, _described_rows(store)
    for name, column in index.columns().items():
        if len(column) != num_rows:
            evidence = f"{len(column):,} entries, where the store has {num_rows:,} rows"
            found.append(_finding("error", evidence, _REMEDY_OF_INDEX, f"index/{name}"))
    if len(np.unique(index.keys)) < len(index):
        found.append(_finding("error", "two rows have one key", _REMEDY_OF_INDEX, "index/keys"))
    return found


def _verify_constant(store: FeatureStore, name: str) -> list[Finding]:
    try:
        values = store.constant(name)
    except StoreError as error:
        evidence = f"cannot be read ({error})"
    else:
        if np.isfinite(values).all() and values.any():
            return []
        evidence = "NaN, infinity, or zero throughout"
    return [_finding("error", evidence, HOW_TO_MEND, f"constants/{name}", mend="drop")]


def _finding(severity: Severity, evidence: str, remedy: str, name: str, *, mend: Mend = "") -> Finding:
    return StoreFinding("metadata", severity, evidence, remedy, part=name, file=f"{name}/{METADATA_FILE}", mend=mend)


def _read_metadata(path: Path) -> dict[str, Any]:
    """A node's metadata as this version of Zarr writes it, whichever wrote it."""
    raw = read_document(inside(path, METADATA_FILE), most_bytes=MOST_DOCUMENT_BYTES)
    if raw["node_type"] == "group":
        group = parse_group_metadata(raw, path=path)
        return group.model_dump(include={"zarr_format", "node_type", "attributes"})
    return dict(open_array(path).metadata.to_dict())


def _length(path: Path) -> int:
    """Length of a constant, which the manifest does not give; 1 where it cannot be told."""
    try:
        (length,) = read_array_metadata(path).shape
    except (OSError, ValueError):
        return 1
    return max(1, min(length, (path / "c/0").lstat().st_size // 4)) if (path / "c/0").exists() else 1


def _nodes(root: Path, *, stop_at: Collection[str] = ()) -> Iterator[str]:
    """Folders of groups and arrays below `root`, relative to it; chunks are not listed, however many there are."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        name = folder.relative_to(root).as_posix()
        if folder != root:
            yield name
        if name not in stop_at and not _is_array(folder):
            with os.scandir(folder) as entries:
                waiting += sorted(
                    (Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)), reverse=True
                )


def _is_array(folder: Path) -> bool:
    try:
        document = read_document(folder / METADATA_FILE, most_bytes=MOST_DOCUMENT_BYTES)
        return bool(document["node_type"] == "array")
    except (OSError, ValueError, TypeError, KeyError):
        return False
