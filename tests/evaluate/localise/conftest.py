"""A folder of pictures with bright squares on known pixels and masks of them, in a store with a fitted patch memory."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from weldcache.evaluate.localise.localiser import Localiser
from weldcache.evaluate.scoring import scorer_of
from weldcache.train.runs.trained_run import load_run

HEIGHT, WIDTH = 120, 200
SQUARE = 30

SETTINGS = """\
data: {{source: folder, root: parts}}
features: {{image: {{kind: photographs, model: demo, blocks: [2], size: 128, num_views: {num_views}{crop}}}}}
extract: {{device: cpu, workers: 0, features: [image]}}
recipe: {{name: patch_memory, array: image/block_2/patch_tokens, top_percent: 5.0}}
train: {{device: cpu}}
"""


@dataclass(frozen=True)
class Planted:
    """A project with a fitted run `first`, and where each stained picture has its square: left and top."""

    folder: Path
    squares: dict[str, tuple[int, int]]

    def localiser(self) -> Localiser:
        """Maps by the run."""
        run = load_run(self.folder / "runs" / "first")
        return Localiser(scorer_of(run, cache=None, device="cpu"), self.folder / "parts")


def _picture(generator: np.random.Generator, *, square: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    picture = 90 + generator.normal(0, 4, (HEIGHT, WIDTH, 3))
    if square is not None:
        left, top = square
        picture[top : top + SQUARE, left : left + SQUARE] = 250
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def plant(folder: Path, *, num_views: int = 1, within: tuple[int, int, int, int]) -> dict[str, tuple[int, int]]:
    """Pictures below `folder`: stained ones have their square in the last view, in `within` (left, top, right,
    bottom)."""
    generator = np.random.default_rng(0)
    squares = {}
    for group, number in (("train/good", 14), ("test/good", 6), ("test/stain", 6)):
        for index in range(number):
            name = f"{group}/{index:03d}"
            views = [f"{name}/view{view + 1}" for view in range(num_views)] if num_views > 1 else [name]
            for view, place in enumerate(views):
                square = None
                if group == "test/stain" and view == num_views - 1:
                    left, top, right, bottom = within
                    square = (
                        int(generator.integers(left, right - SQUARE)),
                        int(generator.integers(top, bottom - SQUARE)),
                    )
                    squares[f"{place}.png"] = square
                    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                    mask[square[1] : square[1] + SQUARE, square[0] : square[0] + SQUARE] = 255
                    write_picture(folder / f"ground_truth/{place.removeprefix('test/')}_mask.png", mask)
                write_picture(folder / f"{place}.png", _picture(generator, square=square))
    return squares


@pytest.fixture(scope="session")
def make_planted(made_once: Callable[..., Path], weldcache: Callable[..., object]) -> Callable[..., Planted]:
    """A planted project, by the number of views and the crop; made once. Not to be changed."""

    def make(*, num_views: int = 1, crop: tuple[float, float, float, float] | None = None) -> Planted:
        within = (0, 0, WIDTH, HEIGHT)
        if crop is not None:
            left, top, right, bottom = crop
            within = (int(left * WIDTH), int(top * HEIGHT), int(right * WIDTH), int(bottom * HEIGHT))

        def fill(folder: Path) -> None:
            squares = plant(folder / "parts", num_views=num_views, within=within)
            (folder / "squares.json").write_text(json.dumps(squares))
            told = "" if crop is None else f", crop: {list(crop)}"
            (folder / "weldcache.yaml").write_text(SETTINGS.format(num_views=num_views, crop=told))
            for command in (["extract"], ["train", "--run", "first"]):
                outcome = weldcache(*command, folder=folder)
                assert outcome.code == 0, outcome.err

        folder = made_once(f"planted-{num_views}-{crop is not None}", fill)
        squares = json.loads((folder / "squares.json").read_text())
        return Planted(folder, {name: (left, top) for name, (left, top) in squares.items()})

    return make
