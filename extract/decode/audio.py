"""Audio: a whole recording in consecutive windows of equal length."""

import math
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32

from ...errors import DecodeError
from .decoded import AudioWindows
from .loudness import heard_span

SAMPLE_RATE = 16_000

_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's SF_COUNT_MAX


def decode_audio(path: Path, *, window_seconds: float = 10.24, max_seconds: float) -> AudioWindows:
    """Decode a recording to 16 kHz mono and cut it into windows, the last one padded with zeros.

    Channels are averaged; other rates are resampled with a linear-phase filter (soxr's high quality).

    Raises:
        DecodeError: if the file cannot be decoded to its end, is empty, holds values that are not finite, or lasts
            longer than `max_seconds`.
    """
    waveform, rate = _read(path, max_seconds=max_seconds)
    if not np.isfinite(waveform).all():
        raise DecodeError(f"{path}: the recording holds values that are not finite.")
    if rate != SAMPLE_RATE:
        waveform = _resample(waveform, rate=rate)
    return _windows(waveform, size=round(window_seconds * SAMPLE_RATE))


def _read(path: Path, *, max_seconds: float) -> tuple[Float32[np.ndarray, " samples"], int]:
    """The recording as mono, at its own rate."""
    try:
        with soundfile.SoundFile(path) as file:
            rate, announced = int(file.samplerate), int(file.frames)
            _check_length(path, announced=announced, rate=rate, max_seconds=max_seconds)
            channels = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DecodeError(f"{path}: {_why_unreadable(path, error=error)}.") from error
    if len(channels) < announced:
        raise DecodeError(f"{path}: the header announces {announced} samples and only {len(channels)} decode.")
    return channels.mean(axis=1, dtype=np.float32), rate


def _check_length(path: Path, *, announced: int, rate: int, max_seconds: float) -> None:
    """Before anything is read, so that a header that lies cannot ask for all of the memory."""
    if announced == 0:
        raise DecodeError(f"{path}: the recording is empty.")
    if announced == _UNKNOWN_LENGTH:
        raise DecodeError(f"{path}: the header does not say how long the recording is; convert the file anew.")
    if announced > max_seconds * rate:
        raise DecodeError(
            f"{path}: the recording lasts {announced / rate:.2f} s and the store has room for {max_seconds:g} s; "
            "raise audio.max_seconds."
        )


def _why_unreadable(path: Path, *, error: Exception) -> str:
    if not path.is_file():
        return "the audio file is not there"
    if path.stat().st_size == 0:
        return "the audio file is empty"
    return f"the audio cannot be decoded ({str(error).rstrip('.')}): truncated, damaged or another format"


def _resample(waveform: Float32[np.ndarray, " samples_in"], *, rate: int) -> Float32[np.ndarray, " samples_out"]:
    import librosa  # here, because most recordings are at 16 kHz and never need it

    resampled = librosa.resample(waveform, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    # The filter rings past full scale next to clipped samples.
    return np.asarray(np.clip(resampled, -1.0, 1.0), dtype=np.float32)


def _windows(waveform: Float32[np.ndarray, " samples"], *, size: int) -> AudioWindows:
    count = math.ceil(len(waveform) / size)
    samples = np.zeros((count, size), dtype=np.float32)
    samples.reshape(-1)[: len(waveform)] = waveform
    num_valid = np.full(count, size, dtype=np.int64)
    num_valid[-1] = len(waveform) - (count - 1) * size
    return AudioWindows(samples=samples, num_valid=num_valid, arc_on=heard_span(waveform, rate=SAMPLE_RATE))
