"""A store that goes into a bucket comes back bit for bit, however often that is interrupted, and reads there alike."""

import gc
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from obstore.store import MemoryStore
from zarr.storage import ObjectStore

from weldcache.cache.buckets import download as downloads
from weldcache.cache.buckets import shards, threads
from weldcache.cache.buckets import upload as uploads
from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.download import download
from weldcache.cache.buckets.inventory import INVENTORY, parse_inventory
from weldcache.cache.buckets.mirror import mirror
from weldcache.cache.buckets.upload import upload
from weldcache.cache.chunks import FolderChunks, RowChunks
from weldcache.cache.describe import describe_store
from weldcache.cache.index import Index
from weldcache.cache.splitting import Dealing, split_store
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import TargetSpec, target_of
from weldcache.cache.verification.verify import verify_store
from weldcache.configs.place import BucketUrl
from weldcache.errors import NotFoundError, OutputExistsError, SettingsError, StoreError
from weldcache.tests.cache.buckets.conftest import NUM_ROWS, SPEC, URL, stored, tokens_of, write

TOKENS = f"features/{SPEC.name}/tokens"
COMPLETE = [row for row in range(NUM_ROWS) if row % 5]


def replaced(bucket: Bucket, name: str, position: int) -> None:
    """Flip a bit of an object."""
    content = bytearray(bucket.read(name))
    content[position] ^= 1
    bucket.write(name, bytes(content))


def decayed(bucket: Bucket, name: str, position: int) -> None:
    """Flip a bit of an object, as a disk does it: its service knows it by the same version."""
    replaced(bucket, name, position)
    inventory = parse_inventory(bytes(bucket.read(INVENTORY)), where="")
    entry = inventory.objects[name].model_copy(update={"e_tag": bucket.listed()[name].e_tag})
    bucket.write(INVENTORY, replace(inventory, objects={**inventory.objects, name: entry}).encoded())


class Killed(Exception):
    """Ends a mirroring where a signal would."""


def killing(monkeypatch: pytest.MonkeyPatch, bucket: Bucket, method: str, *, after: int) -> None:
    """Let the bucket's method fail from its call number `after` on."""
    works, calls = getattr(bucket, method), []

    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) > after:
            raise Killed
        return works(*arguments, **named)

    monkeypatch.setattr(bucket, method, call)


def test_a_mirror_of_a_mirror_is_the_store(filled: FeatureStore, bucket: Bucket, tmp_path: Path) -> None:
    sent = upload(filled.folder, bucket)
    assert sent.num_copied == sent.num_objects == len(bucket.listed()) - 1
    assert upload(filled.folder, bucket).num_copied == 0
    came = download(bucket, tmp_path / "copy.zarr")
    assert came == sent and stored(tmp_path / "copy.zarr") == stored(filled.folder)
    assert download(bucket, tmp_path / "copy.zarr").num_copied == 0


def test_few_objects_hold_many_rows_and_other_readers_know_them(filled: FeatureStore, bucket: Bucket) -> None:
    upload(filled.folder, bucket)
    names = [name for name in bucket.listed() if name.startswith(f"{TOKENS}/c")]
    assert len(names) == 4  # eight rows each
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # for an object that is no part of a hierarchy
        root = zarr.open_group(ObjectStore(bucket._objects, read_only=True), mode="r")
        assert dict(root.members()).keys() >= {"features", "index", "status"}
        np.testing.assert_array_equal(root[TOKENS][7], tokens_of(7))
        assert np.isnan(root[TOKENS][5]).all()
        assert root["index/keys"][3] == "day/003"
        assert root[f"problem/{SPEC.name}"][5] == "no film"


