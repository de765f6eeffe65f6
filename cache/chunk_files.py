"""Chunk files of one folder, read and replaced many at once, each with a crc32c of its content at its end.

Threads share the work: files that are not in memory are waited for together, and syncs overlap. A file is the old one
or the new one after any crash: it is written under a temporary name, synced, then renamed. The temporary name is
fixed, so that repeating an interrupted write replaces what the interruption left behind.
"""

import collections
import contextlib
import errno
import functools
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeAlias, TypeVar

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError

_Item = TypeVar("_Item")
Contents: TypeAlias = Mapping[Path, Mapping[str, NDArray[np.uint8] | None]]
"""Files to replace, by their folder and name, less their checksum; those to remove are None."""

CHECKSUM = struct.Struct("<I")
HOW_TO_MEND = "`weldcache verify --mend`, then `weldcache extract`, computes it again."
# More threads than cores: on files that are not in memory they wait for the disk together (4 times faster than one),
# and syncs that overlap share one commit of the file system's journal.
_NUM_THREADS = 8
_WORK_A_THREAD = 4 << 20  # bytes to read, below which waking another thread costs more than it gains
_WORK_A_FILE = 64 << 10  # bytes that could be read in the time that opening a file takes
_MOST_SMALL_BYTES = 64 << 20  # of a text or status; the largest honest text has some kilobytes


def checksum(content: bytes | NDArray[np.uint8]) -> bytes:
    """The end of a chunk file that holds `content`."""
    return CHECKSUM.pack(google_crc32c.value(content))


@contextlib.contextmanager
def opened_folder(folder_path: Path) -> Iterator[int]:
    """A descriptor of a folder: opening files by their name in it spares the system the walk along the path.

    Raises:
        StoreError: if something else than a folder stands there, such as a link to one.
    """
    try:
        descriptor = os.open(folder_path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise StoreError(f"{folder_path} is not a folder, and the chunks of an array should be in it.") from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_into(folder: int, name: str, target: NDArray[np.uint8]) -> int | None:
    """Fill `target` with the chunk's values and return its checksum, or None if the file has the wrong length.

    A link, or what is not a file at all, has the wrong length too.
    """
    trailer = bytearray(CHECKSUM.size + 1)  # a byte to spare, which shows a file that is too long
    buffers = [target.data, memoryview(trailer)]
    expected = target.size + CHECKSUM.size
    file = _open_regular(name, folder)
    if file is None:
        return None
    try:
        num_read = os.readv(file, buffers)
        while 0 < num_read < expected:  # one call reads less than 2 GiB, and may read less than is asked for
            num_more = os.readv(file, _after(buffers, num_read))
            num_read = num_read + num_more if num_more else 0
    finally:
        os.close(file)
    return int(CHECKSUM.unpack_from(trailer)[0]) if num_read == expected else None


def read_files(folder_path: Path, names: Sequence[str], *, last_bytes: int = 0) -> list[bytes | None]:
    """Contents of small files, or their `last_bytes` alone; None where there is none, b"" where a link or a pipe is."""
    contents: list[bytes | None] = [None] * len(names)

    def read(position: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            file = _open_regular(names[position], folder)
            if file is None:
                contents[position] = b""  # damaged, as an empty chunk is
                return
            try:
                size = os.fstat(file).st_size
                start = max(size - last_bytes, 0) if last_bytes else 0
                contents[position] = os.pread(file, min(size - start, _MOST_SMALL_BYTES), start)
            finally:
                os.close(file)

    with contextlib.suppress(FileNotFoundError), opened_folder(folder_path) as folder:
        for_each(range(len(names)), read, num_threads=num_readers(len(names), num_bytes=0))
    return contents


def replace_files(contents: Contents) -> dict[tuple[Path, str], int]:
    """Write every content with its checksum under its name, and remove the names without one; all of it durably.

    Syncs of all the folders' files overlap, so few large calls cost less than many small ones. Returns the checksums,
    by folder and name.

    Raises:
        OSError: if the disk is full or fails. Each of the files is then the old one or the new one.
    """
    written = {
        (path, name): content
        for path, files in contents.items()
        for name, content in files.items()
        if content is not None
    }
    checksums: dict[tuple[Path, str], int] = {}

    def write(file: tuple[Path, str]) -> None:
        path, name = file
        content = written[file]
        end = checksum(content)
        _write_and_sync(folders[path], _temporary(name), [content.data, memoryview(end)])
        checksums[file] = CHECKSUM.unpack(end)[0]

    with contextlib.ExitStack() as stack:
        folders = {path: stack.enter_context(opened_folder(path)) for path, files in contents.items() if files}
        try:
            for_each(list(written), write, num_threads=min(_NUM_THREADS, len(written)))
            for path, name in written:
                os.replace(_temporary(name), name, src_dir_fd=folders[path], dst_dir_fd=folders[path])
        except BaseException:
            for path, name in written:
                with contextlib.suppress(OSError):
                    os.unlink(_temporary(name), dir_fd=folders[path])
            raise
        for path, files in contents.items():
            for name in (name for name, content in files.items() if content is None):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folders[path])
        for_each(list(folders.values()), os.fsync, num_threads=min(_NUM_THREADS, len(folders)))
    return checksums


def num_readers(num_files: int, *, num_bytes: int) -> int:
    """Number of threads that reading these files keeps busy."""
    return min(_NUM_THREADS, num_files, (num_bytes + num_files * _WORK_A_FILE) // _WORK_A_THREAD)


def for_each(items: Sequence[_Item], work: Callable[[_Item], None], *, num_threads: int) -> None:
    """Call `work` on every item, in this thread and `num_threads - 1` more; the first error stops them all.

    Returns or raises only when no thread is at work any more, so that descriptors and buffers can be given up.
    """
    queue = iter(items)  # shared: each thread takes the next item as it becomes free

    def take() -> None:
        try:
            for item in queue:
                work(item)
        except BaseException:
            collections.deque(queue, maxlen=0)  # leave nothing for the others
            raise

    helpers = [_pool().submit(take) for _ in range(num_threads - 1)]
    try:
        take()
    finally:
        wait(helpers)
    for helper in helpers:
        helper.result()


def _open_regular(name: str, folder: int) -> int | None:
    """A descriptor of a file; None where a link, a pipe or a folder stands, which is never followed or waited for."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            return None
        raise
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def _after(buffers: Sequence[memoryview], num_bytes: int) -> list[memoryview]:
    """What is left of `buffers` behind the first `num_bytes`."""
    left = []
    for buffer in buffers:
        left.append(buffer[num_bytes:])
        num_bytes = max(num_bytes - len(buffer), 0)
    return left


def _temporary(name: str) -> str:
    return f".{name}.part"


def _write_and_sync(folder: int, name: str, buffers: Sequence[memoryview]) -> None:
    num_bytes = sum(len(buffer) for buffer in buffers)
    # What an interruption left under this name is replaced; a link or a pipe under it is refused.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(name, flags, 0o666, dir_fd=folder)
    try:
        num_written = os.writev(file, buffers)
        while num_written < num_bytes:  # one call writes less than 2 GiB, and less than is asked for on a full disk
            num_written += os.writev(file, _after(buffers, num_written))
        os.fsync(file)
    finally:
        os.close(file)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child has none of its parent's threads
    return ThreadPoolExecutor(max_workers=_NUM_THREADS, thread_name_prefix="weldcache-chunks")
