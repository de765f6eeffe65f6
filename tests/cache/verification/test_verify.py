"""Verification finds every damage that it is meant to find, calls nothing else one, and its mending mends."""

import io
import json
import os
import shutil
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from weldcache.cache.arrays import NUMPY_TYPES, ArraySpec, FeatureSetSpec
from weldcache.cache.chunk_files import replace_files
from weldcache.cache.chunks import FolderChunks, chunk_path, write_rows
from weldcache.cache.describe import describe_store
from weldcache.cache.index import Index
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.arrays import verify_arrays
from weldcache.cache.verification.chunk_scan import Spread, scan_array
from weldcache.cache.verification.outcome import StoreFinding, Verification, read_record, verification_tables
from weldcache.cache.verification.records import verify_digests, verify_records
from weldcache.cache.verification.set_findings import SetFindings
from weldcache.cache.verification.verify import mend_store, verify_store
from weldcache.cache.writer import StoreWriter
from weldcache.errors import StoreError
from weldcache.tests.toy import index_of

ROWS = 6  # the last one is absent
SETS = {
    "video": [
        ArraySpec("tokens", (4, 3), ("time", "dim"), "float16"),
        ArraySpec("tokens_length", (), (), "int32", distinct=False),
        ArraySpec("embedding", (3,), ("dim",), "bfloat16"),
        ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True, distinct=False),
    ],
    "image/block_2": [ArraySpec("cls", (2, 9), ("view", "dim"), "float32", attributes={"unit": "none"})],
}


def sources_of(row: int) -> list[SourceFile]:
    return [SourceFile(f"{row}.avi", 100 + row, 1, f"{row:064x}")]


def features_of(name: str, rows: list[int], *, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng([seed, *rows])
    made: dict[str, np.ndarray] = {}
    for spec in SETS[name]:
        values = generator.normal(size=(len(rows), *spec.shape)).astype(np.float32)
        if spec.dtype == "bfloat16":
            made[spec.name] = (values.view(np.uint32) >> 16).astype(np.uint16)
        else:
            made[spec.name] = values.astype(NUMPY_TYPES[spec.dtype])
    if name == "video":
        made["tokens_length"] = np.full(len(rows), 3, dtype=np.int32)
        made["tokens"][:, 3:] = 0
        made["arc_on"][:] = np.nan
    return made


def make_store(path: Path, *, schema_version: int) -> Path:
    index = index_of(
        keys=[f"day/{row}" for row in range(ROWS)],
        splits=["train"] * ROWS,
        class_names=["good"] * ROWS,
        groups=["day"] * ROWS,
        labels=[0] * ROWS,
        attributes={"CURRENT_A": [100.0] * ROWS, "STEEL_TYPE": [""] * ROWS},
    )
    store = FeatureStore.create(path, index=index, schema_version=schema_version)
    complete = list(range(ROWS - 1))
    for name, arrays in SETS.items():
        store.add_feature_set(FeatureSetSpec(name, arrays, {"decoding": {}}))
        StoreWriter(store).write(
            name,
            complete,
            features_of(name, complete),
            sources=[sources_of(row) for row in complete],
            notes=["", "one view was not taken", "", "", ""],
        )
        StoreWriter(store).report(name, ROWS - 1, Status.ABSENT, reason="there is no file")
    store.add_constant("text/prompt", np.linspace(-1, 1, 4, dtype=np.float32), made_by={"decoding": {}})
    return path


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("pristine") / "features.zarr", schema_version=3)


@pytest.fixture
def held(pristine: Path, tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(Path(shutil.copytree(pristine, tmp_path / "features.zarr")))


@pytest.fixture(scope="module")
def former_pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("former") / "features.zarr", schema_version=2)


@pytest.fixture
def former(former_pristine: Path, tmp_path: Path) -> FeatureStore:
    """A store of the former schema: a row a chunk of records, and no digests."""
    return FeatureStore.open(Path(shutil.copytree(former_pristine, tmp_path / "former.zarr")))


def array_path(store: FeatureStore, array: str) -> Path:
    return store.path / "features" / array


