"""What every service of objects keeps to, and what is said where one refuses."""

import base64
import hmac
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import obstore
import pytest
import requests
from obstore.store import LocalStore, MemoryStore, from_url

from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.download import download
from weldcache.cache.buckets.upload import upload
from weldcache.cache.store import FeatureStore
from weldcache.configs.place import BucketUrl
from weldcache.errors import BucketAccessError, BucketError, NotFoundError, SettingsError, StoreError
from weldcache.tests.cache.buckets.conftest import stored
from weldcache.tests.google_storage import GoogleStorage, served

URL = BucketUrl("s3", "team", "some/prefix")
_EMULATORS_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


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
        with pytest.raises(StoreError, match="has no a"):
            bucket.read("a")
        bucket.write("b", b"other")
        bucket.remove(["a", "b"])
        assert bucket.listed() == {}

    def test_a_mirror_is_known_again_and_comes_back(self, bucket: Bucket, filled: FeatureStore, tmp_path: Path) -> None:
        upload(filled.folder, bucket)
        assert upload(filled.folder, bucket).num_copied == 0
        download(bucket, tmp_path / "copy.zarr")
        assert stored(tmp_path / "copy.zarr") == stored(filled.folder)


class ServiceContract(BucketContract):
    def test_of_several_who_claim_a_name_one_is_first(self, bucket: Bucket) -> None:
        assert bucket.claim("a", b"one", over=None) is not None
        assert bucket.claim("a", b"other", over=None) is None
        held = bucket.claimed("a")
        assert held is not None and held[0] == b"one"
        assert bucket.claim("a", b"two", over=held[1]) is not None
        assert bucket.claim("a", b"late", over=held[1]) is None
        assert bytes(bucket.read("a")) == b"two" and bucket.claimed("b") is None


