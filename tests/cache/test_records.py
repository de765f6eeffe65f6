"""Records are written together, the status last; whatever stops a write, a status speaks of what belongs to it."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weldcache.cache.arrays import FeatureSetSpec
from weldcache.cache.index import Index
from weldcache.cache.records import LAYOUTS, Record, digest_of
from weldcache.cache.status import (
    SourceFile,
    Status,
    decode_sources,
    encode_sources,
    encoded_numbers,
    source_numbers,
)
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.verify import verify_store
from weldcache.cache.writer import StoreWriter

FILE = SourceFile("day/Schweiß.avi", 12, 34, "ab" * 32)
DIGEST = 1694193347509153000  # of the row below; stores hold such digests, so it must never change
RECORD = Record("video", 1, Status.COMPLETE, "one view\udcff", (FILE,), {"tokens": 5, "cls": 6})
NUM_ROWS = 600  # three chunks


@pytest.fixture(params=[2, 3])
def large(
    request: pytest.FixtureRequest, tmp_path: Path, make_index: Callable[..., Index], video_spec: FeatureSetSpec
) -> FeatureStore:
    """A store of each schema, with two feature sets."""
    store = FeatureStore.create(tmp_path / "large.zarr", index=make_index(NUM_ROWS), schema_version=request.param)
    store.add_feature_set(video_spec)
    store.add_feature_set(FeatureSetSpec("audio", video_spec.arrays, {}))
    return store


def write(store: FeatureStore, *rows: int, note: str = "") -> list[Record]:
    generator = np.random.default_rng(rows)
    features = {
        "tokens": generator.normal(size=(len(rows), 4, 6)).astype(np.float16),
        "tokens_length": np.full(len(rows), 4, np.int32),
    }
    writer = StoreWriter(store)
    records = writer.write_features("video", rows, features, sources=[[FILE]] * len(rows), notes=[note] * len(rows))
    writer.record(records)
    return records


def faults(store: FeatureStore) -> list[object]:
    return [finding for check in verify_store(store) for finding in check.findings if finding.severity != "note"]


def test_the_digest_is_of_everything_that_belongs_together() -> None:
    assert digest_of(RECORD, key="day/1") == DIGEST
    others = [
        Record("audio", *list(vars(RECORD).values())[1:]),
        *(
            Record(**{**vars(RECORD), name: value})
            for name, value in {
                "status": Status.ABSENT,
                "note": "",
                "sources": (),
                "checksums": {"tokens": 6, "cls": 5},
            }.items()
        ),
        Record(**{**vars(RECORD), "sources": (SourceFile("day/Schweiß.avi", 12, 34, "ac" * 32),)}),
        Record(**{**vars(RECORD), "sources": (replace(FILE, extent={"frames": 9.0}),)}),
    ]
    digests = {digest_of(other, key="day/1") for other in others} | {digest_of(RECORD, key="day/2")}
    assert len(digests) == 8 and DIGEST not in digests
    touched = Record(**{**vars(RECORD), "row": 7, "sources": (SourceFile(FILE.path, FILE.size, 99, FILE.sha256),)})
    assert digest_of(touched, key="day/1") == DIGEST


def test_rows_of_many_chunks_and_sets_are_recorded_together(large: FeatureStore) -> None:
    records = [
        Record(name, row, Status.ABSENT, f"no {name} of {row}")
        for row in (0, 255, 256, 599)
        for name in ("video", "audio")
    ]
    large.records.write(records)
    write(large, 1, 300, note="cut short")
    for store in (large, FeatureStore.open(large.path)):
        assert np.flatnonzero(store.status("video")).tolist() == [0, 1, 255, 256, 300, 599]
        assert store.notes("audio") == {f"day/{row:03d}": f"no audio of {row}" for row in (0, 255, 256, 599)}
        assert store.notes("video")["day/300"] == "cut short"
        assert store.sources("video", [300, 2, 0]) == [(FILE,), (), ()]
    assert not [finding for finding in faults(large) if "equal values" not in str(finding)]


def test_what_is_recorded_already_is_not_written_again(large: FeatureStore) -> None:
    records = [Record("video", row, Status.ABSENT, "no film") for row in range(300)]
    large.records.write(records)
    before = {path: path.stat().st_ino for path in large.path.rglob("c.*")}
    large.records.write(records)
    assert {path: path.stat().st_ino for path in large.path.rglob("c.*")} == before
    assert len(list(large.path.glob("problem/video/c.*"))) == (300 if large.schema_version == 2 else 2)


def test_a_row_that_was_absent_and_is_made_leaves_no_reason(large: FeatureStore) -> None:
    StoreWriter(large).report("video", 7, Status.ABSENT, reason="no film")
    StoreWriter(large).report("video", 8, Status.ABSENT, reason="no film")
    write(large, 7)
    assert large.notes("video") == {"day/008": "no film"} and large.status("video")[7] == Status.COMPLETE
    assert not faults(large)


def test_the_same_rows_in_another_order_make_the_same_files(
    tmp_path: Path,
    make_index: Callable[..., Index],
    video_spec: FeatureSetSpec,
    contents: Callable[[Path], dict[str, bytes]],
) -> None:
    """As an interrupted store, whose rows were tried twice, and one that was not."""
    stores = [FeatureStore.create(tmp_path / f"{number}.zarr", index=make_index(5)) for number in range(2)]
    for store in stores:
        store.add_feature_set(video_spec)
    StoreWriter(stores[0]).report("video", 1, Status.UNREADABLE, reason="for a while", sources=[FILE])
    stores[0].forget("video", [1, 2])
    for store, rows in zip(stores, ([3, 2, 1, 0], [0, 1, 2, 3]), strict=True):
        for row in rows:
            write(store, row)
    first, second = (
        {name: data for name, data in contents(store.path).items() if name != "zarr.json"} for store in stores
    )
    assert first == second


class Stopped(Exception):
    """Stands for the process's end."""


