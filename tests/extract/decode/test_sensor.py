"""Sensor files with every quirk of the real ones, on numbers worked by hand."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.errors import DecodeError
from weldcache.extract.decode import sensor
from weldcache.extract.sources.source import SeriesFormat
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE

HEADER = (
    "Date,Time,Part No,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage,Remarks "
)
CHANNELS = WELDING_MACHINE.channels
CURRENT = CHANNELS.index("Primary Weld Current")
WriteCsv = Callable[..., Path]

decode_sensors = partial(sensor.decode_sensors, series=WELDING_MACHINE)
read_sensor_table = partial(sensor.read_sensor_table, series=WELDING_MACHINE)
active_window = partial(sensor.active_window, series=WELDING_MACHINE)


def line(time: str, *, current: object = 200, consumed: object = 7, date: str = "10/04/22", tail: str = "") -> str:
    return f"{date},{time},HX-1,1.5,20,90,{current},{consumed},24{tail}"


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    def write(lines: Sequence[str], *, header: str = HEADER, encoding: str = "ascii") -> Path:
        path = tmp_path / "weld.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
        return path

    return write


def test_channels_stand_under_their_names_although_rows_are_one_field_short(write_csv: WriteCsv) -> None:
    table = read_sensor_table(write_csv([line("10:00:00.000"), line("10:00:01.000")]))
    np.testing.assert_array_equal(table.values, [[1.5, 20, 90, 200, 7, 24]] * 2)
    np.testing.assert_array_equal(table.times, [0, 1])


@pytest.mark.parametrize("tail", [",", ",  ", ",started late", ',"late, but fine"', ",,"])
def test_remarks_may_be_there(write_csv: WriteCsv, tail: str) -> None:
    table = read_sensor_table(write_csv([line("10:00:00", tail=tail), line("10:00:01")]))
    np.testing.assert_array_equal(table.values[0], [1.5, 20, 90, 200, 7, 24])


def test_columns_may_stand_in_another_order(write_csv: WriteCsv) -> None:
    header = f"Time,{','.join(f' {name}  ' for name in reversed(CHANNELS))}"
    path = write_csv(["10:00:00,6,5,4,3,2,1", "10:00:01,6,5,4,3,2,1"], header=header, encoding="utf-8-sig")
    np.testing.assert_array_equal(read_sensor_table(path).values, [[1, 2, 3, 4, 5, 6]] * 2)


def test_resampling_is_linear_in_real_time(write_csv: WriteCsv) -> None:
    rows = [("10:00:00.000", 0), ("10:00:01.000", 100), ("10:00:04.000", 40), ("10:00:05.000", 40)]
    series = decode_sensors(write_csv([line(time, current=current) for time, current in rows]), num_steps=6)
    np.testing.assert_allclose(series.times, [0, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(series.values[:, CURRENT], [0, 100, 80, 60, 40, 40], rtol=1e-6)
    assert series.values.dtype == np.float32


def test_disordered_rows_are_sorted(write_csv: WriteCsv) -> None:
    rows = [("10:00:00", 1), ("10:00:02", 3), ("10:00:01", 2), ("10:00:03", 4), ("10:00:04", 5)]
    table = read_sensor_table(write_csv([line(time, current=current) for time, current in rows]))
    assert table.times.tolist() == [0, 1, 2, 3, 4]
    assert table.values[:, CURRENT].tolist() == [1, 2, 3, 4, 5]


def test_a_gap_is_bridged_by_a_straight_line(write_csv: WriteCsv) -> None:
    rows = [("10:00:00", 100), ("10:00:01", 100), ("10:01:59", 218), ("10:02:00", 218)]
    series = decode_sensors(write_csv([line(time, current=current) for time, current in rows]), num_steps=121)
    np.testing.assert_allclose(series.values[1:120, CURRENT], 100 + np.arange(119), rtol=1e-5)
    assert series.values.min() >= 1.5
    assert series.values.max() == 218


def test_midnight_in_disorder(write_csv: WriteCsv) -> None:
    rows = [
        line("23:59:58.500", current=1),
        line("00:00:00.500", current=3, date="10/05/22"),
        line("23:59:59.500", current=2),
        line("00:00:01.500", current=4, date="10/05/22"),
    ]
    table = read_sensor_table(write_csv(rows))
    np.testing.assert_allclose(table.times, [0, 1, 2, 3])
    assert table.values[:, CURRENT].tolist() == [1, 2, 3, 4]


def test_empty_cells_are_interpolated_and_ends_held(write_csv: WriteCsv) -> None:
    currents = ["", 100, "", 300, " "]
    path = write_csv([line(f"10:00:0{second}", current=current) for second, current in enumerate(currents)])
    assert np.isnan(read_sensor_table(path).values[:, CURRENT]).tolist() == [True, False, True, False, True]
    np.testing.assert_allclose(decode_sensors(path, num_steps=5).values[:, CURRENT], [100, 100, 200, 300, 300])


def test_a_channel_without_any_value_is_an_error(write_csv: WriteCsv) -> None:
    path = write_csv([line("10:00:00", consumed=""), line("10:00:01", consumed="")])
    with pytest.raises(DecodeError, match="the channel Wire Consumed has no value in any row"):
        decode_sensors(path, num_steps=4)


def test_the_arc_is_on_above_fifty_ampere(write_csv: WriteCsv) -> None:
    currents = [0, 50, 50.1, 0, 200, 49.9, ""]
    path = write_csv([line(f"10:00:0{second}", current=current) for second, current in enumerate(currents)])
    assert decode_sensors(path, num_steps=3).active.tolist() == [2, 4]
    assert active_window(path) == (2.0, 4.0)


def test_an_arc_that_is_never_on(write_csv: WriteCsv) -> None:
    path = write_csv([line("10:00:00", current=0), line("10:00:01", current=50)])
    assert np.isnan(decode_sensors(path, num_steps=3).active).all()
    with pytest.raises(DecodeError, match="never above 50"):
        active_window(path)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line("10:00:01", current="high"), "line 3: Primary Weld Current is 'high'"),
        (line("10:00:01", current="nan"), "line 3: Primary Weld Current is 'nan'"),
        (line("10:00:01", current="-inf"), "line 3: Primary Weld Current is '-inf'"),
        (line("ten o'clock"), 'line 3: Time is "ten o\'clock", expected HH:MM:SS.mmm'),
        (line("24:00:00"), "line 3: Time is '24:00:00', which is no time of day"),
        (line(""), "line 3: Time is ''"),
        ("10/04/22,10:00:01,HX-1,1.5", "line 3: the row has 4 fields, the header 10"),
        (line("10:00:01", tail=",remark,200"), "line 3: the row has 11 fields, the header 10"),
    ],
)
def test_a_bad_line_is_named(write_csv: WriteCsv, bad: str, message: str) -> None:
    path = write_csv([line("10:00:00"), bad, line("10:00:02")])
    with pytest.raises(DecodeError) as caught:
        decode_sensors(path, num_steps=4)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["Time", *CHANNELS])
def test_a_missing_column_is_named(write_csv: WriteCsv, name: str) -> None:
    path = write_csv([line("10:00:00")], header=HEADER.replace(name, "Other"))
    with pytest.raises(DecodeError, match=f"the column {name} is missing"):
        decode_sensors(path, num_steps=4)


def test_a_repeated_column_is_an_error(write_csv: WriteCsv) -> None:
    with pytest.raises(DecodeError, match="the column Feed occurs more than once"):
        decode_sensors(write_csv([line("10:00:00")], header=HEADER.replace("Part No", "Feed")), num_steps=4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "0 distinct times"),
        ([line("10:00:00")], "1 distinct times"),
        ([line("10:00:00"), line("10:00:00")], "1 distinct times"),
        ([line("10:00:00"), line("13:30:00")], r"span 3\.5 h"),
    ],
)
def test_times_that_make_no_recording_are_an_error(write_csv: WriteCsv, lines: list[str], message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_sensors(write_csv(lines), num_steps=4)


def test_files_that_are_no_table_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "weld.csv"
    with pytest.raises(DecodeError, match="is not there"):
        read_sensor_table(path)
    path.write_bytes(b"\n \n")
    with pytest.raises(DecodeError, match="is empty"):
        read_sensor_table(path)
    path.write_bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes())
    with pytest.raises(DecodeError):
        read_sensor_table(path)
    path.write_bytes(b'"' + b"x" * 200_000)
    with pytest.raises(DecodeError, match="not a line of a CSV file"):
        read_sensor_table(path)


def test_a_remark_in_another_encoding_does_no_harm(write_csv: WriteCsv) -> None:
    path = write_csv([line("10:00:00", tail=",größer"), line("10:00:01")], encoding="latin-1")
    assert len(read_sensor_table(path).times) == 2


@given(
    steps=st.lists(st.integers(80, 140), min_size=8, max_size=40),
    start=st.integers(0, 86_399_999),
    late=st.sets(st.integers(0, 12), max_size=4),
)
def test_rows_that_were_written_late_over_any_midnight_give_the_same_series(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int, late: set[int]
) -> None:
    """Milliseconds between rows; a file with some rows behind the next ones reads as the ordered one."""
    stamps = (start + np.cumsum([0, *steps])) % 86_400_000
    lines = [
        line(f"{s // 3_600_000:02d}:{s // 60_000 % 60:02d}:{s // 1000 % 60:02d}.{s % 1000:03d}", current=row)
        for row, s in enumerate(stamps.tolist())
    ]
    order = list(range(len(lines)))
    for place in late:
        if 3 * place + 1 < len(order):
            order[3 * place : 3 * place + 2] = [3 * place + 1, 3 * place]
    folder = tmp_path_factory.mktemp("sensor")
    for name, chosen in (("ordered.csv", lines), ("late.csv", [lines[row] for row in order])):
        (folder / name).write_text("\n".join([HEADER, *chosen, ""]), encoding="ascii")
    ordered, sorted_ = (read_sensor_table(folder / name) for name in ("ordered.csv", "late.csv"))
    np.testing.assert_allclose(ordered.times, np.cumsum([0, *steps]) / 1000, atol=1e-6)
    np.testing.assert_allclose(sorted_.times, ordered.times, atol=1e-6)
    np.testing.assert_array_equal(sorted_.values, ordered.values)


@pytest.fixture
def weld(write_csv: WriteCsv) -> WriteCsv:
    """A sound recording of 60 rows, about nine a second, with some cells of its table replaced."""

    def write(cells: dict[tuple[int, str], object] | None = None) -> Path:
        table = np.random.default_rng(0).uniform(0.8, 1.2, (60, len(CHANNELS))) * [3, 15, 100, 180, 2000, 22]
        table[:5, CURRENT] = 0.2
        texts = [[f"{value:.2f}" for value in row] for row in table.tolist()]
        for (row, name), value in (cells or {}).items():
            texts[row][CHANNELS.index(name)] = str(value)
        times = [f"10:00:{row * 0.111:06.3f}" for row in range(60)]
        return write_csv([f"10/04/22,{time},HX-1,{','.join(row)}" for time, row in zip(times, texts, strict=True)])

    return write


def test_a_sound_recording_is_not_remarked_on(weld: WriteCsv) -> None:
    assert decode_sensors(weld(), num_steps=64).notes == ()


@pytest.mark.parametrize("glitch", ["1e30", "-1e30", "1e39", "1e400", "2000.5"])
def test_a_value_beyond_the_limit_is_an_empty_cell_and_told(weld: WriteCsv, glitch: str) -> None:
    found = decode_sensors(weld({(20, "Primary Weld Current"): glitch}), num_steps=64)
    empty = decode_sensors(weld({(20, "Primary Weld Current"): ""}), num_steps=64)
    np.testing.assert_array_equal(found.values, empty.values)
    (note,) = found.notes
    assert "Primary Weld Current" in note
    assert "line 22" in note


PLAIN = SeriesFormat(("count",), limits=(np.inf,), clock="t", times="seconds", signed=True)


@pytest.fixture
def write_counts(tmp_path: Path) -> Callable[[Sequence[float | str]], Path]:
    def write(counts: Sequence[float | str]) -> Path:
        path = tmp_path / "counts.csv"
        path.write_text("\n".join(["t,count", *(f"{row / 10},{count}" for row, count in enumerate(counts))]) + "\n")
        return path

    return write


def test_what_float32_cannot_hold_is_an_empty_cell_although_there_is_no_limit(
    write_counts: Callable[[Sequence[float | str]], Path],
) -> None:
    series = sensor.decode_sensors(write_counts([1.0] * 10 + ["1e39", 2.0, "-1e300"]), num_steps=64, series=PLAIN)
    assert np.isfinite(series.values).all()
    assert any("2 values of count" in note and "line 12" in note for note in series.notes)
    with pytest.raises(DecodeError, match=r"count beyond 3.4.*line 2"):
        sensor.decode_sensors(write_counts(["1e39"] * 20), num_steps=64, series=PLAIN)


@pytest.mark.parametrize(("offset", "step", "told"), [(1.7e9, 1, True), (2.0**24, 0.25, True), (1e6, 1, False)])
def test_a_channel_whose_course_is_lost_in_rounding_is_told(
    write_counts: Callable[[Sequence[float | str]], Path], offset: float, step: float, told: bool
) -> None:
    path = write_counts([offset + step * row for row in range(20)])
    notes = sensor.decode_sensors(path, num_steps=64, series=PLAIN).notes
    assert [("count varies by" in note, "rounded" in note) for note in notes] == [(True, True)] * told


def test_limits_are_those_of_the_settings(weld: WriteCsv) -> None:
    limits = (100.0, 1000.0, 1000.0, 100.0, 1e6, 1000.0)
    with pytest.raises(DecodeError, match=r"Primary Weld Current.*limits"):
        decode_sensors(weld(), num_steps=64, series=replace(WELDING_MACHINE, limits=limits))


@pytest.mark.parametrize(("name", "value"), [("Primary Weld Current", 1999), ("Pressure", -45), ("Feed", 999)])
def test_a_value_far_from_all_others_is_kept_and_told(weld: WriteCsv, name: str, value: float) -> None:
    path = weld({(20, name): value})
    (note,) = decode_sensors(path, num_steps=64).notes
    assert f"{name} is {value} in line 22" in note
    assert value in read_sensor_table(path).values[:, CHANNELS.index(name)]


@pytest.mark.parametrize("value", ["0", "7.5"])
def test_a_channel_that_stands_still_is_told(weld: WriteCsv, value: str) -> None:
    (note,) = decode_sensors(weld({(row, "Pressure"): value for row in range(60)}), num_steps=64).notes
    assert f"Pressure ({value})" in note


def test_a_channel_that_is_mostly_empty_is_told(weld: WriteCsv) -> None:
    (note,) = decode_sensors(weld({(row, "Feed"): "" for row in range(40)}), num_steps=64).notes
    assert "Feed is empty in 40 of 60 rows" in note


def test_a_current_in_another_unit_is_told(weld: WriteCsv) -> None:
    (note,) = decode_sensors(
        weld({(row, "Primary Weld Current"): 0.18 + row / 1e4 for row in range(60)}), num_steps=9
    ).notes
    assert "never above 50" in note


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_that_is_negative_is_told(weld: WriteCsv, name: str) -> None:
    path = weld()
    column = 3 + CHANNELS.index(name)
    header, *rows = [row.split(",") for row in path.read_text().splitlines()]
    for row in rows:
        row[column] = f"-{row[column]}"
    path.write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    notes = decode_sensors(path, num_steps=64).notes
    assert any(f"{name} is negative in 60 of 60 rows" in note for note in notes)


def test_a_zero_that_is_a_little_off_is_not_remarked_on(weld: WriteCsv) -> None:
    path = weld({(row, "CO2 Weld Flow"): f"{-0.05 - row % 3 / 100:.2f}" for row in range(60)})
    assert decode_sensors(path, num_steps=64).notes == ()


def test_current_and_voltage_under_each_others_names_are_told(weld: WriteCsv) -> None:
    path = weld()
    header, rows = path.read_text().split("\n", 1)
    names = "Primary Weld Current", "Secondary Weld Voltage"
    path.write_text(header.replace(names[0], "X").replace(names[1], names[0]).replace("X", names[1]) + "\n" + rows)
    notes = decode_sensors(path, num_steps=64).notes
    assert any("Primary Weld Current and Secondary Weld Voltage look exchanged: in 55 rows" in note for note in notes)


def test_the_voltage_before_the_arc_burns_is_not_remarked_on(weld: WriteCsv) -> None:
    path = weld({(row, "Secondary Weld Voltage"): f"{72 + row / 10:.2f}" for row in range(5)})
    assert decode_sensors(path, num_steps=64).notes == ()


def test_other_columns_than_the_welding_machines(tmp_path: Path) -> None:
    path = tmp_path / "press.csv"
    path.write_text("t,force,tilt\n" + "".join(f"10:00:0{second},{second},{-second}\n" for second in range(9)))
    press = SeriesFormat(("tilt", "force"), limits=(90.0, 500.0), clock="t", active=("force", 2.5), signed=True)
    series = sensor.decode_sensors(path, num_steps=9, series=press)
    np.testing.assert_array_equal(series.values, [[-second, second] for second in range(9)])
    assert (series.active.tolist(), series.notes) == ([3.0, 8.0], ())
    still = sensor.decode_sensors(path, num_steps=9, series=replace(press, active=None))
    assert np.isnan(still.active).all() and still.notes == ()
    with pytest.raises(DecodeError, match="no channel tells"):
        sensor.active_window(path, series=replace(press, active=None))


def test_too_few_rows_are_told(write_csv: WriteCsv) -> None:
    lines = [line(f"10:00:00.{row}00", current=100 * row, consumed=row) for row in range(3)]
    assert any("3 rows in 0.2 s" in note for note in decode_sensors(write_csv(lines), num_steps=4).notes)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weld.csv")
    with pytest.raises(DecodeError, match="not a regular file"):
        active_window(tmp_path / "weld.csv")
