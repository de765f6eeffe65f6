"""Films with frames missing: times stay the film's own, a bad frame costs itself, and a note says what is not there."""

import multiprocessing
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.film import SECONDS_BETWEEN_MEASURES, FilmLimits, brightness, lit_span
from weldcache.extract.decode.video import decode_video, lit_window
from weldcache.tests.toy import read_picture

WriteFilm = Callable[..., Path]
ChangeFrames = Callable[[Path, Callable[[int, bytes], bytes]], None]

NUM_FRAMES, FIRST_LIT, LAST_LIT = 90, 30, 59


@pytest.fixture
def weld_film(write_lit_film: WriteFilm) -> Path:
    """Three seconds at 30 frames a second, lit from 1 s to 2 s."""
    lit = np.arange(NUM_FRAMES) // 30 == 1
    return write_lit_film(np.where(lit, 200.0, 10.0))


@pytest.fixture
def pictures_film(tmp_path: Path) -> Path:
    """The same, every frame a JPEG for itself."""
    path = tmp_path / "pictures.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 30, (128, 80))
    for index in range(NUM_FRAMES):
        writer.write(np.full((80, 128, 3), 200 if FIRST_LIT <= index <= LAST_LIT else 10, np.uint8))
    writer.release()
    return path


def test_frames_left_empty_do_not_shift_the_others(pictures_film: Path, change_frames: ChangeFrames) -> None:
    whole = decode_video(pictures_film, num_frames=4)
    change_frames(pictures_film, lambda index, frame: b"" if 5 <= index < 25 else frame)
    clip = decode_video(pictures_film, num_frames=90)
    np.testing.assert_array_equal(clip.active, whole.active)
    assert (clip.times[0], clip.times[-1]) == (0.0, 89 / 30)
    assert (np.diff(clip.times) >= 0).all()
    lit = clip.frames.mean(axis=(1, 2, 3)) > 100
    np.testing.assert_array_equal(lit, (clip.times >= 1) & (clip.times < 2))
    assert (decode_video(pictures_film, num_frames=5, window=(1.0, 1.9)).frames.mean(axis=(1, 2, 3)) > 100).all()
    assert lit_window(pictures_film) == tuple(whole.active)
    (note,) = [note for note in clip.notes if "repeat" not in note]
    assert str(pictures_film) in note and "0.7 s before 0.8 s" in note


def test_frames_left_empty_before_the_first_are_not_sampled_twice(
    pictures_film: Path, change_frames: ChangeFrames
) -> None:
    change_frames(pictures_film, lambda index, frame: b"" if index < 40 else frame)
    np.testing.assert_allclose(decode_video(pictures_film, num_frames=2).times, [40 / 30, 89 / 30])


def test_more_frames_left_empty_than_there_are_is_no_damage(pictures_film: Path, change_frames: ChangeFrames) -> None:
    change_frames(pictures_film, lambda index, frame: frame if index % 3 == 2 else b"")
    clip = decode_video(pictures_film, num_frames=30)
    np.testing.assert_allclose(clip.times, np.arange(2, 90, 3) / 30)
    assert clip.notes == ()