def chunk(store: FeatureStore, array: str, row: int) -> Path:
    feature_set, _, name = array.rpartition("/")
    return chunk_path(array_path(store, array), row, num_axes=len(store.arrays(feature_set)[name].shape) + 1)


def rewrite(store: FeatureStore, array: str, row: int, change: Callable[[np.ndarray], None]) -> None:
    """Change a row's values and give them a checksum that is right."""
    values = np.array(store.read(array, [row]))
    change(values[0:1])
    write_rows(array_path(store, array), [row], values)


def edit(store: FeatureStore, group: str, feature_set: str, row: int, value: object) -> None:
    """Change what is recorded of a row, with a checksum that is right."""
    array = store.records.array(group, feature_set)
    number, place = divmod(row, array.rows_a_chunk)
    values = array.chunk(number)
    values[place] = value
    replace_files({array.path: {array.name_of(number): array.encoded(values)}})


def findings_of(store: FeatureStore) -> list[StoreFinding]:
    return [finding for check in verify_store(store) for finding in check.findings]


def faults_of(store: FeatureStore) -> list[StoreFinding]:
    return [finding for finding in findings_of(store) if finding.severity != "note"]


def set_findings(store: FeatureStore, name: str) -> list[StoreFinding]:
    """What is found in one feature set."""
    findings = SetFindings(store, name)
    verify_records(findings)
    verify_arrays(findings, findings.statuses(), advance=lambda _: None)
    verify_digests(findings)
    return findings.found


def row_findings(store: FeatureStore) -> list[StoreFinding]:
    """As `findings_of`, without the metadata."""
    return [finding for name in store.feature_sets for finding in set_findings(store, name)]


def told(findings: list[StoreFinding]) -> set[tuple[str, str, str, str]]:
    return {(finding.check, finding.severity, finding.key, finding.part) for finding in findings}


# A whole store, and every byte of it


def test_a_whole_store_has_no_findings_and_says_what_was_looked_at(held: FeatureStore) -> None:
    checks = {check.name: check for check in verify_store(held)}
    assert list(checks) == ["metadata", "status", "checksums", "digests", "values", "variation", "duplicates"]
    assert not [finding for check in checks.values() for finding in check.findings]
    assert checks["status"].looked_at == "12 statuses, 10 of them complete"
    # A chunk of statuses, notes, sources and digests in each of two sets, and 5 rows of 5 arrays.
    assert checks["checksums"].looked_at.startswith("33 chunk files")
    assert checks["digests"].looked_at.startswith("12 rows")
    assert checks["duplicates"].looked_at.startswith("15 rows")


def test_a_set_that_is_added_while_a_store_is_verified_is_not_unknown(held: FeatureStore) -> None:
    """`extract` gives a store its sets and their rows while a verification, which took no lock, is under way."""
    other = FeatureStore.open(held.path)
    other.add_feature_set(FeatureSetSpec("audio", [ArraySpec("mean", (3,), ("dim",), "float32")], {}))
    values = {"mean": np.ones((1, 3), np.float32)}
    StoreWriter(other).write("audio", [0], values, sources=[sources_of(0)], notes=[""])
    other.add_constant("text/other", np.ones(4, np.float32), made_by={})
    assert "audio" not in held.feature_sets
    assert not findings_of(held)


@pytest.mark.parametrize("feature_set", list(SETS))
def test_any_flipped_byte_of_a_rows_chunks_is_found(held: FeatureStore, feature_set: str) -> None:
    row, generator = 1, np.random.default_rng(0)
    files = [path for path in sorted(held.path.glob(f"features/{feature_set}/**/c.{row}*")) if path.is_file()]
    assert len(files) == len(SETS[feature_set])
    for path in files:
        data = path.read_bytes()
        for position in range(len(data)):
            flipped = bytearray(data)
            flipped[position] ^= int(generator.integers(1, 256))
            path.write_bytes(flipped)
            findings = SetFindings(held, feature_set)
            verify_arrays(findings, held.status(feature_set), advance=lambda _: None)
            (found,) = findings.found
            assert (found.check, found.severity, found.key) == ("checksums", "error", f"day/{row}"), (path, position)
            assert found.file == path.relative_to(held.path).as_posix()
        path.write_bytes(data)


GROUPS = ("status", "problem", "source", "digest")


