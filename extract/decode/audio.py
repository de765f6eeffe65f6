"""Audio: a whole recording in consecutive windows of equal length."""

import errno
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32, Float64, Int32

from ...errors import DecodeError
from ...wording import count_of
from ..features.settings import SoundSettings
from .audio_streams import check_mp3, check_ogg, conversion
from .decoded import AudioWindows, high_span, never
from .media import complaints_unheard, require_readable

SAMPLE_RATE = 16_000
RATES, MAX_CHANNELS = SoundSettings().rates, SoundSettings().max_channels

_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's SF_COUNT_MAX
_NO_MEMORY = 17  # libsndfile's SFE_MALLOC_FAILED
_FORMATS = {  # by the end of a name, in libsndfile's words
    ".flac": ("FLAC",),
    ".wav": ("WAV", "WAVEX", "RF64"),
    ".ogg": ("OGG",),
    ".oga": ("OGG",),
    ".opus": ("OGG",),
    ".mp3": ("MP3",),
    ".aiff": ("AIFF",),
    ".aif": ("AIFF",),
}
# What libsndfile says of a WAV that is shorter or longer than its header says.
_CUT = re.compile(r"data : (\d+) \(should be (\d+)\)")
_OF_A_PIPE = 0x7FFFF000  # bytes; such headers are full of ones
MIN_DECODABLE_SHARE = 0.5  # of a recording cut short that is used
_SHORT_SECONDS = 0.5
_CANCELS = 1 / 3  # of the level that the mean of channels has which know nothing of each other
_LOUDEST = 2.0  # of full scale: decoders of lossy formats may overshoot it a little
_LOUD_SHARE = 0.01  # of samples above that, at most; more are no clicks, but another scale

Channels = Float32[np.ndarray, "samples channels"]
Waveform = Float32[np.ndarray, " samples"]

# The numbers of STREAMINFO: where it begins and what it holds.
_MAGIC, _HEADER = b"fLaC", slice(8, 42)
_CHECKSUM = slice(18, 34)
_LAST_BLOCK = 0x80

# By the low half of a frame's third byte; 12 to 14: at the end of the frame's header, in units of so many hertz.
_RATES = (None, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
_UNITS = {12: (1, 1000), 13: (2, 1), 14: (2, 10)}
_BLOCK_SIZE_BYTES = {6: 1, 7: 2}  # by the high half: how many say the block's size at the end of the frame's header
_BYTES_OF_SAMPLE = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}

LOUDNESS_SECONDS = 0.05

_HOLD = 6  # windows: what lasts less than 0.3 s is a click, a hammer blow, a word
_MIN_CONTRAST_DB = 6.0
FLOOR = 1e-4  # of full scale, 3 steps of 16 bits: quieter than that is all silence


def decode_audio(
    path: Path,
    *,
    window_seconds: float = 10.24,
    max_seconds: float,
    rates: tuple[int, int] = RATES,
    max_channels: int = MAX_CHANNELS,
) -> AudioWindows:
    """Decode a recording to 16 kHz mono and cut it into windows, the last one padded with zeros.

    Channels that are not silent are averaged; where they cancel each other the loudest is taken. Other rates are
    resampled with a linear-phase filter (soxr's high quality).

    Raises:
        DecodeError: if the file cannot be decoded to its end, contradicts itself, is empty, holds values that are not
            finite, lasts longer than `max_seconds`, or has a rate outside `rates` or more than `max_channels`.
        MemoryError: if there is not enough.
    """
    notes: list[str] = []
    channels, rate = _read(path, max_seconds=max_seconds, rates=rates, max_channels=max_channels, notes=notes)
    if not np.isfinite(channels).all():
        raise DecodeError(f"{path}: the recording holds values that are not finite.")
    if len(channels) < _SHORT_SECONDS * rate:
        notes.append(f"the recording lasts only {len(channels) / rate:.3g} s")
    extents = {path: {"seconds": len(channels) / rate}}
    waveform = _within_full_scale(_to_mono(channels, notes=notes), path=path, notes=notes)
    if np.ptp(waveform) <= 2 * FLOOR:
        notes.append("the recording is silent")
    if rate != SAMPLE_RATE:
        waveform = _resample(waveform, rate=rate)
    windows = _windows(waveform, size=round(window_seconds * SAMPLE_RATE))
    return replace(windows, notes=tuple(f"{path}: {what}" for what in notes), extents=extents)


