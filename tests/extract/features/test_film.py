"""Video: the whole clip, the time with the arc on as sensors or light tell it, or clip after clip."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from weldcache.errors import DecodeError, SettingsError
from weldcache.extract.backbones.spec import BackboneSpec
from weldcache.extract.decode.decoded import VideoClip
from weldcache.extract.decode.sensor import active_window
from weldcache.extract.features.film import Activity, FilmEncoder, FilmReader
from weldcache.extract.features.kind import Prepared
from weldcache.extract.features.settings import FilmSettings
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import Sample
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE
from weldcache.settings import load_settings


def times_of_frames(decoded: VideoClip) -> torch.Tensor:
    return torch.from_numpy(decoded.times)


ACTIVITY = Activity("sensor", WELDING_MACHINE)


def encoder_of(settings: FilmSettings, *, activity: Activity | None = ACTIVITY) -> FilmEncoder:
    return FilmEncoder("video", settings, backbone=FirstPixel(), dtype="float16", activity=activity)


def decoding(encoder: FilmEncoder) -> dict[str, Any]:
    return dict(encoder.specs[0].made_by["decoding"])


def reader(sampling: str) -> FilmReader:
    settings = FilmSettings.model_validate({"num_frames": 8, "sampling": sampling, "num_clips": 3})
    return FilmReader(settings, times_of_frames, ACTIVITY if sampling == "active" else None)


@pytest.fixture
def weld(synthetic: Path) -> Sample:
    return open_source(load_settings(folder=synthetic).data).samples()[0]


def test_the_whole_clip_from_its_first_frame_to_its_last(weld: Sample) -> None:
    times = reader("uniform")(weld).tensors["frames"].numpy()
    assert times[0] == 0 and len(times) == 8
    assert np.ptp(np.diff(times)) < 0.07  # even, but for whole frames


def test_the_arc_on_window_is_that_of_the_films_own_light(weld: Sample) -> None:
    prepared = reader("active")(weld)
    first, last = prepared.tensors["arc_on"].tolist()
    times = prepared.tensors["frames"].numpy()
    assert times[0] == pytest.approx(first) and times[-1] == pytest.approx(last)
    # The sensors' clock is another: their window would cut lit frames off and take dark ones in.
    assert abs(active_window(weld.files["sensor"][0], series=WELDING_MACHINE)[0] - first) > 0.1
    assert prepared.notes == ()
    assert torch.equal(reader("active")(without_sensors(weld)).tensors["frames"], prepared.tensors["frames"])


def dead_sensors(weld: Sample) -> str:
    """The weld's sensor file with a current that never rises above 3 A."""
    header, *lines = weld.files["sensor"][0].read_text().splitlines()
    place = [name.strip() for name in header.split(",")].index("Primary Weld Current")
    rows = [line.split(",") for line in lines]
    return "\n".join([header, *(",".join([*row[:place], "3.0", *row[place + 1 :]]) for row in rows)]) + "\n"


@pytest.fixture
def dark(weld: Sample, tmp_path: Path) -> Sample:
    """The weld, filmed with the lens cap on."""
    path = tmp_path / "dark.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), 30, (64, 48))
    for _ in range(60):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return replace(weld, files={**weld.files, "video": (path,)})


def test_where_the_light_does_not_tell_the_sensors_do(dark: Sample) -> None:
    first, last = active_window(dark.files["sensor"][0], series=WELDING_MACHINE)
    prepared = reader("active")(dark)
    times = prepared.tensors["frames"].numpy()
    assert first - 0.04 <= times[0] and times[-1] <= last + 0.04
    (about_light, about_window) = prepared.notes
    assert "dark throughout" in about_light and "sensors" in about_window
    assert str(dark.files["video"][0]) in about_window


def test_the_sensors_are_read_within_the_limits_that_are_set(dark: Sample) -> None:
    usual = WELDING_MACHINE.limits
    narrow = (*usual[:3], 60.0, *usual[4:])  # which the current is beyond while the arc burns
    encoder = encoder_of(FilmSettings(num_frames=8, sampling="active", sensor_limits=narrow))
    with pytest.raises(DecodeError, match=r"beyond 60 .*limits"):
        FilmReader(encoder.reader.settings, times_of_frames, encoder.reader.activity)(dark)
    assert decoding(encoder)["sensor_limits"] == list(narrow)
    with pytest.raises(SettingsError, match=r"features\.video\.sensor_limits"):
        encoder_of(FilmSettings(sampling="active", sensor_limits=(1.0,)))