@pytest.mark.parametrize("group", GROUPS)
def test_any_flipped_byte_of_records_is_found_and_costs_a_row_at_most(held: FeatureStore, group: str) -> None:
    """Digests prove every row but the one whose record the byte was in."""
    generator, files = np.random.default_rng(0), {name: held.path / name / "video/c.0" for name in GROUPS}
    whole = {name: path.read_bytes() for name, path in files.items()}
    before = {name: held.records.array(name, "video").read(range(ROWS)) for name in GROUPS}
    for position in generator.choice(len(whole[group]), size=8, replace=False).tolist():
        flipped = bytearray(whole[group])
        flipped[position] ^= int(generator.integers(1, 256))
        files[group].write_bytes(flipped)
        (found,) = set_findings(held, "video")
        assert (found.check, found.severity, found.file) == ("checksums", "error", f"{group}/video/c.0"), position
        mend_store(held, [found])
        lost = held.status("video") != before["status"]
        assert lost.sum() <= 1 and (held.status("video")[lost] == Status.MISSING).all(), position
        for name in GROUPS:
            np.testing.assert_array_equal(
                held.records.array(name, "video").read(range(ROWS))[~lost], before[name][~lost]
            )
        assert not [finding for finding in set_findings(held, "video") if finding.severity != "note"]
        for name, path in files.items():
            path.write_bytes(whole[name])


@pytest.mark.parametrize(
    ("group", "lost"),
    # Notes and sources that are gone are those of the rows that had some; statuses and digests can be made again.
    [("status", []), ("problem", [1, ROWS - 1]), ("source", [0, 1, 2, 3, 4]), ("digest", [])],
)
def test_a_lost_chunk_of_records_is_told_and_what_can_be_proved_comes_back(
    held: FeatureStore, group: str, lost: list[int]
) -> None:
    before = held.status("video")
    (held.path / group / "video/c.0").unlink()
    found = faults_of(held)
    assert {finding.severity for finding in found} <= {"error", "warning"} and found
    mend_store(held, found)
    expected = before.copy()
    expected[lost] = Status.MISSING
    np.testing.assert_array_equal(FeatureStore.open(held.path).status("video"), expected)
    assert not faults_of(held)


def test_features_are_looked_at_although_their_statuses_are_lost(held: FeatureStore) -> None:
    (held.path / "status/video/c.0").unlink()
    path = chunk(held, "video/tokens", 2)
    path.write_bytes(b"?" + path.read_bytes()[1:])
    found = faults_of(held)
    assert told(found) == {("checksums", "error", "", "video"), ("checksums", "error", "day/2", "video/tokens")}
    mend_store(held, found)
    assert held.status("video").tolist() == [1, 1, 0, 1, 1, 2] and not faults_of(held)


def test_lost_statuses_stop_an_extraction_and_are_told_by_info(held: FeatureStore) -> None:
    (held.path / "status/video/c.0").unlink()
    with pytest.raises(StoreError, match=r"rows 0 to 255 is gone: .*status/video/c\.0.*verify --mend"):
        held.records.require_statuses("video")
    assert any("status/video/c.0" in line for line in describe_store(held)["health"]["damage"])
    (held.path / "status/video/c.0").write_bytes(b"what?")
    with pytest.raises(StoreError, match="is damaged"):
        held.records.require_statuses("video")
    with pytest.raises(StoreError, match="is damaged"):
        StoreWriter(held).report("video", 5, Status.UNREADABLE, reason="the others' statuses would be lost")
    assert held.status("video").tolist() == [Status.MISSING] * ROWS


def test_a_flipped_byte_of_the_index_keeps_the_store_shut(held: FeatureStore) -> None:
    for path in (path for path in held.path.glob("index/**/c/0") if path.is_file()):
        data = path.read_bytes()
        for position in (0, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:position] + bytes([data[position] ^ 0x20]) + data[position + 1 :])
            with pytest.raises(StoreError, match="index of the store is damaged"):
                FeatureStore.open(held.path)
        path.write_bytes(data)


@pytest.mark.parametrize("position", [0, 15, 19])
def test_a_flipped_byte_of_a_constant_is_found(held: FeatureStore, position: int) -> None:
    path = held.path / "constants/text/prompt/c/0"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    assert told(findings_of(held)) == {("metadata", "error", "", "constants/text/prompt")}