@pytest.mark.parametrize("bad", [(20,), (70,), (20, 70), tuple(range(40, 60))])
def test_a_frame_that_does_not_decode_is_one_frame(
    pictures_film: Path, change_frames: ChangeFrames, bad: tuple[int, ...]
) -> None:
    change_frames(pictures_film, lambda index, frame: frame[: len(frame) // 3] if index in bad else frame)
    clip = decode_video(pictures_film, num_frames=90)
    good = [index for index in range(NUM_FRAMES) if index not in bad]
    np.testing.assert_allclose(np.unique(clip.times), np.array(good) / 30)
    assert (clip.times[-1], bool(clip.frames[-1].mean() < 100)) == (89 / 30, True)
    assert any(f"{len(bad)} of 90 frames" in note and "not decode" in note for note in clip.notes)


def test_more_bad_frames_than_good_ones_are_an_error(pictures_film: Path, change_frames: ChangeFrames) -> None:
    change_frames(pictures_film, lambda index, frame: frame if index % 3 == 0 else frame[: len(frame) // 3])
    with pytest.raises(DecodeError, match="announces 90 frames and only 30 decode"):
        decode_video(pictures_film, num_frames=4)


@pytest.fixture(scope="module")
def decode_process() -> Iterator[ProcessPoolExecutor]:
    """What FFmpeg complains of is heard in a process of its own alone."""
    with _process() as process:
        yield process


def _process() -> ProcessPoolExecutor:
    # One thread, as in every decode process: then a complaint is of the frame that was asked for.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,))


def test_frames_that_the_decoder_patched_up_are_counted(
    weld_film: Path, change_frames: ChangeFrames, decode_process: ProcessPoolExecutor
) -> None:
    assert decode_process.submit(decode_video, weld_film, num_frames=4).result().notes == ()
    change_frames(weld_film, lambda index, frame: half(frame) if index in (20, 45) else frame)
    (note,) = decode_process.submit(decode_video, weld_film, num_frames=4).result().notes
    assert "2 frames of 90 are damaged" in note and "0.7 s" in note


def test_one_frame_is_told_in_the_singular(
    weld_film: Path, change_frames: ChangeFrames, decode_process: ProcessPoolExecutor
) -> None:
    change_frames(weld_film, lambda index, frame: half(frame) if index == 20 else frame)
    (note,) = decode_process.submit(decode_video, weld_film, num_frames=4).result().notes
    assert "1 frame of 90 is damaged" in note


def half(frame: bytes) -> bytes:
    return frame[: len(frame) // 2] + bytes(len(frame) - len(frame) // 2)


@pytest.mark.parametrize(
    "damage",
    [
        half,
        lambda frame: frame[: len(frame) // 2],
        lambda frame: np.random.default_rng(0).bytes(len(frame)),
        lambda frame: bytes(100) + frame[100:],
        lambda frame: frame[: len(frame) // 3] + np.random.default_rng(0).bytes(64) + frame[len(frame) // 3 + 64 :],
    ],
    ids=["half zeroed", "cut", "noise", "no header", "overwritten"],
)
def test_damage_of_a_frame_is_not_silent(
    weld_film: Path, change_frames: ChangeFrames, decode_process: ProcessPoolExecutor, damage: Callable[[bytes], bytes]
) -> None:
    change_frames(weld_film, lambda index, frame: damage(frame) if index % 30 == 20 else frame)
    (note,) = decode_process.submit(decode_video, weld_film, num_frames=4).result().notes
    assert str(weld_film) in note and "3 " in note


def test_what_else_is_written_meanwhile_reaches_the_stderr_and_complaints_do_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = bytearray(cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))[1])
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / "weld_1.png").write_bytes(damaged)
    with _process() as process:
        with pytest.raises(DecodeError, match=r"weld_1\.png"):
            process.submit(read_picture, tmp_path / "weld_1.png").result()
        process.submit(_write_while_listening).result()
    assert capfd.readouterr().err == "a word\n"
    assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR) is None
    assert "libpng error" in capfd.readouterr().err


def _write_while_listening() -> None:
    from weldcache.extract.decode.media import complaints_heard

    with complaints_heard() as complaints:
        noise = b"Ignoring attempt to set invalid timebase 0/1 for st:0\nNot detecting m3u8/hls with extension\n"
        os.write(2, noise + b"[mpeg4 @ 0x5561] ac-tex damaged at 1 2\na word\n")
        assert list(complaints.take()) == ["ac-tex damaged at 1 2"]
        os.write(2, b"[mpeg4 @ 0x5561] get_buffer() failed\n")
        with pytest.raises(MemoryError):
            complaints.take()


@pytest.mark.parametrize(
    ("limits", "name"),
    [(FilmLimits(max_megapixels=0.006), "max_megapixels"), (FilmLimits(max_gigapixels=0.0005), "max_gigapixels")],
)
def test_a_film_beyond_the_limits_is_not_decoded(weld_film: Path, limits: FilmLimits, name: str) -> None:
    with pytest.raises(DecodeError, match=rf"lit\.avi.*{name}"):
        decode_video(weld_film, num_frames=4, limits=limits)


def test_a_header_that_announces_too_little_does_not_lift_the_limit(
    weld_film: Path, announce: Callable[..., None]
) -> None:
    announce(weld_film, num_frames=5)
    with pytest.raises(DecodeError, match="max_gigapixels"):
        decode_video(weld_film, num_frames=4, limits=FilmLimits(max_gigapixels=0.0005))


def test_a_pipe_is_no_film(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weld.avi")
    with pytest.raises(DecodeError, match="not a regular file"):
        decode_video(tmp_path / "weld.avi", num_frames=4)


@pytest.mark.parametrize(
    ("scale", "rate", "told"),
    [(100, 1, "0.01 frames"), (1, 300, "300 frames"), (1, 10**6, "1,000,000 frames"), (1, 2**32 - 1, "frames a sec")],
)
def test_a_rate_that_no_camera_has_is_told_and_the_light_is_still_seen(
    weld_film: Path, scale: int, rate: int, told: str
) -> None:
    content = bytearray(weld_film.read_bytes())
    struct.pack_into("<II", content, content.index(b"strh") + 8 + 20, scale, rate)
    weld_film.write_bytes(content)
    clip = decode_video(weld_film, num_frames=90)
    (note,) = clip.notes
    assert str(weld_film) in note and told in note
    np.testing.assert_allclose(clip.active, clip.times[[FIRST_LIT, LAST_LIT]])


def test_a_film_of_few_frames_is_not_judged_by_its_first(write_lit_film: WriteFilm) -> None:
    clip = decode_video(write_lit_film(np.where(np.arange(5) > 0, 200.0, 10.0)), num_frames=5)
    assert clip.notes == ()
    np.testing.assert_allclose(clip.active, [1 / 30, 4 / 30])


def test_a_film_written_twice_is_told(weld_film: Path) -> None:
    content = weld_film.read_bytes()
    weld_film.write_bytes(content * 2)
    (note,) = decode_video(weld_film, num_frames=4).notes
    assert "second film" in note
    weld_film.write_bytes(content + content.replace(b"AVI LIST", b"AVIXLIST", 1))  # as a film goes on
    assert not any("second film" in note for note in decode_video(weld_film, num_frames=4).notes)


def test_more_frames_than_announced_are_told(weld_film: Path, announce: Callable[..., None]) -> None:
    announce(weld_film, num_frames=45)
    (note,) = decode_video(weld_film, num_frames=4).notes
    assert "announces 45 frames and 90 decode" in note


@pytest.mark.parametrize(("others", "told"), [((20,), "1 frame of 90 is"), ((20, 21, 24), "3 frames of 90 are")])
def test_frames_of_another_size_are_counted(
    pictures_film: Path, change_frames: ChangeFrames, others: tuple[int, ...], told: str
) -> None:
    small = cv2.imencode(".jpg", np.full((40, 64, 3), 10, np.uint8))[1].tobytes()
    change_frames(pictures_film, lambda index, frame: small if index in others else frame)
    (note,) = decode_video(pictures_film, num_frames=4).notes
    assert told in note and "size" in note


TIMES = np.arange(150) * SECONDS_BETWEEN_MEASURES


def series(*, dark: float, lit: float, first: int = 30, last: int = 119, flicker: float = 0.0) -> np.ndarray:
    """150 measures, half a minute; the noise of a mean over a picture is small."""
    generator = np.random.default_rng(4)
    levels = np.full(150, dark)
    steps = np.clip(flicker * generator.standard_normal(last + 1 - first), -1.0, 0.8)
    levels[first : last + 1] = lit * np.exp(steps)
    return np.clip(levels + 0.2 * generator.standard_normal(150), 0.0, 255.0)


def test_brightness_is_the_mean_of_a_few_rows() -> None:
    picture = np.zeros((600, 960, 3), dtype=np.uint8)
    assert brightness(picture) == 0.0
    picture[:300] = 100
    assert brightness(picture) == pytest.approx(50, abs=1)
    noisy = np.random.default_rng(0).integers(0, 80, size=picture.shape, dtype=np.uint8)
    assert brightness(noisy) == pytest.approx(noisy.mean(), abs=0.5)
    assert brightness(np.full((5, 7, 3), (10, 20, 60), dtype=np.uint8)) == pytest.approx(30)


@pytest.mark.parametrize(
    ("dark", "lit", "flicker"),
    [(4, 40, 0.1), (4, 40, 0.45), (0, 10, 0.1), (16, 50, 0.2), (60, 110, 0.05), (4, 250, 0.0)],
)
def test_the_arc_is_between_the_first_and_the_last_lit_picture(dark: float, lit: float, flicker: float) -> None:
    found = lit_span(series(dark=dark, lit=lit, flicker=flicker), times=TIMES)
    np.testing.assert_allclose(found, TIMES[[30, 119]], atol=SECONDS_BETWEEN_MEASURES if flicker > 0.2 else 1e-9)


@pytest.mark.parametrize(("first", "last"), [(0, 119), (30, 149), (2, 147), (70, 75)])
def test_long_and_short_arcs(first: int, last: int) -> None:
    found = lit_span(series(dark=4, lit=40, first=first, last=last), times=TIMES)
    np.testing.assert_array_equal(found, TIMES[[first, last]])


def test_the_glow_after_the_arc_is_not_the_arc() -> None:
    levels = series(dark=4, lit=40)
    levels[120:] += 9 * np.exp(-np.arange(30) * SECONDS_BETWEEN_MEASURES / 0.5)
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[30, 119]])


def test_a_flash_before_and_a_dark_picture_within_do_not_count() -> None:
    levels = series(dark=4, lit=40)
    levels[[5, 140]], levels[[60, 80]] = 200, 4
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[30, 119]])


def test_an_arc_that_restarts_is_on_from_the_first_to_the_last() -> None:
    levels = series(dark=4, lit=40)
    levels[60:80] = 4
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[30, 119]])


@pytest.mark.parametrize("flicker", [0.0, 0.1, 0.3, 0.5])
def test_a_film_lit_throughout_is_lit_from_end_to_end(flicker: float) -> None:
    levels = series(dark=4, lit=40, first=0, last=149, flicker=flicker)
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[0, 149]])


@pytest.mark.parametrize("dark", [0.0, 4.0, 10.0])
def test_a_film_dark_throughout_is_never_lit(dark: float) -> None:
    levels = series(dark=dark, lit=dark)
    assert np.isnan(lit_span(levels, times=TIMES)).all()
    assert np.isnan(lit_span(levels[:1], times=TIMES[:1])).all()
    assert np.isnan(lit_span(levels[:0], times=TIMES[:0])).all()
