"""One writer at a time: a lock on a folder that ends with its process, however that ends."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from .errors import BusyError

# A drive over the network may have no locks (ENOLCK, EOPNOTSUPP, ENOSYS), or none on what is opened to be read, as
# every folder is (EBADF: NFS 4).
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold an existing `folder` for writing.

    Raises:
        BusyError: if another process holds it, or the drive that it is on has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"Another process is writing to {folder}; wait for it to end.") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise BusyError(
                f"The drive of {folder} does not lock folders ({error.strerror}), so two writers could not be kept "
                "apart. Put what is written on a local disk, and copy it there when it is done."
            ) from error
        yield
    finally:
        os.close(descriptor)
