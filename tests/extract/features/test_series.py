"""Series: what is read where settings, source or the files themselves tell it, and what of it is described."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from weldcache.cache.targets import TargetSpec
from weldcache.errors import NotFoundError, SettingsError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.spec import Placement
from weldcache.extract.features.kind import Tools
from weldcache.extract.features.series import SeriesEncoder, make
from weldcache.extract.features.settings import SeriesSettings
from weldcache.extract.sources.source import Sample, SeriesFormat, Source
from weldcache.extract.sources.welds.manifest import ManifestSource
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE


@dataclass(frozen=True)
class Press:
    """A source that says nothing of its files of measurements."""

    files: Sequence[Path] = ()
    noun: str = "part"

    def targets(self) -> Sequence[TargetSpec]:
        return ()

    def samples(self) -> Sequence[Sample]:
        return [Sample(path.stem, "train", path.stem, {"sensor": (path,)}) for path in self.files]


@dataclass(frozen=True)
class TellingPress(Press):
    def series(self) -> Mapping[str, SeriesFormat]:
        return {"sensor": SeriesFormat(("force",), limits=(500.0,), clock="t", active=("force", 2.5))}


def encoder_of(settings: SeriesSettings, source: Source | None = None) -> SeriesEncoder:
    nowhere, placement = Path("nowhere"), Placement(device=torch.device("cpu"), dtype=torch.float32)
    backbones = BackboneLoader(placement=placement, demo_folder=nowhere, demo_seed=0)
    return make("sensor", settings, Tools(backbones, "float32", source or ManifestSource(nowhere)))


def decoding(settings: SeriesSettings, source: Source | None = None) -> dict[str, Any]:
    (spec,) = encoder_of(settings, source).specs
    return dict(spec.made_by["decoding"])


@pytest.fixture
def press(tmp_path: Path) -> Path:
    path = tmp_path / "press.csv"
    rows = [f"10:00:0{second},part {second},{second},{-second},\n" for second in range(9)]
    path.write_text("t,name,force,tilt,remarks\n" + "".join(rows))
    return path


def test_what_the_source_tells_is_not_part_of_what_made_the_features() -> None:
    channels = [
        "Pressure",
        "CO2 Weld Flow",
        "Feed",
        "Primary Weld Current",
        "Wire Consumed",
        "Secondary Weld Voltage",
    ]
    expected = {"num_steps": 128, "resampling": "linear", "channels": channels}
    assert decoding(SeriesSettings()) == expected
    assert decoding(SeriesSettings(limits=WELDING_MACHINE.limits, clock="Time")) == expected


def test_other_limits_are_part_of_it() -> None:
    limits = (5.0, 50.0, 180.0, 300.0, 5000.0, 80.0)
    assert decoding(SeriesSettings(limits=limits)) == {**decoding(SeriesSettings()), "limits": list(limits)}


def test_columns_that_are_chosen_have_the_limits_that_the_source_tells() -> None:
    told = decoding(SeriesSettings(channels=("Feed", "Pressure", "Gas")))
    assert told["limits"] == [1000.0, 100.0, None]


def test_other_columns_are_read_by_their_names(press: Path) -> None:
    settings = SeriesSettings(channels=("tilt", "force"), limits=(90.0, 500.0), clock="t", num_steps=9)
    encoder = encoder_of(settings)
    prepared = encoder.reader(Sample("a", "train", "a", {"sensor": (press,)}))
    assert prepared.tensors["values"].tolist() == [[-second, second] for second in range(9)]
    assert prepared.notes == () and prepared.tensors["arc_on"].isnan().all()
    assert decoding(settings).items() >= {"channels": ["tilt", "force"], "clock": "t", "limits": [90.0, 500.0]}.items()
    assert encoder.specs[0].arrays[0].shape == (9, 2)


def test_a_map_gives_columns_other_names(press: Path) -> None:
    settings = SeriesSettings.model_validate(
        {"kind": "series", "channels": {"angle": "tilt", "force": "force"}, "clock": "t", "num_steps": 9}
    )
    encoder = encoder_of(settings)
    prepared = encoder.reader(Sample("a", "train", "a", {"sensor": (press,)}))
    assert prepared.tensors["values"].tolist() == [[-second, second] for second in range(9)]
    assert encoder.specs[0].arrays[0].attributes == {"channels": ["angle", "force"]}
    assert decoding(settings).items() >= {"channels": ["angle", "force"], "columns": ["tilt", "force"]}.items()
    same = SeriesSettings(channels={"tilt": "tilt"})
    assert decoding(same) == decoding(SeriesSettings(channels=("tilt",)))


def test_how_files_are_written_is_part_of_what_made_the_features(tmp_path: Path) -> None:
    path = tmp_path / "press.csv"
    path.write_text("s;force\n" + "".join(f"{second};{second},5\n" for second in range(0, 9000, 1000)))
    settings = SeriesSettings(
        clock="s", times="milliseconds", delimiter="semicolon", decimal="comma", max_seconds=5000.0, num_steps=9
    )
    encoder = encoder_of(settings, Press([path]))
    assert encoder.reader(Press([path]).samples()[0]).tensors["times"].tolist() == list(range(9))
    said = {"clock": "s", "times": "milliseconds", "delimiter": "semicolon", "decimal": "comma"}
    expected = {"num_steps": 9, "resampling": "linear", "channels": ["force"], "limits": [None]}
    assert decoding(settings, Press([path])) == expected | said
    counted = SeriesSettings(rate=2.0, delimiter="semicolon", decimal="comma", channels=("force",), num_steps=9)
    assert encoder_of(counted).reader(Press([path]).samples()[0]).tensors["times"].tolist() == [n / 2 for n in range(9)]
    assert decoding(counted)["rate"] == 2.0 and "clock" not in decoding(counted)


@pytest.mark.parametrize("said", [{"rate": 5.0, "clock": "t"}, {"rate": 5.0, "times": "seconds"}, {"decimal": "comma"}])
def test_settings_that_contradict_each_other_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"rate is of files|a comma cannot"):
        SeriesSettings(**said)


def test_where_nobody_tells_the_columns_all_those_of_numbers_are_read(press: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.csv"
    damaged.write_bytes(b"\x00\x01")
    source = Press([damaged, press])
    assert decoding(SeriesSettings(), source)["channels"] == ["force", "tilt"]
    assert decoding(SeriesSettings(), source)["limits"] == [None, None]
    encoder = encoder_of(SeriesSettings(clock="t", num_steps=9), source)
    assert encoder.reader(source.samples()[1]).tensors["values"].tolist() == [[n, -n] for n in range(9)]
    with pytest.raises(NotFoundError, match=r"features\.sensor\.channels"):
        encoder_of(SeriesSettings(), Press([damaged]))


def test_a_source_tells_what_its_files_hold_and_when_something_goes_on(press: Path) -> None:
    source = TellingPress([press])
    assert decoding(SeriesSettings(), source).keys() == {"num_steps", "resampling", "channels"}
    prepared = encoder_of(SeriesSettings(num_steps=9), source).reader(source.samples()[0])
    assert prepared.tensors["arc_on"].tolist() == [3.0, 8.0]


def test_many_channels_need_no_limits(tmp_path: Path) -> None:
    path, channels = tmp_path / "wide.csv", tuple(f"c{number}" for number in range(8))
    rows = [f"10:00:0{second},{','.join(str(second + number) for number in range(8))}\n" for second in range(9)]
    path.write_text(f"Time,{','.join(channels)}\n" + "".join(rows))
    for settings in (SeriesSettings(num_steps=9), SeriesSettings(num_steps=9, channels=channels)):
        for source in (Press([path]), TellingPress([path])) if settings.channels else (Press([path]),):
            encoder = encoder_of(settings, source)
            assert encoder.specs[0].arrays[0].shape == (9, 8)


def test_each_channel_has_a_limit() -> None:
    with pytest.raises(ValidationError, match=r"limits are 6 for 2 channels.*tilt.*force.*limits: \[1000.0, 1000.0\]"):
        SeriesSettings(channels=("tilt", "force"), limits=WELDING_MACHINE.limits)
    with pytest.raises(SettingsError, match=r"features\.sensor\.limits.* 2 for 6 channels.*Feed.*limits: null"):
        encoder_of(SeriesSettings(limits=(1.0, 2.0)))
