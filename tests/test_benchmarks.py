"""Benchmarks that are small enough to be run here say what they should; mypy guards the others."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.slow


def told_by(name: str, *arguments: str, environment: dict[str, str], folder: Path) -> dict[str, Any]:
    """The JSON line that a script ends with."""
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments]
    ran = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert told["benchmark"] == name
    return told


def test_extract_overlap(child_environment: dict[str, str], tmp_path: Path) -> None:
    smallest = ("--size", "tiny", "--rounds", "1", "--skip-full-size")
    told = told_by("extract_overlap", *smallest, environment=child_environment, folder=tmp_path)
    assert told["ratios"].keys() == told["targets"].keys() == {"demo_over_slowest_side"}


def test_engines(child_environment: dict[str, str], tmp_path: Path) -> None:
    """Without Ray, whose actors import everything anew."""
    smallest = ("--spans", "4", "--seconds", "0.2", "--rounds", "1", "--engines", "rank")
    told = told_by("engines", *smallest, environment=child_environment, folder=tmp_path)
    assert told["ratios"].keys() == told["targets"].keys() == {"overhead_rank"}


def test_growth(child_environment: dict[str, str], tmp_path: Path) -> None:
    """A row costs no more files than it has arrays."""
    told = told_by("growth", "--sizes", "40", "400", environment=child_environment, folder=tmp_path)
    assert {f"exponent_{step}" for step in ("extract", "resume", "open", "info", "verify")} < told["ratios"].keys()
    # Two arrays of a set without a gap, and of one with every tenth row absent; 256 rows share all other files.
    assert 3.8 <= told["ratios"]["files_a_row"] < 4.1


def test_million_rows(child_environment: dict[str, str], tmp_path: Path) -> None:
    told = told_by("million_rows", "--sizes", "300", "600", environment=child_environment, folder=tmp_path)
    assert told["targets"].keys() < told["ratios"].keys()


def test_metrics(child_environment: dict[str, str], tmp_path: Path) -> None:
    """So small, it tells only that the figures are those of a sort."""
    told = told_by("metrics", "--small", environment=child_environment, folder=tmp_path)
    assert told["ratios"].keys() == told["targets"].keys()
    assert told["ratios"]["allowed_over_largest_difference"] > 1


def test_growth_of_heads(child_environment: dict[str, str], tmp_path: Path) -> None:
    told = told_by("growth_of_heads", "--sizes", "150", "300", environment=child_environment, folder=tmp_path)
    assert {f"exponent_{step}" for step in ("fit", "score", "judge", "bench")} == told["ratios"].keys()


def test_banks(child_environment: dict[str, str], tmp_path: Path) -> None:
    """So small, it tells only that all sides find the same neighbours, and coresets that cover as well."""
    sizes = ("--candidates", "600", "--bank", "60", "--searched", "300", "--queries", "100", "--rounds", "1")
    told = told_by("banks", *sizes, environment=child_environment, folder=tmp_path)
    assert told["targets"].keys() < told["ratios"].keys()
    assert told["ratios"]["furthest_ours_over_plain"] < 1.5


def test_object_store(child_environment: dict[str, str], tmp_path: Path) -> None:
    """So small, it tells only that what a bucket gives is what the folder gives."""
    told = told_by("object_store", "--small", environment=child_environment, folder=tmp_path)
    assert {f"{question}_bucket_over_folder" for question in ("batch", "load", "upload")} < told["ratios"].keys()


def test_sweep(child_environment: dict[str, str], tmp_path: Path) -> None:
    """With one process at a time, as others start and kill the processes of a sweep."""
    smallest = ("--trials", "2", "--epochs", "1", "--rounds", "1", "--jobs", "1", "--recipes", "video_ae")
    told = told_by("sweep", *smallest, environment=child_environment, folder=tmp_path)
    assert told["ratios"].keys() == told["targets"].keys() == {"shared_over_apart", "together_over_apart"}