@pytest.mark.parametrize("after", [0, 3, 12, 25])
def test_an_interrupted_upload_is_no_store_and_goes_on(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("weldcache.cache.buckets.inventory._INTERVAL", 0.0)
    with monkeypatch.context() as patch:
        killing(patch, bucket, "write", after=after)
        with pytest.raises(Killed):
            upload(filled.folder, bucket)
    with pytest.raises(NotFoundError, match="mirror"):
        FeatureStore.open(opens)
    again = upload(filled.folder, bucket)
    assert again.num_copied <= again.num_objects - (after - 1) // 2 + threads._NUM_OBJECTS
    download(bucket, tmp_path / "copy.zarr")
    assert stored(tmp_path / "copy.zarr") == stored(filled.folder)


@pytest.mark.parametrize("after", [2, 15, 30])
def test_an_interrupted_download_is_no_store_and_goes_on(
    filled: FeatureStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("weldcache.cache.buckets.inventory._INTERVAL", 0.0)
    upload(filled.folder, bucket)
    copy = tmp_path / "copy.zarr"
    with monkeypatch.context() as patch:
        killing(patch, bucket, "read", after=after)
        with pytest.raises(Killed):
            download(bucket, copy)
    with pytest.raises(NotFoundError):
        FeatureStore.open(copy)
    download(bucket, copy)
    assert stored(copy) == stored(filled.folder)


def test_features_that_are_there_already_are_not_read(
    filled: FeatureStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(filled.folder, bucket)
    packs, packed = uploads.packed_files, []

    def pack(path: Path, sharding: shards.Sharding, shard: int, wanted: list[int]) -> bytes:
        packed.append(sharding.key(shard))
        return packs(path, sharding, shard, wanted)

    monkeypatch.setattr(uploads, "packed_files", pack)
    assert upload(filled.folder, bucket).num_copied == 0
    assert packed and not any(name.startswith("features/") for name in packed)
    path = filled.folder / TOKENS / "c.7.0.0"
    whole = path.read_bytes()
    for spoilt in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(spoilt)
        with pytest.raises(StoreError, match=r"c\.7\.0\.0 is damaged"):
            upload(filled.folder, bucket)
    path.write_bytes(whole)
    packed.clear()
    # The same bytes from other files: they are looked at again.
    write(filled, [7], of="other")
    assert upload(filled.folder, bucket).num_copied == 2  # sources and digests
    assert {name for name in packed if name.startswith("features/")} == {f"{TOKENS}_length/c.0", f"{TOKENS}/c.0.0.0"}


def test_what_changed_at_the_source_is_brought_up_to_date(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.zarr"
    upload(filled.folder, bucket)
    download(bucket, copy)
    filled.follow(make_index(NUM_ROWS + 3))
    write(filled, [5, NUM_ROWS + 1])
    filled.forget(SPEC.name, range(16, 24))  # of which one object has nothing left
    split_store(filled.path, "other", Dealing(by="CURRENT_A"), overwrite=False)
    sent = upload(filled.folder, bucket)
    assert 0 < sent.num_copied < sent.num_objects
    came = download(bucket, copy)
    assert 0 < came.num_copied < came.num_objects
    fresh = tmp_path / "fresh.zarr"
    download(bucket, fresh)
    assert stored(copy) == stored(fresh)
    opened = FeatureStore.open(copy)
    assert opened.read(f"{SPEC.name}/tokens", [NUM_ROWS + 1]).tobytes() == tokens_of(NUM_ROWS + 1).tobytes()
    assert opened.status(SPEC.name)[17] == Status.MISSING and "other" in opened.splits()


def test_a_mirror_outlives_a_change_of_how_many_chunks_share_an_object(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(filled.folder, bucket)
    download(bucket, tmp_path / "former.zarr")
    monkeypatch.setattr(shards, "_SHARD_BYTES", 5 * 100)
    array = f"{SPEC.name}/tokens"
    np.testing.assert_array_equal(FeatureStore.open(opens).read(array, COMPLETE), filled.read(array, COMPLETE))
    download(bucket, tmp_path / "fresh.zarr")
    assert stored(tmp_path / "fresh.zarr") == stored(filled.folder)
    assert download(bucket, tmp_path / "former.zarr").num_copied == 0
    assert upload(filled.folder, bucket).num_copied > 0
    assert len([name for name in bucket.listed() if name.startswith(f"{TOKENS}/c")]) == 6
    assert FeatureStore.open(opens).read(array, [7]).tobytes() == tokens_of(7).tobytes()


def test_what_another_puts_there_meanwhile_is_not_taken_for_ours(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{TOKENS}/c.0.0.0"
    with monkeypatch.context() as patch:
        said: list[bool] = []
        writes, removes = bucket.write, bucket.remove

        def write_and_tell(key: str, content: bytes) -> Any:
            if key == INVENTORY:
                said.append(parse_inventory(content, where="").complete)
            return writes(key, content)

        patch.setattr(bucket, "write", write_and_tell)
        patch.setattr(bucket, "remove", lambda names: removes(names) or replaced(bucket, name, 10))
        with pytest.raises(StoreError, match="Somebody else"):
            upload(filled.folder, bucket)
    assert said and not any(said)
    upload(filled.folder, bucket)
    bucket.write(name, bytes(bucket.read(name)))  # as whoever began before we ended does it, and maybe with other rows
    for read in (lambda: FeatureStore.open(opens), lambda: download(bucket, tmp_path / "copy.zarr")):
        with pytest.raises(StoreError, match="not the one that was put there"):
            read()


def test_a_copy_of_a_mirror_at_another_url_is_read(filled: FeatureStore, bucket: Bucket, tmp_path: Path) -> None:
    upload(filled.folder, bucket)
    copy = Bucket(BucketUrl("s3", "team", "copy.zarr"), objects=MemoryStore())
    for name in sorted(bucket.listed(), reverse=True):
        copy.write(name, bytes(bucket.read(name)))
    download(copy, tmp_path / "copy.zarr")
    assert stored(tmp_path / "copy.zarr") == stored(filled.folder)


def test_what_was_added_after_a_kill_at_the_very_end_is_not_overwritten(
    filled: FeatureStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(filled.folder, bucket)
    copy, writes = tmp_path / "copy.zarr", downloads.write_bytes

    def killed_after_it(path: Path, content: bytes) -> None:
        writes(path, content)
        if path == copy / "zarr.json":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "write_bytes", killed_after_it)
        with pytest.raises(Killed):
            download(bucket, copy)
    assert download(bucket, copy).num_copied == 0
    write(FeatureStore.open(copy), [5])
    before = stored(copy)
    with pytest.raises(OutputExistsError, match="would be lost"):
        download(bucket, copy)
    assert stored(copy) == before


def test_what_is_lost_of_the_features_here_is_brought_again(
    filled: FeatureStore, bucket: Bucket, tmp_path: Path
) -> None:
    upload(filled.folder, bucket)
    copy = tmp_path / "copy.zarr"
    download(bucket, copy)
    (copy / TOKENS / "c.7.0.0").unlink()
    (copy / TOKENS / "c.9.0.0").write_bytes(b"cut")
    (copy / TOKENS / "c.11.0.0").unlink()
    assert download(bucket, copy).num_copied == 2  # objects
    assert stored(copy) == stored(filled.folder)


def damaged(path: Path) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("index/keys/c/0", damaged),
        (f"status/{SPEC.name}/c.0", damaged),
        (f"status/{SPEC.name}/c.0", Path.unlink),
        (f"{TOKENS}/zarr.json", Path.unlink),
        ("splits/zarr.json", lambda path: path.write_bytes(b"")),
        ("zarr.json", damaged),
    ],
)
def test_what_is_damaged_or_gone_in_the_folder_is_brought_again(
    filled: FeatureStore, bucket: Bucket, tmp_path: Path, name: str, spoil: Callable[[Path], object]
) -> None:
    upload(filled.folder, bucket)
    copy = tmp_path / "copy.zarr"
    download(bucket, copy)
    spoil(copy / name)
    damaged(copy / TOKENS / "c.7.0.0")  # which is looked for where anything else is damaged
    assert 0 < download(bucket, copy).num_copied < 10
    assert stored(copy) == stored(filled.folder)


def test_damage_does_not_hide_a_change(filled: FeatureStore, bucket: Bucket, tmp_path: Path) -> None:
    upload(filled.folder, bucket)
    copy = tmp_path / "copy.zarr"
    download(bucket, copy)
    write(FeatureStore.open(copy), [5])
    damaged(copy / "index/keys/c/0")
    before = stored(copy)
    with pytest.raises(OutputExistsError, match="would be lost"):
        download(bucket, copy)
    assert stored(copy) == before


def test_nothing_of_another_is_overwritten(
    filled: FeatureStore, bucket: Bucket, make_index: Callable[..., Index], tmp_path: Path
) -> None:
    upload(filled.folder, bucket)
    other = FeatureStore.create(tmp_path / "other.zarr", index=make_index(3, start=100))
    with pytest.raises(OutputExistsError, match="another store"):
        upload(other.folder, bucket)
    with pytest.raises(OutputExistsError, match="no mirror"):
        download(bucket, other.folder)
    copy = tmp_path / "copy.zarr"
    download(bucket, copy)
    write(FeatureStore.open(copy), [5])
    with pytest.raises(OutputExistsError, match="would be lost"):
        download(bucket, copy)
    bucket.remove([INVENTORY])
    with pytest.raises(OutputExistsError, match="no mirror put there"):
        upload(filled.folder, bucket)


def test_a_damaged_chunk_is_not_sent_and_a_damaged_object_not_taken(
    filled: FeatureStore, bucket: Bucket, tmp_path: Path
) -> None:
    path = filled.folder / TOKENS / "c.7.0.0"
    whole = path.read_bytes()
    path.write_bytes(whole[:3] + b"x" + whole[4:])
    with pytest.raises(StoreError, match=r"c\.7\.0\.0 is damaged"):
        upload(filled.folder, bucket)
    path.write_bytes(whole)
    upload(filled.folder, bucket)
    replaced(bucket, f"{TOKENS}/c.0.0.0", 10)
    with pytest.raises(StoreError, match=r"tokens/c\.0\.0\.0 is gone or damaged"):
        download(bucket, tmp_path / "copy.zarr")
    assert upload(filled.folder, bucket).num_copied == 1
    download(bucket, tmp_path / "copy.zarr")
    assert stored(tmp_path / "copy.zarr") == stored(filled.folder)


class RowChunksContract:
    @pytest.fixture
    def chunks(self, filled: FeatureStore) -> RowChunks:
        raise NotImplementedError

    def test_rows_are_read_in_any_order_and_more_than_once(self, chunks: RowChunks) -> None:
        rows = [29, 1, 8, 7, 29, 16]
        expected = np.stack([tokens_of(row) for row in rows])
        np.testing.assert_array_equal(chunks.read(rows), expected)
        out = np.zeros_like(expected)
        assert chunks.read(rows, out=out) is out
        np.testing.assert_array_equal(out, expected)
        assert chunks.read([]).shape == (0, 6, 8)

    def test_checksums_are_those_of_the_chunks(self, chunks: RowChunks, filled: FeatureStore) -> None:
        ends = [(filled.folder / TOKENS / f"c.{row}.0.0").read_bytes()[-4:] for row in (4, 9)]
        assert chunks.checksums([4, 9, 10]) == [*(int.from_bytes(end, "little") for end in ends), None]

    def test_a_chunk_has_a_name_and_a_size(self, chunks: RowChunks) -> None:
        assert chunks.name_of(9).startswith(f"{TOKENS}/c.") and chunks.size_of(9) == 100


class TestFolderChunks(RowChunksContract):
    @pytest.fixture
    def chunks(self, filled: FeatureStore) -> RowChunks:
        return FolderChunks(filled.folder, filled.folder / TOKENS, (6, 8), np.dtype("<f2"))


class TestBucketChunks(RowChunksContract):
    @pytest.fixture
    def chunks(self, filled: FeatureStore, bucket: Bucket, opens: BucketUrl) -> RowChunks:
        upload(filled.folder, bucket)
        self.store = FeatureStore.open(opens)
        return self.store.chunks(f"{SPEC.name}/tokens")

    def test_rows_that_are_not_complete_are_refused(self, chunks: RowChunks, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreError, match="not complete"):
            chunks.read([4, 5])
        monkeypatch.setattr(self.store, "status", None)  # which is read once for an array, and not with each read
        assert self.store.chunks(f"{SPEC.name}/tokens") is chunks

    def test_neighbours_share_a_request(
        self, chunks: RowChunks, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        reads = bucket.read
        monkeypatch.setattr(bucket, "read", lambda name, **named: asked.append(name) or reads(name, **named))
        chunks.read(COMPLETE)
        assert sorted(asked) == [f"{TOKENS}/c.{shard}.0.0" for shard in range(4)]


def test_a_store_in_a_bucket_is_read_as_one_in_a_folder(filled: FeatureStore, bucket: Bucket, opens: BucketUrl) -> None:
    upload(filled.folder, bucket)
    there = FeatureStore.open(opens)
    assert there.fingerprint == filled.fingerprint and there.index.keys.tolist() == filled.index.keys.tolist()
    for name in SPEC.arrays:
        array = f"{SPEC.name}/{name.name}"
        np.testing.assert_array_equal(there.read(array, COMPLETE), filled.read(array, COMPLETE))
    np.testing.assert_array_equal(there.constant("text/prompt"), filled.constant("text/prompt"))
    with pytest.raises(StoreError, match="first is day/005"):
        there.read(f"{SPEC.name}/tokens", [4, 5])
    here, told = describe_store(filled), describe_store(there)
    assert told.pop("path") == str(URL) and told.pop("disk")["files"] == len(bucket.listed()) - 1
    assert told == {name: value for name, value in here.items() if name not in ("path", "disk")}


def test_verification_finds_a_flipped_byte_in_the_bucket(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl
) -> None:
    upload(filled.folder, bucket)
    assert [check.findings for check in verify_store(FeatureStore.open(opens))] == [
        check.findings for check in verify_store(filled)
    ]
    decayed(bucket, f"{TOKENS}/c.1.0.0", 10)
    damaged = FeatureStore.open(opens)
    (found,) = [finding for check in verify_store(damaged) for finding in check.findings if finding.severity == "error"]
    assert (found.check, found.key, found.file) == ("checksums", "day/008", f"{TOKENS}/c.1.0.0")
    with pytest.raises(StoreError, match="row 8 does not match its checksum"):
        damaged.read(f"{SPEC.name}/tokens", [8])


def test_a_store_that_is_replaced_while_it_is_read_is_not_mixed(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl
) -> None:
    upload(filled.folder, bucket)
    there = FeatureStore.open(opens)
    write(filled, [5])
    upload(filled.folder, bucket)
    with pytest.raises(StoreError, match="was changed while it was read"):
        there.read(f"{SPEC.name}/tokens", [4])


def test_an_object_that_is_cut_short_or_gone_is_noticed_before_a_row_is_read(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl
) -> None:
    upload(filled.folder, bucket)
    name = f"{TOKENS}/c.2.0.0"
    bucket.write(name, bytes(bucket.read(name))[:-1])
    with pytest.raises(StoreError, match="bytes, where"):
        FeatureStore.open(opens).read(f"{SPEC.name}/tokens", [1])
    bucket.remove([name])
    with pytest.raises(StoreError, match="is gone"):
        FeatureStore.open(opens).read(f"{SPEC.name}/tokens", [1])


def test_an_inventory_that_was_edited_is_refused(filled: FeatureStore, bucket: Bucket, opens: BucketUrl) -> None:
    upload(filled.folder, bucket)
    document = json.loads(bytes(bucket.read(INVENTORY)))
    del document["attributes"]["objects"][f"{TOKENS}/c.2.0.0"]
    bucket.write(INVENTORY, json.dumps(document).encode())
    with pytest.raises(StoreError, match="checksum"):
        FeatureStore.open(opens)


def test_one_side_of_a_mirror_is_a_folder(tmp_path: Path) -> None:
    for places in ((tmp_path, tmp_path / "b"), (URL, URL)):
        with pytest.raises(SettingsError, match="one of them"):
            mirror(*places)


def test_what_is_read_late_is_there_without_the_store(filled: FeatureStore, bucket: Bucket, opens: BucketUrl) -> None:
    points = TargetSpec("points", "float32", shape=(3,))
    told = target_of(points, [[1, 2, 3]] * NUM_ROWS, keys=filled.index.keys.tolist())
    filled.follow(replace(filled.index, targets={**filled.index.targets, "points": told}))
    upload(filled.folder, bucket)
    late = FeatureStore.open(opens).index.targets["points"]
    gc.collect()
    assert late.values.tolist() == [[1, 2, 3]] * NUM_ROWS


def test_a_temporary_folder_outlives_its_process_until_the_next_one_alone(
    filled: FeatureStore, bucket: Bucket, opens: BucketUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(filled.folder, bucket)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    in_use = FeatureStore.open(opens).folder
    abandoned, fresh = tmp_path / "weldcache-bucket-abcdefgh", tmp_path / "weldcache-bucket-stuvwxyz"
    for folder in (abandoned, fresh):
        (folder / "index").mkdir(parents=True)
    for folder in (abandoned, in_use):
        os.utime(folder, (0, 0))
    FeatureStore.open(opens)
    assert not abandoned.exists() and fresh.exists() and (in_use / "zarr.json").exists()


def test_another_process_finds_its_own_credentials(bucket: Bucket) -> None:
    rebuilt, arguments = bucket.__reduce__()
    assert rebuilt is Bucket and arguments == (URL,)
