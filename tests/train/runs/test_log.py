"""The log of epochs, and how it is cut back to where a run goes on."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.errors import TrainingError
from weldcache.train.runs import log as log_module
from weldcache.train.runs.log import append_row, cut_back, read_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    for epoch in (1, 2, 3):
        append_row(path, {"epoch": epoch, "loss": 1 / epoch, "val_auroc": None})
    return path


def test_rows_come_back_exactly(log: Path) -> None:
    assert read_log(log).rows == [{"epoch": epoch, "loss": 1 / epoch, "val_auroc": None} for epoch in (1, 2, 3)]


def test_an_epoch_is_added_without_reading_those_before(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "read_regular_file", None)
    monkeypatch.setattr(log_module, "_TAIL", 8)  # bytes, fewer than a line has
    append_row(log, {"epoch": 4})
    append_row(log, {"epoch": 5, "loss": 0.5})
    monkeypatch.undo()
    assert [row["epoch"] for row in read_log(log).rows] == [1, 2, 3, 4, 5]


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert read_log(tmp_path / "metrics.jsonl").rows == []


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_cutting_back_keeps_the_epochs_before(log: Path, epoch: int) -> None:
    cut_back(log, epoch=epoch)
    assert [row["epoch"] for row in read_log(log).rows] == list(range(1, epoch + 1))


def test_a_line_that_a_crash_cut_short_is_no_row(log: Path) -> None:
    with log.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert len(read_log(log).rows) == 3
    cut_back(log, epoch=3)
    append_row(log, {"epoch": 4})
    assert read_log(log).rows[-1] == {"epoch": 4}


def test_a_log_that_lost_an_epoch_is_refused(log: Path) -> None:
    with pytest.raises(TrainingError, match="does not hold the 5 epochs"):
        cut_back(log, epoch=5)


def test_a_damaged_line_is_refused(log: Path) -> None:
    log.write_text(log.read_text().replace('"epoch": 2,', '"epoch"'))
    with pytest.raises(TrainingError, match="damaged"):
        read_log(log)


def edited(lines: list[str]) -> list[str]:
    return [line.replace("0.5", "0.6") for line in lines]


def without_second(lines: list[str]) -> list[str]:
    return [lines[0], lines[2]]


def reordered(lines: list[str]) -> list[str]:
    return [lines[1], lines[0], lines[2]]


def without_checksum(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].partition(', "checksum"')[0] + "}", lines[2]]


@pytest.mark.parametrize("change", [edited, without_second, reordered, without_checksum])
def test_a_line_that_was_edited_taken_out_or_moved_is_refused(
    log: Path, change: Callable[[list[str]], list[str]]
) -> None:
    lines = log.read_text().splitlines()
    log.write_text("".join(f"{line}\n" for line in change(lines)))
    with pytest.raises(TrainingError, match=r"metrics\.jsonl, line [12]: it does not match"):
        read_log(log)


def test_a_log_from_before_the_checksums_is_read_and_gets_them_when_its_run_goes_on(log: Path) -> None:
    rows = read_log(log).rows
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert read_log(log).checksums == ["", "", ""] and read_log(log).rows == rows
    cut_back(log, epoch=2)
    assert read_log(log).rows == rows[:2] and all(read_log(log).checksums)


@pytest.mark.parametrize("row", ['{"loss": "low"}', '{"loss": NaN}', '{"loss": [1]}', '{"\\u001b]0;x": 1}'])
def test_a_row_of_anything_but_figures_is_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(f"{row}\n")
    with pytest.raises(TrainingError, match="damaged"):
        read_log(tmp_path / "metrics.jsonl")


def test_nan_is_refused(log: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_row(log, {"loss": float("nan")})
    assert len(read_log(log).rows) == 3