@pytest.mark.parametrize("schema_version", list(LAYOUTS))
def test_a_write_may_end_anywhere(
    tmp_path: Path, make_index: Callable[..., Index], video_spec: FeatureSetSpec, schema_version: int
) -> None:
    """Row 1 was unreadable and is complete now, row 2 is unreadable for another reason, row 3 is new.

    Stopped before each call of the system that changes what names stand for, the store is sound, and the same write
    afterwards ends it.
    """
    begun = FeatureStore.create(tmp_path / "begun.zarr", index=make_index(4), schema_version=schema_version)
    begun.add_feature_set(video_spec)
    for row in (1, 2):
        StoreWriter(begun).report("video", row, Status.UNREADABLE, reason="damaged", sources=[FILE])

    def copy_of_it(name: str) -> FeatureStore:
        return FeatureStore.open(Path(shutil.copytree(begun.path, tmp_path / name)))

    def go_on(store: FeatureStore) -> None:
        records = StoreWriter(store).write_features("video", [1, 3], VALUES, sources=[[FILE]] * 2, notes=["", "a note"])
        StoreWriter(store).record([*records, Record("video", 2, Status.UNREADABLE, "cut short", (FILE,))])

    expected = copy_of_it("whole.zarr")
    go_on(expected)
    replace, num_calls = os.replace, 0
    for step in range(30):
        store, calls = copy_of_it(f"{step}.zarr"), iter(range(100))

        def stop_at(*arguments: object, **options: object) -> None:
            if next(calls) == step:  # noqa: B023
                raise Stopped
            replace(*arguments, **options)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", stop_at)
            try:
                go_on(store)
            except Stopped:
                num_calls += 1
        assert not faults(store)
        complete = np.flatnonzero(store.status("video") == Status.COMPLETE)
        assert set(complete) <= {1, 3}
        np.testing.assert_array_equal(store.read("video/tokens", complete), expected.read("video/tokens", complete))
        go_on(store)
        for group in store.records.layout.groups:
            np.testing.assert_array_equal(
                store.records.array(group, "video").read(range(4)),
                expected.records.array(group, "video").read(range(4)),
            )
        if num_calls <= step:
            break
    assert num_calls >= 8


VALUES = {
    "tokens": np.arange(48, dtype=np.float16).reshape(2, 4, 6),
    "tokens_length": np.full(2, 4, dtype=np.int32),
}


@pytest.mark.parametrize(
    "text",
    [
        *("{", "{}", "7", "[7]", '[["a", 1, 2]]', '[["a", 1.5, 2, "b"]]', '[["a", true, 2, "b"]]', "[" * 9000),
        *(
            f'[["a", 1, 2, "b", {further}]]'
            for further in ("[]", "7", "{}, {}", '{"a b": 1.0}', '{"a": "1"}', '{"a": -1.0}')
        ),
        '[["a", 1, 2, "b", {"a": 1e300}]]',
    ],
)
def test_what_is_no_list_of_files_makes_no_files(text: str) -> None:
    measured = replace(FILE, extent={"width": 640.0, "seconds": 0.1 + 0.2})
    assert decode_sources(encode_sources([FILE, measured])) == (FILE, measured) and decode_sources("") == ()
    with pytest.raises(ValueError):
        decode_sources(text)


@pytest.mark.parametrize("numbers", [(1.0, -2.5e300, 3), (float("nan"), 0.1), ()])
def test_numbers_are_encoded_at_once_as_in_two_steps(numbers: tuple[float, ...]) -> None:
    assert encoded_numbers("spectrum", numbers) == encode_sources([source_numbers("spectrum", numbers)])
