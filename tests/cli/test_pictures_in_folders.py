"""Pictures in the folders of MVTec AD: the README's four commands lead from files to a report without a word about any
other field."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
START = README.partition("### Pictures in folders")[2].partition("\n### ")[0]
(SETTINGS,) = re.findall(r"```yaml\n(.*?)```", START, re.DOTALL)
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", START, re.DOTALL)
SMALLEST = """\
features: {image: {model: demo, blocks: [2], size: 64}}
extract: {device: cpu, workers: 0}
recipe: {array: image/block_2/patch_tokens}
train: {device: cpu}
"""
FOREIGN = re.compile(r"(?<![/\w])weld(?!cache)|\b(arc|seam)\b", re.IGNORECASE)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Thirty pictures of stripes, six of them with a stain, in a folder with settings."""
    generator = np.random.default_rng(0)
    stripes = 120 + 40 * np.sin(np.arange(64) / 5)[:, None, None]
    for folder, number in (("train/good", 16), ("test/good", 8), ("test/stain", 6)):
        (tmp_path / "parts" / folder).mkdir(parents=True)
        for index in range(number):
            picture = stripes + generator.normal(0, 6, (64, 64, 3))
            if folder == "test/stain":
                row, column = generator.integers(8, 40, 2)
                picture[row : row + 16, column : column + 16] = 20
            name = str(tmp_path / "parts" / folder / f"{index:03d}.png")
            assert cv2.imwrite(name, picture.clip(0, 255).astype(np.uint8))
    (tmp_path / "weldcache.yaml").write_text(SETTINGS + SMALLEST)
    return tmp_path


def test_four_commands_lead_from_files_to_a_report(parts: Path, weldcache: Callable[..., object]) -> None:
    printed = ""
    for line in COMMANDS.splitlines():
        outcome = weldcache(*line.split()[1:], folder=parts)
        assert outcome.code == 0, outcome.err
        printed += outcome.out + outcome.err
    outcome = weldcache("train", "--set", "recipe.array=auto", "--run", "means", folder=parts)
    assert outcome.code == 0 and "recipe.array = image/block_2/mean" in outcome.err, outcome.err
    assert "data.source is folder" in printed and "30 of 30 pictures to do" in printed
    assert "30 pictures: 24 normal (good), 6 defects (stain)" in printed
    (report,) = parts.glob("runs/*/report.html")
    for text in (printed, report.read_text(), (report.parent / "report.json").read_text()):
        assert FOREIGN.findall(text) == []
