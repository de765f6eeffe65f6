"""Masks that always cover and crops that never are empty, for pictures of every size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.extract.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from weldcache.extract.decode.rectangle import MASK_COLOUR, crop_to, paint_over

sizes = st.tuples(st.integers(1, 50), st.integers(1, 50))
shares = st.floats(0, 1, allow_subnormal=False)
spans = st.tuples(shares, shares).map(sorted).filter(lambda span: span[0] < span[1])
rectangles = st.tuples(spans, spans).map(lambda both: (both[0][0], both[1][0], both[0][1], both[1][1]))


def numbered(height: int, width: int) -> np.ndarray:
    """A picture whose pixels all differ, and none has the masks' colour."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[..., 0] = np.arange(height)[:, None]
    picture[..., 1] = np.arange(width)[None, :]
    return picture


def test_masks_by_hand() -> None:
    painted = (paint_over(numbered(10, 20), masks=[(0.11, 0.5, 0.49, 0.74)]) == MASK_COLOUR).all(axis=-1)
    expected = np.zeros((10, 20), dtype=bool)
    expected[5:8, 2:10] = True  # columns 2.2 to 9.8, rows 5 to 7.4
    np.testing.assert_array_equal(painted, expected)


@given(size=sizes, mask=rectangles)
def test_a_mask_covers_all_that_it_touches_and_little_more(size: tuple[int, int], mask: tuple[float, ...]) -> None:
    height, width = size
    left, top, right, bottom = mask
    painted = (paint_over(numbered(height, width), masks=[(left, top, right, bottom)]) == MASK_COLOUR).all(axis=-1)
    rows, columns = np.arange(height), np.arange(width)
    touched_rows = (rows + 1 > top * height) & (rows < bottom * height)
    touched_columns = (columns + 1 > left * width) & (columns < right * width)
    np.testing.assert_array_equal(painted, touched_rows[:, None] & touched_columns[None, :])
    assert painted.any()


@given(size=sizes, masks=st.lists(rectangles, max_size=4))
def test_masks_change_nothing_else(size: tuple[int, int], masks: list[tuple[float, float, float, float]]) -> None:
    picture = numbered(*size)
    before = picture.copy()
    painted = paint_over(picture, masks=masks)
    np.testing.assert_array_equal(picture, before)
    kept = (painted != MASK_COLOUR).any(axis=-1)
    np.testing.assert_array_equal(painted[kept], picture[kept])
    np.testing.assert_array_equal(paint_over(painted, masks=masks[::-1]), painted)


def test_the_colour_is_about_zero_once_normalised() -> None:
    assert np.abs((np.array(MASK_COLOUR) / 255 - IMAGENET_MEAN) / IMAGENET_STD).max() < 0.01


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 9), (0, 29)),
        ((0.1, 0.3, 0.7, 0.9), (3, 8), (3, 20)),  # whole pixels, in spite of floating point
        ((0.11, 0.25, 0.69, 0.85), (3, 7), (4, 19)),  # rows 2.5 to 8.5, columns 3.3 to 20.7
        ((0.5, 0.5, 0.51, 0.51), (5, 5), (15, 15)),
        ((0.99, 0.99, 1.0, 1.0), (9, 9), (29, 29)),
        ((0.0, 0.0, 0.01, 0.01), (0, 0), (0, 0)),
    ],
)
def test_crops_by_hand(
    crop: tuple[float, float, float, float], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    cropped = crop_to(numbered(10, 30), crop=crop)
    assert (int(cropped[0, 0, 0]), int(cropped[-1, -1, 0])) == rows
    assert (int(cropped[0, 0, 1]), int(cropped[-1, -1, 1])) == columns


@given(size=sizes, crop=rectangles)
def test_a_crop_is_never_empty_and_shows_nothing_from_outside(
    size: tuple[int, int], crop: tuple[float, float, float, float]
) -> None:
    height, width = size
    left, top, right, bottom = crop
    cropped = crop_to(numbered(height, width), crop=crop)
    assert min(cropped.shape) >= 1
    for found, start, end, count in (
        (cropped[:, 0, 0], top * height, bottom * height, height),
        (cropped[0, :, 1], left * width, right * width, width),
    ):
        first, last = int(found[0]), int(found[-1])
        assert found.tolist() == list(range(first, last + 1))
        if first < last:
            assert start - 1e-5 <= first
            assert last + 1 <= end + 1e-5
            # Not one more would fit.
            assert first == 0 or first - 1 < start
            assert last == count - 1 or last + 2 > end
        else:
            assert start - 1e-5 <= first + 1
            assert first <= end + 1e-5
