"""Sensors: what of the settings changes numbers, and so is in the description of the features."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from weldcache.extract.features.series import SeriesEncoder
from weldcache.extract.features.settings import SeriesSettings
from weldcache.extract.sources.source import Sample


def decoding(settings: SeriesSettings) -> dict[str, Any]:
    (spec,) = SeriesEncoder("sensor", settings).specs
    return dict(spec.made_by["decoding"])


def test_limits_that_no_measurement_reaches_are_not_part_of_what_made_the_features() -> None:
    channels = [
        "Pressure",
        "CO2 Weld Flow",
        "Feed",
        "Primary Weld Current",
        "Wire Consumed",
        "Secondary Weld Voltage",
    ]
    assert decoding(SeriesSettings()) == {"num_steps": 128, "resampling": "linear", "channels": channels}


def test_other_limits_are_part_of_it() -> None:
    limits = (5.0, 50.0, 180.0, 300.0, 5000.0, 80.0)
    assert decoding(SeriesSettings(limits=limits)) == {**decoding(SeriesSettings()), "limits": list(limits)}


def test_other_columns_are_read_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "press.csv"
    path.write_text("t,force,tilt\n" + "".join(f"10:00:0{second},{second},{-second}\n" for second in range(9)))
    settings = SeriesSettings(channels=("tilt", "force"), limits=(90.0, 500.0), clock="t", num_steps=9)
    encoder = SeriesEncoder("press", settings)
    prepared = encoder.reader(Sample("a", "train", "a", {"sensor": (path,)}))
    assert prepared.tensors["values"].tolist() == [[-second, second] for second in range(9)]
    assert prepared.notes == () and prepared.tensors["arc_on"].isnan().all()
    assert decoding(settings).items() >= {"channels": ["tilt", "force"], "clock": "t"}.items()
    assert encoder.specs[0].arrays[0].shape == (9, 2)


def test_each_channel_has_a_limit() -> None:
    with pytest.raises(ValidationError, match="limits are 6 for 2 channels"):
        SeriesSettings(channels=("tilt", "force"))
