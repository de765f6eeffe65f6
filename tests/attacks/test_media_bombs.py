"""Small photographs and films that ask for gigabytes of memory or hours of decoding: refused by what their headers say.

Each was made so that decoding it as it stands would not end within this test's time, or within a machine's memory.
"""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weldcache.errors import DecodeError, SettingsError
from weldcache.extract.decode.video import decode_video
from weldcache.settings import load_settings
from weldcache.tests.toy import read_picture


def jpeg(*, width: int, height: int, empty_scans: int = 0) -> bytes:
    """A tiny progressive JPEG that says it is larger, and has its last scan again and again."""
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(file, "JPEG", progressive=True)
    content = bytearray(file.getvalue())
    struct.pack_into(">HH", content, content.index(b"\xff\xc2") + 5, height, width)
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    return bytes(content[:-2] + last_scan * empty_scans + content[-2:])


def other(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: jpeg(width=30_000, height=30_000), r"30,000 x 30,000 pixels.* max_megapixels"),
        (lambda: jpeg(width=65_535, height=65_535, empty_scans=50), r"max_megapixels"),
        (lambda: jpeg(width=9_000, height=9_000, empty_scans=20_000), "scans"),
        (lambda: other("PNG"), r"max_megapixels"),
        (lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2_000_000, "segments"),
        (lambda: b"\xff\xd8" + b"\xff" * 4_000_000 + b"\0", "cut short"),
    ],
)
def test_a_picture_bomb_is_refused_before_it_is_decoded(tmp_path: Path, make: Callable[[], bytes], reason: str) -> None:
    path = tmp_path / "weld_1.jpg"
    path.write_bytes(make())
    with pytest.raises(DecodeError, match=rf"weld_1\.jpg.*{reason}"):
        read_picture(path)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def run_length_film(path: Path, *, side: int, num_frames: int, announced: int) -> Path:
    """An AVI of frames of two bytes each, "nothing follows", which a decoder turns into side * side pixels."""
    frame = b"\0\1"
    of_all = struct.pack("<14I", 33_333, 0, 0, 0x10, announced, 0, 1, 0, side, side, 0, 0, 0, 0)
    of_stream = b"vidsmrle" + struct.pack("<10I4H", 0, 0, 0, 1, 30, 0, announced, 0, 0, 0, 0, 0, 0, 0)
    pixels = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, side * side, 0, 0, 256, 0) + bytes(1024)
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", of_stream) + chunk(b"strf", pixels))
    header = chunk(b"LIST", b"hdrl" + chunk(b"avih", of_all) + stream)
    frames = chunk(b"LIST", b"movi" + chunk(b"00dc", frame) * num_frames)
    path.write_bytes(chunk(b"RIFF", b"AVI " + header + frames))
    return path


def test_the_film_that_the_bombs_are_made_of_is_one(tmp_path: Path) -> None:
    film = run_length_film(tmp_path / "weld.avi", side=64, num_frames=30, announced=30)
    assert decode_video(film, num_frames=2).frames.shape == (2, 64, 64, 3)


@pytest.mark.parametrize(
    ("side", "num_frames", "announced", "limit"),
    [
        (16_000, 8, 8, "max_megapixels"),
        (4_000, 100_000, 100_000, "max_megapixels"),
        (3_000, 100_000, 100_000, "max_gigapixels"),
        (3_000, 8, 2**31 - 1, "max_gigapixels"),
    ],
)
def test_a_film_bomb_is_refused_before_its_first_frame(
    tmp_path: Path, side: int, num_frames: int, announced: int, limit: str
) -> None:
    film = run_length_film(tmp_path / "weld.avi", side=side, num_frames=num_frames, announced=announced)
    with pytest.raises(DecodeError, match=rf"weld\.avi.*{limit}"):
        decode_video(film, num_frames=16)


@pytest.mark.parametrize("setting", ["image.num_views", "video.num_frames", "video.num_clips", "frames.num_frames"])
def test_a_setting_cannot_ask_for_a_billion_pictures(tmp_path: Path, setting: str) -> None:
    with pytest.raises(SettingsError, match=setting.replace(".", r"\.")):
        load_settings(folder=tmp_path, overrides=[f"{setting}=1000000000"])
