"""TIFF in its many layouts: what is decoded is what is in the file, and what cannot be is refused by name."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weldcache.errors import DecodeError
from weldcache.extract.decode.image import decode_photographs

HEIGHT, WIDTH = 40, 60
_ROWS, _COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([_COLUMNS * 4, _ROWS * 6, _COLUMNS + _ROWS], axis=2).astype(np.uint8)
DEEP = (RGB.astype(np.uint16) * 257) ^ (_COLUMNS.astype(np.uint16) % 64)[..., None]
FLAT = ((_ROWS * WIDTH + _COLUMNS) * 65_535 // (HEIGHT * WIDTH)).astype(np.uint16)  # rises from pixel to pixel


def tiff(
    values: np.ndarray, *, photometric: int, bits: int = 0, kind: int = 1, extra: tuple[int, ...] = (), planes: int = 1
) -> bytes:
    """Values as they are, in one strip a plane."""
    pixels = np.moveaxis(values, 2, 0) if planes == 2 else values
    data = packed(pixels, bits) if bits else pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    samples, bits = values.shape[2], bits or 8 * values.itemsize
    strips = samples if planes == 2 else 1
    after = 8 + len(data)
    sizes = struct.pack(f"<{strips}I", *[len(data) // strips] * strips)
    offsets = struct.pack(f"<{strips}I", *[8 + strip * (len(data) // strips) for strip in range(strips)])
    tail, places = b"", []
    for array in (
        struct.pack(f"<{samples}H", *[bits] * samples),
        offsets,
        sizes,
        struct.pack(f"<{samples}H", *[kind] * samples),
    ):
        places.append(after + len(tail) if len(array) > 4 else int.from_bytes(array, "little"))
        tail += array if len(array) > 4 else b""
    tags = [(256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, samples, places[0]), (259, 3, 1, 1)]
    tags += [(262, 3, 1, photometric), (273, 4, strips, places[1]), (277, 3, 1, samples), (278, 4, 1, HEIGHT)]
    tags += [(279, 4, strips, places[2]), (284, 3, 1, planes)]
    tags += [(338, 3, len(extra), sum(each << 16 * place for place, each in enumerate(extra)))] * bool(extra)
    tags += [(339, 3, samples, places[3])]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", after + len(tail)) + data + tail + directory


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of values of so many bits, without a gap between them."""
    each = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def decoded(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    (picture,) = decode_photographs([path], num_views=1).views
    assert picture is not None
    return picture


def in_8_bits(values: np.ndarray) -> np.ndarray:
    return np.asarray((values.astype(np.uint32) + 128) // 257, dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "part.tif"


def test_colours_are_not_multiplied_by_their_opacity(path: Path) -> None:
    opacity = (_COLUMNS * 4).astype(np.uint8)[..., None]
    for extra in (0, 2):
        content = tiff(np.concatenate([RGB, opacity], axis=2), photometric=2, extra=(extra,))
        np.testing.assert_array_equal(decoded(path, content), RGB)


def test_sixteen_bits_keep_their_order(path: Path) -> None:
    grey = decoded(path, tiff(FLAT[..., None], photometric=1))
    np.testing.assert_array_equal(grey, np.repeat(in_8_bits(FLAT)[..., None], 3, axis=2))
    assert (np.diff(grey[..., 0].ravel().astype(int)) >= 0).all() and np.ptp(grey) > 250
    np.testing.assert_array_equal(decoded(path, tiff(DEEP, photometric=2)), in_8_bits(DEEP))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_zero_is_white_it_is_white(path: Path, dtype: type[np.unsignedinteger]) -> None:
    white = np.iinfo(dtype).max
    values = (FLAT >> (16 - np.iinfo(dtype).bits)).astype(dtype)[..., None]
    turned = decoded(path, tiff(white - values, photometric=0))
    np.testing.assert_array_equal(turned, decoded(path, tiff(values, photometric=1)))


def test_twelve_bits_fill_sixteen(path: Path) -> None:
    values = (FLAT >> 4)[..., None]
    grey = decoded(path, tiff(values, photometric=1, bits=12))
    np.testing.assert_array_equal(grey, np.repeat(in_8_bits(values << 4), 3, axis=2))


def test_planes_of_eight_bits_and_more_than_four_values(path: Path) -> None:
    np.testing.assert_array_equal(decoded(path, tiff(RGB, photometric=2, planes=2)), RGB)
    five = np.concatenate([RGB, RGB[..., :2]], axis=2)
    np.testing.assert_array_equal(decoded(path, tiff(five, photometric=2, extra=(0, 0))), RGB)


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        *(("CMYK", "tif"), ("CMYK", "jpg"), ("YCbCr", "tif")),
        *((kind, ending) for kind in ("1", "P") for ending in ("tif", "png", "bmp")),
    ],
)
def test_colours_are_as_pillow_has_them(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"part.{ending}"
    Image.fromarray(RGB).convert(kind).save(path)
    with Image.open(path) as picture:
        expected = np.array(picture.convert("RGB")).astype(int)
    (picture,) = decode_photographs([path], num_views=1).views
    assert picture is not None and np.abs(picture - expected).max() <= (1 if kind in ("CMYK", "YCbCr") else 0)


@pytest.mark.parametrize("opacity", [False, True])
def test_a_turned_one_is_upright(path: Path, opacity: bool) -> None:
    picture = Image.fromarray(RGB)
    if opacity:
        picture.putalpha(7)
    picture.save(path, tiffinfo={0x112: 6})
    np.testing.assert_array_equal(decoded(path, path.read_bytes()), np.rot90(RGB, -1))


def test_of_several_pages_the_first_is_read(path: Path) -> None:
    Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(255 - RGB)])
    np.testing.assert_array_equal(decoded(path, path.read_bytes()), RGB)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            tiff((FLAT / 65_535).astype(np.float32)[..., None], photometric=1, kind=3),
            "floating-point values of 32 bits",
        ),
        (tiff((DEEP / 65_535).astype(np.float32), photometric=2, kind=3), "floating-point values of 32 bits"),
        (tiff((FLAT / 65_535)[..., None], photometric=1, kind=3), "floating-point values of 64 bits"),
        (tiff(FLAT.view(np.int16)[..., None], photometric=1, kind=2), "signed values of 16 bits"),
        (tiff(FLAT.astype(np.uint32)[..., None], photometric=1), "values of 32 bits"),
        (tiff(DEEP, photometric=2, planes=2), "separate planes"),
        (tiff(np.concatenate([DEEP, DEEP[..., :1]], axis=2), photometric=5), "photometric 5"),
    ],
)
def test_what_nobody_decodes_rightly_is_refused_by_name(path: Path, content: bytes, told: str) -> None:
    with pytest.raises(DecodeError, match=rf"part\.tif: a TIFF of .*{told}"):
        decoded(path, content)


def test_damaged_tags_are_an_error(path: Path) -> None:
    whole = tiff(RGB, photometric=2)
    for content in (whole[:-40], whole[:100], whole[:8], whole[:4] + b"\xff" * 4 + whole[8:]):
        with pytest.raises(DecodeError, match=r"part\.tif"):
            decoded(path, content)
