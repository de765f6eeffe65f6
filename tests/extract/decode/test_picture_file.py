"""Damage to a picture is never silent: its file is refused, or what is decoded is what was there."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from weldcache.errors import DecodeError
from weldcache.extract.decode.image import decode_photographs
from weldcache.extract.decode.picture_file import MOST_SCANS, check_picture, upright_size
from weldcache.tests.toy import read_picture

PATH = Path("weld_1.jpg")


def scene(seed: int = 0, *, height: int = 240, width: int = 320) -> np.ndarray:
    """Smooth shapes with a camera's noise."""
    rows, columns = np.mgrid[:height, :width]
    waves = [60 * np.sin(columns / 37 + seed + channel) + 50 * np.cos(rows / 23 + channel) for channel in range(3)]
    noise = np.random.default_rng(seed).normal(120, 8, (height, width, 3))
    return np.clip(np.stack(waves, axis=2) + noise, 0, 255).astype(np.uint8)


def encoded(picture: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    return encoded(scene(), exif=exif)


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene()).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


SOUND: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: encoded(scene()),
    "progressive": lambda: encoded(scene(), progressive=True),
    "restart marks": lambda: encoded(scene(), restart_marker_blocks=7),
    "no subsampling": lambda: encoded(scene(), subsampling=0),
    "worst quality": lambda: encoded(scene(), quality=1),
    "grey": lambda: encoded(scene()[:, :, 0]),
    "grey, progressive": lambda: encoded(scene()[:, :, 0], progressive=True),
    "CMYK": cmyk,
    "turned by EXIF": rotated,
    "thumbnail": lambda: encoded(scene(), comment=b"\xff\xd8\xff\xda" + bytes(100)),
    "bytes behind it": lambda: encoded(scene()) + np.random.default_rng(0).bytes(5000),
    "zeros behind it": lambda: encoded(scene()) + bytes(512),
    "several pictures": lambda: encoded(scene()) + encoded(scene(1)),
    "white, long codes of zeros": lambda: encoded(np.full((600, 800, 3), 255, np.uint8), optimize=True),
    "one pixel": lambda: encoded(scene(height=1, width=1)),
}


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_jpeg_is_decoded_to_the_bit(tmp_path: Path, kind: str) -> None:
    content = SOUND[kind]()
    (tmp_path / "weld.jpg").write_bytes(content)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(read_picture(tmp_path / "weld.jpg"), expected)


