"""Parquet files of measurements give the same as CSV, whatever the type of their clock; what is none is refused."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from weldcache.errors import DecodeError, SourceError
from weldcache.extract.decode.sensor import columns_of_numbers, decode_sensors, read_sensor_table
from weldcache.extract.sources.source import SeriesFormat

PRESS = SeriesFormat(("force", "tilt"), limits=(np.inf, np.inf), clock="t", signed=True)
TIMES = np.array([0, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.25, 1.5, 2.000001])
START = pd.Timestamp("2026-01-31T10:00:00")
Write = Callable[..., Path]


def test_without_its_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"\.\[parquet\]"):
        read_sensor_table(tmp_path / "a.parquet", series=PRESS)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(clock: Any, **columns: Any) -> Path:
        path = tmp_path / "press.parquet"
        frame = {"t": clock, "force": np.arange(10) + 0.5, "tilt": -np.arange(10), "name": list("abcdefghij")}
        pd.DataFrame(frame | columns).to_parquet(path, index=False)
        return path

    return to_file


MOMENTS = START + pd.to_timedelta(TIMES, unit="s")
CLOCKS = {
    "naive": MOMENTS,
    "utc": MOMENTS.tz_localize("UTC"),
    "zoned": MOMENTS.tz_localize("Asia/Kolkata"),
    "microseconds": MOMENTS.astype("datetime64[us]"),
    "durations": pd.to_timedelta(TIMES, unit="s"),
    "times of day": [moment.time() for moment in MOMENTS],
    "texts": [moment.isoformat() for moment in MOMENTS],
    "texts of times of day": [f"10:00:{10 + moment:09.6f}" for moment in TIMES],
    "unix nanoseconds": MOMENTS.astype("datetime64[ns]").astype("int64"),
    "unix seconds": MOMENTS.astype("datetime64[ns]").astype("int64") / 1e9,
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_clocks_of_every_type_tell_the_same(write: Write, clock: str) -> None:
    table = read_sensor_table(write(CLOCKS[clock]), series=PRESS)
    np.testing.assert_allclose(table.times, TIMES, rtol=0, atol=3e-7 if clock == "unix seconds" else 1e-9)
    assert table.values.tolist() == [[row + 0.5, -row] for row in range(10)]
    assert any("Unix time" in note for note in table.notes) == clock.startswith("unix")


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int16"])
def test_numbers_have_the_unit_that_is_said(write: Write, dtype: str) -> None:
    path = write((np.round(TIMES * 1000)).astype(dtype))
    table = read_sensor_table(path, series=replace(PRESS, times="milliseconds"))
    np.testing.assert_allclose(table.times, np.round(TIMES, 3), atol=1e-9)
    with pytest.raises(DecodeError, match=r"line 1: t is the number 0, .*times"):
        read_sensor_table(path, series=PRESS)


def test_it_holds_what_a_csv_file_does(write: Write, tmp_path: Path) -> None:
    path = write(TIMES, force=[1.25, None, 3.5, 4, 5, 6, 7, 8, 9, 1e10])
    pd.read_parquet(path).to_csv(tmp_path / "press.csv", index=False)
    series = replace(PRESS, times="seconds", limits=(1e6, 90.0))
    one, other = (decode_sensors(tmp_path / f"press.{end}", num_steps=64, series=series) for end in ("parquet", "csv"))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.times, other.times)
    assert [note.split(": ", 1)[1].replace("line 10", "line 11") for note in one.notes] == [
        note.split(": ", 1)[1] for note in other.notes
    ]


def test_a_rate_a_map_and_all_columns_of_numbers(write: Write) -> None:
    path = write(TIMES)
    mapped = replace(PRESS, channels=("angle",), columns=("tilt",), limits=(90.0,), rate=5.0)
    table = read_sensor_table(path, series=mapped)
    np.testing.assert_array_equal(table.times, np.arange(10) / 5)
    assert table.values[:, 0].tolist() == [-row for row in range(10)]
    assert columns_of_numbers(path, series=PRESS) == ("force", "tilt")


def test_infinite_values_are_no_measurements(write: Write) -> None:
    table = read_sensor_table(
        write(TIMES, force=[1, np.inf, 3, 4, 5, 6, 7, 8, 9, -np.inf]), series=replace(PRESS, times="seconds")
    )
    assert np.isnan(table.values[[1, 9], 0]).all() and any("2 values of force" in note for note in table.notes)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"force": list("abcdefghij")}, "force is a column of .*string.*numbers"),
        ({"force": [str(row) for row in range(10)]}, "force is a column of .*string"),
        ({"force": [True, False] * 5}, "force is a column of bool"),
        ({"force": [[1.0]] * 10}, "force is a column of list"),
        ({"force": [None] * 10}, "force has no value"),
        ({"force": MOMENTS}, "force is a column of timestamp"),
        ({"t": [*TIMES[:9], None]}, "line 10: t is empty"),
        ({"t": [*TIMES[:9], np.inf]}, "line 10: t is inf"),
        ({"t": [True, False] * 5}, "t is a column of bool"),
        ({"t": [moment.date() for moment in MOMENTS]}, "t is a column of date32"),
        ({"t": [1.0] * 10}, "distinct time"),
    ],
)
def test_what_is_no_number_and_no_time_is_refused_by_name(write: Write, changed: dict[str, Any], told: str) -> None:
    path = write(**{"clock": TIMES, **{"clock" if name == "t" else name: column for name, column in changed.items()}})
    with pytest.raises(DecodeError, match=rf"press\.parquet.*{told}"):
        read_sensor_table(path, series=replace(PRESS, times="seconds"))


def test_damaged_and_foreign_files_are_refused(write: Write, tmp_path: Path) -> None:
    path = write(TIMES)
    whole = path.read_bytes()
    series = replace(PRESS, times="seconds")
    for content in (whole[:-50], whole[: len(whole) // 2], whole[:8], b"t,force,tilt\n1,2,3\n", bytes(500)):
        path.write_bytes(content)
        with pytest.raises(DecodeError, match=r"press\.parquet"):
            read_sensor_table(path, series=series)
    with pytest.raises(DecodeError, match="is missing"):
        path.write_bytes(whole)
        read_sensor_table(path, series=replace(series, channels=("lean", "tilt")))
    for place in range(4, len(whole) - 8, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            decoded = decode_sensors(path, num_steps=8, series=series)
        except DecodeError as error:
            assert str(path) in str(error)
        else:
            assert np.isfinite(decoded.values).all()


def test_rows_beyond_all_measure_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros.parquet"
    zeros = pyarrow.array(np.zeros(1 << 20))
    table = pyarrow.table({name: pyarrow.chunked_array([zeros] * 24) for name in ("t", "force", "tilt")})
    parquet.write_table(table, path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DecodeError, match="25,165,824 rows"):
        read_sensor_table(path, series=PRESS)


def test_a_time_of_day_goes_over_midnight(write: Write) -> None:
    clock = [time(23, 59, 55 + row) if row < 5 else time(0, 0, row - 5) for row in range(10)]
    np.testing.assert_array_equal(read_sensor_table(write(clock), series=PRESS).times, np.arange(10.0))