# One damage at a time: what is done, and what is told of it


def truncate(store: FeatureStore) -> None:
    os.truncate(chunk(store, "video/tokens", 2), 20)


def extend(store: FeatureStore) -> None:
    with chunk(store, "video/tokens", 2).open("ab") as file:
        file.write(b"\0")


def remove_chunk(store: FeatureStore) -> None:
    chunk(store, "image/block_2/cls", 0).unlink()


def unknown_status(store: FeatureStore) -> None:
    edit(store, "status", "video", 3, 9)


def lose_source(store: FeatureStore) -> None:
    edit(store, "source", "video", 4, "")


def make_nan(store: FeatureStore) -> None:
    def change(values: np.ndarray) -> None:
        values[0, 1, 2] = np.nan

    rewrite(store, "video/tokens", 0, change)


def make_infinite(store: FeatureStore) -> None:
    def change(values: np.ndarray) -> None:
        values[0, 2] = 0xFF80  # minus infinity in bfloat16

    rewrite(store, "video/embedding", 0, change)


def fill_padding(store: FeatureStore) -> None:
    def change(values: np.ndarray) -> None:
        values[0, 3, 2] = 1e-7

    rewrite(store, "video/tokens", 1, change)


def make_length(length: int) -> Callable[[FeatureStore], None]:
    def change(store: FeatureStore) -> None:
        rewrite(store, "video/tokens_length", 1, lambda values: values.fill(length))

    return change


def make_even(store: FeatureStore) -> None:
    rewrite(store, "image/block_2/cls", 3, lambda values: values.fill(0.125))


def change_metadata(store: FeatureStore) -> None:
    path = array_path(store, "video/tokens") / "zarr.json"
    path.write_text(path.read_text().replace('"float16"', '"int16"'))


def change_attribute(store: FeatureStore) -> None:
    path = array_path(store, "image/block_2/cls") / "zarr.json"
    path.write_text(path.read_text().replace('"none"', '"volt"'))


def garble_metadata(store: FeatureStore) -> None:
    path = store.path / "status/video/zarr.json"
    path.write_text(path.read_text()[:-20])


def remove_group_metadata(store: FeatureStore) -> None:
    (store.path / "features/image/zarr.json").unlink()


def shorten(store: FeatureStore) -> None:
    path = store.path / "index/keys/zarr.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"shape": [ROWS - 1]}))


def add_unknown_array(store: FeatureStore) -> None:
    shutil.copytree(array_path(store, "video/tokens"), array_path(store, "video/more"))


def write_beyond(store: FeatureStore) -> None:
    shutil.copy(chunk(store, "video/tokens", 2), chunk(store, "video/tokens", ROWS + 2))


DAMAGES: list[tuple[Any, ...]] = [
    (truncate, ("checksums", "error", "day/2", "video/tokens")),
    (extend, ("checksums", "error", "day/2", "video/tokens")),
    (remove_chunk, ("status", "error", "day/0", "image/block_2/cls")),
    (unknown_status, ("status", "error", "day/3", "video")),
    (lose_source, ("status", "warning", "day/4", "video"), ("digests", "error", "day/4", "video")),
    (make_nan, ("values", "error", "day/0", "video/tokens")),
    (make_infinite, ("values", "error", "day/0", "video/embedding")),
    (fill_padding, ("values", "error", "day/1", "video/tokens")),
    (make_length(0), ("values", "error", "day/1", "video/tokens_length")),
    (make_length(5), ("values", "error", "day/1", "video/tokens_length")),
    (
        make_even,
        ("variation", "warning", "day/3", "image/block_2/cls"),
        ("digests", "error", "day/3", "image/block_2"),
    ),
    (change_metadata, ("metadata", "error", "", "features/video/tokens")),
    (change_attribute, ("metadata", "error", "", "features/image/block_2/cls")),
    (garble_metadata, ("metadata", "error", "", "status/video")),
    (remove_group_metadata, ("metadata", "error", "", "features/image")),
    (add_unknown_array, ("metadata", "warning", "", "features/video/more")),
    (write_beyond, ("status", "warning", "", "video")),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: getattr(damage[0], "__name__", "length"))
