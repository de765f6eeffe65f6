"""What every service of objects keeps to, and what is said where one refuses."""

from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore, from_url

from weldcache.cache.buckets.bucket import Bucket
from weldcache.configs.place import BucketUrl
from weldcache.errors import BucketAccessError, BucketError, NotFoundError, SettingsError, StoreError

URL = BucketUrl("s3", "team", "some/prefix")


class BucketContract:
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def bucket(self, objects: Any) -> Bucket:
        return Bucket(URL, objects=objects)

    def test_what_was_written_is_listed_and_read(self, bucket: Bucket) -> None:
        assert bucket.listed() == {}
        held = {name: bucket.write(name, name.encode() * 3) for name in ("zarr.json", "features/a/c.0.0")}
        assert bucket.listed() == held and held["zarr.json"].size == 27
        assert bytes(bucket.read("features/a/c.0.0")) == b"features/a/c.0.0" * 3
        assert bytes(bucket.read("zarr.json", start=2, stop=6, version=held["zarr.json"].e_tag)) == b"rr.j"

    def test_another_version_is_refused(self, bucket: Bucket) -> None:
        before = bucket.write("a", b"one")
        bucket.write("a", b"another")
        with pytest.raises(StoreError, match="a is another by now"):
            bucket.read("a", version=before.e_tag)

    def test_what_is_gone_is_an_error_to_read_and_none_to_remove(self, bucket: Bucket) -> None:
        bucket.write("a", b"one")
        bucket.remove(["a"])
        assert bucket.listed() == {}
        with pytest.raises(StoreError, match="has no a"):
            bucket.read("a")


class TestMemory(BucketContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Any:
        return MemoryStore()


class TestFolder(BucketContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Any:
        return LocalStore(tmp_path)


@pytest.mark.distributed
class TestS3(BucketContract):
    @pytest.fixture
    def objects(self, s3: Any, tmp_path: Path) -> Any:
        return from_url(f"{s3.url}/contract/{tmp_path.name}", client_options={"allow_http": True})


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", NotFoundError, "no bucket team"),
        ("status code: 403 Forbidden: <Code>InvalidAccessKeyId</Code>", BucketAccessError, "AWS_ACCESS_KEY_ID"),
        ("status code: 400 Bad: <Code>AuthorizationHeaderMalformed</Code>", BucketAccessError, "AWS_REGION"),
        ("status code: 301 Moved", BucketAccessError, "AWS_REGION"),
        ("PUT http://169.254.169.254/latest/api/token failed", BucketAccessError, "no credentials were found"),
        ("HTTP error: error sending request", BucketAccessError, "AWS_ENDPOINT_URL"),
        ("status code: 503 Slow Down: <Code>SlowDown</Code>", BucketError, "503 SlowDown"),
    ],
)
def test_what_a_service_refuses_is_said_without_its_words(
    answer: str, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore

    def refuse(*_: object, **__: object) -> None:
        raise obstore.exceptions.GenericError(f"Server returned non-2xx {answer} sig=VERYSECRET")

    monkeypatch.setattr(obstore, "list", refuse)
    with pytest.raises(kind, match=said) as caught:
        Bucket(URL, objects=MemoryStore()).listed()
    assert "VERYSECRET" not in str(caught.value) and caught.value.__cause__ is None


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(SettingsError, match=r"weldcache\[s3\]"):
        Bucket(URL)
