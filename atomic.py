"""Files and folders that are either whole or absent: made under a temporary name, synced, then renamed.

Temporary names are of bounded length, since a name that is long but allowed leaves no room for more, and begin like the
target's, so that what a killed process left behind is found and removed by the next one. A link is followed first, also
one whose target is not there yet: what is renamed takes the target's place and the link stays.
"""

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from .errors import BusyError, OutputExistsError, WeldcacheError
from .locking import locked_folder
from .progress import say

_NEARLY_FULL = 1 << 20  # bytes; with fewer free, a library that only says that writing failed means the disk
_LONGEST_STEM = 24  # characters of the target's name in a temporary one
_LONGEST_SUFFIX = 16
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\..*)?", re.DOTALL)
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # what renaming a folder to a name in use gives


def fsync_path(path: Path) -> None:
    """Make a file's bytes, or the renames inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Make every file and folder below `folder` survive a power cut."""
    for path in [folder, *folder.rglob("*")]:
        fsync_path(path)


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`, on failure remove it.

    The parent folder is made if needed. The temporary name ends in `path`'s own suffix, because some writers choose
    the format by it. Whatever the writer does, the file has the rights that any new file of the user has.

    Raises:
        OSError: if the disk refuses, with `path` as its file, also where a library has an error of its own for it.
    """
    with disk_named(path):
        target = _followed(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_beside(target)
        try:
            temporary.touch(exist_ok=False)
            rights = temporary.stat().st_mode
            yield temporary
            temporary.chmod(rights)
            fsync_path(temporary)
            temporary.replace(target)
            fsync_path(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder, held by this process; on success sync it and rename it to `path`, on failure remove it.

    An empty folder at `path` is taken. What killed processes left of earlier attempts is removed, and said to be. A
    drive that cannot lock folders is found out here, before anything stands at `path`.

    Raises:
        OutputExistsError: if something else is at `path`, or is by the time that the folder is done.
        BusyError: if the drive does not lock folders.
        OSError: as `replaced_file`.
    """
    with disk_named(path):
        target = _followed(path)
        if target.exists() and not is_empty_folder(target):
            raise OutputExistsError(f"{path} exists already; move it away, or choose another name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target)
        temporary = _temporary_beside(target)
        try:
            temporary.mkdir()
            with locked_folder(temporary):
                yield temporary
                fsync_tree(temporary)
                _take_name(temporary, target)
            fsync_path(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def is_empty_folder(path: Path) -> bool:
    """Whether a folder is there and holds nothing, so that what is to be made may take its place."""
    return path.is_dir() and next(path.iterdir(), None) is None


def remove_folder(path: Path) -> None:
    """Remove a folder by one renaming, so that a kill leaves it whole, or gone but for a temporary name."""
    target = _followed(path)
    doomed = _temporary_beside(target)
    target.rename(doomed)
    shutil.rmtree(doomed)


def is_temporary(name: str) -> bool:
    """Whether a file or a folder has a name that only something unfinished or half removed has."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_partial(path: Path) -> None:
    """Remove what killed processes had written of a file that the caller alone writes."""
    for temporary in _temporaries_of(path):
        if not temporary.is_dir():
            temporary.unlink(missing_ok=True)


def remove_abandoned(path: Path) -> None:
    """Remove the temporary folders that killed processes left where `path` is to be; a lock says that one lives."""
    # Former versions named them by the whole name, without a suffix behind.
    for folder in path.parent.glob(f"{glob.escape(_around(path)[0])}*.tmp*"):
        if is_temporary(folder.name) and folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(BusyError, OSError):
                with locked_folder(folder):
                    shutil.rmtree(folder)
                say(f"Removed what an interrupted attempt had left: {folder}")


def remove_abandoned_files(path: Path) -> None:
    """As `remove_abandoned`, of a file that several may write at once, each with a lock on the one that is his."""
    for file in _temporaries_of(path):
        if file.is_file() and not file.is_symlink():
            with contextlib.suppress(OSError), file.open("rb") as opened:
                flock(opened, LOCK_EX | LOCK_NB)  # else the process that writes it lives
                file.unlink()
                say(f"Removed what an interrupted attempt had left: {file}")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by a file that holds `data`."""
    with replaced_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by a UTF-8 file that holds `text`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON; NaN and infinity are refused, as JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def disk_named(path: Path) -> Iterator[None]:
    """Give the operating system's refusals the path that was worked on; other errors pass unless the disk is full.

    A write that a full disk refuses names no file. Libraries in Rust put the system's number into a text, and
    libsndfile says no more than that it failed: these become the OSError that they come from.
    """
    try:
        yield
    except WeldcacheError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    except Exception as error:
        number = _system_error_of(error, path)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _system_error_of(error: Exception, path: Path) -> int | None:
    """The number of the system's error behind another library's; None where there is none."""
    if told := re.search(r"\(os error (\d+)\)", str(error)):
        return int(told[1])
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    return errno.ENOSPC if shutil.disk_usage(existing).free < _NEARLY_FULL else None


def _followed(path: Path) -> Path:
    """Where a path leads in the end, by its own link or one of its folders', whether anything is there or not."""
    return Path(os.path.realpath(path))


def _temporary_beside(path: Path) -> Path:
    start, end = _around(path)
    return path.with_name(f"{start}{uuid.uuid4().hex[:8]}{end}")


def _temporaries_of(path: Path) -> list[Path]:
    """What has a temporary name for `path`, of processes that are at work or were killed; nothing of the user's."""
    target = _followed(path)
    start, end = map(glob.escape, _around(target))
    return sorted(found for found in target.parent.glob(f"{start}*{end}") if is_temporary(found.name))


def _around(path: Path) -> tuple[str, str]:
    """What stands before and behind the random part of a temporary name."""
    return f".{path.stem[:_LONGEST_STEM]}.", f".tmp{path.suffix[:_LONGEST_SUFFIX]}"


def _take_name(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise OutputExistsError(f"{target} was made by somebody else meanwhile; choose another name.") from None
        raise