def test_each_damage_is_found_and_named_and_mended(held: FeatureStore, damage: tuple[Any, ...]) -> None:
    do, *expected = damage
    do(held)
    found = faults_of(held)
    assert told(found) == set(expected)
    assert all(finding.evidence and finding.remedy for finding in found)
    mendable = [finding for finding in found if finding.mend]
    if mendable:
        num_complete = num_complete_of(held)
        assert mend_store(held, found) == len(mendable)
        assert not faults_of(FeatureStore.open(held.path))
        # A status that is none is set right by the row's digest.
        expected_lost = -1 if do is unknown_status else int(mendable[0].row is not None)
        assert num_complete - num_complete_of(held) == expected_lost


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage[0] in (remove_chunk, lose_source, make_nan)])
def test_damage_is_found_in_a_store_of_the_former_schema(former: FeatureStore, damage: tuple[Any, ...]) -> None:
    do, expected, *_ = damage
    do(former)
    found = faults_of(former)
    assert told(found) == {expected}
    mend_store(former, found)
    assert not [finding for finding in faults_of(FeatureStore.open(former.path)) if finding.mend]


def num_complete_of(store: FeatureStore) -> int:
    return sum(int(np.sum(store.status(name) == Status.COMPLETE)) for name in SETS)


# What was exchanged or edited, with checksums that are right


def exchange(store: FeatureStore, array: str, first: int, second: int) -> None:
    one, other = chunk(store, array, first), chunk(store, array, second)
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


def exchange_recorded(group: str) -> Callable[[FeatureStore], None]:
    def change(store: FeatureStore) -> None:
        values = store.records.array(group, "video").read(range(ROWS))
        edit(store, group, "video", 1, values[2])
        edit(store, group, "video", 2, values[1])

    return change


# What is done, the rows that are told, and those that mending loses: where it was empty, a note is proved to be so.
EDITS: list[tuple[Callable[[FeatureStore], None], list[int], list[int]]] = [
    (lambda store: exchange(store, "video/tokens", 0, 3), [0, 3], [0, 3]),
    (lambda store: exchange(store, "video/embedding", 1, 2), [1, 2], [1, 2]),
    (exchange_recorded("source"), [1, 2], [1, 2]),
    (exchange_recorded("problem"), [1, 2], [1]),
    (exchange_recorded("digest"), [1, 2], [1, 2]),
    (lambda store: edit(store, "problem", "video", 1, ""), [1], [1]),
    (lambda store: edit(store, "problem", "video", 5, "it was never there"), [5], [5]),
    (lambda store: edit(store, "source", "video", 3, "[[1,2"), [3], [3]),
    (lambda store: edit(store, "digest", "video", 3, 7), [3], [3]),
    (lambda store: edit(store, "status", "video", 5, Status.UNREADABLE), [5], []),
    (lambda store: edit(store, "status", "video", 2, Status.ABSENT), [2], []),
]


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_what_was_exchanged_or_edited_is_found_whatever_its_checksums_say(held: FeatureStore, number: int) -> None:
    do, rows, lost = EDITS[number]
    before = held.status("video")
    do(held)
    found = faults_of(held)
    assert told(found) == {("digests", "error", f"day/{row}", "video") for row in rows}
    mend_store(held, found)
    expected = before.copy()
    expected[lost] = Status.MISSING
    np.testing.assert_array_equal(FeatureStore.open(held.path).status("video"), expected)
    assert not faults_of(held)


def test_equal_small_arrays_may_be_exchanged(held: FeatureStore) -> None:
    """Two rows with the same values, as all lengths are here: nothing is different afterwards."""
    exchange(held, "video/tokens_length", 0, 3)
    assert not findings_of(held)


def test_an_interruption_before_the_status_is_a_note(held: FeatureStore) -> None:
    held.records.withdraw("video", [2, 5])
    found = findings_of(held)
    assert {finding.severity for finding in found} == {"note"}
    assert any("2 rows are whole but for their status" in finding.evidence for finding in found)
    held.forget("video", [2, 5])
    assert not any("but for their status" in finding.evidence for finding in findings_of(held))


