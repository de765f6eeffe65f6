"""Pictures in the folders of MVTec AD: the commands of docs/own-data.md lead from files to a verdict and to scores of
new pictures without a word about any other field, and those of other pages are among them."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


def start_of(page: str, heading: str) -> tuple[str, list[str]]:
    """The settings that come first below a heading of a page, and the commands there."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    settings, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return settings, commands.splitlines()


SETTINGS, COMMANDS = start_of("docs/own-data.md", "## Pictures in folders")
SMALLEST = """\
features: {image: {model: demo, blocks: [2], size: 64}}
extract: {device: cpu, workers: 0}
recipe: {array: image/block_2/patch_tokens}
train: {device: cpu}
"""
FOREIGN = re.compile(r"(?<![/\w])weld(?!cache)|\b(arc|seam)\b", re.IGNORECASE)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Thirty pictures of stripes, six of them with a scratch, in a folder with settings."""
    generator = np.random.default_rng(0)
    stripes = 120 + 40 * np.sin(np.arange(64) / 5)[:, None, None]
    for folder, number in (("train/good", 16), ("test/good", 8), ("test/scratch", 6)):
        (tmp_path / "parts" / folder).mkdir(parents=True)
        for index in range(number):
            picture = stripes + generator.normal(0, 6, (64, 64, 3))
            if folder == "test/scratch":
                row, column = generator.integers(8, 40, 2)
                picture[row : row + 16, column : column + 16] = 20
            name = str(tmp_path / "parts" / folder / f"{index:03d}.png")
            assert cv2.imwrite(name, picture.clip(0, 255).astype(np.uint8))
    (tmp_path / "weldcache.yaml").write_text(SETTINGS + SMALLEST)
    return tmp_path


@pytest.mark.slow  # nine commands, each as a reader has it: six seconds of processor time
def test_commands_lead_from_files_to_a_report(parts: Path, weldcache: Callable[..., Any]) -> None:
    printed = ""
    for line in COMMANDS:
        outcome = weldcache(*line.split()[1:], folder=parts)
        assert outcome.code == 0, (line, outcome.err)
        printed += outcome.out + outcome.err
    outcome = weldcache("train", "--set", "recipe.array=auto", "--run", "means", folder=parts)
    assert outcome.code == 0 and "recipe.array = image/block_2/mean" in outcome.err, outcome.err
    assert "data.source is folder" in printed and "30 of 30 pictures to do" in printed
    assert "30 pictures: 24 normal (good), 6 defects (scratch)" in printed
    (report,) = parts.glob("runs/*/report.html")
    for text in (printed, report.read_text(), (report.parent / "report.json").read_text()):
        assert FOREIGN.findall(text) == []
    scores = pd.read_csv(parts / "scores.csv")
    assert len(scores) == 6 and scores["score"].notna().all()
    (shown,) = re.findall(r"```python\n(import pandas.*?)```", (ROOT / "docs/scoring.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    with contextlib.chdir(parts):
        exec(compile(shown, "scoring.md", "exec"), names)
    assert names["odd"] == (scores["p_value"] <= 0.05).mean()


def test_two_recipes_are_compared_on_the_same_features(parts: Path, weldcache: Callable[..., Any]) -> None:
    settings, commands = start_of("docs/coming-from-anomalib.md", "## A first hour")
    assert settings == SETTINGS
    for line in commands:
        outcome = weldcache(*line.split()[1:], folder=parts)
        assert outcome.code == 0, (line, outcome.err)
    assert "patchcore" in outcome.out and "neighbours" in outcome.out


@pytest.mark.parametrize(
    ("page", "heading"),
    [("README.md", "## Your own data in fifteen lines"), ("docs/quick-start.md", "## Pictures in folders")],
)
def test_a_shorter_start_is_part_of_it(page: str, heading: str) -> None:
    settings, commands = start_of(page, heading)
    assert settings == SETTINGS
    assert [line for line in commands if not any(f"{whole} ".startswith(f"{line} ") for whole in COMMANDS)] == []
