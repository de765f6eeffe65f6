"""Chunk files of one array in a local store: one file a row, its little-endian bytes followed by their crc32c.

This is the hot path, beside Zarr's own: a row's bytes go from the file straight to their place in the result and are
checked there, and they are written from where they lie. What is read and written here is what Zarr's `bytes` and
`crc32c` codecs specify, so any Zarr v3 reader opens the store, and what Zarr wrote is read here. The small files in
which many rows are recorded together (`records.py`) are read and replaced with the same tools.

A chunk is the old one or the new one after any crash: its file is written under a temporary name, synced, then renamed.
The temporary name is fixed, so that repeating an interrupted write replaces what the interruption left behind.
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
from jaxtyping import UInt8, UInt32
from numpy.typing import NDArray

from ..errors import StoreError

Rows: TypeAlias = Sequence[int] | NDArray[np.int64]
_Item = TypeVar("_Item")
Contents: TypeAlias = Mapping[Path, Mapping[str, NDArray[np.uint8] | None]]
"""Files to replace, by their folder and name, less their checksum; those to remove are None."""

CHECKSUM = struct.Struct("<I")
# More threads than cores: on files that are not in memory they wait for the disk together (4 times faster than one),
# and syncs that overlap share one commit of the file system's journal.
_NUM_THREADS = 8
HOW_TO_MEND = "`weldcache verify --mend`, then `weldcache extract`, computes it again."
_WORK_A_THREAD = 4 << 20  # bytes to read, below which waking another thread costs more than it gains
_MOST_SMALL_BYTES = 64 << 20  # of a text or status; the largest honest text has some kilobytes
_WORK_A_FILE = 64 << 10  # bytes that could be read in the time that opening a file takes


def chunk_path(array_path: Path, row: int, *, num_axes: int) -> Path:
    """File of one row's chunk: Zarr's default key encoding with `.` between coordinates, so that folders stay flat."""
    return array_path / _chunk_name(row, num_axes=num_axes)


def read_rows(
    array_path: Path,
    rows: Rows,
    *,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    out: NDArray[np.generic] | None = None,
    check: bool = True,
) -> NDArray[np.generic]:
    """Read `rows` in this order, each of `shape`, into `out` (whole and C-contiguous) or a new array; return it.

    Without `check` the checksums are not computed, for a caller who has verified the store; lengths always are. After
    an error `out` holds a mixture.

    Raises:
        StoreError: if a chunk is missing, has the wrong length, or fails its checksum.
    """
    result = np.empty((len(rows), *shape), dtype=dtype) if out is None else out
    assert result.shape == (len(rows), *shape), f"{result.shape} is not {len(rows)} rows of {shape}"
    assert result.dtype == dtype, f"{result.dtype} is not {dtype}"
    names, targets = _chunk_names(rows, num_axes=result.ndim), _bytes_of_rows(result)

    def read(position: int) -> None:
        name, target = names[position], targets[position]
        try:
            checksum = _read_chunk(folder, name, target)
        except FileNotFoundError:
            raise _missing(array_path, name) from None
        if checksum is None:
            raise _damaged(array_path, name, "has the wrong length")
        if check and google_crc32c.value(target) != checksum:
            raise _damaged(array_path, name, "does not match its checksum")

    try:
        with _opened(array_path) as folder:
            _for_each(range(len(names)), read, num_threads=_num_readers(len(names), num_bytes=result.nbytes))
    except FileNotFoundError:
        raise StoreError(f"The array {array_path} is gone. Make the store anew with `weldcache extract`.") from None
    return result


def write_rows(array_path: Path, rows: Rows, values: NDArray[np.generic]) -> UInt32[np.ndarray, " row"]:
    """As `write_arrays`, of one array."""
    return write_arrays({array_path: values}, rows)[array_path]


def write_arrays(arrays: Mapping[Path, NDArray[np.generic]], rows: Rows) -> dict[Path, UInt32[np.ndarray, " row"]]:
    """Write `values[i]` of each array, C-contiguous and in the storage type, as the chunk of `rows[i]`; no row stands
    there twice. Return the chunks' checksums.

    On return every byte and every name has reached the disk.

    Raises:
        OSError: if the disk is full or fails. Each of the chunks is then the old one or the new one.
    """
    names = {path: _chunk_names(rows, num_axes=values.ndim) for path, values in arrays.items()}
    contents = {path: dict(zip(names[path], _bytes_of_rows(arrays[path]), strict=True)) for path in arrays}
    assert all(len(files) == len(rows) for files in contents.values()), "a row stands twice in one write"
    checksums = replace_files(contents)
    return {
        path: np.array([checksums[path, name] for name in of_array], dtype=np.uint32)
        for path, of_array in names.items()
    }


def read_checksums(array_path: Path, rows: Rows, *, num_axes: int) -> list[int | None]:
    """The checksum that stands at the end of each row's chunk, whatever the chunk holds; None where there is none."""
    names = _chunk_names(rows, num_axes=num_axes)
    ends = read_files(array_path, names, last_bytes=CHECKSUM.size)
    return [CHECKSUM.unpack(end)[0] if end and len(end) == CHECKSUM.size else None for end in ends]


