"""Files and folders that are either whole or absent: made under a temporary name, synced, then renamed; and locks, so
that one process writes at a time.

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
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import Any, BinaryIO

from .errors import BusyError, NoLocksError, OutputExistsError, disk_named
from .progress import say

WRITERS_LOCK = "writers.lock"  # file in a `joint_folder`, which all who write together hold
_LONGEST_STEM = 24  # characters of the target's name in a temporary one
_LONGEST_SUFFIX = 16
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\..*)?", re.DOTALL)
# A drive over the network may have no locks (ENOLCK, EOPNOTSUPP, ENOSYS), or none on what is opened to be read, as
# every folder is (EBADF: NFS 4).
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
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

    An empty folder at `path` is taken.

    Raises:
        OutputExistsError: if something else is at `path`, or is by the time that the folder is done.
        BusyError: as `scratch_folder`.
        OSError: as `replaced_file`.
    """
    with disk_named(path):
        target = _followed(path)
        if target.exists() and not is_empty_folder(target):
            raise OutputExistsError(f"{path} exists already; move it away, or choose another name.")
        with scratch_folder(path) as temporary:
            yield temporary
            fsync_tree(temporary)
            _take_name(temporary, target)
        fsync_path(target.parent)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, held by this process, and remove it at the end unless it was renamed.

    What killed processes left of earlier attempts is removed, and said to be. A drive that cannot lock folders is found
    out before anything stands at `path`, and leaves nothing there.

    Raises:
        NoLocksError: if the drive does not lock folders.
    """
    target = _followed(path)
    made = [folder for folder in target.parents if not folder.exists()]
    temporary = _temporary_beside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    try:
        temporary.mkdir()
        with locked_folder(temporary, told_as=path):
            yield temporary
    except BusyError:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):  # somebody else's by now
                folder.rmdir()
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked_folder(folder: Path, *, told_as: Path | None = None) -> Iterator[None]:
    """Hold an existing `folder` for writing; the lock ends with the process, however that ends.

    `told_as` is what messages call a folder that has a temporary name.

    Raises:
        BusyError: if another process holds it or has just replaced it.
        NoLocksError: if the drive that it is on has no locks.
    """
    with _locked(folder, LOCK_EX, "writing to it or copying it", told_as=told_as or folder):
        yield


@contextlib.contextmanager
def read_locked_folder(folder: Path) -> Iterator[None]:
    """Keep writers from an existing `folder`; others may do the same meanwhile.

    Raises:
        BusyError: as `locked_folder`; also if several processes write to it together.
    """
    with _locked(folder, LOCK_SH, "writing to it", told_as=folder):
        if is_locked(joint_folder(folder) / WRITERS_LOCK):
            raise BusyError(f"{folder} is busy: several processes are writing to it. Wait for them to end.")
        yield


@contextlib.contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Hold an existing `folder` for writing together with others, who say where in `joint_folder` that they do.

    Raises:
        BusyError: as `locked_folder`.
    """
    with _locked(folder, LOCK_SH, "writing to it", told_as=folder):
        yield


def joint_folder(folder: Path) -> Path:
    """Where processes that write to `folder` together have their locks and tell each other what they do: beside it."""
    target = _followed(folder)
    return target.with_name(f".{target.name}.joint")


def is_locked(path: Path) -> bool:
    """Whether somebody holds the file at `path`, if there is one, by a lock of his."""
    try:
        with _opened_to_lock(path) as file:
            flock(file, LOCK_EX | LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _opened_to_lock(path: Path) -> BinaryIO:
    """For writing, without which a network drive refuses the lock; for reading where that is all that is allowed."""
    try:
        return path.open("r+b")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return path.open("rb")


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
    for temporary in temporaries_of(path):
        if not temporary.is_dir():
            temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary folders that killed processes left where `path` is to be; a lock says that one lives."""
    # Former versions named them by the whole name, without a suffix behind.
    for folder in path.parent.glob(f"{glob.escape(_around(path)[0])}*.tmp*"):
        if is_temporary(folder.name) and folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(BusyError, OSError):
                with locked_folder(folder):
                    shutil.rmtree(folder)
                say(f"Removed what an interrupted attempt had left: {folder}")


def remove_abandoned_files(path: Path) -> None:
    """As `_remove_abandoned`, of a file that several may write at once, each with a lock on the one that is his."""
    for file in temporaries_of(path):
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


def _followed(path: Path) -> Path:
    """Where a path leads in the end, by its own link or one of its folders', whether anything is there or not."""
    return Path(os.path.realpath(path))


def _temporary_beside(path: Path) -> Path:
    start, end = _around(path)
    return path.with_name(f"{start}{uuid.uuid4().hex[:8]}{end}")


def temporaries_of(path: Path) -> list[Path]:
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


@contextlib.contextmanager
def _locked(folder: Path, how: int, others: str, *, told_as: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            flock(descriptor, how | LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{told_as} is busy: another process is {others}. Wait for it to end.") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise NoLocksError(
                f"The drive of {told_as} does not lock folders ({error.strerror}), so two writers could not be kept "
                "apart. Put what is written on a local disk, and copy it there when it is done."
            ) from error
        if not _is_still(folder, descriptor):
            raise BusyError(f"Another process has just replaced or removed {told_as}; run the same command again.")
        yield
    finally:
        os.close(descriptor)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Whether the folder that is locked is the one of that name: it may have been renamed before it could be locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False