class TestMemory(ServiceContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Any:
        return MemoryStore()


class TestFolder(BucketContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Any:
        return LocalStore(tmp_path / "bucket", mkdir=True)


@pytest.mark.distributed
class TestS3(ServiceContract):
    @pytest.fixture
    def objects(self, s3: Any, tmp_path: Path) -> Any:
        return from_url(f"{s3.url}/contract/{tmp_path.name}", client_options={"allow_http": True})


@pytest.fixture(scope="module")
def google() -> Iterator[GoogleStorage]:
    """By a stand-in of our own: none of the package index takes all that obstore asks."""
    with served("team", token="a-token") as service:
        yield service


class TestGoogle(ServiceContract):
    @pytest.fixture
    def objects(self, google: GoogleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("GOOGLE_BASE_URL", google.address)
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", google.token)
        return from_url(f"gs://team/{tmp_path.name}", client_options={"allow_http": True})

    def test_who_may_not_and_what_is_not_there_is_said(self, objects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(NotFoundError, match="no bucket elsewhere"):
            Bucket(BucketUrl("gs", "elsewhere", "prefix")).listed()
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "another")
        with pytest.raises(BucketAccessError, match="GOOGLE_APPLICATION_CREDENTIALS"):
            Bucket(BucketUrl("gs", "team", "prefix")).listed()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of Microsoft's emulator of Azure, which is a package of npm (`npm install -g azurite`)."""
    if (program := shutil.which("azurite-blob")) is None:
        pytest.skip("azurite-blob is not installed here")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    options = ["--blobPort", str(port), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command = [program, *options, "--location", str(tmp_path_factory.mktemp("azurite"))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port}/devstoreaccount1"
        _make_container(address, "team")
        yield address
        process.terminate()


def _make_container(address: str, name: str) -> None:
    """What obstore cannot: it is asked for by the emulator's account, with the key that Microsoft made known to all."""
    account = address.rpartition("/")[2]
    told = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = ["PUT", *[""] * 11, *(f"{key}:{value}" for key, value in told.items())]
    signed = "\n".join([*lines, f"/{account}/{account}/{name}", "restype:container"])
    mac = hmac.digest(base64.b64decode(_EMULATORS_KEY), signed.encode(), "sha256")
    told["Authorization"] = f"SharedKey {account}:{base64.b64encode(mac).decode()}"
    requests.put(f"{address}/{name}?restype=container", headers=told, timeout=10).raise_for_status()


@pytest.mark.distributed
class TestAzure(ServiceContract):
    @pytest.fixture
    def objects(self, azurite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azurite)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", _EMULATORS_KEY)
        return from_url(f"az://team/{tmp_path.name}", client_options={"allow_http": True})

    @pytest.fixture
    def bucket(self, objects: Any) -> Bucket:
        return Bucket(BucketUrl("az", "team", "prefix"), objects=objects)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", NotFoundError, "no bucket team"),
        ("status code: 403 Forbidden: <Code>InvalidAccessKeyId</Code>", BucketAccessError, "AWS_ACCESS_KEY_ID"),
        ("status code: 400 Bad: <Code>AuthorizationHeaderMalformed</Code>", BucketAccessError, "AWS_REGION"),
        ("status code: 301 Moved", BucketAccessError, "AWS_REGION"),
        ("PUT http://169.254.169.254/latest/api/token failed", BucketAccessError, "no credentials were found"),
        ("HTTP error: error sending request", BucketAccessError, "AWS_ENDPOINT_URL"),
        ("status code: 404 None: <Code>ContainerNotFound</Code>", NotFoundError, "no bucket team"),
        ("cannot be read: source: OpenCredentials {", BucketAccessError, "none that can be used. Check AWS_ACCESS"),
        ("status code: 400 Bad Request: source: TokenRequest {", BucketAccessError, "none that can be used"),
        ("error sending request: source: TokenRequest {", BucketAccessError, "AWS_ENDPOINT_URL"),
        ("status code: 503 Slow Down: <Code>SlowDown</Code>", BucketError, "503 SlowDown"),
    ],
)
def test_what_a_service_refuses_is_said_without_its_words(
    answer: str, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise obstore.exceptions.GenericError(f"Server returned non-2xx {answer} sig=VERYSECRET")

    monkeypatch.setattr(obstore, "list", refuse)
    with pytest.raises(kind, match=said) as caught:
        Bucket(URL, objects=MemoryStore()).listed()
    assert "VERYSECRET" not in str(caught.value) and caught.value.__cause__ is None


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, name in (("s3", "AWS_ENDPOINT_URL"), ("gs", "GOOGLE_BASE_URL"), ("az", "AZURE_STORAGE_ENDPOINT")):
        for told in ("127.0.0.1:9000", "http://two words"):
            monkeypatch.setenv(name, told)
            with pytest.raises(BucketAccessError, match=f"{name} is no address"):
                Bucket(BucketUrl(scheme, "team", "prefix"))


def test_a_file_of_credentials_that_holds_none_is_told_without_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOGLE_BEARER_TOKEN", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"):
        monkeypatch.delenv(name, raising=False)  # which would be taken instead
    (tmp_path / "key.json").write_text("VERYSECRET")
    for name in ("key.json", "absent.json"):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / name))
        with pytest.raises(BucketAccessError, match="Check GOOGLE_APPLICATION_CREDENTIALS") as caught:
            Bucket(BucketUrl("gs", "team", "prefix"))
        assert "VERYSECRET" not in str(caught.value)


def test_azure_names_a_version_without_quotation_marks_when_it_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obstore, "list", lambda objects: [[{"path": "a", "size": 3, "e_tag": "0x8DF"}]])
    monkeypatch.setattr(obstore, "put", lambda *_, **__: {"e_tag": '"0x8DF"'})
    bucket = Bucket(BucketUrl("az", "team", "prefix"), objects=MemoryStore())
    assert bucket.write("a", b"one") == bucket.listed()["a"]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(SettingsError, match=r"weldcache\[s3\]"):
        Bucket(URL)
