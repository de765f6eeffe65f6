"""Frames by index and time, on films whose pictures tell the index, and on films that are broken."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.decoded import VideoClip
from weldcache.extract.decode.video import decode_video, lit_window

WriteFilm = Callable[..., Path]


def indices(clip: VideoClip) -> list[int]:
    time, height, width, _ = clip.frames.shape
    bars = clip.frames.reshape(time, height, 8, width // 8, 3).mean(axis=(1, 3, 4))
    assert np.minimum(np.abs(bars - 20), np.abs(bars - 220)).max() < 40
    return np.packbits(bars > 128, axis=1)[:, 0].tolist()


@pytest.mark.parametrize("fps", [30, 31])
@pytest.mark.parametrize(("num_film", "num_frames"), [(100, 32), (61, 7), (90, 90)])
def test_frames_are_even_and_both_ends_included(
    write_film: WriteFilm, fps: int, num_film: int, num_frames: int
) -> None:
    clip = decode_video(write_film(num_film, fps=fps), num_frames=num_frames, window=None)
    expected = np.rint(np.linspace(0, num_film - 1, num_frames)).astype(int)
    assert indices(clip) == expected.tolist()
    np.testing.assert_array_equal(clip.times, expected / fps)
    assert clip.notes == () or num_film < num_frames
    assert clip.frames.shape == (num_frames, 48, 64, 3)
    assert clip.frames.dtype == np.uint8


@pytest.mark.parametrize("fps", [30, 31])
def test_a_window_bounds_the_frames(write_film: WriteFilm, fps: int) -> None:
    clip = decode_video(write_film(100, fps=fps), num_frames=5, window=(20 / fps, 60 / fps))
    assert indices(clip) == [20, 30, 40, 50, 60]
    inner = decode_video(write_film(100, fps=fps), num_frames=2, window=(20.2 / fps, 59.8 / fps))
    assert indices(inner) == [21, 59]


@pytest.mark.parametrize(
    ("window", "expected"),
    [((-5.0, 1.0), [0, 15, 30]), ((2.0, 99.0), [60, 80, 99]), ((1.01, 1.02), [30, 30, 30]), ((0.0, 0.0), [0, 0, 0])],
)
def test_a_window_beyond_the_clip_or_between_frames(
    write_film: WriteFilm, window: tuple[float, float], expected: list[int]
) -> None:
    assert indices(decode_video(write_film(100), num_frames=3, window=window)) == expected


@pytest.mark.parametrize("window", [(3.4, 9.0), (-3.0, -1.0), (2.0, 1.0), (float("nan"), float("nan"))])
def test_a_window_that_misses_the_clip_is_an_error(write_film: WriteFilm, window: tuple[float, float]) -> None:
    with pytest.raises(DecodeError, match=r"does not meet the clip, which lasts 3\.33 s"):
        decode_video(write_film(100), num_frames=3, window=window)


@pytest.mark.parametrize(("num_film", "num_clips", "num_frames"), [(100, 4, 8), (101, 3, 5), (90, 7, 2), (61, 1, 9)])
def test_clips_are_the_uniform_choice_of_each_part(
    write_film: WriteFilm, num_film: int, num_clips: int, num_frames: int
) -> None:
    clip = decode_video(write_film(num_film), num_frames=num_frames, num_clips=num_clips)
    parts = [[index for index in range(num_film) if index * num_clips // num_film == part] for part in range(num_clips)]
    expected = np.concatenate([np.rint(np.linspace(part[0], part[-1], num_frames)) for part in parts]).astype(int)
    assert indices(clip) == expected.tolist()
    assert clip.frames.shape == (num_clips * num_frames, 48, 64, 3)
    np.testing.assert_array_equal(clip.times, expected / 30)


def test_clips_of_a_window(write_film: WriteFilm) -> None:
    clip = decode_video(write_film(100), num_frames=2, num_clips=3, window=(1.0, 2.0))
    assert indices(clip) == [30, 40, 41, 50, 51, 60]


def test_more_clips_than_frames_repeat_neighbours_in_order(write_film: WriteFilm) -> None:
    assert indices(decode_video(write_film(3), num_frames=2, num_clips=5)) == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("announced", [60, 150])
def test_clips_cut_what_decodes(write_film: WriteFilm, announce: Callable[..., None], announced: int) -> None:
    path = write_film(100)
    announce(path, num_frames=announced)
    assert indices(decode_video(path, num_frames=2, num_clips=2)) == [0, 49, 50, 99]


def as_a_real_film(num_frames: int = 669, *, first: int = 181, last: int = 509) -> np.ndarray:
    """Mean of each frame: dark, lit and flickering, then dark but for the glow of the seam."""
    levels = np.full(num_frames, 4.0)
    flicker = np.random.default_rng(0).normal(0.0, 0.25, size=last + 1 - first)
    levels[first : last + 1] = 40 * np.exp(np.clip(flicker, -1, 0.8))
    levels[last + 1 :] += 5 * np.exp(-np.arange(num_frames - 1 - last) / 15)
    return levels


@pytest.mark.parametrize("fps", [30, 31])
def test_brightness_tells_when_the_arc_is_on(write_lit_film: WriteFilm, fps: int) -> None:
    path = write_lit_film(as_a_real_film(), fps=fps)
    first, last = decode_video(path, num_frames=4).active
    # Measured every 6 frames, so the first lit frame that is measured is up to 6 frames late and the last as early.
    assert 181 <= round(first * fps) <= 186
    assert 504 <= round(last * fps) <= 509
    assert lit_window(path) == (first, last)


def test_when_the_arc_is_on_does_not_depend_on_the_sampling(write_lit_film: WriteFilm) -> None:
    path = write_lit_film(as_a_real_film())
    whole = decode_video(path, num_frames=5).active
    np.testing.assert_array_equal(decode_video(path, num_frames=7, num_clips=3).active, whole)
    np.testing.assert_array_equal(decode_video(path, num_frames=3, window=(1.0, 2.0)).active, whole)


def test_the_lit_window_samples_lit_frames_only(write_lit_film: WriteFilm) -> None:
    path = write_lit_film(as_a_real_film())
    clip = decode_video(path, num_frames=16, window=lit_window(path))
    assert clip.frames.mean(axis=(1, 2, 3)).min() > 10
    np.testing.assert_allclose(clip.times[[0, -1]], clip.active, atol=1e-9)


def test_a_film_lit_throughout_is_all_window(write_lit_film: WriteFilm) -> None:
    path = write_lit_film(as_a_real_film(first=0, last=668))
    assert lit_window(path) == (0.0, pytest.approx(666 / 30))


def test_a_dark_film_has_no_lit_window(write_lit_film: WriteFilm) -> None:
    path = write_lit_film(np.full(200, 4.0))
    clip = decode_video(path, num_frames=2)
    assert np.isnan(clip.active).all()
    assert lit_window(path) is None
    (note,) = clip.notes
    assert str(path) in note and "dark throughout" in note


def test_a_film_in_which_nothing_changes_is_noted(write_lit_film: WriteFilm) -> None:
    clip = decode_video(write_lit_film(np.full(60, 120.0)), num_frames=2)
    assert len(clip.notes) == 1 and "never changes" in clip.notes[0]


def test_a_film_of_one_frame_is_noted(write_film: WriteFilm) -> None:
    clip = decode_video(write_film(1), num_frames=4)
    assert indices(clip) == [0, 0, 0, 0]
    assert any("1 frame" in note and "4" in note for note in clip.notes)


def test_a_broken_film_has_no_lit_window(write_film: WriteFilm, announce: Callable[..., None]) -> None:
    path = write_film(100)
    announce(path, num_frames=201)
    with pytest.raises(DecodeError, match="announces 201 frames and only 100 decode"):
        lit_window(path)


def test_a_short_clip_repeats_neighbours(write_film: WriteFilm) -> None:
    clip = decode_video(write_film(3), num_frames=7, window=None)
    assert indices(clip) == [0, 0, 1, 1, 1, 2, 2]
    np.testing.assert_allclose(clip.times * 30, [0, 0, 1, 1, 1, 2, 2], atol=1e-9)


def test_colours_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), 30, (64, 48))
    for _ in range(5):
        writer.write(np.full((48, 64, 3), (0, 0, 200), dtype=np.uint8))
    writer.release()
    red, green, blue = decode_video(path, num_frames=1, window=None).frames.mean(axis=(0, 1, 2))
    assert red > 150
    assert max(green, blue) < 40


@pytest.mark.parametrize("announced", [0, 60, 101, 150, 200])
def test_what_decodes_counts_not_what_is_announced(
    write_film: WriteFilm, announce: Callable[..., None], announced: int
) -> None:
    path = write_film(100)
    announce(path, num_frames=announced)
    assert indices(decode_video(path, num_frames=4, window=None)) == [0, 33, 66, 99]
    assert indices(decode_video(path, num_frames=2, window=(2.5, 10.0))) == [75, 99]


def test_far_fewer_frames_than_announced_is_an_error(write_film: WriteFilm, announce: Callable[..., None]) -> None:
    path = write_film(100)
    announce(path, num_frames=201)
    with pytest.raises(DecodeError, match="announces 201 frames and only 100 decode"):
        decode_video(path, num_frames=4, window=None)


def test_a_clip_cut_short_is_sampled_over_what_is_left(write_film: WriteFilm) -> None:
    path = write_film(100)
    content = path.read_bytes()
    start, end = content.index(b"movi"), content.index(b"idx1")
    path.write_bytes(content[: start + int((end - start) * 0.8)])
    chosen = indices(decode_video(path, num_frames=5, window=None))
    assert chosen[0] == 0
    assert 60 <= chosen[-1] < 99
    assert np.ptp(np.diff(chosen)) <= 1
    path.write_bytes(content[: start + int((end - start) * 0.3)])
    with pytest.raises(DecodeError, match="announces 100 frames and only"):
        decode_video(path, num_frames=5, window=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the video file is empty"),
        (bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)), "not a video that FFmpeg can open"),
        (b"RIFF\x00\x10\x00\x00AVI LIST", "not a video that FFmpeg can open"),
    ],
)
def test_what_is_no_video_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.avi"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=message) as caught:
        decode_video(path, num_frames=4, window=None)
    assert str(path) in str(caught.value)


def test_a_header_without_frames_is_an_error(write_film: WriteFilm) -> None:
    path = write_film(100)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"movi") + 4] + bytes(2000))
    with pytest.raises(DecodeError, match=r"none of them decodes|not a video"):
        decode_video(path, num_frames=4, window=None)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="not there"):
        decode_video(tmp_path / "none.avi", num_frames=4, window=None)


def test_damage_is_not_printed(write_film: WriteFilm) -> None:
    path = write_film(100)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(range(200)) * 2
    path.write_bytes(content)
    # In a process of its own: FFmpeg takes its level once, and writing the film above has already set it here.
    code = (
        "import os, sys; from pathlib import Path; from weldcache.errors import DecodeError;"
        "from weldcache.extract.decode.video import decode_video;"
        "clip = decode_video(Path(sys.argv[1]), num_frames=4, window=None); print(len(clip.frames));"
        "assert 'OPENCV_FFMPEG_LOGLEVEL' not in os.environ"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "4\n", "")
