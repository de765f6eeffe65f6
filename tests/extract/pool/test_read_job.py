"""What of a sample's files cannot be used is with what was read of it, as a note or as the reason for its absence."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch

from weldcache.cache.status import Status
from weldcache.extract.decode.decoded import AudioWindows
from weldcache.extract.features.kind import Prepared
from weldcache.extract.features.pixels import PixelsReader
from weldcache.extract.features.series import SeriesReader
from weldcache.extract.features.settings import PixelsSettings, SeriesSettings, SoundSettings, SoundStatisticsSettings
from weldcache.extract.features.sound import SoundReader
from weldcache.extract.features.sound_statistics import SoundStatisticsReader
from weldcache.extract.plan import Job
from weldcache.extract.pool.read_job import Failure, ReadJob, read_job
from weldcache.extract.sources.source import Sample, SeriesFormat
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE, collect_run

HEADER = "Time,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage"


def samples_of(windows: AudioWindows) -> torch.Tensor:
    return torch.from_numpy(windows.samples)


def read(root: Path) -> ReadJob:
    """The run `weld` below `root`, its sound and its sensors."""
    run = collect_run(root, key="weld")
    sample = Sample(
        "weld",
        "train",
        "day",
        files=run.files,
        absent=run.absent,
        unreadable=frozenset(run.unreadable),
        notes=run.notes,
    )
    sensors = SeriesReader(SeriesSettings(), WELDING_MACHINE)
    readers = {"audio": SoundReader(SoundSettings(), samples_of), "sensor": sensors}
    return read_job(Job(0, sample, frozenset(readers), frozenset()), readers=readers, root=root)


@pytest.fixture
def weld(tmp_path: Path) -> Path:
    folder = tmp_path / "weld"
    folder.mkdir()
    generator = np.random.default_rng(0)
    soundfile.write(folder / "weld.flac", generator.normal(0, 0.1, 16_000), 16_000)
    rows = [
        f"10:00:{row / 10:06.3f},{','.join(map(str, values))}"
        for row, values in enumerate(generator.uniform(60, 90, (40, 6)).round(2).tolist())
    ]
    (folder / "weld.csv").write_text("\n".join([HEADER, *rows, ""]))
    return folder


def notes(read: ReadJob, modality: str) -> tuple[str, ...]:
    prepared = read.prepared[modality]
    assert isinstance(prepared, Prepared)
    return prepared.notes


def test_sound_files_have_no_notes(weld: Path) -> None:
    found = read(weld.parent)
    assert notes(found, "audio") == notes(found, "sensor") == ()


def test_what_decoders_and_the_folder_tell_is_with_the_row(weld: Path) -> None:
    soundfile.write(weld / "weld.flac", np.zeros(16_000), 16_000)
    (weld / "other.flac").touch()
    lines = (weld / "weld.csv").read_text().splitlines()
    (weld / "weld.csv").write_text("\n".join(lines[:10] + lines[30:] + [""]))
    found = read(weld.parent)
    assert [("silent" in note, "other.flac" in note) for note in notes(found, "audio")] == [
        (True, False),
        (False, True),
    ]
    assert "gap" in notes(found, "sensor")[0]


def test_what_was_passed_over_is_told_of_a_file_that_cannot_be_read(weld: Path) -> None:
    (weld / "weld.flac").write_bytes(b"no sound")
    os.mkfifo(weld / "other.flac")
    outcome = read(weld.parent).prepared["audio"]
    assert isinstance(outcome, Failure)
    assert "weld/weld.flac" in outcome.reason and "other.flac is a named pipe" in outcome.reason


def test_what_is_known_not_to_be_readable_is_not_opened(weld: Path) -> None:
    (weld / "weld.csv").unlink()
    (weld / "weld.csv").mkdir()
    (weld / "weld.flac").unlink()
    found = read(weld.parent).prepared
    assert found["sensor"] == Failure(Status.UNREADABLE, "weld: weld.csv is a folder, not a file")
    assert isinstance(found["audio"], Failure)
    assert found["audio"].status is Status.ABSENT


def test_what_is_noted_names_files_by_their_place_in_the_data_set(weld: Path) -> None:
    """A store is shared, and whose folder the data lay in is nobody's business."""
    (weld / "weld.flac").write_bytes(b"no sound")
    (weld / "weld.csv").write_text(HEADER + "\n")
    for outcome in read(weld.parent).prepared.values():
        assert isinstance(outcome, Failure)
        assert "weld/weld." in outcome.reason and str(weld.parent) not in outcome.reason


@pytest.mark.parametrize("damaged", [False, True])
def test_files_of_any_format_are_a_row_or_a_reason(tmp_path: Path, damaged: bool) -> None:
    """Sixteen bits, GSM and a clock of numbers are read; a float, a header alone and text for numbers are not."""
    picture = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    kind = np.float32 if damaged else np.uint16
    cv2.imwrite(str(tmp_path / "a.tif"), picture.astype(kind))
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16_000) / 9), 16_000, subtype="GSM610")
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[: 60 if damaged else None])
    rows = [f"{1_769_853_600_000 + 100 * row};{row},5{'?' if damaged else ''}" for row in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["t;P1", *rows, ""]))
    series = SeriesFormat(("pressure",), (np.inf,), "t", columns=("P1",), delimiter="semicolon", decimal="comma")
    readers = {
        "image": PixelsReader(PixelsSettings(kind="pixels", num_views=1)),
        "audio": SoundStatisticsReader(SoundStatisticsSettings(kind="sound_statistics")),
        "sensor": SeriesReader(SeriesSettings(num_steps=30), series),
    }
    endings = {"image": "tif", "audio": "wav", "sensor": "csv"}
    files = {stream: (tmp_path / f"a.{ending}",) for stream, ending in endings.items()}
    job = Job(0, Sample("a", "train", "a", files), frozenset(readers), frozenset())
    for stream, found in read_job(job, readers=readers, root=tmp_path).prepared.items():
        if damaged:
            assert isinstance(found, Failure) and found.status == Status.UNREADABLE
            assert f"a.{endings[stream]}" in found.reason
        else:
            assert isinstance(found, Prepared) and found.tensors["values"].any()
