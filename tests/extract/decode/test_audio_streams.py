"""Compressed sound: all of it is read, or the file is refused or noted."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from weldcache.errors import DecodeError
from weldcache.extract.decode.audio import SAMPLE_RATE, decode_audio

SECONDS = 4.0
_TIMES = np.arange(int(SECONDS * 44_100)) / 44_100
# Quiet at first and rich later, so that the bit rate of the first frames is not that of the others.
RECORDING = 0.4 * np.sin(2 * np.pi * 440 * _TIMES) * np.clip(_TIMES - 1, 0, 1) + np.random.default_rng(0).normal(
    0, 0.02, len(_TIMES)
) * (_TIMES > 2)


def write(path: Path, recording: np.ndarray = RECORDING, *, rate: int = 44_100, **options: object) -> bytes:
    with soundfile.SoundFile(path, "w", rate, 1 if recording.ndim == 1 else recording.shape[1], **options) as file:
        file.write(recording)
    return path.read_bytes()


def seconds_of(path: Path) -> float:
    return float(decode_audio(path, max_seconds=40.0).num_valid.sum()) / SAMPLE_RATE


@pytest.fixture
def varying(tmp_path: Path) -> bytes:
    return write(tmp_path / "varying.mp3", bitrate_mode="VARIABLE", compression_level=0.5)


def without_index(content: bytes) -> bytes:
    """Without the first frame, which holds the index and no sound."""
    start = content.index(b"\xff\xfb")
    return content[content.index(b"\xff\xfb", start + 4) :]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
def test_an_mp3_is_read_to_its_end(tmp_path: Path, mode: str) -> None:
    write(tmp_path / "part.mp3", bitrate_mode=mode)
    decoded = decode_audio(tmp_path / "part.mp3", max_seconds=40.0)
    assert seconds_of(tmp_path / "part.mp3") == pytest.approx(SECONDS, abs=1e-4) and decoded.notes == ()
    write(tmp_path / "part.wav")
    expected = decode_audio(tmp_path / "part.wav", max_seconds=40.0).samples
    inner = slice(0, int(1.9 * SAMPLE_RATE))  # without the noise, of which a lossy format makes another
    np.testing.assert_allclose(decoded.samples[0, inner], expected[0, inner], atol=0.02)


def test_a_varying_bit_rate_without_an_index_is_refused_with_the_mend(tmp_path: Path, varying: bytes) -> None:
    path = tmp_path / "part.mp3"
    path.write_bytes(without_index(varying))
    assert abs(soundfile.info(path).frames - len(RECORDING)) > 44_100, "its length is estimated wrongly"
    with pytest.raises(DecodeError, match=r"part\.mp3.*no index.*ffmpeg -i part\.mp3 part\.flac"):
        decode_audio(path, max_seconds=40.0)


def test_tags_before_and_behind_the_sound_do_no_harm(tmp_path: Path, varying: bytes) -> None:
    path, tag = tmp_path / "part.mp3", b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014)
    path.write_bytes(tag + varying + b"TAG" + bytes(125))
    assert seconds_of(path) == pytest.approx(SECONDS, abs=1e-4)


@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014)])
def test_recordings_one_after_the_other_are_not_cut_to_the_first(tmp_path: Path, varying: bytes, tag: bytes) -> None:
    path = tmp_path / "part.mp3"
    path.write_bytes(tag + varying + tag + varying)
    with pytest.raises(DecodeError, match="several recordings"):
        decode_audio(path, max_seconds=40.0)
    path = tmp_path / "part.ogg"
    path.write_bytes(2 * write(path))
    with pytest.raises(DecodeError, match="2 streams"):
        decode_audio(path, max_seconds=40.0)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_that_is_cut_short_says_so(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "part.ogg"
    rate = 48_000 if subtype == "OPUS" else 44_100
    whole = write(path, np.tile(RECORDING, 3), rate=rate, format="OGG", subtype=subtype)
    assert decode_audio(path, max_seconds=40.0).notes == ()
    assert seconds_of(path) == pytest.approx(3 * len(RECORDING) / rate, abs=1e-4)
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert any("its end is missing" in note for note in decode_audio(path, max_seconds=40.0).notes)


def test_a_wav_of_which_most_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.wav"
    whole = write(path)
    for share, read in ((0.8, True), (0.4, False)):
        path.write_bytes(whole[: int(share * len(whole))])
        if read:
            assert any("does not fit" in note for note in decode_audio(path, max_seconds=40.0).notes)
        else:
            with pytest.raises(DecodeError, match="less than 50%"):
                decode_audio(path, max_seconds=40.0)
    for content in (whole[:44], whole[:20]):
        path.write_bytes(content)
        with pytest.raises(DecodeError, match=r"part\.wav"):
            decode_audio(path, max_seconds=40.0)
    size = whole.index(b"data") + 4
    path.write_bytes(whole[:size] + b"\xff" * 4 + whole[size + 4 :])  # as one that is written to a pipe
    assert seconds_of(path) == pytest.approx(SECONDS, abs=1e-4)


ERRORS = {"PCM_U8": 8e-3, "PCM_16": 4e-5, "PCM_24": 2e-7, "PCM_32": 2e-7, "FLOAT": 2e-7, "DOUBLE": 2e-7}
ERRORS |= {"ULAW": 0.02, "ALAW": 0.02, "MS_ADPCM": 0.05, "GSM610": 0.1}


@pytest.mark.parametrize("subtype", ERRORS)
def test_every_depth_of_a_wav_is_what_was_written(tmp_path: Path, subtype: str) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
    write(tmp_path / "part.wav", tone, rate=SAMPLE_RATE, subtype=subtype)
    samples = decode_audio(tmp_path / "part.wav", max_seconds=40.0).samples[0]
    inner = slice(1000, len(tone))  # GSM needs a while to find the tone
    np.testing.assert_allclose(samples[inner], tone[inner], atol=ERRORS[subtype])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000, 192_000])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("num_channels", [1, 6])
def test_any_rate_and_channels_become_one_at_the_models_rate(
    tmp_path: Path, rate: int, ending: str, num_channels: int
) -> None:
    path = tmp_path / f"part.{ending}"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    write(path, tone if num_channels == 1 else np.repeat(tone[:, None], num_channels, axis=1), rate=rate)
    samples = decode_audio(path, max_seconds=40.0).samples[0]
    inner = slice(2_000, 30_000)  # away from the filter's ends
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
    # In six channels of Vorbis, one is taken for that of low tones and loses the others.
    np.testing.assert_allclose(samples[inner], expected[inner], atol=0.1 if ending == "ogg" else 2e-3)
