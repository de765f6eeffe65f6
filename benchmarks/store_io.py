"""How fast are rows read from and written to a store, beside what else could hold them?

Patch tokens of three blocks, each a weld (5, 196, 1280) in float16, 96 welds, 0.7 GB, in the page cache. The same rows
are read, into new arrays in memory, from

- the store, with its checksums and without;
- np.memmap: one .npy file a block, indexed by a list of rows, which copies. One thread, as NumPy does it, and as many
  threads as the store's reader has, which NumPy does not do by itself;
- the same store through Zarr: a row at a time, and by `oindex`;
- h5py: one contiguous data set a block, and one of a chunk a row, each row read straight into its place;
- safetensors: one file a weld, with the three blocks in it.

In batches of 32 random rows, and all rows at once. Written are 32 rows of one block, every byte synced, beside plain
files in the same threads: written and synced, without checksum, rename or a sync of the folder. Every side is held to
give the same numbers before anything is measured. Ratios are times divided by ours: above 1 means that the store is the
faster. Needs 4 GB of disk for a while, and 8 GB of memory.
"""

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors
import zarr
from harness import measure_in_turns, ratio_of_medians, report
from numpy.typing import NDArray
from safetensors.numpy import save_file
from zarr.codecs import BytesCodec, Crc32cCodec

from weldcache.cache.chunks import read_rows, write_rows

BLOCKS = ("block_10", "block_21", "block_32")
DTYPE = np.dtype("<f2")
BATCH = 32
NUM_THREADS = 8  # as the store's
TARGETS = {
    "batch_vs_memmap": 0.5,
    "batch_unchecked_vs_memmap": 0.75,
    "full_load_vs_memmap": 0.5,
    "full_load_unchecked_vs_memmap": 0.75,
    "write_vs_raw_files": 0.6,
}

OURS, UNCHECKED = "weldcache", "weldcache_unchecked"
MEMMAP, MEMMAP_THREADS = "memmap", f"memmap_in_{NUM_THREADS}_threads"
ZARR_ROWS, ZARR_OINDEX = "zarr_rows", "zarr_oindex"
H5_CONTIGUOUS, H5_CHUNKED = "h5py_contiguous", "h5py_chunked"
SAFETENSORS = "safetensors"
RAW = "raw_files"

Rows = NDArray[np.int64]
Reader = Callable[[Rows], Mapping[str, NDArray[Any]]]  # every block of some rows


@dataclass(frozen=True)
class Size:
    """How much is read and written, and how often."""

    num_welds: int
    row_shape: tuple[int, ...]
    batch_rounds: int
    full_rounds: int
    write_rounds: int


