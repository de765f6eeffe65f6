"""Fields under their columns: what a comma too many, a cut file and another script do, and what is harmless."""

import gzip
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode import sensor_rows
from weldcache.extract.decode.sensor_rows import MOST_BYTES
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE

HEADER = (
    "Date,Time,Part No,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage,Remarks "
)
Write = Callable[..., Path]

read_sensor_rows = partial(sensor_rows.read_sensor_rows, series=WELDING_MACHINE)


def rows_of(number: int = 6, *, tail: str = "", changed: dict[int, str] | None = None) -> list[str]:
    """Rows whose pressure is 1.5, wire 2361.7 and voltage 24.25; `changed` replaces whole rows."""
    rows = [f"10/04/22,10:00:0{row}.000,HX-1,1.5,20,90,200,2361.7,24.25{tail}" for row in range(number)]
    for place, row in (changed or {}).items():
        rows[place] = row
    return rows


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(rows: Sequence[str], *, header: str = HEADER, end: str = "\n") -> Path:
        path = tmp_path / "weld.csv"
        path.write_text("\n".join([header, *rows]) + end)
        return path

    return to_file


@pytest.mark.parametrize("tail", ["", ",", ",late"])
@pytest.mark.parametrize(
    ("number", "with_comma"),
    [("2361.7", "2,361.7"), ("1.5", "1,5"), ("24.25", "24,25"), ("10:00:02.000", "10:00:02,0")],
)
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_comma_too_many_is_an_error_with_the_line(
    write: Write, tail: str, number: str, with_comma: str, everywhere: bool
) -> None:
    rows = [
        row.replace(number, with_comma) if everywhere or place == 2 else row
        for place, row in enumerate(rows_of(tail=tail))
    ]
    with pytest.raises(DecodeError, match=rf"weld\.csv, line {2 if everywhere and ':' not in number else 4}"):
        read_sensor_rows(write(rows))


def test_a_comma_too_many_where_the_header_has_no_column_to_spare(write: Write) -> None:
    rows = rows_of(changed={3: rows_of()[3].replace("2361.7", "2,361.7")})
    with pytest.raises(DecodeError, match=r"line 5.*comma"):
        read_sensor_rows(write(rows, header=HEADER.removesuffix(",Remarks ")))


def test_a_comma_too_many_that_pushes_an_empty_cell_out_of_the_columns(write: Write) -> None:
    """Of unequal rows, the one that ends with a blank field may hold every number one column too far right."""
    unfilled = rows_of()[0].replace("24.25", "")
    with pytest.raises(DecodeError, match=r"line 4.*comma"):
        read_sensor_rows(write(rows_of(changed={0: unfilled, 2: unfilled.replace("2361.7", "2,361.7")})))


def test_quoted_numbers_with_a_comma_are_no_numbers(write: Write) -> None:
    with pytest.raises(DecodeError, match=r"line 2: Wire Consumed is '2,361\.7'"):
        read_sensor_rows(write([row.replace("2361.7", '"2,361.7"') for row in rows_of()]))


@pytest.mark.parametrize(
    "rows",
    [
        rows_of(),
        rows_of(tail=","),
        rows_of(tail=",,"),
        rows_of(tail=",started late"),
        rows_of(changed={3: rows_of(tail=",3 spatters")[3]}),
        rows_of(changed={0: rows_of(tail=",")[0], 1: rows_of(tail=",")[1]}),  # a spreadsheet's first rows
        rows_of(changed={3: rows_of()[3].replace("24.25", "")}),
    ],
)
def test_rows_that_end_otherwise_than_the_header_are_harmless(write: Write, rows: Sequence[str]) -> None:
    found = read_sensor_rows(write(rows))
    np.testing.assert_array_equal(found.values[:, 4], [2361.7] * 6)
    np.testing.assert_array_equal(found.values[0], [1.5, 20, 90, 200, 2361.7, 24.25])
    assert found.lines.tolist() == [2, 3, 4, 5, 6, 7]
    assert found.notes == ()


def test_a_further_column_of_numbers_is_harmless(write: Write) -> None:
    header = HEADER.replace("Remarks ", "Temperature")
    assert read_sensor_rows(write(rows_of(tail=",31.5"), header=header)).values[0, 5] == 24.25


@pytest.mark.parametrize("cut", [1, 3, 5, 8, 20, 40, 50])
def test_a_last_row_that_is_cut_is_left_out_and_told(write: Write, cut: int) -> None:
    path = write(rows_of(), end="")
    path.write_bytes(path.read_bytes()[:-cut])
    found = read_sensor_rows(path)
    assert found.lines.tolist() == [2, 3, 4, 5, 6]
    assert "line 7" in found.notes[0]


@pytest.mark.parametrize("tail", ["", ",", ",done"])
def test_a_last_row_is_whole_without_an_end_of_line_where_nothing_can_be_missing(write: Write, tail: str) -> None:
    found = read_sensor_rows(write(rows_of(tail=tail), end=""))
    assert len(found.lines) == 6
    assert found.notes == ()


