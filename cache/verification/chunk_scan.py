"""One pass over the chunks of an array: are they whole, are their values possible, and do they vary at all."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import google_crc32c
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt32
from numpy.typing import NDArray

from ...errors import StoreError
from ..arrays import NUMPY_TYPES, ArraySpec, StorageType
from ..chunks import RowChunks

# Values whose spread is below what storing or recomputing them does to them: nothing that a model could use.
_LEAST_SPREAD: dict[StorageType, float] = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 1e-6, "float64": 1e-12}
_FEWEST_VALUES = 16  # of a row, for it to be expected to vary within itself

_POSITIONS = 1024  # of a row's values that the statistics are made of, so that memory does not grow with the array
_POSITIONS_SEED = 0
_BATCH_BYTES = 1 << 20  # stays in a core's cache from being read to being judged
_BATCH_ROWS = 256
_THREADS = min(4, os.cpu_count() or 1)
_BATCHES_AHEAD = 2 * _THREADS

# Floating-point bits that are all set in infinities and NaN and in nothing else.
_EXPONENT_BITS: dict[StorageType, int] = {
    "float16": 0x7C00,
    "bfloat16": 0x7F80,
    "float32": 0x7F80_0000,
    "float64": 0x7FF0_0000_0000_0000,
}


@dataclass
class ArrayScan:
    """What a pass showed. Rows with a fault in `broken` are in none of the others."""

    rows: Int64[np.ndarray, " row"]
    signatures: UInt32[np.ndarray, " row"]  # equal for rows with equal values, and for few others
    num_bytes: int = 0
    broken: list[int] = field(default_factory=list)  # chunk missing, of wrong length, or not what its checksum says
    not_finite: list[int] = field(default_factory=list)
    even: list[int] = field(default_factory=list)  # all values of the row are one value, to within rounding
    badly_padded: list[int] = field(default_factory=list)
    spread: "Spread | None" = None  # over rows; None where it says nothing


class Spread:
    """Mean and variance over rows of a fixed choice of positions, by Welford's method, in Chan's form for batches."""

    def __init__(self, num_positions: int) -> None:
        self._count = np.zeros(num_positions)
        self._mean = np.zeros(num_positions)
        self._squares = np.zeros(num_positions)  # sum of squared distances from the mean

    def add(self, values: Float64[np.ndarray, "row position"], valid: Bool[np.ndarray, "row position"]) -> None:
        """Take in rows; positions that are not `valid`, such as padding, are left out."""
        count = valid.sum(axis=0)
        divisor = np.maximum(count, 1)
        mean = np.where(valid, values, 0).sum(axis=0) / divisor
        squares = np.where(valid, (values - mean) ** 2, 0).sum(axis=0)
        total = np.maximum(self._count + count, 1)
        step = mean - self._mean
        self._squares += squares + step**2 * self._count * count / total
        self._mean += step * count / total
        self._count += count

    def of_scale(self) -> float | None:
        """Standard deviation over rows relative to the root mean square: its median over positions.

        A median, because transformers have a few outlier dimensions whose huge value hardly depends on the input.
        None if no position was seen twice.
        """
        seen = self._count > 1
        if not seen.any():
            return None
        variance = self._squares[seen] / self._count[seen]
        scale = variance + self._mean[seen] ** 2
        used = scale > 0
        return float(np.median(np.sqrt(variance[used] / scale[used]))) if used.any() else 0.0


def least_spread(spec: ArraySpec) -> float:
    """Below this, relative to the values' scale, an array's values do not vary."""
    return _LEAST_SPREAD[spec.dtype]


def scan_array(
    chunks: RowChunks,
    spec: ArraySpec,
    rows: Int64[np.ndarray, " row"],
    *,
    lengths: NDArray[np.int32] | None,
    advance: Callable[[int], None],
) -> ArrayScan:
    """Read every one of `rows` once, in several threads. Memory: four bytes a row, and a few batches.

    `lengths` says, for a ragged array, how much of the first axis of each of `rows` is real. `advance` is told bytes.
    """
    scan = ArrayScan(rows=rows, signatures=np.zeros(len(rows), dtype=np.uint32))
    judge = _Judge(chunks, spec)
    if judge.spreads_over_rows:
        scan.spread = Spread(len(judge.positions))
    for start, looked in _in_threads(judge, rows, lengths):
        scan.signatures[start : start + len(looked.signatures)] = looked.signatures
        scan.broken += looked.broken
        scan.not_finite += looked.not_finite
        scan.even += looked.even
        scan.badly_padded += looked.badly_padded
        if scan.spread is not None and looked.samples is not None:
            scan.spread.add(*looked.samples)
        num_bytes = spec.row_bytes * (len(looked.signatures) - len(looked.broken))
        scan.num_bytes += num_bytes
        advance(num_bytes)
    return scan


@dataclass
class _Looked:
    """What was found in one batch of rows."""

    signatures: UInt32[np.ndarray, " row"]
    broken: list[int]
    not_finite: list[int] = field(default_factory=list)
    even: list[int] = field(default_factory=list)
    badly_padded: list[int] = field(default_factory=list)
    samples: tuple[Float64[np.ndarray, "row position"], Bool[np.ndarray, "row position"]] | None = None


class _Judge:
    """Reads and judges batches of one array; used by several threads at once."""

    def __init__(self, chunks: RowChunks, spec: ArraySpec) -> None:
        self._chunks = chunks
        self._spec = spec
        self._dtype = NUMPY_TYPES[spec.dtype]
        self._size = spec.row_bytes // self._dtype.itemsize
        generator = np.random.default_rng(_POSITIONS_SEED)
        chosen = generator.choice(self._size, size=min(self._size, _POSITIONS), replace=False)
        self.positions = np.sort(chosen)
        self._is_float = spec.dtype in _EXPONENT_BITS and not spec.allows_nan
        self.spreads_over_rows = self._is_float and spec.distinct
        self.batch_rows = int(np.clip(_BATCH_BYTES // max(spec.row_bytes, 1), 1, _BATCH_ROWS))
        self._own = threading.local()  # a buffer for each thread: fresh memory for each batch costs twice the reading

    def __call__(self, rows: Int64[np.ndarray, " row"], lengths: NDArray[np.int32] | None) -> _Looked:
        values, read = self._read(rows)
        looked = _Looked(signatures=np.zeros(len(rows), dtype=np.uint32), broken=rows[~read].tolist())
        if not read.any():  # nor is the buffer, as large as a row is said to be, in memory yet
            return looked
        if self._spec.distinct:
            # Of a choice of values: equal rows have equal ones, and rows that have are compared byte for byte.
            chosen = np.ascontiguousarray(values[:, self.positions]).view(np.uint8)
            looked.signatures[:] = [google_crc32c.value(row) for row in chosen]
        if lengths is not None:
            looked.badly_padded = rows[read & ~self._padding_is_zero(values, lengths)].tolist()
        if self._is_float:
            finite = self._finite(values)
            looked.not_finite = rows[read & ~finite].tolist()
            self._take_samples(looked, rows, values, read & finite, lengths)
        return looked

    def _read(self, rows: Int64[np.ndarray, " row"]) -> tuple[NDArray[np.generic], Bool[np.ndarray, " row"]]:
        """Values (row, size), and which rows could be read."""
        if not hasattr(self._own, "values"):
            self._own.values = np.zeros((self.batch_rows, *self._spec.shape), dtype=self._dtype)
        values: NDArray[np.generic] = self._own.values[: len(rows)]
        read = np.ones(len(rows), dtype=bool)
        try:
            self._chunks.read(rows, out=values)
        except (StoreError, OSError):
            for position in range(len(rows)):
                read[position] = chunk_is_whole(self._chunks, int(rows[position]), out=values[position : position + 1])
            values[~read] = 0
        return values.reshape(len(rows), -1), read

    def _finite(self, values: NDArray[np.generic]) -> Bool[np.ndarray, " row"]:
        # On the bits: NumPy's isfinite is thirty times slower for float16, and knows no bfloat16.
        bits = values.view(f"u{self._dtype.itemsize}")
        mask = bits.dtype.type(_EXPONENT_BITS[self._spec.dtype])
        block = max(_BATCH_BYTES // 4 // bits.itemsize // len(bits), 1)
        largest = [(bits[:, start : start + block] & mask).max(axis=1) for start in range(0, self._size, block)]
        return np.asarray(np.max(largest, axis=0) != mask)

    def _padding_is_zero(self, values: NDArray[np.generic], lengths: NDArray[np.int32]) -> Bool[np.ndarray, " row"]:
        step = self._size // self._spec.shape[0]
        bits = values.view(f"u{self._dtype.itemsize}")
        starts = np.clip(lengths, 0, None).astype(np.int64) * step
        return np.array([not row[start:].any() for row, start in zip(bits, starts, strict=True)], dtype=bool)

    def _take_samples(
        self,
        looked: _Looked,
        rows: Int64[np.ndarray, " row"],
        values: NDArray[np.generic],
        usable: Bool[np.ndarray, " row"],
        lengths: NDArray[np.int32] | None,
    ) -> None:
        """Keep the values at the chosen positions, and look closer at rows in which those are all one value."""
        samples = to_float64(values[:, self.positions], self._spec.dtype)
        valid = np.repeat(usable[:, None], len(self.positions), axis=1)
        if lengths is not None:
            valid &= self.positions // (self._size // self._spec.shape[0]) < lengths[:, None]
        samples = np.where(valid, samples, 0)
        looked.samples = samples, valid
        if self._size >= _FEWEST_VALUES:
            for position in np.flatnonzero(usable & ~_varies(samples, valid, least_spread(self._spec))):
                end = self._size if lengths is None else int(lengths[position]) * self._size // self._spec.shape[0]
                whole = to_float64(values[position : position + 1, :end], self._spec.dtype)
                if not _varies(whole, np.ones_like(whole, dtype=bool), least_spread(self._spec))[0]:
                    looked.even.append(int(rows[position]))


def chunk_is_whole(chunks: RowChunks, row: int, *, out: NDArray[np.generic] | None = None) -> bool:
    """Whether the chunk of `row` can be read and is what its checksum says; `out` (1, *shape) takes its values."""
    try:
        chunks.read([row], out=out)
    except (StoreError, OSError):
        return False
    return True


def to_float64(values: NDArray[np.generic], dtype: StorageType) -> NDArray[np.float64]:
    """Stored values as numbers; bfloat16 is stored as its bits."""
    with np.errstate(invalid="ignore"):  # NaN may be among them
        if dtype == "bfloat16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
        return values.astype(np.float64)


def _varies(
    values: Float64[np.ndarray, "row position"], valid: Bool[np.ndarray, "row position"], least: float
) -> Bool[np.ndarray, " row"]:
    count = np.maximum(valid.sum(axis=1), 1)
    mean = np.where(valid, values, 0).sum(axis=1) / count
    variance = np.where(valid, (values - mean[:, None]) ** 2, 0).sum(axis=1) / count
    return np.asarray(variance > least**2 * (variance + mean**2))


def _in_threads(
    judge: _Judge, rows: Int64[np.ndarray, " row"], lengths: NDArray[np.int32] | None
) -> Iterator[tuple[int, _Looked]]:
    """Judge all rows, batch by batch and in order; yields where in `rows` each batch starts."""
    pending: list[tuple[int, Future[_Looked]]] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
        try:
            for start in range(0, len(rows), judge.batch_rows):
                part = slice(start, start + judge.batch_rows)
                pending.append((start, pool.submit(judge, rows[part], None if lengths is None else lengths[part])))
                if len(pending) > _BATCHES_AHEAD:
                    first, future = pending.pop(0)
                    yield first, future.result()
            for first, future in pending:
                yield first, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def equal_rows(
    chunks: RowChunks, *, rows: Int64[np.ndarray, " row"], signatures: UInt32[np.ndarray, " row"]
) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose bytes are equal: each such row with the first one like it.

    Rows with one signature are compared byte for byte, so a pair is never a coincidence.
    """
    order = np.argsort(signatures, kind="stable")
    same_as_next = np.append(np.diff(signatures[order].astype(np.int64)) == 0, False)[: len(rows)]
    firsts: list[int] = []
    for position in np.flatnonzero(same_as_next | np.roll(same_as_next, 1)):
        row = int(rows[order[position]])
        twin = next((first for first in firsts if _are_equal(chunks, first, row)), None)
        if twin is None:
            firsts.append(row)
        else:
            yield twin, row
        if not same_as_next[position]:
            firsts = []


def _are_equal(chunks: RowChunks, first: int, second: int) -> bool:
    try:
        pair = chunks.read([first, second])
    except (StoreError, OSError):
        return False  # they were whole when they were scanned, so they are being made anew
    return bool(pair[0].tobytes() == pair[1].tobytes())
