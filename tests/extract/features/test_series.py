"""Sensors: what of the settings changes numbers, and so is in the description of the features."""

from typing import Any

from weldcache.extract.features.series import SeriesEncoder
from weldcache.extract.features.settings import SeriesSettings


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
