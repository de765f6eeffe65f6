"""Rows that are written into a bucket make the store that they make in a folder, whatever is killed in between."""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.download import download
from weldcache.cache.buckets.inventory import EXTRACTION, INVENTORY, STATE
from weldcache.cache.buckets.opened_copy import (
    interrupted_copy,
    join_working_copy,
    open_working_copy,
    told_in,
)
from weldcache.cache.buckets.upload import upload
from weldcache.cache.buckets.working_copy import WorkingCopy
from weldcache.cache.index import Index
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.configs.place import BucketUrl
from weldcache.errors import BusyError, NotFoundError, OutputExistsError, StoreError
from weldcache.extract.into_bucket import finished_copy
from weldcache.tests.cache.buckets.conftest import NUM_ROWS, SPEC, tokens_of, write
from weldcache.tests.cache.buckets.test_mirrors import Killed, killing
from weldcache.tests.children import differing


def killing_puts(monkeypatch: pytest.MonkeyPatch, bucket: Bucket, *, after: int) -> None:
    """Let whatever puts an object fail, from put number `after` on."""
    calls: list[str] = []

    def dying(works: Callable[..., Any]) -> Callable[..., Any]:
        def call(name: str, *arguments: Any, **named: Any) -> Any:
            calls.append(name)
            if len(calls) > after:
                raise Killed
            return works(name, *arguments, **named)

        return call

    for method in ("write", "claim"):
        monkeypatch.setattr(bucket, method, dying(getattr(bucket, method)))


def prepare(store: FeatureStore) -> None:
    """Give an empty store what the filled one has beside its rows."""
    store.add_constant("text/prompt", np.arange(1, 6, dtype=np.float32), made_by={})
    store.add_feature_set(SPEC)


def deliver(working: WorkingCopy, rows: Sequence[int]) -> None:
    """Make rows and deliver them; every fifth is absent. All others may come from somebody else."""
    write(working.store, [row for row in rows if row % 5])
    for row in rows:
        if row % 5 == 0:
            StoreWriter(working.store).report(SPEC.name, row, Status.ABSENT, reason="no film")
    others = np.ones(len(working.store.index), dtype=bool)
    others[list(rows)] = False
    working.deliver(f"{rows[0]:04}", {SPEC.name: rows}, others=others)


def extract(bucket: Bucket, folder: Path, index: Index, *, spans: Sequence[Sequence[int]]) -> int:
    """What an extraction does; return how many rows it had to make."""
    working = open_working_copy(bucket, folder, index=index)
    store = working.store
    store.follow(index)
    if SPEC.name not in store.feature_sets:
        prepare(store)
    missing = np.flatnonzero(store.status(SPEC.name) == Status.MISSING).tolist()
    todo = [[row for row in span if row in missing] for span in spans]
    if any(todo):
        working.begin()
    for rows in filter(None, todo):
        deliver(working, rows)
    working.finish()
    return len(missing)


SPANS = [list(range(16)), list(range(16, 21)), [*range(21, NUM_ROWS)]]  # of which the first has two whole objects


