"""What is kept of a trial beside its run: what it was scored on, how long it took, and its scores, in one sealed file.

The record outlives the weights, which are hundreds of megabytes a trial at full size. The same scores lie beside it as
CSV, in the form of `weldcache eval`, for people; the table is made from the record alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from ...documents import fingerprint
from ...errors import StoreError, TrainingError
from ...train.runs.documents import Count, Figures, hashes_of, typed
from ...train.runs.folder import RunFolder


@dataclass(frozen=True)
class TrialRecord:
    """The figures of a trial.

    Attributes:
        split: that it was scored on.
        samples: fingerprint of the keys of the samples that were scored, in their order.
        num_left_out: samples of the split that could not be scored.
        validation: what validation measured of the best epoch with averaged weights, by the task's monitors but the
            loss, such as `val_auroc`; None where validation does not allow it.
        parameters: that are trained; of what is fitted, the numbers that it keeps.
        epochs: that were trained.
        seconds: of those epochs, validation included, interruptions not.
        score_seconds: of scoring the split once, features in memory; None where an earlier version did not measure it.
        peak_bytes: memory that it took beside what was there before; None where it was not trained at one go, or the
            machine does not say.
        weights_kept: whether the weights were to stay on the disk.
        warnings: what `weldcache eval` says of it.
    """

    split: str
    samples: str
    num_left_out: int
    validation: Mapping[str, float | None]
    parameters: int
    epochs: int
    seconds: float
    weights_kept: bool
    warnings: tuple[str, ...] = ()
    score_seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class TrialScores:
    """What the averaged weights make of each sample, by position in `keys`: see `measure`.

    Of an anomaly detector its score, and label 1 is a defect; of a classifier the number of the predicted class, and
    the label is that of the true one.
    """

    keys: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


class ScoredTrial(NamedTuple):
    """A trial's figures and its scores, as they are read from its record."""

    record: TrialRecord
    scores: TrialScores


class _Figures(TypedDict):
    """What validation measured stands beside these, under the names of its figures."""

    split: str
    num_left_out: Count
    parameters: Count
    epochs: Count
    seconds: float
    weights_kept: bool
    warnings: NotRequired[list[str]]
    score_seconds: NotRequired[float | None]
    peak_bytes: NotRequired[Count | None]
    keys: list[str]
    labels: list[Count]
    scores: list[float]


def record_path(run: RunFolder, split: str) -> Path:
    """Where the record of a trial is."""
    return run.path / f"trial_{split}.json"


def scores_path(run: RunFolder, split: str) -> Path:
    """Where the scores of a trial are as CSV: the same place and form as those of `weldcache eval`."""
    return run.path / f"scores_{split}.csv"


def write_trial(run: RunFolder, record: TrialRecord, scores: TrialScores) -> None:
    """Write the record; the CSV is there already."""
    arrays = {
        "keys": list(scores.keys),
        "labels": scores.labels.tolist(),
        "scores": scores.scores.tolist(),
    }
    files = {"files": hashes_of([scores_path(run, record.split)])}
    figures: dict[str, object] = {}
    for name, value in vars(record).items():
        figures |= record.validation if name == "validation" else {name: value}
    run.write(record_path(run, record.split), {**figures, **arrays, **files})


def read_trial(run: RunFolder, split: str) -> ScoredTrial | None:
    """What was kept of a trial, or None where it was not scored on `split` yet.

    Raises:
        StoreError: if the record is damaged, was edited, or is of a version that kept scores elsewhere.
    """
    path = record_path(run, split)
    if not path.exists():
        return None
    try:
        told = run.read(path, _Figures)
        validation = typed({name: value for name, value in told.items() if name.startswith("val_")}, Figures, path=path)
    except TrainingError as error:
        raise StoreError(f"{error} --overwrite trains it again.") from None
    keys = tuple(told["keys"])
    if not len(keys) == len(set(keys)) == len(told["labels"]) == len(told["scores"]):
        raise StoreError(
            f"{path} is damaged: it has not one score and one label a sample. --overwrite trains it again."
        )
    scores = TrialScores(keys, np.array(told["labels"], np.int64), np.array(told["scores"], np.float64))
    record = TrialRecord(
        split=told["split"],
        samples=fingerprint(keys),
        num_left_out=told["num_left_out"],
        validation=validation,
        parameters=told["parameters"],
        epochs=told["epochs"],
        seconds=told["seconds"],
        weights_kept=told["weights_kept"],
        warnings=tuple(told.get("warnings", ())),
        score_seconds=told.get("score_seconds"),
        peak_bytes=told.get("peak_bytes"),
    )
    return ScoredTrial(record, scores)