def _chunk_name(row: int, *, num_axes: int) -> str:
    return f"c.{row}" + ".0" * (num_axes - 1)


def _chunk_names(rows: Rows, *, num_axes: int) -> list[str]:
    return [_chunk_name(row, num_axes=num_axes) for row in np.asarray(rows, dtype=np.int64).tolist()]


def _bytes_of_rows(values: NDArray[np.generic]) -> UInt8[np.ndarray, "row byte"]:
    """The same memory as bytes."""
    assert values.flags.c_contiguous
    num_bytes = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))
    assert num_bytes, f"rows of shape {values.shape[1:]} hold nothing"
    return values.reshape(-1).view(np.uint8).reshape(len(values), num_bytes)


def checksum(content: bytes | NDArray[np.uint8]) -> bytes:
    """The end of a chunk file that holds `content`."""
    return CHECKSUM.pack(google_crc32c.value(content))


def _missing(array_path: Path, name: str) -> StoreError:
    return StoreError(
        f"{array_path.name}: row {name.split('.')[1]} is marked complete and its chunk {array_path / name} is gone. "
        f"{HOW_TO_MEND}"
    )


def _damaged(array_path: Path, name: str, fault: str) -> StoreError:
    return StoreError(
        f"{array_path.name}: the chunk of row {name.split('.')[1]} {fault}: {array_path / name} is damaged. "
        f"{HOW_TO_MEND}"
    )


@contextlib.contextmanager
def _opened(folder_path: Path) -> Iterator[int]:
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


def _read_chunk(folder: int, name: str, target: NDArray[np.uint8]) -> int | None:
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


def read_files(folder_path: Path, names: Sequence[str], *, last_bytes: int = 0) -> list[bytes | None]:
    """Contents of small files, or their `last_bytes` alone; None where there is nothing, b"" where there is no file."""
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

    with contextlib.suppress(FileNotFoundError), _opened(folder_path) as folder:
        _for_each(range(len(names)), read, num_threads=_num_readers(len(names), num_bytes=0))
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
        folders = {path: stack.enter_context(_opened(path)) for path, files in contents.items() if files}
        try:
            _for_each(list(written), write, num_threads=min(_NUM_THREADS, len(written)))
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
        _for_each(list(folders.values()), os.fsync, num_threads=min(_NUM_THREADS, len(folders)))
    return checksums


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


def _num_readers(num_files: int, *, num_bytes: int) -> int:
    """How many threads reading these files keeps busy."""
    return min(_NUM_THREADS, num_files, (num_bytes + num_files * _WORK_A_FILE) // _WORK_A_THREAD)


def _for_each(items: Sequence[_Item], work: Callable[[_Item], None], *, num_threads: int) -> None:
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


@functools.cache
def _pool() -> ThreadPoolExecutor:
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child has none of its parent's threads
    return ThreadPoolExecutor(max_workers=_NUM_THREADS, thread_name_prefix="weldcache-chunks")
