"""A project of parts, each a picture and three numbers, with judged runs of several recipes and without its stores."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache.tests.toy import undraw

Run = Callable[..., Any]
Row = dict[str, str]

SETTINGS = """\
data:
  source: table
  root: .
  noun: part
  split: fold
  class_name: kind
  streams: {image: photo}
  vectors: {spectrum: ["s*"]}
features:
  image: {kind: photographs, model: demo, blocks: [2], size: 64, num_views: 1}
  spectrum: {kind: vector, stream: spectrum, size: 3}
extract: {features: [image, spectrum], device: cpu, workers: 0}
train: {device: cpu, batch_size: 5}
recipe:
  name: match_fusion
  folds: 2
  members:
    looks: {name: gaussian, array: image/block_2/mean}
    numbers: {name: gaussian, array: spectrum/values}
"""
PICTURES = """\
data: {source: folder, root: pictures, val_fraction: 0.3}
cache: {path: pictures.zarr}
extract: {features: [image]}
recipe: {name: nearest, array: image/block_2/mean}
"""
GAUSSIAN = ["--set", "recipe.name=gaussian", "--set", "recipe.array=spectrum/values"]
NEAREST = ["--set", "recipe.name=nearest", "--set", "recipe.array=image/block_2/mean"]
PATCHES = ["--set", "recipe.name=patch_memory", "--set", "recipe.array=image/block_2/patch_tokens"]
PROBE = ["--set", "recipe.name=linear_probe", "--set", "recipe.array=spectrum/values"]
COLUMNS = ("id", "photo", "s1", "s2", "s3")


def _write(path: Path, rows: list[Row], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["key", *columns[1:]], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _parts(folder: Path) -> list[Row]:
    """Forty parts with a picture and three numbers each, of which the test part lacks some."""
    generator = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for number in range(40):
        fold = "train" if number < 14 else "val" if number < 29 else "test"
        is_defect = (number >= 29 and number % 3 == 0) or number in (15, 18)
        picture = 120 + 40 * np.sin(np.arange(32) / 5)[:, None, None] + generator.normal(0, 6, (32, 32, 3))
        if is_defect:
            picture[8:20, 8:20] = 10
        assert cv2.imwrite(str(folder / f"pictures/{number}.png"), picture.clip(0, 255).astype(np.uint8))
        numbers = generator.normal(2.0 * is_defect, 1, 3).round(3).tolist()
        photo = "" if number in (31, 33) else f"pictures/{number}.png"
        values = ("", *numbers[1:]) if number in (32, 36) else numbers
        kind = "crack" if is_defect else "good"
        rows.append(
            {"key": f"p{number}", "fold": fold, "kind": kind, "photo": photo}
            | {f"s{place + 1}": str(value) for place, value in enumerate(values)}
        )
        place = folder / "pictures" / ("test" if fold == "test" else "train") / kind / f"{number}.png"
        if fold == "test" or not is_defect:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / f"pictures/{number}.png", place)
            rows[-1]["photo"] = photo and str(place.relative_to(folder))
    return rows


@pytest.fixture(scope="session")
def parts(made_once: Callable[..., Path], weldcache: Run) -> Path:
    """The project, with the table new.csv of its test parts, of which it says nothing. Not to be changed."""

    def fill(folder: Path) -> None:
        rows = _parts(folder)
        _write(folder / "table.csv", rows, ("id", "fold", "kind", *COLUMNS[1:]))
        _write(folder / "new.csv", [row for row in rows if row["fold"] == "test"])
        (folder / "weldcache.yaml").write_text(SETTINGS)
        (folder / "pictures.yaml").write_text(PICTURES)
        pictures = ["--config", "pictures.yaml"]
        classes = ["--set", "train.task=classification"]
        for command in (
            ["extract"],
            ["train", "--run", "joined"],
            ["train", "--run", "numbers", *GAUSSIAN],
            ["train", "--run", "looks", *NEAREST],
            ["train", "--run", "patches", *PATCHES],
            ["train", "--run", "classes", *PROBE, *classes],
            ["fuse", "--run", "fused", "numbers", "looks"],
            ["extract", *pictures],
            ["train", "--run", "pictures", *pictures],
            *(["eval", "--run", run] for run in ("joined", "numbers", "looks", "classes", "fused", "pictures")),
            ["eval", "--run", "patches", "--maps", "maps"],
        ):
            with pytest.MonkeyPatch.context() as patch:
                undraw(patch)
                outcome = weldcache(*command, folder=folder)
            assert outcome.code == 0, outcome.err
        for store in folder.glob("*.zarr"):
            shutil.rmtree(store)

    return made_once("scored", fill)


@pytest.fixture(scope="session")
def table(parts: Path) -> Path:
    """The test parts alone, with nothing said of them."""
    return parts / "new.csv"
