"""Chunk files are what Zarr reads and writes, every fault in them is seen, and a failed write harms nothing."""

import contextlib
import errno
import itertools
import multiprocessing
import os
import resource
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, Crc32cCodec

from weldcache.cache import chunk_files, chunks
from weldcache.errors import StoreError

SHAPE, DTYPE = (2, 3), np.dtype("<f2")
NUM_ROWS = 5


def make_array(path: Path, *, shape: Sequence[int], dtype: Any) -> Any:
    """An array as the store lays it out, made by Zarr; `shape` with the rows."""
    return zarr.create_array(
        path,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=dtype,
        serializer="auto" if dtype is str else BytesCodec(),
        compressors=[Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": dtype is not str},
    )


def castagnoli(data: bytes) -> int:
    """Crc32c by its definition, bit after bit."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def decoded(path: Path) -> bytes:
    """The values in a chunk file by the definition of its codecs."""
    data = path.read_bytes()
    assert data[-4:] == struct.pack("<I", castagnoli(data[:-4]))
    return data[:-4]


@contextlib.contextmanager
def many_threads() -> Iterator[None]:
    """Read with all threads, however little there is to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_files, "_WORK_A_THREAD", 1)
        yield


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Any bits, NaNs among them, in rows of any shape."""
    shape = (draw(st.integers(1, 6)), *draw(st.lists(st.integers(1, 5), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(["<f2", "<f4", "<f8", "<i4", "<u2", "|u1"])))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return np.frombuffer(generator.bytes(int(np.prod(shape)) * dtype.itemsize), dtype=dtype).reshape(shape)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(NUM_ROWS, *SHAPE)).astype(DTYPE)


@pytest.fixture
def folder(tmp_path: Path, values: np.ndarray) -> Path:
    """Chunks of `values`."""
    path = tmp_path / "tokens"
    path.mkdir()
    chunks.write_rows(path, range(NUM_ROWS), values)
    return path


def read(folder: Path, rows: Sequence[int] = range(NUM_ROWS), **options: Any) -> np.ndarray:
    return chunks.read_rows(folder, rows, shape=SHAPE, dtype=DTYPE, **options)


def test_the_definition_of_the_checksum_is_right() -> None:
    assert castagnoli(b"123456789") == 0xE3069283  # the value that RFC 3720's polynomial is known by


@settings(max_examples=60)
@given(values=arrays(), data=st.data())
def test_what_zarr_wrote_is_read_the_same_on_every_way(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("array")
    array = make_array(path, shape=values.shape, dtype=values.dtype)
    array[...] = values
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=12))
    expected = values[rows]
    assert array[...][rows].tobytes() == expected.tobytes()
    files = [chunks.chunk_path(path, row, num_axes=values.ndim) for row in rows]
    assert b"".join(decoded(file) for file in files) == expected.tobytes()
    for check in (True, False):
        options: dict[str, Any] = {"shape": values.shape[1:], "dtype": values.dtype, "check": check}
        one_thread = chunks.read_rows(path, rows, **options)
        with many_threads():
            threads = chunks.read_rows(path, np.array(rows, dtype=np.int64), **options)
        out = np.empty_like(expected)
        assert chunks.read_rows(path, rows, out=out, **options) is out
        assert one_thread.shape == threads.shape == expected.shape
        assert one_thread.dtype == threads.dtype == expected.dtype
        assert one_thread.tobytes() == threads.tobytes() == out.tobytes() == expected.tobytes()


@settings(max_examples=40)
@given(values=arrays(), data=st.data())
def test_what_is_written_is_read_by_zarr_and_leaves_other_rows_alone(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, data: st.DataObject
) -> None:
    path, num_rows = tmp_path_factory.mktemp("array"), len(values)
    array = make_array(path, shape=values.shape, dtype=values.dtype)
    rows = data.draw(st.lists(st.integers(0, num_rows - 1), unique=True, max_size=num_rows))
    chunks.write_rows(path, rows, values[: len(rows)])
    expected = np.zeros_like(values)
    expected[rows] = values[: len(rows)]
    assert array[...].tobytes() == expected.tobytes()
    files = {chunks.chunk_path(path, row, num_axes=values.ndim).name for row in rows}
    assert {entry.name for entry in path.iterdir()} == files | {"zarr.json"}


def test_any_changed_byte_of_a_row_is_found(folder: Path, values: np.ndarray) -> None:
    path = chunks.chunk_path(folder, 3, num_axes=3)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
            with pytest.raises(StoreError, match=r"tokens: the chunk of row 3 does not match its checksum.*extract"):
                read(folder, [3])
    with many_threads(), pytest.raises(StoreError, match=r"c\.3\.0\.0 is damaged"):
        read(folder)
    assert read(folder, [0, 4]).tobytes() == values[[0, 4]].tobytes()


@pytest.mark.parametrize("check", [True, False])
def test_any_wrong_length_is_found(folder: Path, check: bool) -> None:
    path = chunks.chunk_path(folder, 1, num_axes=3)
    whole = path.read_bytes()
    for data in (*(whole[:length] for length in range(len(whole))), whole + b"\0", whole + whole):
        path.write_bytes(data)
        with pytest.raises(StoreError, match=r"tokens: the chunk of row 1 has the wrong length.*c\.1\.0\.0.*extract"):
            read(folder, [0, 1], check=check)


def test_missing_chunks_and_arrays_are_named(folder: Path) -> None:
    chunks.chunk_path(folder, 2, num_axes=3).unlink()
    with pytest.raises(StoreError, match=r"tokens: row 2 is marked complete .*c\.2\.0\.0 is gone.*extract"):
        read(folder)
    with pytest.raises(StoreError, match=r"array .*nowhere is gone"):
        read(folder.with_name("nowhere"))
    assert read(folder, []).shape == (0, *SHAPE)


def test_reads_and_writes_that_are_cut_short_go_on(
    tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_whole, write_whole = os.readv, os.writev

    def first_bytes(buffers: Sequence[Any]) -> list[memoryview]:
        return [next(memoryview(buffer) for buffer in buffers if len(buffer))[:3]]

    monkeypatch.setattr(os, "readv", lambda file, buffers: read_whole(file, first_bytes(buffers)))
    monkeypatch.setattr(os, "writev", lambda file, buffers: write_whole(file, first_bytes(buffers)))
    chunks.write_rows(tmp_path, range(NUM_ROWS), values)
    assert read(tmp_path).tobytes() == values.tobytes()
    path = chunks.chunk_path(tmp_path, 0, num_axes=3)
    for length in (0, 5, 12, 15):
        path.write_bytes(b"\0" * length)
        with pytest.raises(StoreError, match="wrong length"):
            read(tmp_path)


def test_a_disk_that_takes_no_more_leaves_the_old_chunks(folder: Path, values: np.ndarray) -> None:
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, hard))  # the kernel writes 7 bytes of a file, then refuses
    try:
        with pytest.raises(OSError) as caught:
            chunks.write_rows(folder, range(NUM_ROWS + 3), np.zeros((NUM_ROWS + 3, *SHAPE), dtype=DTYPE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before
    assert read(folder).tobytes() == values.tobytes()


@pytest.mark.parametrize("call", ["open", "writev", "fsync", "replace"])
def test_any_call_that_fails_leaves_whole_chunks_and_nothing_else(
    folder: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before, after = values.tobytes(), np.zeros_like(values).tobytes()
    row_size = len(before) // NUM_ROWS
    num_changed = set()
    for fails_at in range(1, NUM_ROWS + 1 + (call in ("open", "fsync"))):  # these two are called on the folder as well
        chunks.write_rows(folder, range(NUM_ROWS), values)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail_at(fails_at, getattr(os, call)))
            with pytest.raises(OSError, match="No space left"):
                chunks.write_rows(folder, range(NUM_ROWS), np.zeros_like(values))
        found = read(folder).tobytes()
        starts = range(0, len(before), row_size)
        is_new = [found[start:][:row_size] == after[start:][:row_size] for start in starts]
        is_old = [found[start:][:row_size] == before[start:][:row_size] for start in starts]
        assert all(new or old for new, old in zip(is_new, is_old, strict=True))
        num_changed.add(sum(is_new))
        assert len(list(folder.iterdir())) == NUM_ROWS
    renamed = {"open": {0}, "writev": {0}, "fsync": {0, NUM_ROWS}, "replace": set(range(NUM_ROWS))}
    assert num_changed == renamed[call]


def fail_at(count: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose call number `count` finds the disk full."""
    numbers = iter(range(1, 1000))

    def call(*arguments: Any, **options: Any) -> Any:
        if next(numbers) == count:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*arguments, **options)

    return call


