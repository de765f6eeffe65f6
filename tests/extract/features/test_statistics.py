"""Statistics of series and of sound: against numpy and librosa, and over which stretch of a recording."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from weldcache.extract.decode.audio import SAMPLE_RATE
from weldcache.extract.decode.mel_levels import log_mel
from weldcache.extract.features.series_statistics import SeriesStatisticsEncoder
from weldcache.extract.features.settings import SeriesStatisticsSettings, SoundStatisticsSettings
from weldcache.extract.features.sound_statistics import SoundStatisticsEncoder, SoundStatisticsReader
from weldcache.extract.features.statistics import NAMES, names_of, statistics_of
from weldcache.extract.sources.source import Sample, SeriesFormat

FORCE = SeriesFormat(("force", "tilt"), limits=(500.0, 90.0), clock="t", active=("force", 2.5))


def test_statistics_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(5, 3, size=(41, 2)).astype(np.float32)
    found = dict(zip(NAMES, statistics_of(values, step_seconds=0.5), strict=True))
    slope = np.polyfit(0.5 * np.arange(41), values.astype(np.float64), 1)[0]
    expected = {"mean": values.mean(0), "deviation": values.std(0), "least": values.min(0), "largest": values.max(0)}
    expected |= {"median": np.median(values, axis=0), "slope": slope, "step": np.abs(np.diff(values, axis=0)).mean(0)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, err_msg=name)


def test_of_a_single_step_nothing_moves() -> None:
    found = statistics_of(np.full((1, 3), 7.0, dtype=np.float32), step_seconds=1.0)
    assert found.tolist() == [[value] * 3 for value in (7, 0, 7, 7, 7, 0, 0)]
    assert names_of(["a", "b"])[:3] == ["mean of a", "mean of b", "deviation of a"]


@pytest.mark.parametrize(("active", "force", "seconds"), [(("force", 2.5), 7.0, 7.0), (None, 4.9, 10.0)])
def test_a_series_is_told_over_the_time_in_which_something_goes_on(
    tmp_path: Path, active: tuple[str, float] | None, force: float, seconds: float
) -> None:
    path = tmp_path / "press.csv"
    rows = [f"10:00:{tenth / 10:06.3f},{7 if tenth >= 30 else 0},{tenth / 10}\n" for tenth in range(101)]
    path.write_text("t,force,tilt\n" + "".join(rows))
    series = SeriesFormat(FORCE.channels, FORCE.limits, clock="t", active=active)
    encoder = SeriesStatisticsEncoder("statistics", SeriesStatisticsSettings(), series, told=series)
    (array,) = encoder.specs[0].arrays
    values = encoder.reader(Sample("a", "train", "a", {"sensor": (path,)})).tensors["values"].tolist()
    found = dict(zip(array.attributes["names"], values, strict=True))  # type: ignore[arg-type]
    assert found["mean of force"] == pytest.approx(force, abs=0.05)
    assert found["slope of tilt"] == pytest.approx(1.0, abs=1e-3)
    assert found["seconds"] == pytest.approx(seconds, abs=0.05)


def test_levels_are_those_of_librosa() -> None:
    waveform = np.random.default_rng(1).normal(0, 0.1, size=9000).astype(np.float32)
    bands = {"n_mels": 20, "fmin": 50.0, "fmax": 8000.0, "htk": True, "norm": None}
    power = librosa.feature.melspectrogram(
        y=waveform, sr=SAMPLE_RATE, n_fft=1024, hop_length=256, window="hann", center=False, power=2.0, **bands
    )
    np.testing.assert_allclose(log_mel(waveform, num_bands=20), 10 * np.log10(power.T / 256**2 + 1e-10), atol=1e-2)


def test_a_tone_at_full_scale_is_0_decibels_in_its_band_and_silence_the_floor() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    levels = log_mel(tone, num_bands=64)
    assert np.abs(levels.max(axis=1)).max() < 1
    assert log_mel(np.zeros(10, dtype=np.float32), num_bands=4).tolist() == [[-100.0] * 4]


def test_a_sound_is_told_over_the_time_in_which_it_is_heard(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    loud, quiet = rng.normal(0, 0.1, size=4 * SAMPLE_RATE), rng.normal(0, 1e-4, size=3 * SAMPLE_RATE)
    encoder = SoundStatisticsEncoder("statistics", SoundStatisticsSettings(num_bands=8))
    found = []
    for number, parts in enumerate(([loud], [quiet, loud, quiet])):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.concatenate(parts), SAMPLE_RATE, subtype="FLOAT")
        found.append(encoder.reader(Sample("a", "train", "a", {"audio": (path,)})).tensors["values"][:8].numpy())
    assert found[0].shape == (8,) and encoder.specs[0].arrays[0].shape == (56,)
    np.testing.assert_allclose(found[0], found[1], atol=1.0)


def test_tokens_are_mean_levels_over_time_and_leave_the_statistics_as_they_are(tmp_path: Path) -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", waveform, SAMPLE_RATE)
    sample = Sample("a", "train", "a", {"audio": (tmp_path / "noise.wav",)})
    settings = SoundStatisticsSettings(num_bands=4, max_seconds=3.0, token_seconds=0.25)
    plain = settings.model_copy(update={"token_seconds": None})
    read, without = (SoundStatisticsReader(each)(sample).tensors for each in (settings, plain))
    assert without.keys() == {"values"} and without["values"].equal(read["values"])
    specs = {array.name: array for array in SoundStatisticsEncoder("sound", settings).specs[0].arrays}
    assert specs["tokens"].shape == tuple(read["tokens"].shape) == (12, 4)
    assert 0 < (length := int(read["tokens_length"])) <= 8 and not read["tokens"][length:].any()
    assert read["tokens"][:length].mean(0).numpy() == pytest.approx(read["values"][:4].numpy(), abs=1.0)