@pytest.mark.parametrize("number", ["1_000", "٣٤", "0x1f", "1e", "--1", "inf", "nan", "1,5"])
def test_only_plain_decimal_numbers_are_numbers(write: Write, number: str) -> None:
    rows = rows_of(changed={1: rows_of()[1].replace("2361.7", f'"{number}"')})
    with pytest.raises(DecodeError, match="line 3: Wire Consumed"):
        read_sensor_rows(write(rows))


def test_digits_of_another_script_are_no_time(write: Write) -> None:
    with pytest.raises(DecodeError, match="line 3: Time"):
        read_sensor_rows(write(rows_of(changed={1: rows_of()[1].replace("10:00:01.000", "١٠:00:01")})))


@pytest.mark.parametrize(("text", "value"), [("5", 5.0), ("-.5", -0.5), ("+5.", 5.0), ("1E3", 1000.0), (" 7 ", 7.0)])
def test_numbers_in_their_usual_writings(write: Write, text: str, value: float) -> None:
    rows = rows_of(changed={1: rows_of()[1].replace("2361.7", text)})
    assert read_sensor_rows(write(rows)).values[1, 4] == value


@pytest.mark.parametrize(
    ("column", "text"), [("Wire Consumed", "23617"), ("Wire Consumed", "2361."), ("Time", "10:00:30.1")]
)
def test_a_number_that_is_written_unlike_all_others_is_told(write: Write, column: str, text: str) -> None:
    rows = [f"10/04/22,10:{row // 60:02d}:{row % 60:02d}.000,HX-1,1.5,20,90,200,2361.7,24.25" for row in range(120)]
    assert read_sensor_rows(write(rows)).notes == ()
    rows[30] = rows[30].replace("10:00:30.000" if column == "Time" else "2361.7", text)
    (note,) = read_sensor_rows(write(rows)).notes
    assert column in note
    assert "line 32" in note


def test_numbers_without_their_last_zeros_are_not_remarked_on(write: Write) -> None:
    rows = [f"10/04/22,10:{row // 60:02d}:{row % 60:02d},HX-1,1.5,20,90,200,{row / 10:g},24.25" for row in range(120)]
    assert read_sensor_rows(write(rows)).notes == ()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named(write: Write, encoding: str) -> None:
    path = write(rows_of())
    path.write_bytes(path.read_text().encode(encoding))
    with pytest.raises(DecodeError, match=r"weld\.csv: the sensor file is text in UTF-16"):
        read_sensor_rows(path)


@pytest.mark.parametrize(
    ("content", "kind"), [(gzip.compress(b"Time", mtime=0), "gzip"), (b"PK\x03\x04\x14\0\0\0", "zip")]
)
def test_an_archive_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "weld.csv").write_bytes(content)
    with pytest.raises(DecodeError, match=kind):
        read_sensor_rows(tmp_path / "weld.csv")


def test_a_header_in_another_encoding_is_said_so(write: Write) -> None:
    path = write(rows_of())
    path.write_bytes(path.read_bytes().replace(b"Feed", b"F\xf6rderung"))
    with pytest.raises(DecodeError, match="the column Feed is missing, and the header holds bytes that are not UTF-8"):
        read_sensor_rows(path)


@pytest.mark.parametrize("written", ["in pairs", "one file after the other"])
def test_rows_that_are_all_written_twice_are_taken_once(write: Write, written: str) -> None:
    once = rows_of()
    twice = [row for row in once for _ in range(2)] if written == "in pairs" else [*once, *once]
    expected, found = read_sensor_rows(write(once)), read_sensor_rows(write(twice))
    np.testing.assert_array_equal(found.stamps.seconds, expected.stamps.seconds)
    np.testing.assert_array_equal(found.values, expected.values)
    assert expected.notes == ()
    assert found.notes == ("each row occurs twice and is taken once",)


def test_rows_that_are_written_again_are_taken_once_and_counted(write: Write) -> None:
    once = rows_of()
    found = read_sensor_rows(write([*once[:3], once[2], once[1], *once[3:]]))
    assert found.stamps.seconds.tolist() == read_sensor_rows(write(once)).stamps.seconds.tolist()
    assert found.notes == ("2 rows repeat another and count once (lines 5, 6)",)


def test_equal_rows_of_a_coarse_clock_stay(write: Write) -> None:
    """A machine that stands still looks the same several times a second."""
    idle = "10/04/22,10:00:00,HX-1,1.5,20,0,0,2361.7,0"
    rows = [idle] * 3 + [idle.replace(":00,", f":{1 + row // 3:02d},").replace("1.5", f"1.{row}") for row in range(9)]
    found = read_sensor_rows(write(rows))
    assert len(found.stamps.seconds) == 12
    assert found.notes == ()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "weld.csv"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DecodeError, match="more than"):
        read_sensor_rows(path)
