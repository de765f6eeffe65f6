"""`weldcache data check`: what lies there is counted, and what is odd about it told, before anything is extracted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

Run = Callable[..., Any]

_PICTURES = {"train/good": 6, "val/good": 10, "val/crack": 2, "test/good": 10, "test/crack": 3}


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Pictures in folders, each with other pixels."""
    generator = np.random.default_rng(0)
    for name, count in _PICTURES.items():
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), pixels)
    (tmp_path / "weldcache.yaml").write_text("preset: pictures\ndata: {root: .}\n")
    return tmp_path


def test_samples_are_counted_by_class_and_part(weldcache: Run, plates: Path) -> None:
    outcome = weldcache("data", "check", "--json", folder=plates)
    told = json.loads(outcome.raw_out)
    assert outcome.code == 0 and told["schema_version"] == 1 and told["samples"] == 31
    assert told["classes"] == {"good": {"train": 6, "val": 10, "test": 10}, "crack": {"train": 0, "val": 2, "test": 3}}
    assert told["streams"] == {"image": 31} and told["findings"] == []
    assert not (plates / "features.zarr").exists()


def test_twins_and_empty_files_are_told_with_the_verdict_first(weldcache: Run, plates: Path) -> None:
    (plates / "test/good/0.png").write_bytes((plates / "train/good/0.png").read_bytes())
    for number in (1, 2):
        (plates / f"test/crack/{number}.png").write_bytes(b"")
    outcome = weldcache("data", "check", folder=plates)
    assert outcome.code == 1
    assert outcome.out.startswith("Not to be believed as it is: 1 error, 1 warning in")
    assert "2 files of image without a byte: 1.png, 2.png" in outcome.out and "train/good/0.png" in outcome.out
    assert "31 pictures: 26 normal (good), 5 defects (crack)" in outcome.out


def test_normals_that_are_too_few_to_judge_by_are_told(weldcache: Run, plates: Path) -> None:
    for number in range(2, 10):
        (plates / f"test/good/{number}.png").unlink()
    outcome = weldcache("data", "check", "--json", folder=plates)
    (found,) = json.loads(outcome.raw_out)["findings"]
    assert (found["check"], found["severity"]) == ("few normals", "warning") and "2 normal pictures" in found[
        "evidence"
    ]


def test_a_reason_is_told_once_with_its_samples(weldcache: Run, tmp_path: Path) -> None:
    rows = [f"train{i},train,good,train-day{i // 2}" for i in range(4)] + [
        "val0,val,good,monday",
        "val1,val,bad,monday",
    ]
    rows += [f"test{i},test,{'bad' if i % 2 else 'good'},test-day{i // 2}" for i in range(6)]
    table = ["key,split,kind,session,photo", f"{rows[0]},train0.png", *(f"{row}," for row in rows[1:])]
    (tmp_path / "manifest.csv").write_text("\n".join(table))
    (tmp_path / "train0.png").write_bytes(b"x")
    (tmp_path / "weldcache.yaml").write_text(
        "preset: pictures\ndata: {source: table, root: ., table: manifest.csv, split: split, class_name: kind, "
        "group: session, streams: {image: photo}}\n"
    )
    outcome = weldcache("data", "check", folder=tmp_path)
    absent = [line for line in outcome.raw_out.splitlines() if "absent" in line]
    assert len(absent) == 1 and "11 " in absent[0] and "train1" in absent[0], outcome
    assert "all of val is one group, monday" in outcome.out


def test_without_a_data_set_it_is_bad_input(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("data", "check", "nowhere", folder=tmp_path)
    assert outcome.code == 2 and "nowhere" in outcome.err and outcome.out == ""