def _read(
    path: Path, *, max_seconds: float, rates: tuple[int, int], max_channels: int, notes: list[str]
) -> tuple[Channels, int]:
    """All channels, and their rate. What a header asks for is checked before memory is given to it."""
    require_readable(path, what="audio file")
    try:
        with complaints_unheard(), soundfile.SoundFile(path) as file:
            rate, announced = int(file.samplerate), int(file.frames)
            if not (rates[0] <= rate <= rates[1] and file.channels <= max_channels):
                raise DecodeError(
                    f"{path}: the header tells of {count_of(file.channels, 'channel')} of {rate:,} samples a second, "
                    f"and max_channels is {max_channels}, rates {rates[0]:,} to {rates[1]:,}."
                )
            _check_length(path, announced=announced, rate=rate, max_seconds=max_seconds)
            if file.format == "MP3":
                check_mp3(path, announced=announced, notes=notes)
            elif file.format == "OGG":
                check_ogg(path, notes=notes)
            if file.format == "FLAC":
                channels = _read_flac(path, file)
            else:  # as many as announced: some codecs cannot tell how many are left
                channels = file.read(announced, dtype="float32", always_2d=True)
            if file.format not in _FORMATS.get(path.suffix.lower(), (file.format,)):
                notes.append(f"it is {file.format_info}, although its name ends in {path.suffix}")
            if complaints := [line.strip(" *") for line in file.extra_info.splitlines() if "(should be" in line]:
                notes.append(f"the header does not fit the file: {'; '.join(complaints)}")
                _check_cut(path, complaints)
    except (soundfile.LibsndfileError, OSError) as error:
        if getattr(error, "code", None) == _NO_MEMORY or getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError(str(error)) from error  # which says nothing about the file
        why = str(error).rstrip(".")
        raise DecodeError(
            f"{path}: the audio cannot be decoded ({why}): truncated, damaged or another format. What FFmpeg reads is "
            f"converted by {conversion(path)}"
        ) from error
    if len(channels) < announced:
        raise DecodeError(
            f"{path}: the header announces {count_of(announced, 'sample')} and only {len(channels):,} decode."
        )
    return channels, rate


def _read_flac(path: Path, file: soundfile.SoundFile) -> Channels:
    rate = rate_of_first_frame(path)
    if rate not in (None, file.samplerate):
        raise DecodeError(
            f"{path}: the header says {file.samplerate} samples a second and the sound itself {rate}: it is damaged."
        )
    samples = file.read(dtype="int32", always_2d=True)
    if len(samples) == file.frames and not holds_checksum(path, samples, subtype=file.subtype):
        raise DecodeError(
            f"{path}: what decodes ({count_of(len(samples), 'sample')}) is not what the header's checksum is of: it is "
            "damaged."
        )
    return np.asarray(samples.astype(np.float32) / np.float32(2**31))


def _check_cut(path: Path, complaints: Sequence[str]) -> None:
    """Refuse a WAV of which more than half is missing; one that was written to a pipe announces any size."""
    for said, there in (map(int, found.groups()) for line in complaints if (found := _CUT.fullmatch(line))):
        if said < _OF_A_PIPE and there < MIN_DECODABLE_SHARE * said:
            raise DecodeError(
                f"{path}: the header announces {said:,} bytes of sound and only {there:,} are there, less than "
                f"{MIN_DECODABLE_SHARE:.0%}; it is cut short."
            )


def _check_length(path: Path, *, announced: int, rate: int, max_seconds: float) -> None:
    if announced == 0:
        raise DecodeError(f"{path}: the recording is empty.")
    if announced == _UNKNOWN_LENGTH:
        raise DecodeError(f"{path}: the header does not say how long the recording is; convert the file anew.")
    if announced > max_seconds * rate:
        raise DecodeError(
            f"{path}: the recording lasts {announced / rate:.2f} s and the store has room for {max_seconds:g} s; "
            "raise max_seconds."
        )


def _to_mono(channels: Channels, *, notes: list[str]) -> Waveform:
    """The mean of the channels that hold sound, or the loudest alone where they cancel out.

    A silent channel is a microphone that was not there, and would only lower the level; channels cancel each other as
    where one microphone is the wrong way round.
    """
    levels = channels.std(axis=0, dtype=np.float64)
    silent, heard = levels <= FLOOR, channels
    if silent.any() and not silent.all():
        number = int(np.sum(silent))
        notes.append(f"{number} of its {len(silent)} channels {'is' if number == 1 else 'are'} silent and left out")
        heard = np.ascontiguousarray(channels[:, ~silent])
    mean: Waveform = heard.mean(axis=1, dtype=np.float32)
    number = heard.shape[1]
    if number == 1:
        return mean
    unlike = float(np.sqrt(np.sum(levels**2))) / number
    if mean.std(dtype=np.float64) < _CANCELS * unlike:
        loudest = int(levels.argmax())
        notes.append(f"its {number} channels cancel each other out: channel {loudest + 1}, the loudest, is taken")
        return np.ascontiguousarray(channels[:, loudest])
    notes.append(f"its {number} channels are averaged")
    return mean


