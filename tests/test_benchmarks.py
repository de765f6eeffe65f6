"""A benchmark that is small enough to be run here says what it should: a row costs no more files than it has arrays."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/growth.py"


@pytest.mark.slow
def test_growth(child_environment: dict[str, str]) -> None:
    command = [sys.executable, str(SCRIPT), "--sizes", "40", "400"]
    ran = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=True)
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["benchmark"] == "growth"
    assert {f"exponent_{step}" for step in ("extract", "resume", "open", "info", "verify")} < told["ratios"].keys()
    # Two arrays of a set without a gap, and of one with every tenth row absent; 256 rows share all other files.
    assert 3.8 <= told["ratios"]["files_a_row"] < 4.1