def test_a_store_of_the_former_schema_says_what_cannot_be_noticed(former: FeatureStore) -> None:
    (found,) = findings_of(former)
    assert (found.check, found.severity) == ("digests", "note") and "former schema" in found.evidence
    exchange(former, "video/tokens", 0, 3)
    assert len(findings_of(former)) == 1


def test_a_shortened_column_of_the_index_is_found(held: FeatureStore) -> None:
    shorten(held)
    parts = {finding.part for finding in findings_of(held) if finding.severity == "error"}
    assert parts == {"index/keys"}


def test_a_lost_chunk_of_the_index_is_found(held: FeatureStore) -> None:
    (held.path / "index/keys/c/0").unlink()
    with pytest.raises(StoreError, match="index/keys: a chunk is gone"):
        FeatureStore.open(held.path)


def test_what_an_interruption_leaves_is_a_note_and_swept(held: FeatureStore) -> None:
    temporary = chunk(held, "video/tokens", 2).with_name(".c.2.0.0.part")
    temporary.write_bytes(b"half of it")
    held.forget("video", [0])
    array = zarr.open_array(array_path(held, "video/tokens"), mode="r+")
    array.resize((ROWS + 3, 4, 3))
    found = findings_of(held)
    assert {finding.severity for finding in found} == {"note"}
    evidence = [finding.evidence for finding in found]
    assert any("temporary" in text for text in evidence)
    assert any(text.startswith("1 chunk of a row that is not complete") and "day/0" in text for text in evidence)
    assert any("3 rows more" in text for text in evidence)
    mend_store(held, found)
    assert not temporary.exists()


def test_mending_a_damaged_text_leaves_nothing_that_cannot_be_read(former: FeatureStore) -> None:
    for group in ("problem", "source"):
        path = chunk_path(former.path / group / "video", 1, num_axes=1)
        path.write_bytes(path.read_bytes()[:-1])
    mend_store(former, findings_of(former))
    assert not faults_of(former)
    assert former.status("video")[1] == Status.MISSING and "day/1" not in former.notes("video")


def test_a_row_without_data_is_told_even_if_its_whole_array_is_gone(held: FeatureStore) -> None:
    shutil.rmtree(array_path(held, "video/embedding"))
    found = findings_of(held)
    assert {finding.key for finding in found if finding.check == "status"} == {f"day/{row}" for row in range(ROWS - 1)}
    assert ("metadata", "error", "", "features/video/embedding") in told(found)
    mend_store(held, found)
    StoreWriter(held).write("video", [0], features_of("video", [0]), sources=[sources_of(0)], notes=[""])
    assert not faults_of(held)


# Rows against each other


@pytest.mark.parametrize(
    ("same_files", "notes", "severity"), [(True, "", "warning"), (False, "", "warning"), (False, "silent", "note")]
)
def test_recordings_with_equal_features_are_told_and_not_to_be_computed_again(
    held: FeatureStore, same_files: bool, notes: str, severity: str
) -> None:
    """Two failed microphones record the same silence, and do so whenever they are read."""
    values = {name: np.repeat(value[:1], 2, axis=0) for name, value in features_of("video", [1, 4]).items()}
    sources = [sources_of(1), sources_of(1 if same_files else 4)]
    held.forget("video", [1, 4])
    StoreWriter(held).write("video", [1, 4], values, sources=sources, notes=[notes, notes])
    (found,) = findings_of(held)
    assert (found.check, found.severity, found.mend) == ("duplicates", severity, "")
    assert "day/1 and day/4 have equal values in tokens, embedding" in found.evidence
    assert ("one sample twice" in found.evidence) == same_files


def test_what_is_not_listed_any_more_is_nobodys_twin(held: FeatureStore) -> None:
    """A file that was renamed leaves the row of its former name behind."""
    values = {name: np.repeat(value[:1], 3, axis=0) for name, value in features_of("video", [1]).items()}
    held.forget("video", [1, 3, 4])
    StoreWriter(held).write("video", [1, 3, 4], values, sources=[sources_of(1)] * 3, notes=[""] * 3)
    held.follow(held.index.select(np.array([0, 2, 3, 4, 5])))
    (found,) = findings_of(held)
    assert found.check == "duplicates" and "day/3 and day/4" in found.evidence


