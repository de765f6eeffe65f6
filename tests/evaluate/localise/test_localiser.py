"""Maps of patches and steps: they lie on the original pixels and seconds, whatever was cropped, resized and padded."""

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from weldcache.evaluate.localise.localiser import Localiser, folder_of_files, localiser_of
from weldcache.evaluate.localise.maps import PictureMap
from weldcache.evaluate.scoring import scorer_of
from weldcache.extract.sources.folder import FolderSettings
from weldcache.tests.evaluate.localise.conftest import HEIGHT, SQUARE, WIDTH, Planted
from weldcache.train.runs.trained_run import load_run

Make = Callable[..., Planted]


def stained(planted: Planted) -> dict[str, PictureMap]:
    """The maps of pictures with a square, by file."""
    localiser = planted.localiser()
    rows = localiser.scorer.store.rows("test", feature_sets=["image/block_2"])
    maps = [each for sample in localiser(rows) for each in sample.pictures]
    return {each.file: each for each in maps if each.file in planted.squares}


def touches(each: PictureMap, square: tuple[int, int]) -> bool:
    """Whether the strangest patch lies on some of the square."""
    left, top, right, bottom = each.box
    rows, columns = each.scores.shape
    row, column = divmod(int(each.scores.argmax()), columns)
    wide, high = (right - left) / columns, (bottom - top) / rows
    from_left, from_top = left + column * wide - square[0], top + row * high - square[1]
    return -wide < from_left < SQUARE and -high < from_top < SQUARE


def share_above(each: PictureMap, square: tuple[int, int]) -> float:
    """The share of pixels outside the square with a lower score than the mean of those within: an AUROC, about."""
    left, top, right, bottom = each.box
    spread = np.full((HEIGHT, WIDTH), np.nan)
    spread[top:bottom, left:right] = each.on_pixels()
    truth = np.zeros((HEIGHT, WIDTH), dtype=bool)
    truth[square[1] : square[1] + SQUARE, square[0] : square[0] + SQUARE] = True
    outside = spread[~truth & np.isfinite(spread)]
    return float((outside < spread[truth].mean()).mean())


@pytest.mark.parametrize(
    ("num_views", "crop", "box"),
    [
        (1, None, (0, 0, WIDTH, HEIGHT)),
        (2, (0.25, 0.25, 0.75, 0.75), (50, 30, 150, 90)),
    ],
)
def test_a_bright_square_is_found_on_its_original_pixels(
    make_planted: Make, num_views: int, crop: tuple[float, ...] | None, box: tuple[int, ...]
) -> None:
    planted = make_planted(num_views=num_views, crop=crop)
    maps = stained(planted)
    assert maps.keys() == planted.squares.keys()
    for name, square in planted.squares.items():
        each = maps[name]
        assert each.box == box and each.view == num_views - 1 and each.feature == "image"
        assert touches(each, square) and share_above(each, square) > 0.75, name


def test_maps_come_in_the_order_of_rows_and_say_what_recipes_do(make_planted: Make) -> None:
    localiser = make_planted().localiser()
    rows = localiser.scorer.store.rows("test", feature_sets=["image/block_2"])
    there = [sample.pictures[0] for sample in localiser(rows)]
    back = [sample.pictures[0] for sample in localiser(rows[::-1])][::-1]
    assert [each.file for each in there] == [each.file for each in back]
    assert [localiser.scorer.store.index.keys[row] for row in rows] == [each.file for each in there]
    for one, other in zip(there, back, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)
    (scores,) = localiser.scorer(rows, localiser.scorer.plain_ways).values()
    for each, score in zip(there, scores, strict=True):
        strangest = np.sort(each.scores, axis=None)[-int(np.ceil(each.scores.size * 0.05)) :]
        assert strangest.mean() == pytest.approx(score, rel=1e-5)


def test_pictures_that_are_gone_have_no_maps_and_are_no_root(make_planted: Make, tmp_path: Any) -> None:
    planted = make_planted()
    localiser = planted.localiser()
    elsewhere = Localiser(localiser.scorer, tmp_path)
    assert [sample.pictures for sample in elsewhere(np.array([0, 1]))] == [(), ()]
    there, gone = FolderSettings(root=planted.folder / "parts"), FolderSettings(root=tmp_path)
    found = localiser_of(localiser.scorer, data=[gone, there])
    assert found is not None and found[1] == there and found[0].root == there.root
    assert localiser_of(localiser.scorer, data=[gone]) is None
    assert folder_of_files(localiser.scorer, folders=[tmp_path, there.root]) == there.root
    first = localiser.scorer.store.sources("image/block_2", np.array([0]))[0][0]
    copy = shutil.copytree(there.root, tmp_path / "copy")
    (copy / first.path).unlink()
    assert folder_of_files(localiser.scorer, folders=[copy]) == copy


def test_a_trained_run_has_maps_of_all_that_has_places(judged: Any) -> None:
    run = load_run(judged / "runs" / "first")
    localiser = Localiser(scorer_of(run, cache=None, device="cpu"), judged)
    rows = localiser.scorer.rows_of("test").usable
    maps = list(localiser(rows))
    assert {each.feature for each in maps[0].times} == {"video", "audio", "sensor"}
    for each in maps[0].times:
        assert len(each.seconds) == len(each.scores) and (np.diff(each.seconds) > 0).all()
        assert np.abs(each.scores).max() > 0
    assert {each.feature for each in maps[0].pictures} == {"image"}
    assert np.abs(maps[0].pictures[0].scores).max() > 0
