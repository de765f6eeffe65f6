"""Photographs at their views, whatever their sizes; a broken one leaves its view empty and says so."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weldcache.errors import DecodeError
from weldcache.extract.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from weldcache.extract.decode.image import (
    MASK_COLOUR,
    crop_to,
    decode_photographs,
    paint_over,
    view_of_each,
)
from weldcache.tests.toy import read_picture

WriteJpeg = Callable[..., Path]
RUN = "10-04-22-0001-05"


@pytest.fixture
def write_jpeg(tmp_path: Path) -> WriteJpeg:
    """A JPEG whose mean is `grey`: stripes, so that it shows something."""

    def write(name: str, *, grey: int = 128, size: tuple[int, int] = (40, 30), options: Sequence[int] = ()) -> Path:
        path = tmp_path / name
        row = grey + 12 * np.sign(np.arange(size[0]) // 10 % 2 - 0.5)
        picture = np.broadcast_to(row[None, :, None], (size[1], size[0], 3)).astype(np.uint8)
        assert cv2.imwrite(str(path), picture, list(options))
        return path

    return write


def greys(paths: Sequence[Path], *, num_views: int = 5) -> list[int | None]:
    views = decode_photographs(paths, num_views=num_views).views
    return [None if view is None else round(float(view.mean())) for view in views]


def test_five_views_in_order(write_jpeg: WriteJpeg) -> None:
    paths = [write_jpeg(f"{RUN}_view{view}.jpg", grey=40 * view) for view in (1, 2, 3, 4, 5)]
    assert greys(paths[::-1]) == [40, 80, 120, 160, 200]
    photographs = decode_photographs(paths, num_views=5)
    assert photographs.present.tolist() == [True] * 5
    assert photographs.notes == ()


@pytest.mark.parametrize("stem", [f"{RUN}_view", f"{RUN}_", f"{RUN}-", "", "cam", "View_", "picture "])
def test_a_missing_picture_leaves_its_own_view_empty(write_jpeg: WriteJpeg, stem: str) -> None:
    paths = [write_jpeg(f"{stem}{view}.jpg", grey=40 * view) for view in (1, 2, 4, 5)]
    assert greys(paths) == [40, 80, None, 160, 200]
    assert decode_photographs(paths, num_views=5).notes == ("there is no photograph of view 3",)
    assert decode_photographs(paths[:2], num_views=5).notes == ("there is no photograph of views 3, 4 and 5",)


@pytest.mark.parametrize(
    ("stems", "views"),
    [
        (["a_0", "a_1", "a_3"], [0, 1, 3]),  # counted from 0, because there is a 0
        (["a_2", "a_3"], [1, 2]),
        (["front", "rear", "left"], [0, 2, 1]),  # no numbers: the order of names
        (["a_1", "b_1", "a_2"], [0, 2, 1]),  # a number twice
        (["a_1", "b"], [0, 1]),  # a name without one
        (["shot_17", "shot_19", "shot_18"], [0, 2, 1]),  # a running count, not views
        (["a_20221004", "a_20221005"], [0, 1]),  # dates
        (["10-04-22-0001-05", "10-04-22-0001-03"], [1, 0]),  # class codes
        (["a_1", "a_2", "a_7"], [0, 1, 6]),  # a surplus picture, not the third view
        (["a_10", "a_2", "a_1"], [9, 1, 0]),
    ],
)
def test_which_view_a_name_means(stems: list[str], views: list[int]) -> None:
    paths = [Path(f"{stem}.jpg") for stem in stems]
    assert view_of_each(paths, num_views=5) == dict(zip(paths, views, strict=True))


def test_more_pictures_than_views_are_not_used_and_named(write_jpeg: WriteJpeg) -> None:
    paths = [write_jpeg(f"w_{view}.jpg", grey=40 * view) for view in (1, 2, 3, 4)]
    assert greys(paths, num_views=3) == [40, 80, 120]
    (note,) = decode_photographs(paths, num_views=3).notes
    assert note == f"{paths[3]}: it is not used, as photograph 4, and num_views is 3"


def test_sizes_may_differ_and_be_odd(write_jpeg: WriteJpeg) -> None:
    sizes = [(2000, 900), (1, 1), (37, 501), (13, 7), (640, 480)]
    paths = [write_jpeg(f"w_{view}.jpg", size=size) for view, size in enumerate(sizes, start=1)]
    views = decode_photographs(paths, num_views=5).views
    assert [view.shape for view in views if view is not None] == [(height, width, 3) for width, height in sizes]


def test_grey_pictures_get_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.jpg"), np.full((20, 30), 77, dtype=np.uint8))
    assert read_picture(tmp_path / "grey.jpg").shape == (20, 30, 3)


def test_colours_are_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.jpg"), np.full((20, 30, 3), (0, 0, 220), dtype=np.uint8))
    red, green, blue = read_picture(tmp_path / "red.jpg").mean(axis=(0, 1))
    assert red > 200
    assert max(green, blue) < 20


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_jpeg_cut_short_is_an_error_not_grey(tmp_path: Path, options: tuple[int, ...], share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / "weld.jpg"
    cv2.imwrite(str(path), noise, options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DecodeError, match=r"cut short|can decode"):
        read_picture(path)


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm(write_jpeg: WriteJpeg) -> None:
    path = write_jpeg("weld.jpg", grey=90)
    path.write_bytes(path.read_bytes() + b"\0" * 64)
    assert round(float(read_picture(path).mean())) == 90


def test_an_end_mark_in_the_header_is_not_the_pictures(write_jpeg: WriteJpeg) -> None:
    path = write_jpeg("weld.jpg")
    content = path.read_bytes()
    comment = b"\xff\xfe\x00\x08\xff\xda..\xff\xd9"  # as of a thumbnail
    path.write_bytes(content[:2] + comment + content[2:])
    assert read_picture(path).shape == (30, 40, 3)
    path.write_bytes(content[:2] + comment + content[2:-2])
    with pytest.raises(DecodeError, match="cut short"):
        read_picture(path)


def test_a_broken_picture_leaves_its_view_empty_with_a_reason(write_jpeg: WriteJpeg, tmp_path: Path) -> None:
    paths = [write_jpeg(f"w_{view}.jpg", grey=40 * view) for view in (1, 2, 3, 4, 5)]
    paths[1].write_bytes(b"garbage")
    paths[2].write_bytes(b"")
    paths[3].unlink()
    photographs = decode_photographs(paths, num_views=5)
    assert photographs.present.tolist() == [True, False, False, False, True]
    garbage, empty, missing = photographs.notes
    assert garbage == f"{paths[1]}: not a picture that can be decoded: damaged or another format."
    assert empty == f"{paths[2]}: the photograph is empty."
    assert missing == f"{paths[3]}: the photograph is not there."


def test_nothing_readable_is_an_error(write_jpeg: WriteJpeg) -> None:
    paths = [write_jpeg(f"w_{view}.jpg") for view in (1, 2)]
    for path in paths:
        path.write_bytes(b"garbage")
    with pytest.raises(DecodeError, match=r"None of 2 photographs can be read: .*w_1\.jpg.*w_2\.jpg"):
        decode_photographs(paths, num_views=5)


def test_masks_are_painted_over_before_the_crop(tmp_path: Path) -> None:
    path = tmp_path / "w_1.png"
    cv2.imwrite(str(path), np.full((40, 60, 3), 10, dtype=np.uint8))
    photographs = decode_photographs(
        [path], num_views=2, crop=(0.5, 0.0, 1.0, 0.5), masks=[(0.75, 0.25, 1.0, 1.0), (0.0, 0.0, 0.25, 1.0)]
    )
    view, absent = photographs.views
    assert absent is None
    assert view is not None
    assert view.shape == (20, 30, 3)
    expected = np.full((20, 30, 3), 10)
    expected[10:, 15:] = MASK_COLOUR
    np.testing.assert_array_equal(view, expected)


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


@pytest.mark.parametrize(("smallest", "size"), [(None, (96, 160)), (81, (96, 160)), (80, (48, 80)), (20, (12, 20))])
def test_a_large_jpeg_may_come_smaller_upright_and_alike(
    smallest: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    path, picture = tmp_path / "1.jpg", Image.fromarray(cv2.resize(np.eye(2, dtype=np.uint8) * 200, (96, 160)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture.convert("RGB").save(path, exif=exif)
    whole, small = (decode_photographs([path], num_views=1, smallest_side=each).views[0] for each in (None, smallest))
    assert whole is not None and small is not None
    assert small.shape == (*size, 3)
    shrunken = cv2.resize(whole, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shrunken).mean() < 3


def test_only_a_jpeg_comes_smaller(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    cv2.imwrite(str(path), np.full((64, 64, 3), 9000, dtype=np.uint16))
    (view,) = decode_photographs([path], num_views=1, smallest_side=8).views
    assert view is not None and view.shape == (64, 64, 3) and view.max() == 35
