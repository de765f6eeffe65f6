"""Recordings in windows, at the model's rate, and the ones that are refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from weldcache.errors import DecodeError
from weldcache.extract.decode.audio import LOUDNESS_SECONDS, SAMPLE_RATE, decode_audio, heard_span, rate_of_first_frame
from weldcache.extract.decode.decoded import AudioWindows

WINDOW = 163_840


def tone(seconds: float, *, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("num_samples", "num_valid"),
    [
        (1000, [1000]),
        (WINDOW, [WINDOW]),
        (WINDOW + 1, [WINDOW, 1]),
        (3 * WINDOW + 777, [WINDOW, WINDOW, WINDOW, 777]),
        (4 * WINDOW, [WINDOW] * 4),
    ],
)
def test_windows_follow_each_other_and_hold_everything(tmp_path: Path, num_samples: int, num_valid: list[int]) -> None:
    recording = np.random.default_rng(1).integers(-20_000, 20_000, num_samples, dtype=np.int16)
    path = tmp_path / "weld.flac"
    soundfile.write(path, recording, SAMPLE_RATE, subtype="PCM_16")
    windows = decode_audio(path, max_seconds=40.96)
    assert windows.samples.shape == (len(num_valid), WINDOW)
    assert windows.num_valid.tolist() == num_valid
    joined = windows.samples.reshape(-1)
    np.testing.assert_array_equal(joined[:num_samples], recording / np.float32(32_768))
    assert not joined[num_samples:].any()


def test_the_window_can_be_chosen(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "weld.flac", tone(2.5), SAMPLE_RATE)
    windows = decode_audio(tmp_path / "weld.flac", window_seconds=1.0, max_seconds=3.0)
    assert windows.samples.shape == (3, 16_000)
    assert windows.num_valid.tolist() == [16_000, 16_000, 8_000]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_another_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "weld.flac", tone(3.0, rate=rate), rate, subtype="PCM_24")
    windows = decode_audio(tmp_path / "weld.flac", max_seconds=10.0)
    assert windows.num_valid.tolist() == [48_000]
    inner = slice(1_000, 47_000)  # away from the filter's ends
    np.testing.assert_allclose(windows.samples[0, inner], tone(3.0)[inner], atol=2e-3)


def test_resampling_stays_within_full_scale(tmp_path: Path) -> None:
    square = np.where(np.arange(44_100) % 90 < 45, 1.0, -1.0).astype(np.float32)
    soundfile.write(tmp_path / "weld.flac", square, 44_100)
    assert np.abs(decode_audio(tmp_path / "weld.flac", max_seconds=10.0).samples).max() <= 1.0


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = tone(1.0)
    soundfile.write(tmp_path / "weld.flac", np.stack([left, -0.5 * left], axis=1), SAMPLE_RATE)
    windows = decode_audio(tmp_path / "weld.flac", max_seconds=10.0)
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], 0.25 * left, atol=1e-4)


def test_a_recording_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weld.flac"
    soundfile.write(path, tone(2.0), SAMPLE_RATE)
    assert decode_audio(path, max_seconds=2.0).num_valid.tolist() == [32_000]
    with pytest.raises(DecodeError, match=r"lasts 2\.00 s and the store has room for 1\.9 s; raise max_seconds"):
        decode_audio(path, max_seconds=1.9)


def test_a_file_that_does_not_say_its_length_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weld.flac"
    soundfile.write(path, tone(2.0), SAMPLE_RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    # FLAC's stream info begins at byte 8; the total number of samples is the low 36 bits of its bytes 10 to 17.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="does not say how long the recording is"):
        decode_audio(path, max_seconds=10.0)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.95])
def test_a_file_cut_short_is_an_error(tmp_path: Path, share: float) -> None:
    path = tmp_path / "weld.flac"
    soundfile.write(path, tone(2.0), SAMPLE_RATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DecodeError, match="empty" if share == 0 else "truncated, damaged or another format") as caught:
        decode_audio(path, max_seconds=10.0)
    assert str(path) in str(caught.value)


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weld.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 64_000), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    content[40_000:44_000] = bytes(4_000)
    path.write_bytes(content)
    with pytest.raises(DecodeError):
        decode_audio(path, max_seconds=10.0)


def test_garbage_nothing_and_no_file_are_errors(tmp_path: Path) -> None:
    garbage, nothing = tmp_path / "garbage.flac", tmp_path / "nothing.wav"
    garbage.write_bytes(b"not audio at all" * 100)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        decode_audio(garbage, max_seconds=10.0)
    soundfile.write(nothing, np.zeros(0, dtype=np.float32), SAMPLE_RATE)
    with pytest.raises(DecodeError, match="the recording is empty"):
        decode_audio(nothing, max_seconds=10.0)
    with pytest.raises(DecodeError, match="not there"):
        decode_audio(tmp_path / "none.flac", max_seconds=10.0)


def test_values_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    broken = tone(1.0)
    broken[500] = np.nan
    soundfile.write(tmp_path / "weld.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(DecodeError, match="not finite"):
        decode_audio(tmp_path / "weld.wav", max_seconds=10.0)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_welding_sound_is_timed_in_the_recordings_own_clock(tmp_path: Path, rate: int) -> None:
    times = np.arange(30 * rate) / rate
    on = (times >= 6.23) & (times < 24.71)
    sound = np.random.default_rng(0).normal(0.0, np.where(on, 0.1, 0.01))
    soundfile.write(tmp_path / "weld.flac", sound, rate, subtype="PCM_16")
    active = decode_audio(tmp_path / "weld.flac", max_seconds=40.0).active
    assert active.dtype == np.float64
    np.testing.assert_allclose(active, [6.23, 24.71], atol=0.05)


def test_a_recording_without_a_weld_has_no_arc_on(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "weld.flac", np.random.default_rng(0).normal(0.0, 0.05, size=160_000), SAMPLE_RATE)
    assert np.isnan(decode_audio(tmp_path / "weld.flac", max_seconds=40.0).active).all()


def noise(seconds: float = 1.0, *, seed: int = 0) -> np.ndarray:
    """Unlike any other of another seed, at a level of a tenth of full scale."""
    return np.random.default_rng(seed).normal(0.0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def written(path: Path, samples: np.ndarray, **options: str) -> AudioWindows:
    """What is decoded of `samples`."""
    soundfile.write(path, samples, SAMPLE_RATE, **options)
    return decode_audio(path, max_seconds=10.0)


def test_a_good_recording_is_not_remarked_on(tmp_path: Path) -> None:
    assert written(tmp_path / "weld.flac", noise()).notes == ()


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_samples_of_a_flac_are_those_that_libsndfile_gives(tmp_path: Path, subtype: str) -> None:
    windows = written(tmp_path / "weld.flac", noise(), subtype=subtype)
    expected, _ = soundfile.read(tmp_path / "weld.flac", dtype="float32")
    np.testing.assert_array_equal(windows.samples[0, :SAMPLE_RATE], expected)


@pytest.mark.parametrize(("gain", "loudest"), [(-1.0, 1), (-1.1, 1), (-0.8, 2)])
@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_of_channels_that_cancel_each_other_the_loudest_is_taken(
    tmp_path: Path, gain: float, loudest: int, offset: float
) -> None:
    channels = np.stack([gain * noise(), noise()], axis=1) + offset
    windows = written(tmp_path / "weld.flac", channels, subtype="PCM_24")
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], channels[:, loudest - 1], atol=1e-4)
    (note,) = windows.notes
    assert f"channel {loudest}" in note


@pytest.mark.parametrize(
    ("second", "words"),
    [(noise(), "averaged"), (noise(seed=1), "averaged"), (-0.5 * noise(), "averaged")],
)
def test_other_channels_are_averaged_and_told(tmp_path: Path, second: np.ndarray, words: str) -> None:
    windows = written(tmp_path / "weld.flac", np.stack([noise(), second], axis=1))
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], (noise() + second) / 2, atol=1e-4)
    (note,) = windows.notes
    assert "2 channels" in note
    assert words in note


@pytest.mark.parametrize("dead", [0.0, 0.25])
def test_silent_channels_do_not_lower_the_level_of_the_others(tmp_path: Path, dead: float) -> None:
    silent = np.full(SAMPLE_RATE, dead)
    windows = written(tmp_path / "weld.flac", np.stack([noise(), silent], axis=1))
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], noise(), atol=1e-4)
    assert windows.notes == (f"{tmp_path / 'weld.flac'}: 1 of its 2 channels is silent and left out",)
    windows = written(tmp_path / "weld.flac", np.stack([silent, noise(), silent, noise(seed=1)], axis=1))
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], (noise() + noise(seed=1)) / 2, atol=1e-4)
    assert "2 of its 4 channels are silent" in windows.notes[0] and "2 channels are averaged" in windows.notes[1]


def test_the_loudest_of_channels_that_cancel_is_counted_among_all(tmp_path: Path) -> None:
    windows = written(tmp_path / "weld.flac", np.stack([0 * noise(), noise(), -1.1 * noise()], axis=1))
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], -1.1 * noise(), atol=1e-4)
    assert "channel 3" in windows.notes[1]


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_silence_is_told(tmp_path: Path, level: float) -> None:
    windows = written(tmp_path / "weld.flac", np.full(SAMPLE_RATE, level))
    assert windows.notes == (f"{tmp_path / 'weld.flac'}: the recording is silent",)


def test_a_recording_of_a_moment_is_told(tmp_path: Path) -> None:
    (note,) = written(tmp_path / "weld.flac", noise(0.05)).notes
    assert "0.05 s" in note


@pytest.mark.parametrize(
    ("format_", "words"), [("WAV", "WAV"), ("OGG", "OGG"), ("MP3", "MPEG"), ("AIFF", "AIFF"), ("CAF", "CAF")]
)
def test_another_format_under_the_name_of_a_flac_is_read_and_told(tmp_path: Path, format_: str, words: str) -> None:
    windows = written(tmp_path / "weld.flac", tone(2.0), format=format_)
    np.testing.assert_allclose(windows.samples[0, 5000:25_000], tone(2.0)[5000:25_000], atol=0.1)
    (note,) = windows.notes
    assert words in note
    assert ".flac" in note


@pytest.mark.parametrize("name", ["weld.wav", "weld.WAV", "weld.ogg", "weld.mp3", "weld.aiff"])
def test_other_formats_under_their_own_names(tmp_path: Path, name: str) -> None:
    assert written(tmp_path / name, tone(2.0)).notes == ()


def with_header(path: Path, *, rate: int = SAMPLE_RATE, num_samples: int = SAMPLE_RATE) -> Path:
    """A FLAC whose header says so and whose sound is a second at 16 kHz."""
    soundfile.write(path, noise(), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    # Behind the magic, a block's head and ten bytes: 20 bits of rate, 3 of channels, 5 of depth, 36 of samples.
    kept = int.from_bytes(content[18:26]) & (0xFF << 36)
    content[18:26] = (rate << 44 | kept | num_samples).to_bytes(8)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [16_008, 8_000, 44_100])
def test_a_rate_that_the_sound_contradicts_is_damage(tmp_path: Path, rate: int) -> None:
    with pytest.raises(DecodeError, match=rf"{rate} samples a second.*16000"):
        decode_audio(with_header(tmp_path / "weld.flac", rate=rate), max_seconds=10.0)


@pytest.mark.parametrize("num_samples", [1, 8000, 15_999])
def test_sound_beyond_the_announced_number_of_samples_is_not_dropped(tmp_path: Path, num_samples: int) -> None:
    with pytest.raises(DecodeError, match="checksum"):
        decode_audio(with_header(tmp_path / "weld.flac", num_samples=num_samples), max_seconds=10.0)


def test_the_header_in_these_tests_is_written_rightly(tmp_path: Path) -> None:
    assert decode_audio(with_header(tmp_path / "weld.flac"), max_seconds=10.0).num_valid.tolist() == [SAMPLE_RATE]


def test_a_flac_without_a_checksum_is_read(tmp_path: Path) -> None:
    path = with_header(tmp_path / "weld.flac")
    content = bytearray(path.read_bytes())
    content[26:42] = bytes(16)
    path.write_bytes(content)
    assert decode_audio(path, max_seconds=10.0).notes == ()


@pytest.mark.parametrize("rate", [8_000, 12_000, 11_025, 16_000, 48_000, 37_800, 96_000])
def test_every_writing_of_a_frames_rate_is_understood(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "weld.flac", noise(), rate)
    assert rate_of_first_frame(tmp_path / "weld.flac") == rate


@pytest.mark.parametrize(("rate", "channels"), [(100, 1), (500_000, 1), (16_000, 9)])
def test_what_no_microphone_records_is_refused_with_the_setting(tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "weld.wav", np.zeros((2000, channels)) + 0.1, rate)
    with pytest.raises(DecodeError, match=r"max_channels.*rates"):
        decode_audio(tmp_path / "weld.wav", max_seconds=100.0)


def test_clicks_beyond_full_scale_are_cut_and_told(tmp_path: Path) -> None:
    click = noise()
    click[[100, 200]] = [1e30, -3.0]
    windows = written(tmp_path / "weld.wav", click, subtype="FLOAT")
    assert windows.samples[0, [100, 200]].tolist() == [1.0, -1.0]
    assert "2 samples beyond full scale" in windows.notes[0]


def test_samples_in_another_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="full scale"):
        written(tmp_path / "weld.wav", 32_768 * noise(), subtype="FLOAT")


def test_a_wav_that_is_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "weld.wav"
    soundfile.write(path, noise(), SAMPLE_RATE)
    path.write_bytes(path.read_bytes()[:20_000])
    (note,) = decode_audio(path, max_seconds=10.0).notes
    assert "does not fit the file" in note


@pytest.mark.parametrize("data_bytes", [0xFFFFFFFF, 64_000])
def test_a_wav_that_announces_other_than_it_holds_is_told(tmp_path: Path, data_bytes: int) -> None:
    path = tmp_path / "weld.wav"
    soundfile.write(path, noise(), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = data_bytes.to_bytes(4, "little")
    path.write_bytes(content)
    windows = decode_audio(path, max_seconds=10.0)
    np.testing.assert_allclose(windows.samples[0, :SAMPLE_RATE], noise(), atol=1e-4)
    assert "does not fit the file" in windows.notes[0]


def test_a_flac_that_is_announced_longer_than_it_is_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DecodeError):
        decode_audio(with_header(tmp_path / "weld.flac", num_samples=SAMPLE_RATE + 4000), max_seconds=10.0)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weld.flac")
    with pytest.raises(DecodeError, match="not a regular file"):
        decode_audio(tmp_path / "weld.flac", max_seconds=10.0)


def test_memory_that_runs_out_is_no_property_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise soundfile.LibsndfileError(17)

    soundfile.write(tmp_path / "weld.flac", noise(), SAMPLE_RATE)
    monkeypatch.setattr(soundfile, "SoundFile", fail)
    with pytest.raises(MemoryError):
        decode_audio(tmp_path / "weld.flac", max_seconds=10.0)


RATE = 16_000
ONSET, END, TOTAL = 5.03, 24.02, 30.0
TIMES = np.arange(round(TOTAL * RATE)) / RATE
ON = (TIMES >= ONSET) & (TIMES < END)


def hiss(*, background: float, weld: float, seed: int = 0) -> np.ndarray:
    """White noise whose RMS is `background`, and `weld` with the arc on."""
    return np.random.default_rng(seed).standard_normal(len(TIMES)) * np.where(ON, weld, background)


def heard(signal: np.ndarray) -> np.ndarray:
    return heard_span(np.clip(signal, -1, 1).astype(np.float32), rate=RATE)


@pytest.mark.parametrize("decibels", [8, 12, 20, 40, 60])
@pytest.mark.parametrize("seed", range(3))
def test_onset_and_end_are_right_to_a_window(decibels: float, seed: int) -> None:
    signal = hiss(background=0.3 * 10 ** (-decibels / 20), weld=0.3, seed=seed)
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=LOUDNESS_SECONDS)


def test_hum_that_is_louder_than_the_weld_does_no_harm() -> None:
    hum = 0.5 * np.sin(2 * np.pi * 50 * TIMES) + 0.2 * np.sin(2 * np.pi * 100 * TIMES)
    assert np.sqrt(np.mean(hum**2)) > 5 * 0.05
    signal = hum + hiss(background=0.005, weld=0.05)
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=LOUDNESS_SECONDS)


def test_clicks_and_knocks_do_not_count() -> None:
    signal = hiss(background=0.005, weld=0.1)
    for seconds in (0.0, 1.7, 3.2, 26.0, 29.4):
        place = round(seconds * RATE)
        signal[place : place + 10] = 0.9
        signal[place + 8000 : place + 8000 + 3200] *= 40  # a knock of 0.2 s
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=LOUDNESS_SECONDS)


def test_pauses_within_the_weld_do_not_part_it() -> None:
    signal = hiss(background=0.005, weld=0.1)
    for seconds in (8.0, 12.0):
        signal[round(seconds * RATE) : round((seconds + 2.0) * RATE)] /= 20
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=LOUDNESS_SECONDS)


def test_pulses_are_a_weld_too() -> None:
    pulses = np.zeros(len(TIMES))
    pulses[:: RATE // 62] = 0.8  # short circuits
    signal = pulses * ON + hiss(background=0.003, weld=0.003)
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=LOUDNESS_SECONDS)


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros(len(TIMES)),
        hiss(background=0.1, weld=0.1),
        hiss(background=0.1, weld=0.13),
        0.5 * np.sin(2 * np.pi * 50 * TIMES),
        np.random.default_rng(0).integers(0, 2, len(TIMES)) / 32_768 * ON,  # the last bit's noise
        hiss(background=0.1, weld=0.1)[:900],
        np.ones(1),
    ],
    ids=["silence", "noise", "noise with 2 dB more", "hum", "one bit", "one window", "one sample"],
)
def test_where_nothing_stands_out_there_is_no_onset(signal: np.ndarray) -> None:
    assert np.isnan(heard(signal)).all()


def test_a_weld_that_is_cut_off_reaches_the_end() -> None:
    signal = hiss(background=0.005, weld=0.1)[: 20 * RATE]
    np.testing.assert_allclose(heard(signal), [ONSET, 20.0], atol=LOUDNESS_SECONDS)
