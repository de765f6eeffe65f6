"""Films in every container that is read show the frames that were written, at the times that they were."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.video import decode_video

NUM_FRAMES = 40
CODECS = {"mp4": "mp4v", "mov": "mp4v", "mkv": "FMP4", "avi": "MJPG"}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Six bars, dark or bright, are the bits of each frame's index; below them is a red half and a blue one."""

    def to_file(ending: str, *, rate: float = 30.0, size: tuple[int, int] = (96, 64)) -> Path:
        path = tmp_path / f"part.{ending}"
        # OpenCV's own writer of Motion JPEG takes odd sizes.
        backend = cv2.CAP_OPENCV_MJPEG if size[0] % 2 else cv2.CAP_FFMPEG
        writer = cv2.VideoWriter(str(path), backend, cv2.VideoWriter.fourcc(*CODECS[ending]), rate, size)
        assert writer.isOpened()
        for index in range(NUM_FRAMES):
            writer.write(np.ascontiguousarray(picture(index, size)[..., ::-1]))
        writer.release()
        return path

    return to_file


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(6):
        frame[: height // 2, bit * width // 6 : (bit + 1) * width // 6] = 220 if index >> bit & 1 else 30
    frame[height // 2 :, : width // 2, 0] = frame[height // 2 :, width // 2 :, 2] = 200
    return frame


def indices(frames: np.ndarray) -> list[int]:
    """Read from the bars of each."""
    _, height, width, _ = frames.shape
    places = [(2 * bit + 1) * width // 12 for bit in range(6)]
    bits = frames[:, height // 4, places].mean(axis=2) > 128
    return [int(sum(1 << bit for bit in range(6) if lit[bit])) for lit in bits]


@pytest.mark.parametrize("ending", CODECS)
@pytest.mark.parametrize("rate", [24_000 / 1001, 30.0, 120.0])
def test_frames_and_times_are_those_that_were_written(write: Write, ending: str, rate: float) -> None:
    clip = decode_video(write(ending, rate=rate), num_frames=14)
    expected = np.rint(np.linspace(0, NUM_FRAMES - 1, 14)).astype(int).tolist()
    assert indices(clip.frames) == expected
    # A Matroska file has its times in milliseconds.
    np.testing.assert_allclose(clip.times, np.array(expected) / rate, atol=1e-3 if ending == "mkv" else 1e-5)
    assert np.abs(clip.frames[0].astype(int) - picture(0, (96, 64))).mean() < 8


@pytest.mark.parametrize(
    ("ending", "size"), [("avi", (97, 63)), ("mp4", (320, 18)), ("mkv", (18, 320)), ("avi", (2000, 1500))]
)
def test_frames_are_of_any_size(write: Write, ending: str, size: tuple[int, int]) -> None:
    clip = decode_video(write(ending, size=size), num_frames=5)
    assert clip.frames.shape[1:] == (size[1], size[0], 3)
    assert indices(clip.frames) == [0, 10, 20, 29, 39]


@pytest.mark.parametrize(("turn", "matrix"), [(1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1)), (3, (0, 1, -1, 0))])
def test_a_film_is_turned_as_its_camera_was(write: Write, turn: int, matrix: tuple[int, int, int, int]) -> None:
    path = write("mp4")
    plain = decode_video(path, num_frames=5).frames
    content = bytearray(path.read_bytes())
    # Behind the name of the track's header come 44 bytes and then a, b, u, c, d, v as numbers of 32 bits.
    place = content.index(b"tkhd") + 44
    for offset, number in zip((0, 4, 12, 16), matrix, strict=True):
        content[place + offset : place + offset + 4] = (number << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    turned = decode_video(path, num_frames=5)
    np.testing.assert_array_equal(turned.frames, np.rot90(plain, turn, axes=(1, 2)))
    assert turned.times.tolist() == decode_video(path, num_frames=5).times.tolist()


@pytest.mark.parametrize("ending", CODECS)
def test_a_film_cut_short_is_used_with_a_note_or_refused(write: Write, ending: str) -> None:
    path = write(ending)
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.5, 0.8, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            clip = decode_video(path, num_frames=5)
        except DecodeError as error:
            assert str(path) in str(error)
        else:
            assert clip.notes and indices(clip.frames) == sorted(indices(clip.frames)) and clip.frames.max() > 150


def test_a_codec_that_is_not_read_is_named_with_the_mend(write: Write) -> None:
    path = write("avi")
    whole = path.read_bytes()
    for codec, told in ((b"HEVC", r"hevc.*"), (b"XYZW", "")):
        path.write_bytes(whole.replace(b"MJPG", codec))
        with pytest.raises(DecodeError, match=rf"part\.avi.*{told}ffmpeg -i part\.avi"):
            decode_video(path, num_frames=5)
