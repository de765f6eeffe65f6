"""Benchmarks that are small enough to be run here say what they should; mypy guards the others."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.slow


ToldBy = Callable[..., dict[str, Any]]


@pytest.fixture
def told_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> ToldBy:
    """The JSON line that a script ends with, run in this process, which has imported what it needs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPTS)

    def run(name: str, *arguments: str) -> dict[str, Any]:
        path = str(SCRIPTS / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        runpy.run_path(path, run_name="__main__")
        return last_line(capsys.readouterr().out, name)

    return run


def last_line(out: str, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert told["benchmark"] == name
    return told


def test_extract_overlap(told_by: ToldBy) -> None:
    smallest = ("--size", "tiny", "--rounds", "1", "--skip-full-size")
    told = told_by("extract_overlap", *smallest)
    assert told["ratios"].keys() == told["targets"].keys() == {"demo_over_slowest_side"}


def test_engines(child_environment: dict[str, str], tmp_path: Path) -> None:
    """Without Ray, whose actors import everything anew; in a process of its own, as it installs a kind of feature."""
    smallest = ("--spans", "4", "--seconds", "0.2", "--rounds", "1", "--engines", "rank")
    command = [sys.executable, str(SCRIPTS / "engines.py"), *smallest]
    ran = subprocess.run(command, env=child_environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = last_line(ran.stdout, "engines")
    assert told["ratios"].keys() == told["targets"].keys() == {"overhead_rank"}


def test_growth(told_by: ToldBy) -> None:
    """A row costs no more files than it has arrays."""
    told = told_by("growth", "--sizes", "40", "400")
    assert {f"exponent_{step}" for step in ("extract", "resume", "open", "info", "verify")} < told["ratios"].keys()
    # Two arrays of a set without a gap, and of one with every tenth row absent; 256 rows share all other files.
    assert 3.8 <= told["ratios"]["files_a_row"] < 4.1


def test_million_rows(told_by: ToldBy) -> None:
    told = told_by("million_rows", "--sizes", "300", "600")
    assert told["targets"].keys() < told["ratios"].keys()


def test_metrics(told_by: ToldBy) -> None:
    """So small, it tells only that the figures are those of a sort."""
    told = told_by("metrics", "--small")
    assert told["ratios"].keys() == told["targets"].keys()
    assert told["ratios"]["allowed_over_largest_difference"] > 1


def test_growth_of_heads(told_by: ToldBy) -> None:
    told = told_by("growth_of_heads", "--sizes", "150", "300")
    assert {f"exponent_{step}" for step in ("fit", "score", "judge", "bench")} == told["ratios"].keys()


def test_banks(told_by: ToldBy) -> None:
    """So small, it tells only that all sides find the same neighbours, and coresets that cover as well."""
    sizes = ("--candidates", "600", "--bank", "60", "--searched", "300", "--queries", "100", "--rounds", "1")
    told = told_by("banks", *sizes)
    assert told["targets"].keys() < told["ratios"].keys()
    assert told["ratios"]["furthest_ours_over_plain"] < 1.5


def test_object_store(told_by: ToldBy) -> None:
    """So small, it tells only that what a bucket gives is what the folder gives."""
    told = told_by("object_store", "--small")
    assert {f"{question}_bucket_over_folder" for question in ("batch", "load", "upload")} < told["ratios"].keys()


def test_sweep(told_by: ToldBy) -> None:
    """With one process at a time, as others start and kill the processes of a sweep."""
    smallest = ("--trials", "2", "--epochs", "1", "--rounds", "1", "--jobs", "1", "--recipes", "video_ae")
    told = told_by("sweep", *smallest)
    assert told["ratios"].keys() == told["targets"].keys() == {"shared_over_apart", "together_over_apart"}
