"""Data sets of empty files: sources look at names, never into files."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

COLUMNS = (
    "CATEGORY",
    "WELD_TYPE",
    "THICKNESS_MM",
    "STEEL_TYPE",
    "SAMPLES",
    "CURRENT_A",
    "VOLTAGE_V",
    "GAS_BAR",
    "ROBOT_SPEED_CPM",
    "DIRECTORY",
    "SUBDIRS",
    "SPLIT",
)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Make a run's folder with its files, save those in `without`; views count from 1."""

    def make(key: str, *, without: Sequence[str] = (), views: Sequence[int] = (1, 2, 3, 4, 5)) -> Path:
        folder = tmp_path / key
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in {".avi", ".flac", ".csv"} - set(without):
            (folder / f"{folder.name}{suffix}").touch()
        for view in views:
            (folder / "images").mkdir(exist_ok=True)
            (folder / "images" / f"{folder.name}_view{view}.jpg").touch()
        return folder

    return make


@pytest.fixture
def row() -> Callable[..., dict[str, str]]:
    """A manifest row of a good weld, with some values replaced."""

    def make(run: str = "10-04-22-0001-00", directory: str = "10-04-22_shift_1", **replaced: str) -> dict[str, str]:
        return {
            "CATEGORY": "good",
            "WELD_TYPE": "butt",
            "THICKNESS_MM": "7",
            "STEEL_TYPE": "FE410",
            "SAMPLES": "coupon",
            "CURRENT_A": "205",
            "VOLTAGE_V": "24.2",
            "GAS_BAR": "3.0",
            "ROBOT_SPEED_CPM": "40",
            "DIRECTORY": directory,
            "SUBDIRS": f"{directory}/{run}",
            "SPLIT": "TRAIN",
        } | replaced

    return make


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Sequence[Mapping[str, str]], *, columns: Sequence[str] = COLUMNS, encoding: str = "utf-8") -> Path:
        path = tmp_path / "manifest.csv"
        with path.open("w", newline="", encoding=encoding) as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([[values[name.strip()] for name in columns] for values in rows])
        return path

    return write