def test_a_copied_row_is_found_and_so_is_what_it_equals(held: FeatureStore) -> None:
    shutil.copy(chunk(held, "video/tokens", 1), chunk(held, "video/tokens", 4))
    found = faults_of(held)
    assert told(found) == {("digests", "error", "day/4", "video"), ("duplicates", "warning", "day/4", "video")}
    mend_store(held, found)
    assert np.flatnonzero(held.status("video") == Status.COMPLETE).tolist() == [0, 1, 2, 3]


def test_rows_that_agree_in_most_values_are_not_called_equal(held: FeatureStore) -> None:
    def change(values: np.ndarray) -> None:
        values[...] = held.read("image/block_2/cls", [0])
        values[0, 1, 8] += 1

    rewrite(held, "image/block_2/cls", 1, change)
    assert "duplicates" not in {finding.check for finding in findings_of(held)}


def test_features_that_do_not_depend_on_the_weld_are_found(held: FeatureStore) -> None:
    base = held.read("image/block_2/cls", [0])
    for row in range(1, ROWS - 1):
        rewrite(held, "image/block_2/cls", row, lambda values: np.copyto(values, base * (1 + 1e-7)))
    found = [finding for finding in findings_of(held) if finding.check == "variation"]
    assert told(found) == {("variation", "error", "", "image/block_2/cls")}
    assert "do not depend on the sample" in found[0].evidence and not found[0].mend


@given(data=st.data(), num_rows=st.integers(2, 40), cut=st.integers(1, 39))
@settings(max_examples=30)
def test_spread_is_that_of_all_rows_however_they_are_batched(data: st.DataObject, num_rows: int, cut: int) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    values = generator.normal(size=(num_rows, 5)) * [1, 1e-6, 1e3, 0, 1] + [1, 1, 1e3, 0, 0]
    valid = generator.random((num_rows, 5)) < 0.8
    spread = Spread(5)
    for start in range(0, num_rows, cut):
        spread.add(values[start : start + cut], valid[start : start + cut])
    columns = [values[valid[:, column], column] for column in range(5)]
    ratios = [
        column.std() / np.sqrt(np.mean(column**2)) for column in columns if len(column) > 1 and (column != 0).any()
    ]
    if any(len(column) > 1 for column in columns):
        np.testing.assert_allclose(spread.of_scale(), np.median(ratios) if ratios else 0.0, rtol=1e-6)
    else:
        assert spread.of_scale() is None


@given(
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    kind=st.sampled_from([np.nan, np.inf, -np.inf]),
    shape=st.sampled_from([(1,), (17,), (3, 700), (40, 5000)]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30)
def test_one_value_that_is_not_finite_is_found_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, kind: float, shape: tuple[int, ...], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    spec = ArraySpec("a", shape, tuple(f"axis{i}" for i in range(len(shape))), dtype)  # type: ignore[arg-type]
    values = (generator.normal(size=(3, *shape)) * 1e4).astype(np.float32 if dtype == "bfloat16" else spec.dtype)
    row, position = int(generator.integers(3)), int(generator.integers(values[0].size))
    values[row].reshape(-1)[position] = kind
    stored = (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values
    path = tmp_path_factory.mktemp("array")
    write_rows(path, [0, 1, 2], stored)
    chunks = FolderChunks(path, path, shape, NUMPY_TYPES[spec.dtype])
    scan = scan_array(chunks, spec, np.arange(3), lengths=None, advance=lambda _: None)
    assert scan.not_finite == [row] and not scan.broken and scan.num_bytes == stored.nbytes


# While it is written, and how much memory it takes


def test_a_store_that_is_being_written_gives_no_false_alarm(held: FeatureStore) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def rewrite_rows() -> None:
        try:
            for seed in range(1, 10_000):
                if stop.is_set():
                    return
                rows = [seed % 5, (seed + 2) % 5]
                for name in SETS:
                    held.forget(name, rows)
                    StoreWriter(held).write(
                        name,
                        rows,
                        features_of(name, rows, seed=seed),
                        sources=[sources_of(row) for row in rows],
                        notes=["", ""],
                    )
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=rewrite_rows)
    writer.start()
    try:
        looks = [finding for _ in range(15) for finding in row_findings(held)]
    finally:
        stop.set()
        writer.join()
    assert not failures
    assert {finding.severity for finding in looks} <= {"note"}, looks


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, make_index: Callable[..., Index]) -> None:
    def peak(num_rows: int) -> int:
        store = FeatureStore.create(tmp_path / f"{num_rows}.zarr", index=make_index(num_rows))
        spec = ArraySpec("tokens", (128, 256), ("time", "dim"), "float16")
        store.add_feature_set(FeatureSetSpec("video", [spec], {}))
        generator = np.random.default_rng(0)
        for start in range(0, num_rows, 16):
            rows = list(range(start, start + 16))
            values = generator.normal(size=(16, *spec.shape)).astype(np.float16)
            StoreWriter(store).write(
                "video", rows, {"tokens": values}, sources=[sources_of(row) for row in rows], notes=[""] * 16
            )
        row_findings(store)  # threads and caches are there from here on
        tracemalloc.start()
        assert not row_findings(store)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    few, many = peak(128), peak(512)
    assert many - few < 4e6, (few, many)  # the rows between them are 25 MB; each thread has a buffer of 1 MB