@pytest.mark.parametrize("after", [0, 1, 2, 4, 6, 8, 12, 15, 20, 30, 40])
def test_whatever_is_killed_the_store_is_that_of_a_folder(
    filled: FeatureStore,
    bucket: Bucket,
    opens: BucketUrl,
    make_index: Callable[..., Index],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    index = make_index(NUM_ROWS)
    with monkeypatch.context() as patch:
        killing_puts(patch, bucket, after=after)
        with pytest.raises(Killed):
            extract(bucket, tmp_path / "first", index, spans=SPANS)
    with pytest.raises(NotFoundError):
        FeatureStore.open(opens)
    num_made = extract(bucket, tmp_path / "again", index, spans=SPANS)
    assert num_made < NUM_ROWS or after < 7
    held = bucket.listed()
    assert not [name for name in held if name.startswith(EXTRACTION)]
    assert extract(bucket, tmp_path / "then", index, spans=SPANS) == 0 and bucket.listed() == held
    download(bucket, tmp_path / "copy.zarr")
    assert [name for name in differing(tmp_path / "copy.zarr", filled.folder) if "mirror/" not in name] == []


@pytest.mark.parametrize("after", [None, 3, 9, 14, 20])
def test_what_comes_later_joins_what_is_there(
    filled: FeatureStore,
    bucket: Bucket,
    opens: BucketUrl,
    make_index: Callable[..., Index],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int | None,
) -> None:
    """New rows in an object that is there, rows whose files have changed, and one that has become unreadable."""
    upload(filled.folder, bucket)
    index = make_index(NUM_ROWS + 6)

    def more(store: FeatureStore, made: Callable[[Sequence[int]], None]) -> None:
        store.follow(index)
        store.forget(SPEC.name, [3, 17])
        made([*range(NUM_ROWS, NUM_ROWS + 6), 3])
        StoreWriter(store).report(SPEC.name, 17, Status.UNREADABLE, reason="damaged")

    def in_bucket(folder: Path) -> None:
        working = open_working_copy(bucket, folder, index=index)
        store = working.store
        more(store, lambda rows: None)
        working.begin()
        deliver(working, [*range(NUM_ROWS, NUM_ROWS + 6), 3])
        working.finish()

    def in_folder(rows: Sequence[int]) -> None:
        write(filled, [row for row in rows if row % 5])
        StoreWriter(filled).report(SPEC.name, NUM_ROWS, Status.ABSENT, reason="no film")
        StoreWriter(filled).report(SPEC.name, NUM_ROWS + 5, Status.ABSENT, reason="no film")

    if after is not None:
        with monkeypatch.context() as patch:
            killing_puts(patch, bucket, after=after)
            with pytest.raises(Killed):
                in_bucket(tmp_path / "first")
    in_bucket(tmp_path / "again")
    more(filled, in_folder)
    for array in SPEC.arrays:  # in a folder the chunk of a row that is forgotten stays
        for path in (filled.folder / f"features/{SPEC.name}/{array.name}").glob("c.17*"):
            path.unlink()
    download(bucket, tmp_path / "copy.zarr")
    assert [name for name in differing(tmp_path / "copy.zarr", filled.folder) if "mirror/" not in name] == []
    there = FeatureStore.open(opens)
    assert there.read(f"{SPEC.name}/tokens", [NUM_ROWS + 1]).tobytes() == tokens_of(NUM_ROWS + 1).tobytes()


def test_a_set_that_something_else_makes_takes_nothing_of_the_former_one(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    index = make_index(NUM_ROWS)
    extract(bucket, tmp_path / "first", index, spans=SPANS)
    working = open_working_copy(bucket, tmp_path / "again", index=index)
    working.store.replace_feature_set(type(SPEC)(SPEC.name, SPEC.arrays, {"backbone": {"model": "another"}}))
    working.begin()
    deliver(working, [6, 7, 8])
    working.finish()
    copy = FeatureStore.open(download(bucket, tmp_path / "copy.zarr") and tmp_path / "copy.zarr")
    assert np.flatnonzero(copy.status(SPEC.name) == Status.COMPLETE).tolist() == [6, 7, 8]
    assert len([name for name in bucket.listed() if name.startswith(f"features/{SPEC.name}/tokens/c")]) == 2


def test_what_lies_there_already_and_nobody_has_delivered_is_not_taken(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    """As a worker leaves it that was given up and goes on; what the others deliver takes its place."""
    first = open_working_copy(bucket, tmp_path / "first", index=make_index(NUM_ROWS))
    prepare(first.store)
    first.begin()
    name = f"features/{SPEC.name}/tokens/c.0.0.0"
    bucket.write(name, b"something else")
    for rows in SPANS:
        deliver(first, rows)
    assert bytes(bucket.read(name)) == b"something else"
    first.finish()
    download(bucket, tmp_path / "copy.zarr")
    assert [name for name in differing(tmp_path / "copy.zarr", filled.folder) if "mirror/" not in name] == []


def test_an_extraction_that_fails_lets_readers_have_what_was_delivered(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt), finished_copy(bucket, index=make_index(NUM_ROWS)) as working:
        working.store.add_feature_set(SPEC)
        working.begin()
        deliver(working, [1, 2])
        write(working.store, [3])
        raise KeyboardInterrupt
    store = FeatureStore.open(opens)
    assert np.flatnonzero(store.status(SPEC.name)).tolist() == [1, 2]
    assert store.read(f"{SPEC.name}/tokens", [2]).tobytes() == tokens_of(2).tobytes()


def test_workers_with_copies_of_their_own_deliver_what_one_makes(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    first = open_working_copy(bucket, tmp_path / "first", index=make_index(NUM_ROWS))
    prepare(first.store)
    first.begin({"said": "to all"})
    others = [join_working_copy(bucket, tmp_path / str(number)) for number in range(2)]
    assert told_in(bucket) == {"said": "to all"}
    for number, rows in enumerate([[*range(0, 30, 3)], [*range(1, 30, 3)], [*range(2, 30, 3)]]):
        deliver([first, *others][number], rows)
    assert not list((tmp_path / "1" / "features").rglob("c.*"))
    part = next(name for name in bucket.listed() if "/0001." in name and not name.endswith(".json"))
    bucket.write(part.partition("/0001.")[2].partition("/")[2], b"of one who died before he delivered")
    others[1].finish()
    held = bucket.listed()
    others[0].finish()  # by whom it is asked again, where the answer of the other one was lost
    assert bucket.listed() == held
    download(bucket, tmp_path / "copy.zarr")
    assert [name for name in differing(tmp_path / "copy.zarr", filled.folder) if "mirror/" not in name] == []


@pytest.fixture
def begun(filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path) -> WorkingCopy:
    """A working copy of a new store, of which nothing was delivered yet."""
    working = open_working_copy(bucket, tmp_path / "first", index=make_index(NUM_ROWS))
    working.store.add_feature_set(SPEC)
    working.begin()
    return working


def complete(opens: BucketUrl) -> list[int]:
    """The complete rows, whose features can be read."""
    store = FeatureStore.open(opens)
    rows: list[int] = np.flatnonzero(store.status(SPEC.name) == Status.COMPLETE).tolist()
    assert store.read(f"{SPEC.name}/tokens", rows).tobytes() == b"".join(tokens_of(row).tobytes() for row in rows)
    return rows


@pytest.mark.parametrize("delivered", [8, 10])  # two rows of the second object, or none
def test_rows_that_only_the_copy_has_are_not_called_complete(
    begun: WorkingCopy, bucket: Bucket, opens: BucketUrl, tmp_path: Path, delivered: int
) -> None:
    deliver(begun, range(delivered))
    write(begun.store, [11, 12, 13])
    with pytest.raises(StoreError, match="3 samples"):
        begun.finish()
    interrupted = interrupted_copy(bucket, tmp_path / "again")
    assert interrupted is not None
    interrupted.finish()
    assert complete(opens) == [row for row in range(delivered) if row % 5]


def test_who_was_taken_for_dead_ends_nothing(
    begun: WorkingCopy,
    bucket: Bucket,
    opens: BucketUrl,
    make_index: Callable[..., Index],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stops just before it says that all is there; meanwhile another goes on and ends."""
    deliver(begun, range(8))
    claim, stopped = bucket.claim, []

    def stop(name: str, content: bytes, **named: Any) -> Any:
        if b'"complete": true' in content and not stopped:
            stopped.append(name)
            extract(bucket, tmp_path / "another", make_index(NUM_ROWS), spans=SPANS)
        return claim(name, content, **named)

    monkeypatch.setattr(bucket, "claim", stop)
    with pytest.raises(BusyError):
        begun.finish()
    assert len(complete(opens)) == 24
    with pytest.raises(BusyError):
        begun.begin()
    assert len(complete(opens)) == 24


def test_attempts_at_one_span_do_not_mix(
    begun: WorkingCopy, bucket: Bucket, opens: BucketUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one makes other bytes, as GPUs do, and is killed before it tells of them."""
    works = bucket.write

    def until_json(name: str, content: bytes) -> Any:
        if name.endswith(".json"):
            raise Killed
        return works(name, content)

    joined = join_working_copy(bucket, tmp_path / "second")
    deliver(begun, range(10))
    with monkeypatch.context() as patch:
        patch.setattr("weldcache.tests.cache.buckets.conftest.tokens_of", lambda row: tokens_of(row) + np.float16(1))
        patch.setattr(bucket, "write", until_json)
        with pytest.raises(Killed):
            deliver(joined, range(10))
    begun.finish()
    assert complete(opens) == [row for row in range(10) if row % 5]


@pytest.mark.parametrize("how", ["gone", "replaced", "cut"])
def test_features_that_are_gone_or_were_replaced_are_made_again(
    filled: FeatureStore,
    bucket: Bucket,
    opens: BucketUrl,
    make_index: Callable[..., Index],
    tmp_path: Path,
    how: str,
) -> None:
    index = make_index(NUM_ROWS)
    extract(bucket, tmp_path / "first", index, spans=SPANS)
    key = f"features/{SPEC.name}/tokens/c.1.0.0"
    if how == "gone":
        bucket.remove([key])
    else:
        bucket.write(key, bytes(bucket.read(key))[: None if how == "replaced" else -100])
    assert extract(bucket, tmp_path / "again", index, spans=SPANS) == 6
    assert len(complete(opens)) == 24


def test_what_others_have_below_the_prefix_stays(
    bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    index = make_index(NUM_ROWS)
    extract(bucket, tmp_path / "first", index, spans=SPANS)
    theirs = {"notes.txt", "b.zarr/zarr.json", "b.zarr/features/video/tokens/c.0"}
    for name in theirs:
        bucket.write(name, b"theirs")
    bucket.write("features/left/tokens/c.0", b"by a writer that was killed")
    working = open_working_copy(bucket, tmp_path / "then", index=index)
    working.begin()
    working.finish()
    held = bucket.listed().keys()
    assert theirs <= held and "features/left/tokens/c.0" not in held


def test_what_is_something_else_is_left_alone(
    filled: FeatureStore,
    bucket: Bucket,
    make_index: Callable[..., Index],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = make_index(NUM_ROWS)
    assert told_in(bucket) == {}
    with monkeypatch.context() as patch:
        killing(patch, bucket, "write", after=4)
        with pytest.raises(Killed):
            upload(filled.folder, bucket)
    with pytest.raises(NotFoundError, match="a mirror was begun"):
        open_working_copy(bucket, tmp_path / "b", index=index)
    bucket.remove([INVENTORY])
    with pytest.raises(OutputExistsError, match="something else than a store"):
        open_working_copy(bucket, tmp_path / "c", index=index)


def test_a_mirror_does_not_replace_what_an_interrupted_extraction_has_made(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    upload(filled.folder, bucket)
    working = open_working_copy(bucket, tmp_path / "first", index=make_index(NUM_ROWS))
    working.begin()
    with pytest.raises(OutputExistsError, match="weldcache extract"):
        upload(filled.folder, bucket)
    working.finish()
    assert upload(filled.folder, bucket).num_copied == 0


def damaged_states() -> dict[str, Callable[[bytes], bytes]]:
    def packed(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", compression) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return content.getvalue()

    def with_member(name: str) -> Callable[[bytes], bytes]:
        def change(whole: bytes) -> bytes:
            with zipfile.ZipFile(io.BytesIO(whole)) as archive:
                return packed(("state.json", archive.read("state.json")), (name, b"{}"))

        return change

    return {
        "cut": lambda whole: whole[:-30],
        "flipped": lambda whole: whole.replace(b'"job": "', b'"job": "x'),
        "led out": with_member("store/../../outside"),
        "compressed": lambda whole: packed(("state.json", b"{}" * 1000), compression=zipfile.ZIP_DEFLATED),
        "empty": lambda whole: packed(),
    }


@pytest.mark.parametrize("how", sorted(damaged_states()))
def test_a_state_that_was_edited_is_refused(
    bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path, how: str
) -> None:
    working = open_working_copy(bucket, tmp_path / "first", index=make_index(NUM_ROWS))
    working.begin()
    bucket.write(STATE, damaged_states()[how](bytes(bucket.read(STATE))))
    with pytest.raises(StoreError, match="no working copy"):
        open_working_copy(bucket, tmp_path / "again", index=make_index(NUM_ROWS))
    assert not list(tmp_path.rglob("outside"))


def test_a_delivery_that_was_edited_is_refused(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    working: Any = open_working_copy(bucket, tmp_path / "first", index=make_index(NUM_ROWS))
    working.store.add_feature_set(SPEC)
    working.begin()
    deliver(working, [1, 2])
    (name,) = [
        name for name in bucket.listed() if name.startswith(EXTRACTION) and name.endswith(".json") and "/0001." in name
    ]
    whole = bytes(bucket.read(name))
    bucket.write(name, whole.replace(b'"rows": [1, 2]', b'"rows": [1, 3]'))
    with pytest.raises(StoreError, match="checksum"):
        working.finish()
    bucket.write(name, whole)
    part = next(each for each in bucket.listed() if each.startswith(name.removesuffix(".json") + "/"))
    bucket.write(part, bytes(bucket.read(part))[:-1] + b"x")
    with pytest.raises(StoreError, match="is not what was delivered"):
        working.finish()