FULL = Size(num_welds=96, row_shape=(5, 196, 1280), batch_rounds=15, full_rounds=7, write_rounds=15)
SMALL = Size(num_welds=40, row_shape=(2, 9, 16), batch_rounds=3, full_rounds=3, write_rounds=3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a megabyte, to see that it runs; its figures mean little")
    parser.add_argument("--folder", type=Path, help="the disk to measure on; default is that of temporary files")
    arguments = parser.parse_args()
    size = SMALL if arguments.small else FULL
    with tempfile.TemporaryDirectory(prefix="store_io-", dir=arguments.folder) as folder:
        seconds, ratios = measure(Path(folder), size=size)
    report("store_io", seconds=seconds, ratios=ratios, targets=TARGETS)


def measure(folder: Path, *, size: Size) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of every side of the three questions, and the ratios to the store's."""
    blocks = write_everywhere(folder, size=size)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        readers = open_readers(folder, size=size, pool=pool)
        compare(readers, blocks)
        batches = measure_in_turns(
            {name: reads_batches(reader, num_rows=size.num_welds) for name, reader in readers.items()},
            num_rounds=size.batch_rounds,
        )
        every_row = np.arange(size.num_welds)
        full = measure_in_turns(
            {name: reads(reader, every_row) for name, reader in readers.items()}, num_rounds=size.full_rounds
        )
        values = blocks[BLOCKS[0]][:BATCH]
        writers = open_writers(folder / "written", pool=pool, values=values)
        written = measure_in_turns(writers, num_rounds=size.write_rounds)
    print(f"{'':34}  {'GB/s':>6}")
    seconds, ratios = {}, {}
    for question, runs, num_bytes in (
        ("batch", batches, len(BLOCKS) * values.nbytes),
        ("full_load", full, sum(block.nbytes for block in blocks.values())),
        ("write", written, values.nbytes),
    ):
        for name, times in runs.items():
            seconds[f"{question} {name}"] = times
            print(f"{question + ' ' + name:34}  {num_bytes / statistics.median(times) / 1e9:6.2f}")
            if name not in (OURS, UNCHECKED):
                ratios[f"{question}_vs_{name}"] = ratio_of_medians(runs, slow=name, fast=OURS)
        if UNCHECKED in runs:
            ratios[f"{question}_unchecked_vs_{MEMMAP}"] = ratio_of_medians(runs, slow=MEMMAP, fast=UNCHECKED)
    return seconds, ratios


def write_everywhere(folder: Path, *, size: Size) -> dict[str, NDArray[np.float16]]:
    """Put the same random numbers into every format; return them."""
    generator = np.random.default_rng(0)
    shape = (size.num_welds, *size.row_shape)
    blocks = {name: generator.standard_normal(shape, dtype=np.float32).astype(DTYPE) for name in BLOCKS}
    root = zarr.open_group(folder / "store.zarr", mode="w")
    with h5py.File(folder / "contiguous.h5", "w") as contiguous, h5py.File(folder / "chunked.h5", "w") as chunked:
        for name, values in blocks.items():
            make_zarr_array(root, name, shape=shape)
            write_rows(folder / "store.zarr" / name, range(size.num_welds), values)
            np.save(folder / f"{name}.npy", values)
            contiguous.create_dataset(name, data=values)
            chunked.create_dataset(name, data=values, chunks=(1, *size.row_shape))
    for row in range(size.num_welds):
        save_file({name: values[row] for name, values in blocks.items()}, folder / f"{row}.safetensors")
    return blocks


def make_zarr_array(root: zarr.Group, name: str, *, shape: tuple[int, ...]) -> None:
    """An array as the store makes it."""
    root.create_array(
        name,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=DTYPE,
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def open_readers(folder: Path, *, size: Size, pool: ThreadPoolExecutor) -> dict[str, Reader]:
    """How each side reads rows. Files are opened once, as training would; safetensors has one a weld to open."""
    shape = size.row_shape
    maps = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in BLOCKS}
    arrays: dict[str, Any] = {name: zarr.open_array(folder / "store.zarr" / name, mode="r") for name in BLOCKS}

    def ours(rows: Rows, *, check: bool = True) -> dict[str, NDArray[Any]]:
        store = folder / "store.zarr"
        return {name: read_rows(store / name, rows, shape=shape, dtype=DTYPE, check=check) for name in BLOCKS}

    def memmap_threads(rows: Rows) -> dict[str, NDArray[Any]]:
        result = empty(len(rows), shape=shape)
        spans = np.array_split(np.arange(len(rows)), NUM_THREADS)
        tasks = [(name, slice(span[0], span[-1] + 1)) for name in BLOCKS for span in spans if len(span)]

        def copy(task: tuple[str, slice]) -> None:
            name, span = task
            np.take(maps[name], rows[span], axis=0, out=result[name][span], mode="clip")  # "raise" copies twice

        list(pool.map(copy, tasks))
        return result

    def zarr_rows(rows: Rows) -> dict[str, NDArray[Any]]:
        result = empty(len(rows), shape=shape)
        for name, (position, row) in itertools.product(BLOCKS, enumerate(rows)):
            result[name][position] = arrays[name][int(row)]
        return result

    def safetensors_files(rows: Rows) -> dict[str, NDArray[Any]]:
        result = empty(len(rows), shape=shape)
        for position, row in enumerate(rows):
            with safetensors.safe_open(folder / f"{row}.safetensors", framework="numpy") as file:
                for name in BLOCKS:
                    result[name][position] = file.get_tensor(name)
        return result

    return {
        OURS: ours,
        UNCHECKED: lambda rows: ours(rows, check=False),
        MEMMAP: lambda rows: {name: np.asarray(maps[name][rows]) for name in BLOCKS},
        MEMMAP_THREADS: memmap_threads,
        ZARR_ROWS: zarr_rows,
        ZARR_OINDEX: lambda rows: {name: arrays[name].oindex[rows] for name in BLOCKS},
        H5_CONTIGUOUS: hdf5_reader(folder / "contiguous.h5", shape=shape),
        H5_CHUNKED: hdf5_reader(folder / "chunked.h5", shape=shape),
        SAFETENSORS: safetensors_files,
    }


def hdf5_reader(path: Path, *, shape: tuple[int, ...]) -> Reader:
    """Row by row, straight into place: h5py's own lists of rows must be sorted, and are slower."""
    file = h5py.File(path, "r")
    datasets = {name: file[name] for name in BLOCKS}

    def read(rows: Rows) -> dict[str, NDArray[Any]]:
        result = empty(len(rows), shape=shape)
        for name, (position, row) in itertools.product(BLOCKS, enumerate(rows)):
            datasets[name].read_direct(result[name], np.s_[int(row)], np.s_[position])
        return result

    return read


def empty(num_rows: int, *, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Memory for the rows of every block."""
    return {name: np.empty((num_rows, *shape), dtype=DTYPE) for name in BLOCKS}


def compare(readers: Mapping[str, Reader], blocks: Mapping[str, NDArray[Any]]) -> None:
    """Hold every side to give what was written."""
    rows = np.array([5, 0, 7, 5])
    for reader in readers.values():
        for name, values in reader(rows).items():
            np.testing.assert_array_equal(values, blocks[name][rows])


def reads_batches(reader: Reader, *, num_rows: int) -> Callable[[], object]:
    """A run reads the next random batch; every side reads the same ones."""
    generator = np.random.default_rng(1)
    return lambda: reader(generator.permutation(num_rows)[:BATCH])


def reads(reader: Reader, rows: Rows) -> Callable[[], object]:
    """A run reads `rows`."""
    return lambda: reader(rows)


def open_writers(
    folder: Path, *, pool: ThreadPoolExecutor, values: NDArray[np.generic]
) -> dict[str, Callable[[], object]]:
    """A run writes all of `values` durably, into a folder that nobody wrote to."""

    def new_folders(name: str) -> Iterator[Path]:
        for number in itertools.count():
            path = folder / name / str(number)
            path.mkdir(parents=True)
            yield path

    our_folders, raw_folders = new_folders("ours"), new_folders("raw")
    return {
        OURS: lambda: write_rows(next(our_folders), range(len(values)), values),
        RAW: lambda: write_raw(next(raw_folders), pool=pool, rows=list(values)),
    }


def write_raw(folder: Path, *, pool: ThreadPoolExecutor, rows: Sequence[NDArray[np.generic]]) -> None:
    """One file a row, written and synced: the least that a durable write can be."""

    def write(position: int) -> None:
        with (folder / str(position)).open("wb", buffering=0) as file:
            file.write(rows[position].data)
            os.fsync(file.fileno())

    list(pool.map(write, range(len(rows))))


if __name__ == "__main__":
    main()
