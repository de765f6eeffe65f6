"""A bucket that somebody else fills: nothing outside a store is written, and nothing is read that is longer than it
says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.download import download
from weldcache.cache.buckets.inventory import INVENTORY, sha256_of
from weldcache.cache.buckets.upload import upload
from weldcache.cache.store import FeatureStore
from weldcache.configs.place import BucketUrl
from weldcache.documents import sealed
from weldcache.errors import StoreError

URL = BucketUrl("s3", "stranger", "features.zarr")


@pytest.fixture
def bucket(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A mirror of the attacker's store, which is opened at the URL."""
    bucket = Bucket(URL, objects=MemoryStore())
    upload(store.folder, bucket)
    monkeypatch.setattr("weldcache.cache.buckets.opened.Bucket", lambda url: bucket)
    return bucket


def forge(bucket: Bucket, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the objects that the inventory lists, and seal it as it was sealed."""
    told = json.loads(bytes(bucket.read(INVENTORY)))
    change(told["attributes"]["objects"])
    bucket.write(INVENTORY, json.dumps({**told, "attributes": sealed(told["attributes"])}).encode())


def refused(bucket: Bucket, folder: Path, why: str) -> None:
    for reading in (lambda: FeatureStore.open(URL), lambda: download(bucket, folder / "in" / "copy.zarr")):
        with pytest.raises(StoreError, match=why):
            reading()


@pytest.mark.parametrize("name", ["../outside/zarr.json", "index/../../outside/zarr.json", "/outside/zarr.json"])
def test_names_that_lead_out_are_refused(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    forge(bucket, lambda objects: objects.update({name: objects["index/zarr.json"]}))
    held, listed, reads = bucket.listed()["index/zarr.json"], bucket.listed, bucket.read
    # No honest service takes such names, so that an attacker needs one of his own.
    monkeypatch.setattr(bucket, "listed", lambda: {**listed(), name: held})
    monkeypatch.setattr(bucket, "read", lambda key, **named: reads("index/zarr.json" if key == name else key, **named))
    refused(bucket, tmp_path, "is no name of anything in a store")
    assert not list(tmp_path.rglob("outside"))


def test_an_object_that_is_longer_than_the_inventory_says_is_not_read(bucket: Bucket, tmp_path: Path) -> None:
    bucket.write("index/zarr.json", b" " * 100_000 + bytes(bucket.read("index/zarr.json")))
    refused(bucket, tmp_path, "is gone or damaged")


def test_an_index_that_leads_out_of_its_object_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    name = "status/sensor/c.0"
    content = bytearray(bucket.read(name))
    content[-20:-12] = (1 << 40).to_bytes(8, "little")  # where the only chunk begins

    def change(objects: dict[str, Any]) -> None:
        objects[name] |= {"sha256": sha256_of(bytes(content)), "e_tag": bucket.listed()[name].e_tag}

    bucket.write(name, bytes(content))
    forge(bucket, change)
    refused(bucket, tmp_path, "index")


@pytest.mark.parametrize("size", [0, 7, 1 << 40])
def test_shards_that_hold_no_whole_number_of_chunks_are_refused(bucket: Bucket, tmp_path: Path, size: int) -> None:
    name = "status/sensor/zarr.json"
    told = json.loads(bytes(bucket.read(name)))
    told["chunk_grid"]["configuration"]["chunk_shape"] = [size]
    content = json.dumps(told).encode()
    held = bucket.write(name, content)
    entry = {"size": held.size, "sha256": sha256_of(content), "e_tag": held.e_tag}
    forge(bucket, lambda objects: objects.update({name: entry}))
    refused(bucket, tmp_path, "shards are not made of whole chunks")


def test_objects_that_belong_to_no_array_are_refused(bucket: Bucket, tmp_path: Path) -> None:
    forge(bucket, lambda objects: objects.update({"index/keys/c/99999": objects["index/keys/c/0"]}))
    refused(bucket, tmp_path, "belongs to no array")


@pytest.mark.parametrize("name", ["index/keys/zarr.json", "index/keys", "status"])
def test_a_link_in_a_mirrors_folder_is_not_written_through(bucket: Bucket, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy.zarr"
    download(bucket, folder)
    outside = (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(outside)
    led_to = [path for path in (outside, *outside.rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in led_to]
    with pytest.raises(StoreError, match="is a link"):
        download(bucket, folder)
    assert [path.read_bytes() for path in led_to] == before
