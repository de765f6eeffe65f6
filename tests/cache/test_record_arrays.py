"""Chunks of records are what Zarr reads and writes; what is changed in them is seen, and as much as can be is read."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from weldcache.cache.chunk_files import checksum, replace_files
from weldcache.cache.layout import create_record_array
from weldcache.cache.record_arrays import RecordArray
from weldcache.cache.records import TYPES
from weldcache.errors import StoreError

NUM_ROWS = 11


def make(path: Path, group: str, *, rows_a_chunk: int) -> tuple[RecordArray, zarr.Array]:
    """An empty array, and Zarr's view of it."""
    root = zarr.create_group(path)
    create_record_array(root, group, TYPES[group], num_rows=NUM_ROWS, rows_a_chunk=rows_a_chunk)
    return RecordArray(path / group, dtype=TYPES[group], rows_a_chunk=rows_a_chunk), root[group]  # type: ignore[return-value]


def write(array: RecordArray, values: np.ndarray) -> None:
    """Write all rows."""
    files = {}
    for number in range(-(-len(values) // array.rows_a_chunk)):
        chunk, part = array.blank(), values[number * array.rows_a_chunk :][: array.rows_a_chunk]
        chunk[: len(part)] = part
        files[array.name_of(number)] = array.encoded(chunk)
    replace_files({array.path: files})


@settings(max_examples=40)
@given(texts=st.lists(st.text(), min_size=NUM_ROWS, max_size=NUM_ROWS), rows_a_chunk=st.sampled_from([1, 4, 256]))
def test_texts_round_trip_with_and_against_zarr(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], rows_a_chunk: int
) -> None:
    values = np.array(texts, dtype=object)
    ours, theirs_of_ours = make(tmp_path_factory.mktemp("ours"), "problem", rows_a_chunk=rows_a_chunk)
    write(ours, values)
    assert theirs_of_ours[...].tolist() == ours.read(range(NUM_ROWS)).tolist() == texts
    ours_of_theirs, theirs = make(tmp_path_factory.mktemp("theirs"), "problem", rows_a_chunk=rows_a_chunk)
    theirs[...] = values
    assert ours_of_theirs.read([3, 3, 0]).tolist() == [texts[3], texts[3], texts[0]]
    for number in ours_of_theirs.numbers():
        assert ours_of_theirs.contents([number]) == ours.contents([number])


@pytest.mark.parametrize(("group", "largest"), [("status", 255), ("digest", 2**64 - 1)])
def test_numbers_round_trip_with_zarr(tmp_path: Path, group: str, largest: int) -> None:
    ours, theirs = make(tmp_path, group, rows_a_chunk=4)
    values = np.array([0, 1, largest, *range(NUM_ROWS - 3)], dtype=ours.dtype)
    write(ours, values)
    np.testing.assert_array_equal(theirs[...], values)
    np.testing.assert_array_equal(ours.read([2, 10, 2]), values[[2, 10, 2]])
    assert ours.read([]).shape == (0,)


def test_what_was_never_written_is_blank_and_a_lone_surrogate_is_escaped(tmp_path: Path) -> None:
    array, _ = make(tmp_path, "source", rows_a_chunk=4)
    assert array.read([0, 9]).tolist() == ["", ""] and array.numbers() == []
    write(array, np.array(["file\udcff.avi", "", "ü" * 70_000, ""], dtype=object))
    assert array.read([0, 1, 2, 9]).tolist() == ["file\\udcff.avi", "", "ü" * 70_000, ""]


@pytest.mark.parametrize("group", ["problem", "digest"])
def test_any_changed_byte_and_any_wrong_length_is_damage(tmp_path: Path, group: str) -> None:
    array, _ = make(tmp_path, group, rows_a_chunk=4)
    values = np.array(["arc lost", "", "no film", ""] if group == "problem" else [7, 0, 2**63, 0], dtype=array.dtype)
    write(array, values)
    (whole,) = array.contents([0])
    assert whole is not None
    damaged = [whole[:length] for length in range(len(whole))] + [whole + b"\0", whole + whole]
    damaged += [
        whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :]
        for position in range(len(whole))
        for mask in (1, 16, 128, 255)
    ]
    for content in damaged:
        (array.path / "c.0").write_bytes(content)
        with pytest.raises(StoreError, match=rf"rows 0 to 3 is damaged: .*{group}/c\.0.*verify --mend"):
            array.read([1])
        assert array.read([1, 5], damaged_as_blank=True).tolist() == array.blank()[:2].tolist()


def test_a_checksum_that_is_right_does_not_make_a_chunk_of_another_layout_whole(tmp_path: Path) -> None:
    array, _ = make(tmp_path, "problem", rows_a_chunk=4)
    other = RecordArray(array.path, dtype=array.dtype, rows_a_chunk=3).encoded(np.array(["a", "b", "c"], dtype=object))
    for body in (other.tobytes(), b"", b"\4\0\0\0" + b"\xff\xff\xff\xff", b"\4\0\0\0\1\0\0\0\xff" + bytes(12)):
        assert array.decoded(body + checksum(body)) is None


def test_what_can_be_understood_of_a_damaged_chunk_is_read(tmp_path: Path) -> None:
    texts, _ = make(tmp_path / "a", "source", rows_a_chunk=4)
    values = np.array(["first", "second", "third", "fourth"], dtype=object)
    content = texts.encoded(values).tobytes() + b"sum?"
    assert texts.salvaged(content).tolist() == values.tolist()
    assert texts.salvaged(content[:30]).tolist() == ["first", "second", "", ""]
    numbers, _ = make(tmp_path / "b", "digest", rows_a_chunk=4)
    content = numbers.encoded(np.array([5, 6, 7, 8])).tobytes() + b"sum?"
    assert numbers.salvaged(content[:23]).tolist() == [5, 6, 0, 0]
    assert numbers.salvaged(b"").tolist() == [0, 0, 0, 0]
