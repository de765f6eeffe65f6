"""Sound and sensors with bytes lost, changed or doubled.

No damaged FLAC passes. A CSV has no checksum, so a digit may change unseen; what it does not do is raise another error
than the one that is meant for it.
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from weldcache.errors import DecodeError
from weldcache.extract.decode.audio import decode_audio
from weldcache.extract.decode.sensor import decode_sensors
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE

HEADER = "Date,Time,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage,Remarks "


def flip(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def blank(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start : start + 200] = bytes(len(content[start : start + 200]))


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def lose(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    del content[start : start + chance.choice([1, 64])]


def double(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start:start] = content[start : start + chance.choice([1, 80])]


def garble(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start:start] = chance.randbytes(chance.choice([1, 64]))


DAMAGES = [flip, blank, cut, lose, double, garble]
Damage = Callable[[bytearray, random.Random], None]


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_to_a_flac_passes(tmp_path: Path, damage: Damage) -> None:
    path, chance = tmp_path / "weld.flac", random.Random(0)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 8000), 16_000)
    whole, expected = path.read_bytes(), decode_audio(path, max_seconds=10.0).samples
    for _ in range(40):
        content = bytearray(whole)
        damage(content, chance)
        path.write_bytes(content)
        try:
            samples = decode_audio(path, max_seconds=10.0).samples
        except DecodeError:
            continue
        np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sensor_file_is_read_or_refused_with_its_name(tmp_path: Path, damage: Damage) -> None:
    path, chance = tmp_path / "weld.csv", random.Random(0)
    table = np.random.default_rng(0).uniform(60, 90, (120, 6)).round(2).tolist()
    rows = [f"10/04/22,10:00:{row / 10:06.3f},{','.join(map(str, values))}" for row, values in enumerate(table)]
    whole = "\n".join([HEADER, *rows, ""]).encode()
    for _ in range(40):
        content = bytearray(whole)
        damage(content, chance)
        path.write_bytes(content)
        try:
            series = decode_sensors(path, num_steps=64, series=WELDING_MACHINE)
        except DecodeError as error:
            assert str(path) in str(error)
        else:
            assert np.isfinite(series.values).all()
            assert len(series.times) == 64