def _within_full_scale(waveform: Waveform, *, path: Path, notes: list[str]) -> Waveform:
    """Cut to [-1, 1] what a file of floats holds beyond."""
    sizes = np.abs(waveform)
    if not len(beyond := np.flatnonzero(sizes > 1)):
        return waveform
    if np.mean(sizes > _LOUDEST) > _LOUD_SHARE:
        raise DecodeError(
            f"{path}: its samples reach {sizes.max():g} times full scale, so they are in another unit; write them with "
            "full scale at 1."
        )
    notes.append(f"{count_of(len(beyond), 'sample')} beyond full scale ({sizes.max():g} at most) cut to it")
    return np.asarray(np.clip(waveform, -1.0, 1.0))


def _resample(waveform: Float32[np.ndarray, " samples_in"], *, rate: int) -> Float32[np.ndarray, " samples_out"]:
    import librosa  # here, because most recordings are at 16 kHz and never need it

    resampled = librosa.resample(waveform, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    # The filter rings past full scale next to clipped samples.
    return np.asarray(np.clip(resampled, -1.0, 1.0), dtype=np.float32)


def _windows(waveform: Waveform, *, size: int) -> AudioWindows:
    count = math.ceil(len(waveform) / size)
    samples = np.zeros((count, size), dtype=np.float32)
    samples.reshape(-1)[: len(waveform)] = waveform
    num_valid = np.full(count, size, dtype=np.int64)
    num_valid[-1] = len(waveform) - (count - 1) * size
    active = heard_span(waveform, rate=SAMPLE_RATE)
    return AudioWindows(samples=samples, num_valid=num_valid, active=active)


# What a FLAC file says of itself twice, which must agree. libsndfile believes the stream's header: a rate that was
# damaged there would be resampled, and samples beyond a damaged count never read. Each frame of sound says its rate
# again, and the header holds a checksum of all samples.


def rate_of_first_frame(path: Path) -> int | None:
    """Samples a second as the first frame of sound has it; None where it refers to the header or cannot be found."""
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            return None
        block = file.read(4)
        while len(block) == 4 and not block[0] & _LAST_BLOCK:
            file.seek(int.from_bytes(block[1:]), 1)
            block = file.read(4)
        if len(block) < 4:
            return None
        file.seek(int.from_bytes(block[1:]), 1)
        frame = file.read(16)
    if len(frame) < 16 or frame[0] != 0xFF or frame[1] & 0xFC != 0xF8:
        return None
    code = frame[2] & 0x0F
    if code in _UNITS:
        # Behind four bytes and the frame's number, which is 0 and one byte long.
        start, (width, unit) = 5 + _BLOCK_SIZE_BYTES.get(frame[2] >> 4, 0), _UNITS[code]
        return int.from_bytes(frame[start : start + width]) * unit
    return _RATES[code] if code < len(_RATES) else None


def holds_checksum(path: Path, samples: Int32[np.ndarray, "samples channels"], *, subtype: str) -> bool:
    """Whether `samples`, in the upper bits of 32, are what the header's MD5 is of; so they are where it has none."""
    with path.open("rb") as file:
        expected = file.read(_HEADER.stop)[_HEADER][_CHECKSUM]
    if not any(expected):
        return True
    little = samples.astype("<i4", order="C").view(np.uint8).reshape(*samples.shape, 4)
    return hashlib.md5(little[..., -_BYTES_OF_SAMPLE[subtype] :].tobytes(), usedforsecurity=False).digest() == expected


def heard_span(waveform: Float32[np.ndarray, " samples"], *, rate: int) -> Float64[np.ndarray, " 2"]:
    """Onset and end of the sound of what is recorded, in seconds from the first sample; NaN twice where nothing stands
    out.

    From the RMS of 50 ms windows in decibels, each sample less the one before it: mains hum and the rumble of a hall,
    which are louder than a quiet process, lose 30 dB by that, and its crackle nothing. Where the process goes on from
    the first to the last sample of a recording, it has nothing to stand out from.
    """
    size = round(LOUDNESS_SECONDS * rate)
    steps = np.diff(waveform)
    windows = steps[: len(steps) // size * size].reshape(-1, size)
    rms = np.sqrt(np.einsum("ws,ws->w", windows, windows, dtype=np.float64) / size)
    span = high_span(20 * np.log10(rms + FLOOR), hold=_HOLD, min_contrast=_MIN_CONTRAST_DB)
    return never() if span is None else np.array([span[0], span[1] + 1]) * (size / rate)