@pytest.mark.parametrize("limits", [None, list(WELDING_MACHINE.limits)])
def test_stores_say_of_the_time_that_is_sampled_what_they_have_said_from_the_first(limits: list[float] | None) -> None:
    said = {"num_frames": 32, "sampling": "arc_on", "num_clips": 1}
    said["arc_on"] = "the film's light, else the sensors' current"
    for name in ("active", "arc_on"):  # the value's name in an earlier version
        settings = FilmSettings.model_validate({"sampling": name, "sensor_limits": limits})
        assert settings.sampling == "active" and decoding(encoder_of(settings)) == said
    assert decoding(encoder_of(settings, activity=None)) == said | {"arc_on": "the film's light"}


@pytest.mark.parametrize("sensors", ["none", "dead", "broken"])
def test_without_light_and_sensors_there_is_no_window(dark: Sample, tmp_path: Path, sensors: str) -> None:
    path = tmp_path / "sensors.csv"
    path.write_text(dead_sensors(dark) if sensors == "dead" else "no,sensor\nfile,at all\n")
    with pytest.raises(DecodeError, match=r"dark\.avi.* sensors"):
        reader("active")(without_sensors(dark) if sensors == "none" else with_sensors(dark, path))


def test_clips_follow_one_another_over_the_whole_recording(weld: Sample) -> None:
    times = reader("clips")(weld).tensors["frames"].numpy()
    whole = reader("uniform")(weld).tensors["frames"].numpy()
    assert len(times) == 3 * 8 and (np.diff(times) >= 0).all()
    assert (times[0], times[-1]) == (whole[0], whole[-1])


def test_the_sensors_file_counts_where_it_decides_what_is_sampled(weld: Sample) -> None:
    film, sensors = weld.files["video"], weld.files["sensor"]
    assert reader("uniform").files(weld) == film
    assert reader("active").files(weld) == film + sensors
    assert reader("active").files(without_sensors(weld)) == film


def test_which_clock_tells_the_window_is_in_the_manifest_of_arc_on_alone() -> None:
    def decoding(sampling: str) -> Mapping[str, object]:
        settings = FilmSettings.model_validate({"sampling": sampling, "max_megapixels": 3})
        encoder = FilmEncoder("video", settings, backbone=FirstPixel(), dtype="float16")
        return encoder.specs[0].made_by["decoding"]

    assert decoding("uniform") == {"num_frames": 32, "sampling": "uniform", "num_clips": 1}
    assert "light" in decoding("arc_on")["arc_on"]


@dataclass
class FirstPixel:
    """A backbone whose one token a frame pair is the value of its first pixel."""

    spec = BackboneSpec("vjepa2", "first", "local", "0" * 64, True, "float32", {}, {})
    preparation = staticmethod(times_of_frames)
    num_tokens = 4
    dim = 1

    def load(self) -> None:
        """Nothing to load."""

    def flops(self) -> int:
        return 10

    def __call__(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        tokens = batch[:, ::2, 0, 0, 0].float()[:, :, None]
        return {"tokens": tokens, "embedding": tokens.mean(1)}


def test_clips_go_through_the_backbone_one_by_one_and_are_joined_in_order() -> None:
    settings = FilmSettings(num_frames=8, sampling="clips", num_clips=3)
    encoder = FilmEncoder("video", settings, backbone=FirstPixel(), dtype="float32")
    frames = torch.arange(48, dtype=torch.uint8).reshape(2, 24, 1, 1, 1).expand(-1, -1, 3, 2, 2)
    prepared = [Prepared({"frames": film, "arc_on": torch.zeros(2, dtype=torch.float64)}) for film in frames]
    made = encoder.encode(prepared, feature_sets=frozenset({"video"}))["video"]
    assert made["tokens"].shape == (2, 12, 1) == (2, *encoder.specs[0].arrays[0].shape)
    assert made["tokens"][:, :, 0].tolist() == [list(range(0, 24, 2)), list(range(24, 48, 2))]
    assert made["embedding"].flatten().tolist() == [11.0, 35.0]
    assert encoder.flops(prepared[0], feature_sets=frozenset({"video"})) == 30


def without_sensors(weld: Sample) -> Sample:
    return replace(weld, files={name: paths for name, paths in weld.files.items() if name != "sensor"})


def with_sensors(weld: Sample, path: Path) -> Sample:
    return replace(weld, files={**weld.files, "sensor": (path,)})
