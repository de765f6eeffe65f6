"""A few trials of the campaign whose full size is in docs/reliability.md: nothing lost, false, silent or hanging."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_small_campaign_finds_nothing(child_environment: dict[str, str], tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "reliability.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "1", "--stores", "11", "--files", "29"],
        capture_output=True,
        text=True,
        env=child_environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["ratios"] == {"failures": 0}
