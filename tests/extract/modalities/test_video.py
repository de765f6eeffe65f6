"""Video: the whole clip or the time with the arc on, told by the sensors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from weldcache.configs.load import load_settings
from weldcache.configs.schema import VideoSettings
from weldcache.errors import DecodeError
from weldcache.extract.decode.decoded import VideoClip
from weldcache.extract.decode.sensor import arc_on_window
from weldcache.extract.modalities.video import VideoReader
from weldcache.extract.sample import Sample
from weldcache.extract.sources.open import open_source


def times_of_frames(decoded: VideoClip) -> torch.Tensor:
    return torch.from_numpy(decoded.times)


def reader(window: str) -> VideoReader:
    settings = VideoSettings.model_validate({"num_frames": 8, "window": window})
    return VideoReader(settings=settings, preparation=times_of_frames)


@pytest.fixture
def weld(synthetic: Path) -> Sample:
    return open_source(load_settings(folder=synthetic).data).samples()[0]


def test_the_whole_clip_from_its_first_frame_to_its_last(weld: Sample) -> None:
    times = reader("full")(weld).tensors["frames"].numpy()
    assert times[0] == 0 and len(times) == 8
    assert np.ptp(np.diff(times)) < 0.07  # even, but for whole frames


def test_the_arc_on_window_is_the_sensors(weld: Sample) -> None:
    first, last = arc_on_window(weld.files["sensor"][0])
    whole = reader("full")(weld).tensors["frames"].numpy()
    times = reader("arc_on")(weld).tensors["frames"].numpy()
    assert first - 0.07 <= times[0] and times[-1] <= last + 0.07
    assert np.ptp(times) < np.ptp(whole)


def test_without_sensors_nobody_knows_when_the_arc_is_on(weld: Sample) -> None:
    files = {name: paths for name, paths in weld.files.items() if name != "sensor"}
    blind = Sample(weld.key, weld.split, weld.class_name, weld.session, weld.label, files)
    with pytest.raises(DecodeError, match=rf"{weld.key}: video.window is arc_on and there are no sensors"):
        reader("arc_on")(blind)
    assert len(reader("full")(blind).tensors["frames"]) == 8
