"""Chunk files of one array in a local store: one file a row, its little-endian bytes followed by their crc32c.

This is the hot path, beside Zarr's own: a row's bytes go from the file straight to their place in the result and are
checked there, and they are written from where they lie. What is read and written here is what Zarr's `bytes`,
`vlen-utf8` and `crc32c` codecs specify, so any Zarr v3 reader opens the store, and what Zarr wrote is read here.

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
from jaxtyping import UInt8
from numpy.typing import NDArray

from ..errors import StoreError

_Rows: TypeAlias = Sequence[int] | NDArray[np.int64]
_Item = TypeVar("_Item", int, str)

_CHECKSUM = struct.Struct("<I")
_TEXT_HEADER = struct.Struct("<II")  # vlen-utf8: how many texts, then the bytes of the first, here the only one
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
    rows: _Rows,
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


def write_rows(array_path: Path, rows: _Rows, values: NDArray[np.generic]) -> None:
    """Write `values[i]`, C-contiguous and in the storage type, as the chunk of `rows[i]`; no row stands there twice.

    On return every byte and every name has reached the disk.

    Raises:
        OSError: if the disk is full or fails. Each of the chunks is then the old one or the new one.
    """
    contents = dict(zip(_chunk_names(rows, num_axes=values.ndim), _bytes_of_rows(values), strict=True))
    assert len(contents) == len(rows), "a row stands twice in one write"
    _replace_files(array_path, contents)


def write_texts(array_path: Path, rows: _Rows, texts: Sequence[str]) -> None:
    """Write `texts[i]` as the chunk of `rows[i]`, as durably as `write_rows`; an empty text removes the chunk.

    Raises:
        OSError: if the disk is full or fails. Each of the chunks is then the old one or the new one.
    """
    # Lone surrogates, as in the names of files that are not UTF-8, are written as the escapes that Python shows.
    encoded = [text.encode(errors="backslashreplace") for text in texts]
    bodies = [np.frombuffer(_text_body(text), dtype=np.uint8) if text else None for text in encoded]
    contents = dict(zip(_chunk_names(rows, num_axes=1), bodies, strict=True))
    assert len(contents) == len(rows), "a row stands twice in one write"
    _replace_files(array_path, contents)


def read_texts(array_path: Path, rows: _Rows) -> list[str]:
    """Read one text a row, "" where there is none.

    Raises:
        StoreError: if a chunk is damaged.
    """
    names = _chunk_names(rows, num_axes=1)
    texts = []
    for name, chunk in zip(names, _read_small_files(array_path, names), strict=True):
        text = b"" if chunk is None else chunk[_TEXT_HEADER.size : -_CHECKSUM.size]
        if chunk is not None and chunk != _text_body(text) + _checksum(_text_body(text)):
            raise _damaged(array_path, name, "does not match its checksum")
        texts.append(text.decode())
    return texts


def read_bytes_or_zeros(array_path: Path, rows: _Rows) -> UInt8[np.ndarray, " row"]:
    """Read one uint8 a row; a row that was never written, or whose chunk is damaged, reads as zero."""
    value_of = _values_of_byte_chunks()
    chunks = _read_small_files(array_path, _chunk_names(rows, num_axes=1))
    return np.array([value_of.get(chunk, 0) for chunk in chunks], dtype=np.uint8)


def _chunk_name(row: int, *, num_axes: int) -> str:
    return f"c.{row}" + ".0" * (num_axes - 1)


def _chunk_names(rows: _Rows, *, num_axes: int) -> list[str]:
    return [_chunk_name(row, num_axes=num_axes) for row in np.asarray(rows, dtype=np.int64).tolist()]


def _bytes_of_rows(values: NDArray[np.generic]) -> UInt8[np.ndarray, "row byte"]:
    """The same memory as bytes."""
    assert values.flags.c_contiguous
    num_bytes = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))
    assert num_bytes, f"rows of shape {values.shape[1:]} hold nothing"
    return values.reshape(-1).view(np.uint8).reshape(len(values), num_bytes)


def _text_body(text: bytes) -> bytes:
    return _TEXT_HEADER.pack(1, len(text)) + text


def _checksum(content: bytes | NDArray[np.uint8]) -> bytes:
    return _CHECKSUM.pack(google_crc32c.value(content))


@functools.cache
def _values_of_byte_chunks() -> Mapping[bytes | None, int]:
    """The value of each of the 256 chunks that hold one byte."""
    all_bytes = [bytes([value]) for value in range(256)]
    return {data + _checksum(data): value for value, data in enumerate(all_bytes)}


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
    trailer = bytearray(_CHECKSUM.size + 1)  # a byte to spare, which shows a file that is too long
    buffers = [target.data, memoryview(trailer)]
    expected = target.size + _CHECKSUM.size
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
    return int(_CHECKSUM.unpack_from(trailer)[0]) if num_read == expected else None


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


def _read_small_files(folder_path: Path, names: Sequence[str]) -> list[bytes | None]:
    """Contents of the files, None where there is no file."""
    contents: list[bytes | None] = [None] * len(names)

    def read(position: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            file = _open_regular(names[position], folder)
            if file is None:
                contents[position] = b""  # damaged, as an empty chunk is
                return
            try:
                contents[position] = os.read(file, min(os.fstat(file).st_size, _MOST_SMALL_BYTES))
            finally:
                os.close(file)

    with contextlib.suppress(FileNotFoundError), _opened(folder_path) as folder:
        _for_each(range(len(names)), read, num_threads=_num_readers(len(names), num_bytes=0))
    return contents


def _replace_files(folder_path: Path, contents: Mapping[str, NDArray[np.uint8] | None]) -> None:
    """Write every content with its checksum under its name, and remove the names without one; all of it durably."""
    written = {name: f".{name}.part" for name, content in contents.items() if content is not None}

    def write(name: str) -> None:
        content = contents[name]
        assert content is not None
        _write_and_sync(folder, written[name], [content.data, memoryview(_checksum(content))])

    with _opened(folder_path) as folder:
        try:
            _for_each(list(written), write, num_threads=min(_NUM_THREADS, len(written)))
            for name, temporary_name in written.items():
                os.replace(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            for temporary_name in written.values():
                with contextlib.suppress(OSError):
                    os.unlink(temporary_name, dir_fd=folder)
            raise
        for name in contents.keys() - written.keys():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
        os.fsync(folder)


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
