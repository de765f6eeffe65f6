"""The log of a run's epochs: one JSON object a line, on the disk as soon as the epoch is over."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ..atomic import write_text
from ..errors import TrainingError

MetricRow = Mapping[str, float | int | None]


def append_row(path: Path, row: MetricRow) -> None:
    """Add one epoch; NaN and infinity are refused, as JSON has neither."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_rows(path: Path) -> list[MetricRow]:
    """All epochs, in order; a last line that a crash cut short is left out.

    Raises:
        TrainingError: if a line is no JSON object.
    """
    if not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except ValueError as error:
        raise TrainingError(f"{path} is damaged ({error}). Train again with --overwrite.") from None
    if not all(isinstance(row, dict) for row in rows):
        raise TrainingError(f"{path} is damaged (a line holds no JSON object). Train again with --overwrite.")
    return rows


def cut_back(path: Path, *, epoch: int) -> None:
    """Keep the rows up to `epoch`, because the run goes on from there.

    Raises:
        TrainingError: if one of those rows is not there.
    """
    rows = read_rows(path)[:epoch]
    if [row["epoch"] for row in rows] != list(range(1, epoch + 1)):
        raise TrainingError(
            f"{path} does not hold the {epoch} epochs that the run's checkpoint has seen, so the run cannot go on. "
            "Train again with --overwrite."
        )
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
