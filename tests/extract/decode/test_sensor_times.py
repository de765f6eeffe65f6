"""Clocks in every writing give the times that they tell, to the digit, and nothing is guessed in silence."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.sensor import columns_of_numbers, decode_sensors, read_sensor_table
from weldcache.extract.decode.sensor_times import parse_stamps
from weldcache.extract.sources.source import SeriesFormat

PRESS = SeriesFormat(("force", "tilt"), limits=(np.inf, np.inf), clock="t", signed=True)
START = 1_769_853_600  # 2026-01-31T10:00:00Z
STEPS = [Decimal(step) for step in ("0", "0.1", "0.2", "0.35", "0.5", "0.75", "1", "1.25", "1.5", "2.000001")]
EXPECTED = np.array([float(step) for step in STEPS])
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(stamps: Sequence[object], *, sep: str = ",", header: str = "t,force,tilt", decimal: str = ".") -> Path:
        path = tmp_path / "press.csv"
        rows = [sep.join([str(stamp), f"{row}.5".replace(".", decimal), f"-{row}"]) for row, stamp in enumerate(stamps)]
        path.write_text("\n".join([header.replace(",", sep), *rows, ""]))
        return path

    return to_file


def table_of(path: Path, **changed: Any) -> Any:
    return read_sensor_table(path, series=replace(PRESS, **changed))


def iso(step: Decimal, zone: timezone, end: str, *, sep: str = "T") -> str:
    whole, rest = divmod(step, 1)
    when = datetime.fromtimestamp(START + int(whole), UTC).astimezone(zone)
    return f"{when:%Y-%m-%d}{sep}{when:%H:%M:%S}{str(rest)[1:]}{end}"


INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        (list(STEPS), "seconds"),
        ([step - 7 for step in STEPS], "seconds"),
        ([step + 40_000 for step in STEPS], "seconds"),
        ([step * 1000 for step in STEPS], "milliseconds"),
        ([f"{step * 1_000_000:.0f}" for step in STEPS], "microseconds"),
        ([f"{(step + START) * 1_000_000_000:.0f}" for step in STEPS], "nanoseconds"),
        ([step + START for step in STEPS], None),
        ([(step + START) * 1000 for step in STEPS], None),
        ([f"{(step + START) * 1_000_000:.0f}" for step in STEPS], None),
        ([f"{(step + START) * 1_000_000_000:.0f}" for step in STEPS], None),
        ([iso(step, UTC, "Z") for step in STEPS], None),
        ([iso(step, UTC, "", sep=" ") for step in STEPS], None),
        ([iso(step, INDIA, "+05:30") for step in STEPS], None),
        ([iso(step, INDIA, "+0530") for step in STEPS], None),
        ([f"10:00:{10 + step:09.6f}" for step in STEPS], None),
    ],
)
def test_times_are_those_that_are_written(write: Write, written: Sequence[object], unit: Any) -> None:
    table = table_of(write(written), times=unit)
    np.testing.assert_allclose(table.times, EXPECTED, rtol=0, atol=1e-11)
    assert table.values[:, 0].tolist() == [row + 0.5 for row in range(10)]
    guessed = unit is None and isinstance(written[0], (Decimal, str)) and ":" not in str(written[0])
    assert any("Unix time" in note for note in table.notes) == guessed


def test_an_offset_may_change_while_it_records(write: Write) -> None:
    zones = [(UTC, "Z") if row < 5 else (INDIA, "+05:30") for row in range(10)]
    written = [iso(step, zone, end) for step, (zone, end) in zip(STEPS, zones, strict=True)]
    np.testing.assert_allclose(table_of(write(written)).times, EXPECTED, atol=1e-11)


def test_dates_go_over_midnight_and_times_of_day_too(write: Write) -> None:
    dates = [f"2026-01-31T23:59:{56 + row}" if row < 4 else f"2026-02-01T00:00:0{row - 4}" for row in range(10)]
    for written in (dates, [date[11:] for date in dates]):
        np.testing.assert_array_equal(table_of(write(written)).times, np.arange(10.0))


@pytest.mark.parametrize(
    ("written", "unit", "line", "told"),
    [
        (["0.0", "0.1", "0.2"], None, 2, "times"),
        (["12000", "12100", "12200"], None, 2, "times"),
        (["-1769853600", "1769853601"], None, 2, "times"),
        (["1e999", "2"], None, 2, "times"),
        (["0.0", "1e999", "2"], "seconds", 3, "no time"),
        (["0.0", "nan"], "seconds", 3, "nan"),
        (["0.0", "", "1"], "seconds", 3, "number of seconds"),
        (["10:00:00", "10:00:01"], "seconds", 2, "10:00:00"),
        (["10:00:00", "2026-01-31T10:00:01Z"], None, 3, "HH:MM:SS"),
        (["2026-01-31T10:00:00Z", "10:00:01"], None, 3, "10:00:01"),
        (["2026-01-31T10:00:00Z", "2026-01-31T10:00:01"], None, 3, "offset"),
        (["2026-02-30T10:00:00Z", "2026-02-30T10:00:01Z"], None, 2, "2026-02-30"),
        (["2026-01-31T10:00:60Z", "2026-01-31T10:01:01Z"], None, 2, "no time"),
        (["2026-01-31T10:00:00+99:00", "2026-01-31T10:01:01Z"], None, 2, "no time"),
        (["31.01.2026 10:00:00", "31.01.2026 10:00:01"], None, 2, "HH:MM:SS"),
        (["2026-01-31", "2026-02-01"], None, 2, "HH:MM:SS"),
        (["١", "٢"], "seconds", 2, "١"),
    ],
)
def test_what_is_no_time_or_of_no_known_unit_is_refused_with_its_line(
    write: Write, written: Sequence[str], unit: Any, line: int, told: str
) -> None:
    with pytest.raises(DecodeError, match=rf"press\.csv, line {line}: t is .*{told}"):
        table_of(write(written), times=unit)


def test_rows_without_a_clock_follow_each_other_at_their_rate(tmp_path: Path) -> None:
    path = tmp_path / "press.csv"
    path.write_text("force,tilt\n1,2\n1,2\n,\n\n5,6\n5,6\n9,8\n\n")
    series = replace(PRESS, rate=4.0)
    table = read_sensor_table(path, series=series)
    np.testing.assert_array_equal(table.times, np.arange(7) / 4)
    np.testing.assert_array_equal(table.values[:, 0], [1, 1, np.nan, np.nan, 5, 5, 9])
    assert decode_sensors(path, num_steps=7, series=series).values[:, 0].tolist() == [
        *(1.0, 1.0, pytest.approx(7 / 3), pytest.approx(11 / 3), 5.0, 5.0, 9.0)
    ]
    assert columns_of_numbers(path, series=series) == ("force", "tilt")
    with pytest.raises(DecodeError, match="max_seconds"):
        read_sensor_table(path, series=replace(series, rate=1e-3))


def test_a_clock_of_numbers_is_no_channel(write: Write) -> None:
    path = write(STEPS)
    assert columns_of_numbers(path, series=PRESS) == ("force", "tilt")
    assert columns_of_numbers(path, series=replace(PRESS, rate=10.0)) == ("t", "force", "tilt")


def test_hours_are_believed_where_somebody_says_so(write: Write) -> None:
    path = write([row * 1000 for row in range(10)])
    with pytest.raises(DecodeError, match=r"2\.5 h.*max_seconds"):
        table_of(path, times="seconds")
    assert table_of(path, times="seconds", max_seconds=9000.0).times[-1] == 9000


@pytest.mark.parametrize(("delimiter", "sep"), [("semicolon", ";"), ("tab", "\t")])
@pytest.mark.parametrize("decimal", ["comma", "point"])
def test_other_delimiters_and_decimal_commas_are_read_where_the_settings_say_so(
    write: Write, delimiter: str, sep: str, decimal: str
) -> None:
    sign = "," if decimal == "comma" else "."
    for stamps, unit in (
        ([f"10:00:0{row},5" for row in range(10)], None),
        ([f"{row},5" for row in range(10)], "seconds"),
    ):
        path = write([stamp.replace(",", sign) for stamp in stamps], sep=sep, decimal=sign)
        table = table_of(path, delimiter=delimiter, decimal=decimal, times=unit)
        np.testing.assert_array_equal(table.times, np.arange(10.0))
        assert table.values[:, 0].tolist() == [row + 0.5 for row in range(10)]
        with pytest.raises(DecodeError, match=f"delimiter={delimiter}"):
            table_of(path)


def test_decimals_are_never_guessed(write: Write) -> None:
    semicolons = write([f"10:00:0{row}" for row in range(10)], sep=";", decimal=",")
    with pytest.raises(DecodeError, match="line 2: force is '0,5'"):
        table_of(semicolons, delimiter="semicolon")
    points = write([f"10:00:0{row}" for row in range(10)], sep=";", decimal=".")
    with pytest.raises(DecodeError, match="line 2: force"):
        table_of(points, delimiter="semicolon", decimal="comma")


def test_channels_have_other_names_than_their_columns(write: Write) -> None:
    table = table_of(write(STEPS), channels=("angle",), columns=("tilt",), limits=(np.inf,), times="seconds")
    assert table.values[:, 0].tolist() == [-row for row in range(10)]
    with pytest.raises(DecodeError, match="column lean is missing"):
        table_of(write(STEPS), channels=("angle",), columns=("lean",), limits=(np.inf,), times="seconds")


def test_nanoseconds_since_1970_are_exact() -> None:
    texts = [str(START * 10**9 + step) for step in (0, 1, 3)]
    stamps = parse_stamps(texts, unit="nanoseconds", name="t", places=["1", "2", "3"])
    assert stamps.seconds.tolist() == [0.0, 1e-9, 3e-9]
    dates = ["2026-01-31T10:00:00.123456789Z", "2026-01-31T10:00:00.123456790Z"]
    assert parse_stamps(dates, unit=None, name="t", places=["1", "2"]).seconds.tolist() == [0.0, 1e-9]