# What stays, and what is printed


def test_the_record_stays_and_is_read_back(held: FeatureStore) -> None:
    assert read_record(held.path) is None
    truncate(held)
    verification = Verification(held.path, held.fingerprint, ROWS, verify_store(held))
    verification.write_record()
    record = read_record(held.path)
    assert record is not None
    assert {name: record[name] for name in ("rows", "findings", "errors", "warnings", "live")} == {
        "rows": ROWS,
        "findings": 1,
        "errors": 1,
        "warnings": 0,
        "live": None,
    }
    assert record["fingerprint"] == held.fingerprint and record["created"].endswith("+00:00")
    assert not verification.trustworthy
    assert not [finding for check in verify_store(held)[:1] for finding in check.findings]  # not taken for a stray
    path = held.path / "verification/zarr.json"
    whole = path.read_text()
    for changed in (whole.replace('"errors": 1', '"errors": 0'), whole.replace('"checksum"', '"sum"'), "["):
        assert changed != whole
        path.write_text(changed)
        with pytest.raises(StoreError, match=r"verification/zarr\.json is not what .*verify"):
            read_record(held.path)


def test_many_findings_of_a_kind_are_cut_in_the_table_and_whole_in_json(held: FeatureStore) -> None:
    finding = StoreFinding("values", "error", "NaN or infinity", "Compute it again.", key="k", part="a/b", row=0)
    checks = [
        check if check.name != "values" else type(check)("values", "", [finding] * 25) for check in verify_store(held)
    ]
    verification = Verification(held.path, held.fingerprint, ROWS, checks)
    texts = [str(part) for part in verification_tables(verification, details=False)]
    assert sum("NaN or infinity" in text for text in texts) == 10
    assert any("15 more" in text for text in texts)
    told_json = json.loads(json.dumps(verification.to_json()))
    assert len(told_json["findings"]) == told_json["errors"] == 25
    assert told_json["findings"][0]["row"] == 0


def test_the_live_table_has_whole_names_in_eighty_columns(held: FeatureStore) -> None:
    names = ["image/block_21/patch_tokens", "image_dinov2/block_12/views_present", "text/prompt"]
    array = {"difference": 1.2e-3, "difference_of_std": 3.4e-3, "of_tolerance": 1.0, "noise": 5.6e-7, "passed": False}
    live = {
        "samples": 3,
        "noun": "part",
        "seed": 0,
        "tolerance": "none",
        "arrays": [{"array": name, **array} for name in names],
    }
    verification = Verification(held.path, held.fingerprint, ROWS, [], live=live)
    console = Console(file=io.StringIO(), width=80)
    for part in verification_tables(verification, details=False):
        console.print(part)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for name in names:
        (line,) = [line for line in shown.splitlines() if name in line]
        assert line.split() == [name, "1.2e-03", "3.4e-03", "100%", "5.6e-07", "differs"]
        assert len(line) <= 80