def damaged(content: bytes, generator: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """What bad sectors, broken copies and cameras that were cut off leave, at random places behind the header."""
    size = len(content)

    def anywhere(room: int) -> int:
        return int(generator.integers(700, size - room - 2))

    at = anywhere(512)
    yield "512 bytes zeroed", content[:at] + bytes(512) + content[at + 512 :]
    at = anywhere(512)
    yield "512 bytes cut out", content[:at] + content[at + 512 :]
    at = anywhere(0)
    yield "64 bytes put in", content[:at] + generator.bytes(64) + content[at:]
    at = anywhere(size // 4)
    yield "a quarter zeroed", content[:at] + bytes(size // 4) + content[at + size // 4 :]
    at = anywhere(size // 5)
    yield "a fifth cut out", content[:at] + content[at + size // 5 :]
    yield "the rest zeroed", content[: size // 3] + bytes(size - size // 3 - 2) + content[-2:]
    at = anywhere(0)
    yield "closed too early", content[:at] + b"\xff\xd9"
    at = anywhere(0)
    yield "a whole one behind it", content[:at] + content


@pytest.mark.parametrize(("kind", "most_silent"), [("baseline", 0), ("restart", 1), ("progressive", 3)])
def test_damage_of_a_jpeg_is_not_silent(kind: str, most_silent: int) -> None:
    """But for a few places at which the codes behind the damage happen to fall in step again: they have no checksum."""
    options = {"progressive": True} if kind == "progressive" else {"restart_marker_blocks": 40 * (kind == "restart")}
    generator, silent, count = np.random.default_rng(0), [], 0
    for seed in range(8):
        content = encoded(scene(seed, height=480, width=640), quality=int(generator.integers(60, 96)), **options)
        for what, broken in damaged(content, generator):
            count += 1
            try:
                check_picture(PATH, broken, max_megapixels=1.0)
            except DecodeError:
                continue
            silent.append(what)
    assert count == 64
    assert len(silent) <= most_silent
    assert set(silent) <= {"512 bytes cut out", "64 bytes put in"}


def test_a_progressive_jpeg_closed_after_a_few_scans_is_cut_short() -> None:
    content = encoded(scene(), progressive=True)
    places = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]
    for place in places[1:]:
        with pytest.raises(DecodeError, match=r"weld_1\.jpg.*scans"):
            check_picture(PATH, content[:place] + b"\xff\xd9", max_megapixels=1.0)


def test_more_scans_than_any_camera_writes_are_refused() -> None:
    content = encoded(scene(height=16, width=16), progressive=True)
    last = content.rindex(b"\xff\xda")
    with pytest.raises(DecodeError, match=f"more than {MOST_SCANS} scans"):
        check_picture(PATH, content[:-2] + content[last:-2] * MOST_SCANS + b"\xff\xd9", max_megapixels=1.0)


def test_a_damaged_photograph_leaves_its_view_empty_with_the_reason(tmp_path: Path) -> None:
    paths = [tmp_path / "weld_1.jpg", tmp_path / "weld_2.jpg"]
    content = encoded(scene())
    paths[0].write_bytes(content)
    paths[1].write_bytes(content[:5000] + bytes(512) + content[5512:])
    photographs = decode_photographs(paths, num_views=2)
    assert photographs.present.tolist() == [True, False]
    assert len(photographs.notes) == 1
    assert str(paths[1]) in photographs.notes[0] and "damaged" in photographs.notes[0]


OTHERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": lambda picture: encoded(picture, "PNG"),
    "PNG of 16 bits": lambda picture: cv2.imencode(".png", picture.astype(np.uint16) * 257)[1].tobytes(),
    "TIFF of 16 bits": lambda picture: cv2.imencode(".tiff", picture.astype(np.uint16) * 257)[1].tobytes(),
    "BMP": lambda picture: encoded(picture, "BMP"),
    "TIFF": lambda picture: encoded(picture, "TIFF"),
    "TIFF, LZW": lambda picture: encoded(picture, "TIFF", compression="tiff_lzw"),
    "WebP": lambda picture: encoded(picture, "WEBP"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_are_decoded_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    path, generator = tmp_path / "weld.jpg", np.random.default_rng(0)
    content = OTHERS[kind](scene(height=60, width=80))
    path.write_bytes(content)
    assert read_picture(path).shape == (60, 80, 3)
    for cut in [1, *generator.integers(1, len(content), 10).tolist()]:
        path.write_bytes(content[:-cut])
        with pytest.raises(DecodeError, match=r"weld\.jpg"):
            read_picture(path)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_brought_to_8_by_their_full_range(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1).repeat(channels, axis=2)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(suffix, deep)[1].tobytes())
    expected = np.round(np.arange(65_536) / 257).astype(np.uint8).reshape(256, 256, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(read_picture(path), expected)
    (note,) = decode_photographs([path], num_views=1).notes
    assert str(path) in note and "16 bits" in note and "65,535" in note


def test_12_bits_in_16_are_told_to_be_dark(tmp_path: Path) -> None:
    deep = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    notes = decode_photographs([tmp_path / "a.png"], num_views=1).notes
    assert any("above 4,095" in note for note in notes)


def test_values_without_a_known_white_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tiff").write_bytes(cv2.imencode(".tiff", np.ones((20, 30), np.float32))[1].tobytes())
    with pytest.raises(DecodeError, match="floating-point values of 32 bits"):
        read_picture(tmp_path / "a.tiff")


@pytest.mark.parametrize("kind", ["PNG", "PNG of 16 bits", "TIFF, LZW", "TIFF of 16 bits"])
def test_a_hole_in_a_format_with_checks_is_refused(tmp_path: Path, kind: str) -> None:
    path, generator = tmp_path / "weld.jpg", np.random.default_rng(0)
    content = OTHERS[kind](scene(height=60, width=80))
    for at in generator.integers(300, len(content) - 700, 10).tolist():
        path.write_bytes(content[:at] + bytes(400) + content[at + 400 :])
        with pytest.raises(DecodeError, match=r"weld\.jpg"):
            read_picture(path)


@pytest.mark.parametrize("kind", ["JPEG", *OTHERS])
def test_a_picture_beyond_the_limit_is_refused(kind: str) -> None:
    content = encoded(scene()) if kind == "JPEG" else OTHERS[kind](scene())
    check_picture(PATH, content, max_megapixels=0.0768)
    with pytest.raises(DecodeError, match=r"weld_1\.jpg: .* 320 x 240 pixels.* max_megapixels"):
        check_picture(PATH, content, max_megapixels=0.0767)


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        (np.zeros((300, 400, 3), np.uint8), "dark"),
        (np.random.default_rng(0).integers(0, 12, (300, 400, 3), dtype=np.uint8), "dark"),  # a lens cap and noise
        (np.full((300, 400, 3), (90, 140, 30), np.uint8), "one colour"),
        (np.full((300, 400, 3), 255, np.uint8), "one colour"),
    ],
)
def test_a_photograph_that_shows_nothing_is_used_and_noted(tmp_path: Path, picture: np.ndarray, what: str) -> None:
    path = tmp_path / "weld_1.png"
    picture = picture.copy()
    picture[5, 5] = 255  # a hot pixel
    cv2.imwrite(str(path), picture)
    photographs = decode_photographs([path], num_views=1)
    assert photographs.present.all()
    assert len(photographs.notes) == 1
    assert str(path) in photographs.notes[0] and what in photographs.notes[0]


def test_a_pipe_is_no_photograph(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weld_1.jpg")
    with pytest.raises(DecodeError, match="not a regular file"):
        read_picture(tmp_path / "weld_1.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_by_the_header_is_that_of_the_decoded_picture(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"picture.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    told = {} if suffix == "bmp" else {"exif": exif}
    Image.new("RGB", (48, 20), (200, 10, 10)).save(path, **told)
    height, width = read_picture(path).shape[:2]
    assert upright_size(path) == (width, height)


def test_a_size_of_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "gone.png"):
        with pytest.raises(DecodeError, match=name):
            upright_size(tmp_path / name)