def test_every_byte_is_synced_before_its_name_appears_and_the_folder_last(
    tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    sync, replace = os.fsync, os.replace

    def note_sync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").resolve()
        events.append(("sync", path.name))
        assert path.is_dir() or path.stat().st_size == values[0].nbytes + 4
        sync(file)

    def note_replace(source: str, target: str, **options: Any) -> None:
        events.append(("rename", source))
        assert target == source.removeprefix(".").removesuffix(".part")
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    chunks.write_rows(tmp_path, range(NUM_ROWS), values)
    assert [event for event, _ in events] == ["sync"] * NUM_ROWS + ["rename"] * NUM_ROWS + ["sync"]
    assert {name for _, name in events[:-1]} == {f".c.{row}.0.0.part" for row in range(NUM_ROWS)}
    assert events[-1] == ("sync", tmp_path.name)


def test_what_an_interruption_left_behind_is_replaced(folder: Path, values: np.ndarray) -> None:
    (folder / ".c.0.0.0.part").write_bytes(b"longer than a row, and of no use" * 10)
    chunks.write_rows(folder, [0], values[4:])
    assert read(folder, [0]).tobytes() == values[4].tobytes()
    assert len(list(folder.iterdir())) == NUM_ROWS


def test_no_descriptor_stays_open_after_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks.chunk_path(folder, 1, num_axes=3).write_bytes(b"")
    chunks.chunk_path(folder, 2, num_axes=3).unlink()
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    monkeypatch.setattr(os, "fsync", fail_at(1, os.fsync))
    for _ in range(20):
        with many_threads(), pytest.raises(StoreError):
            read(folder)
    with pytest.raises(OSError, match="No space"):
        chunks.write_rows(folder, range(3), np.zeros((3, *SHAPE), dtype=DTYPE))
    assert len(list(descriptors.iterdir())) == before


def test_the_first_error_ends_the_work_of_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_rows, num_started, num_ended, is_shared = 100, itertools.count(), itertools.count(), threading.Event()
    chunks.write_rows(tmp_path, range(num_rows), np.zeros((num_rows, *SHAPE), dtype=DTYPE))
    read_whole = os.readv

    def fail_here_and_be_slow_elsewhere(file: int, buffers: Any) -> int:
        if threading.current_thread() is threading.main_thread():
            assert is_shared.wait(30)
            raise OSError(errno.EIO, "Input/output error")
        next(num_started)
        is_shared.set()
        time.sleep(0.1)
        next(num_ended)
        return read_whole(file, buffers)

    monkeypatch.setattr(os, "readv", fail_here_and_be_slow_elsewhere)
    with many_threads(), pytest.raises(OSError, match="Input/output"):
        read(tmp_path, range(num_rows))
    started = next(num_started)
    assert started == next(num_ended), "a thread still fills the buffer that the caller has back"
    assert started < num_rows - 1


def test_many_callers_share_the_threads(folder: Path, values: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    batches = [generator.integers(0, NUM_ROWS, size=40).tolist() for _ in range(50)]
    with many_threads(), ThreadPoolExecutor(8) as callers:
        for rows, found in zip(batches, callers.map(lambda rows: read(folder, rows), batches), strict=True):
            assert found.tobytes() == values[rows].tobytes()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # newer Pythons warn of what is tested here
def test_a_forked_process_reads_after_its_parent_did(folder: Path, values: np.ndarray) -> None:
    with many_threads():
        read(folder)
        connection, other_end = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=send_rows, args=(folder, other_end))
        process.start()
        try:
            assert connection.poll(30), "the child hangs"
            assert connection.recv_bytes() == values.tobytes()
        finally:
            process.kill()
            process.join()


def send_rows(folder: Path, connection: Any) -> None:
    connection.send_bytes(read(folder).tobytes())


def test_wrong_use_is_refused(folder: Path, values: np.ndarray) -> None:
    with pytest.raises(AssertionError, match="is not 5 rows"):
        read(folder, out=np.empty((4, *SHAPE), dtype=DTYPE))
    with pytest.raises(AssertionError, match="float32"):
        read(folder, out=np.empty((NUM_ROWS, *SHAPE), dtype=np.float32))
    with pytest.raises(AssertionError):
        read(folder, out=np.empty((NUM_ROWS, 3, 2), dtype=DTYPE).swapaxes(1, 2))
    with pytest.raises(AssertionError, match="twice"):
        chunks.write_rows(folder, [1, 1], values[:2])
    with pytest.raises(ValueError, match="zip"):
        chunks.write_rows(folder, [1, 2], values[:1])


def test_checksums_are_those_of_the_bytes_and_are_read_from_the_ends_of_files(folder: Path, values: np.ndarray) -> None:
    expected = [castagnoli(row.tobytes()) for row in values]
    assert chunks.write_rows(folder, range(NUM_ROWS), values).tolist() == expected
    chunks.chunk_path(folder, 1, num_axes=3).unlink()
    chunks.chunk_path(folder, 2, num_axes=3).write_bytes(b"abc")
    found = chunks.read_checksums(folder, range(NUM_ROWS), num_axes=3)
    assert found == [expected[0], None, None, *expected[3:]]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "c.0").mkdir()
    os.mkfifo(tmp_path / "c.1")
    assert chunk_files.read_files(tmp_path, ["c.0", "c.1", "c.2"]) == [b"", b"", None]
    assert chunk_files.read_files(tmp_path / "nowhere", ["c.0"]) == [None]
