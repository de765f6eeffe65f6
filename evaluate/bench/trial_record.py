"""What is kept of a trial beside its run: what it was scored on and how long it took, and its scores.

The record is written last. It outlives the weights, which are hundreds of megabytes a trial at full size.
"""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_json
from ...documents import fingerprint
from ...errors import StoreError
from ...train.run_folder import RunFolder, read_json


@dataclass(frozen=True)
class TrialRecord:
    """The figures of a trial.

    Attributes:
        split: that it was scored on.
        samples: fingerprint of the keys of the samples that were scored, in their order.
        num_left_out: samples of the split that could not be scored.
        val_auroc: of the best epoch with averaged weights; None where validation lacks a class.
        parameters: that are trained.
        epochs: that were trained.
        seconds: of those epochs, validation included, interruptions not.
        weights_kept: whether the weights were to stay on the disk.
    """

    split: str
    samples: str
    num_left_out: int
    val_auroc: float | None
    parameters: int
    epochs: int
    seconds: float
    weights_kept: bool


@dataclass(frozen=True, eq=False)
class TrialScores:
    """Scores of the averaged weights, by position in `keys`; label 1 is a defect."""

    keys: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


def record_path(run: RunFolder, split: str) -> Path:
    """Where the record of a trial is."""
    return run.path / f"trial_{split}.json"


def scores_path(run: RunFolder, split: str) -> Path:
    """Where the scores of a trial are: the same place and form as those of `weldcache eval`."""
    return run.path / f"scores_{split}.csv"


def write_record(run: RunFolder, record: TrialRecord) -> None:
    """Write the record; the scores are there already."""
    write_json(record_path(run, record.split), asdict(record))


def read_record(run: RunFolder, split: str) -> TrialRecord | None:
    """The record of a trial, or None where it was not scored on `split` yet.

    Raises:
        StoreError: if it is damaged.
    """
    path = record_path(run, split)
    if not path.is_file():
        return None
    return _record(read_json(path), path=path)


def read_scores(run: RunFolder, record: TrialRecord) -> TrialScores:
    """The scores that `record` speaks of.

    Raises:
        StoreError: if they are not there, damaged, or of other samples.
    """
    path = scores_path(run, record.split)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        keys = tuple(row["key"] for row in rows)
        labels = np.array([int(row["label"]) for row in rows], dtype=np.int64)
        scores = np.array([float(row["score"]) for row in rows], dtype=np.float64)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}); --overwrite trains it again.") from None
    if fingerprint(keys) != record.samples:
        raise StoreError(f"{path} holds other samples than were scored for it; --overwrite trains it again.")
    return TrialScores(keys, labels, scores)


def _record(values: Mapping[str, Any], *, path: Path) -> TrialRecord:
    try:
        return TrialRecord(**values)
    except TypeError as error:
        raise StoreError(f"{path} is damaged ({error}); --overwrite trains it again.") from None
