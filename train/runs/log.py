"""The log of a run's epochs: one JSON object a line, on the disk as soon as the epoch is over.

Each line ends with a checksum over itself and the checksum of the line before, so that a figure that was edited and a
line that was taken out or moved are noticed. Logs from before the checksums have none in any line.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from ...atomic import write_text
from ...documents import fingerprint, open_regular, parse_json, read_regular_file
from ...errors import TrainingError
from .documents import Figures, typed

MetricRow = Mapping[str, float | int | None]

_CHECKSUM = "checksum"
_TAIL = 1 << 16  # bytes of the log that are read to find its last line; a longer line takes more


class _Line(TypedDict):
    figures: Figures


@dataclass(frozen=True)
class MetricsLog:
    """All epochs in order, and the checksum of each line; "" for each where the log has none."""

    rows: Sequence[MetricRow]
    checksums: Sequence[str]


def append_row(path: Path, row: MetricRow) -> None:
    """Add one epoch; NaN and infinity are refused, as JSON has neither."""
    last = _last_line(path) if path.exists() else b""
    (line,) = _chained([row], after=parse_json(last).get(_CHECKSUM, "") if last else "")
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _last_line(path: Path) -> bytes:
    """Only the end is read: a long log is not gone through again with every epoch."""
    with open_regular(path) as file:
        size, tail = file.seek(0, os.SEEK_END), b""
        while len(tail) < size and b"\n" not in tail.rstrip(b"\n"):
            file.seek(-min(size, max(_TAIL, 2 * len(tail))), os.SEEK_END)
            tail = file.read()
    return tail.rstrip(b"\n").rpartition(b"\n")[2]


def read_log(path: Path) -> MetricsLog:
    """The log, empty where there is none; a last line that a crash cut short is left out.

    Raises:
        TrainingError: if a line is no row of figures, or does not match its checksum.
        OSError: if the file cannot be read.
    """
    if not path.exists():
        return MetricsLog([], [])
    lines = read_regular_file(path).split(b"\n")[:-1]
    rows: list[MetricRow] = []
    checksums: list[str] = []
    before = ""
    for number, line in enumerate(lines, start=1):
        row = _row(line, path=path, number=number)
        told = row.pop(_CHECKSUM, "")
        if told != (before := _checksum(row, after=before)) and (told or any(checksums)):
            raise TrainingError(
                f"{path}, line {number}: it does not match its checksum, so this line or one before it was edited, "
                "taken out or moved. Restore the file, or train again with --overwrite."
            )
        typed({"figures": row}, _Line, path=path)
        rows.append(row)
        checksums.append(told)
    if any(checksums) and not all(checksums):
        raise TrainingError(f"{path}: its first lines have lost their checksums. Restore the file.")
    return MetricsLog(rows, checksums)


def seconds_of(rows: Iterable[MetricRow]) -> float:
    """What all epochs took, validation included; unlike the clock of a command, it counts interrupted ones as well."""
    return math.fsum(row.get("seconds") or 0 for row in rows)


def cut_back(path: Path, *, epoch: int) -> None:
    """Keep the rows up to `epoch`, because the run goes on from there.

    Raises:
        TrainingError: if one of those rows is not there.
    """
    rows = read_log(path).rows[:epoch]
    if [row.get("epoch") for row in rows] != list(range(1, epoch + 1)):
        raise TrainingError(
            f"{path} does not hold the {epoch} epochs that the run's checkpoint has seen, so the run cannot go on. "
            "Train again with --overwrite."
        )
    write_text(path, "".join(_chained(rows, after="")))


def _row(line: bytes, *, path: Path, number: int) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise TrainingError(
            f"{path}, line {number}, is damaged ({error}). Restore the file, or train again with --overwrite."
        ) from None
    if not isinstance(row, dict):
        raise TrainingError(f"{path}, line {number}, is damaged: it holds no JSON object. Restore the file.")
    return row


def _chained(rows: Iterable[MetricRow], *, after: str) -> Iterable[str]:
    """Rows as lines of a log whose last checksum so far is `after`."""
    for row in rows:
        after = _checksum(row, after=after)
        yield json.dumps({**row, _CHECKSUM: after}, allow_nan=False) + "\n"


def _checksum(row: Mapping[str, Any], *, after: str) -> str:
    return fingerprint([after, dict(row)])
