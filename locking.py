"""One writer at a time: a lock on a folder that ends with its process, however that ends."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from .errors import BusyError

# A drive over the network may have no locks (ENOLCK, EOPNOTSUPP, ENOSYS), or none on what is opened to be read, as
# every folder is (EBADF: NFS 4).
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold an existing `folder` for writing.

    Raises:
        BusyError: if another process holds it or has just replaced it, or the drive that it is on has no locks.
    """
    with _locked(folder, LOCK_EX, "writing to it or copying it"):
        yield


@contextmanager
def read_locked_folder(folder: Path) -> Iterator[None]:
    """Keep writers from an existing `folder`; others may do the same meanwhile.

    Raises:
        BusyError: as `locked_folder`.
    """
    with _locked(folder, LOCK_SH, "writing to it"):
        yield


@contextmanager
def _locked(folder: Path, how: int, others: str) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            flock(descriptor, how | LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{folder} is busy: another process is {others}. Wait for it to end.") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise BusyError(
                f"The drive of {folder} does not lock folders ({error.strerror}), so two writers could not be kept "
                "apart. Put what is written on a local disk, and copy it there when it is done."
            ) from error
        if not _is_still(folder, descriptor):
            raise BusyError(f"Another process has just replaced or removed {folder}; run the same command again.")
        yield
    finally:
        os.close(descriptor)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Whether the folder that is locked is the one of that name: it may have been renamed before it could be locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False
