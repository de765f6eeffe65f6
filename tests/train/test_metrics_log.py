"""The log of epochs, and how it is cut back to where a run goes on."""

from pathlib import Path

import pytest

from weldcache.errors import TrainingError
from weldcache.train.metrics_log import append_row, cut_back, read_rows


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    for epoch in (1, 2, 3):
        append_row(path, {"epoch": epoch, "loss": 1 / epoch, "val_auroc": None})
    return path


def test_rows_come_back_exactly(log: Path) -> None:
    assert read_rows(log) == [{"epoch": epoch, "loss": 1 / epoch, "val_auroc": None} for epoch in (1, 2, 3)]


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_cutting_back_keeps_the_epochs_before(log: Path, epoch: int) -> None:
    cut_back(log, epoch=epoch)
    assert [row["epoch"] for row in read_rows(log)] == list(range(1, epoch + 1))


def test_a_line_that_a_crash_cut_short_is_no_row(log: Path) -> None:
    with log.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert len(read_rows(log)) == 3
    cut_back(log, epoch=3)
    append_row(log, {"epoch": 4})
    assert read_rows(log)[-1] == {"epoch": 4}


def test_a_log_that_lost_an_epoch_is_refused(log: Path) -> None:
    with pytest.raises(TrainingError, match="does not hold the 5 epochs"):
        cut_back(log, epoch=5)


def test_a_damaged_line_is_refused(log: Path) -> None:
    log.write_text(log.read_text().replace('"epoch": 2,', '"epoch"'))
    with pytest.raises(TrainingError, match="damaged"):
        read_rows(log)


def test_nan_is_refused(log: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_row(log, {"loss": float("nan")})
    assert len(read_rows(log)) == 3
