"""The benchmark on ELPV goes through the product on generated pictures in the same layout, and a second time through
what it kept; no network, no trained weights."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/elpv.py"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Grey pictures of the two types, in the defective ones a dark bar."""
    generator, lines, path = np.random.default_rng(0), [], tmp_path / "elpv.whl"
    probabilities = [0.0] * 40 + [1.0] * 12 + [2 / 3] * 10 + [1 / 3] * 2
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("elpv_dataset/utils.py", "raise AssertionError('nothing of the package is imported')")
        for number, probability in enumerate(probabilities * 2):
            picture = generator.integers(120, 136, (60, 60), dtype=np.uint8)
            if probability > 0.5:
                picture[20:40, 10:50] = 20
            name, kind = f"images/cell{number:04d}.png", "mono" if number < len(probabilities) else "poly"
            archive.writestr(f"elpv_dataset/data/{name}", cv2.imencode(".png", picture)[1].tobytes())
            lines.append(f"{name}  {probability:.16g}  {kind}")
        archive.writestr("elpv_dataset/data/labels.csv", "\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_pictures_become_figures_and_are_kept(child_environment: dict[str, str], wheel: Path, tmp_path: Path) -> None:
    def run(*more: str) -> list[str]:
        command = [sys.executable, str(SCRIPT), "--data", str(wheel), "--out", str(tmp_path / "out"), "--splits", "1"]
        command += ["--features", "pixels", *more]
        done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first = run("--kinds", "mono", "all")
    told = json.loads(first[-1])
    assert told["benchmark"] == "elpv" and told["targets"] == {}
    assert told["ratios"]["pixels_l2_mono_certain"] == told["ratios"]["pixels_l2_all_likely"] == 1.0
    assert any(line.startswith("mono, 1 splits, judged on 18 functional and 20 defective") for line in first)
    cells = (tmp_path / "out/cells.csv").read_text().splitlines()
    assert len(cells) == 1 + 2 * 62 and "0.3333" not in "".join(cells)
    judged = (tmp_path / "out/runs/mono_0_pixels_l2/report.json").stat().st_mtime_ns
    wheel.unlink()
    assert json.loads(run("--kinds", "mono", "all")[-1]) == told
    assert (tmp_path / "out/runs/mono_0_pixels_l2/report.json").stat().st_mtime_ns == judged
