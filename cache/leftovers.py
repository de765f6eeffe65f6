"""What killed writers have left in a store and beside it, which nothing reads: found, shown, removed."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ..atomic import WRITERS_LOCK, is_locked, joint_folder, locked_folder, temporaries_of
from ..errors import BusyError
from ..tables import literal, make_table
from ..wording import count_of, format_size
from .nodes import METADATA_FILE
from .status import Status
from .store import FeatureStore
from .verification.set_findings import is_unfinished

_CHUNK = re.compile(r"c\.(\d+)(\.0)*")


@dataclass(frozen=True)
class Leftover:
    """What can be removed of a folder: `files` in it, or, where there are none, the folder or file itself."""

    path: Path
    files: tuple[str, ...]
    reason: str
    num_bytes: int


def find_leftovers(store_path: Path) -> list[Leftover]:
    """What may go of the store at `store_path`, and beside it, also where there is no store; nothing is changed.

    Raises:
        StoreError: if the store is damaged.
    """
    found = [_whole(path, "left by a kill while it was made or removed") for path in temporaries_of(store_path)]
    if (store_path / METADATA_FILE).is_file():
        found += _in_store(FeatureStore.open(store_path))
    joint = joint_folder(store_path)
    if joint.is_dir() and not is_locked(joint / WRITERS_LOCK):
        found.append(_whole(joint, "notes of workers, none of whom is at work"))
    return found


def remove_leftovers(store_path: Path) -> list[Leftover]:
    """Remove what `find_leftovers` finds while nobody writes to the store, and return it.

    Raises:
        BusyError: if somebody writes to it.
    """
    if not store_path.is_dir():
        return _remove(find_leftovers(store_path))
    with locked_folder(store_path):
        return _remove(find_leftovers(store_path))


def leftovers_document(leftovers: Sequence[Leftover]) -> list[dict[str, Any]]:
    """The same as JSON values."""
    return [
        {"path": str(item.path), "files": list(item.files), "reason": item.reason, "num_bytes": item.num_bytes}
        for item in leftovers
    ]


def leftover_tables(leftovers: Sequence[Leftover], *, done: bool) -> Iterator[RenderableType]:
    """What was removed (`done`) or would be."""
    if not leftovers:
        yield Text("Killed writers have left nothing of the store.")
        return
    table = make_table("removed" if done else "would be removed", left=["path", "what", "because"], right=["size"])
    for item in leftovers:
        what = count_of(len(item.files), "file") if item.files else "all of it"
        table.add_row(*map(literal, (str(item.path), what, item.reason)), format_size(item.num_bytes))
    yield table


def _in_store(store: FeatureStore) -> Iterator[Leftover]:
    """Files that were not finished, chunks of rows that are not complete, and sets that the manifest does not name."""
    groups = {*store.records.layout.groups, "features"}
    complete = {name: store.status(name) == Status.COMPLETE for name in store.feature_sets}
    for parent, folders, names in os.walk(store.folder):
        folders.sort()
        path = Path(parent)
        group, *below = path.relative_to(store.folder).parts or ("",)
        if group in groups and METADATA_FILE in names and any(_CHUNK.fullmatch(name) for name in names):
            owner = "/".join(below if group != "features" else below[:-1])
            if owner not in complete:
                folders.clear()
                yield _whole(path, "of a feature set that the store does not name any more")
                continue
            if group == "features":
                rows = {name: int(match[1]) for name in names if (match := _CHUNK.fullmatch(name))}
                mask = complete[owner]
                orphans = [name for name, row in rows.items() if row >= len(mask) or not mask[row]]
                yield from _some(path, orphans, "of rows that are not complete")
        yield from _some(path, [name for name in names if is_unfinished(name)], "not finished when a writer was killed")


def _some(folder: Path, names: Sequence[str], reason: str) -> Iterator[Leftover]:
    if names:
        yield Leftover(folder, tuple(sorted(names)), reason, sum(_size(folder / name) for name in names))


def _whole(path: Path, reason: str) -> Leftover:
    inside = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return Leftover(path, (), reason, _size(path) if path.is_file() else sum(map(_size, inside)))


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.lstat().st_size
    return 0


def _remove(leftovers: Sequence[Leftover]) -> list[Leftover]:
    removed = []
    for item in leftovers:
        with suppress(BusyError):  # a folder that somebody is making at this moment
            if item.files:
                for name in item.files:
                    (item.path / name).unlink(missing_ok=True)
            elif item.path.is_dir():
                with locked_folder(item.path):
                    shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
            removed.append(item)
    return removed
