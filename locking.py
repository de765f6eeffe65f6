"""One writer at a time: a lock on a folder that ends with its process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from .errors import BusyError


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold an existing `folder` for writing.

    Raises:
        BusyError: if another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"Another process is writing to {folder}; wait for it to end.") from None
        yield
    finally:
        os.close(descriptor)
