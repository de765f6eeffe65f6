"""What is kept of a trial: it reads back, and what is damaged or was edited is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.documents import fingerprint
from weldcache.errors import StoreError
from weldcache.evaluate.trials.record import (
    TrialRecord,
    TrialScores,
    read_trial,
    record_path,
    scores_path,
    write_trial,
)
from weldcache.train.runs.folder import RunFolder

KEYS = ("b", "a, with comma")
RECORD = TrialRecord(
    "test", fingerprint(KEYS), 1, {"val_auroc": None, "val_own": 0.25}, 7, 3, 0.5, False, (), 0.25, None
)


@pytest.fixture
def run(tmp_path: Path, run_manifest: Callable[..., dict[str, Any]]) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.create(config="", manifest=run_manifest())
    scores_path(run, "test").write_text("for people")
    write_trial(run, RECORD, TrialScores(KEYS, np.array([0, 1]), np.array([0.1, 1e-3])))
    return run


def test_a_record_and_its_scores_read_back(run: RunFolder) -> None:
    kept = read_trial(run, "test")
    assert kept is not None and kept.record == RECORD
    assert read_trial(run, "val") is None
    assert kept.scores.keys == KEYS and kept.scores.labels.tolist() == [0, 1]
    assert kept.scores.scores.tolist() == [0.1, 1e-3] and kept.scores.scores.dtype == np.float64


def test_a_record_of_an_earlier_version_knows_no_costs(run: RunFolder) -> None:
    path = record_path(run, "test")
    told = json.loads(path.read_text())
    run.write(path, {name: value for name, value in told.items() if name not in ("score_seconds", "peak_bytes")})
    kept = read_trial(run, "test")
    assert kept is not None and (kept.record.score_seconds, kept.record.peak_bytes) == (None, None)


@pytest.mark.parametrize(("before", "after"), [("0.1", "0.9"), ("0.001", "0.1"), ('"b"', '"c"'), ("0.5", "0.6")])
def test_an_edited_figure_is_refused(run: RunFolder, before: str, after: str) -> None:
    path = record_path(run, "test")
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(StoreError, match=r"trial_test\.json does not match its checksum.*--overwrite"):
        read_trial(run, "test")


def test_a_record_of_another_run_is_refused(
    run: RunFolder, tmp_path: Path, run_manifest: Callable[..., dict[str, Any]]
) -> None:
    other = RunFolder(tmp_path / "other")
    other.create(config="", manifest=run_manifest(seed=1))
    record_path(other, "test").write_bytes(record_path(run, "test").read_bytes())
    with pytest.raises(StoreError, match="not of this run"):
        read_trial(other, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.1]}, "one score and one label a sample"),
        ({"labels": [0, 1, 1]}, "one score and one label a sample"),
        ({"keys": ["b", "b"]}, "one score and one label a sample"),
        ({"scores": [0.1, "high"]}, r"scores\.1"),
        ({"scores": None}, "scores"),
        ({"epochs": -1}, "epochs"),
        ({"peak_bytes": -1}, "peak_bytes"),
    ],
)
def test_a_record_that_is_none_is_refused(run: RunFolder, changes: dict[str, object], message: str) -> None:
    path = record_path(run, "test")
    run.write(path, json.loads(path.read_text()) | changes)
    with pytest.raises(StoreError, match=message):
        read_trial(run, "test")
