"""What is kept of a trial: it reads back, and what is damaged is refused."""

from pathlib import Path

import numpy as np
import pytest

from weldcache.documents import fingerprint
from weldcache.errors import StoreError
from weldcache.evaluate.bench.trial_record import (
    TrialRecord,
    read_record,
    read_scores,
    record_path,
    scores_path,
    write_record,
)
from weldcache.train.run_folder import RunFolder

KEYS = ("b", "a, with comma")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    record = TrialRecord("test", fingerprint(KEYS), 1, None, 7, 3, 0.5, False)
    write_record(run, record)
    scores_path(run, "test").write_text('key,label,score\nb,0,0.1\n"a, with comma",1,1e-3\n')
    return run


def test_a_record_and_its_scores_read_back(run: RunFolder) -> None:
    record = read_record(run, "test")
    assert record == TrialRecord("test", fingerprint(KEYS), 1, None, 7, 3, 0.5, False)
    assert read_record(run, "val") is None
    scores = read_scores(run, record)
    assert scores.keys == KEYS and scores.labels.tolist() == [0, 1]
    assert scores.scores.tolist() == [0.1, 1e-3] and scores.scores.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "missing or damaged"),
        ("key,label,score\nb,0,0.1\n", "other samples"),
        ("key,label,score\nb,0,0.1\na,1,1\n", "other samples"),
        ("key,label\nb,0\n", "missing or damaged"),
        ("key,label,score\nb,0\n", "missing or damaged"),
        ("key,label,score\nb,0,high\n", "missing or damaged"),
    ],
)
def test_damaged_scores_are_refused(run: RunFolder, text: str | None, message: str) -> None:
    record = read_record(run, "test")
    assert record is not None
    scores_path(run, "test").unlink()
    if text is not None:
        scores_path(run, "test").write_text(text)
    with pytest.raises(StoreError, match=message):
        read_scores(run, record)


def test_a_damaged_record_is_refused(run: RunFolder) -> None:
    record_path(run, "test").write_text('{"split": "test"}')
    with pytest.raises(StoreError, match="damaged"):
        read_record(run, "test")
