"""One writer at a time: who lives is waited for, who has died is followed, and who was replaced knows it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from weldcache import owners
from weldcache.cache.buckets import writing
from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.writing import WRITER, written_by_one, written_together
from weldcache.errors import BusyError, StoreError


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(writing, "GRACE_SECONDS", 1e6)


@contextmanager
def elsewhere() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owners, "_machine", lambda: "another start of another machine")
        patch.setattr(owners.socket, "gethostname", lambda: "elsewhere")
        yield


def left(bucket: Bucket, writer: str) -> None:
    """Put the object of a writer there that is gone, as a kill leaves it."""
    bucket.write(WRITER, writer.encode())


def test_the_second_writer_is_refused_and_the_next_one_is_not(bucket: Bucket) -> None:
    with written_by_one(bucket) as require_alone:
        require_alone()
        with pytest.raises(BusyError, match="writes to it"), written_by_one(bucket):
            pass
        require_alone()
    assert bucket.listed() == {}
    with written_by_one(bucket):
        assert list(bucket.listed()) == [WRITER]


def test_one_elsewhere_that_counts_up_is_refused_and_one_that_does_not_is_followed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with elsewhere():
        there = written_by_one(bucket)
        require_alone = there.__enter__()
        silent = bytes(bucket.read(WRITER)).decode()
    with pytest.raises(BusyError, match="on elsewhere writes to it"), written_by_one(bucket):
        pass
    require_alone()
    with elsewhere():
        there.__exit__(None, None, None)
    left(bucket, silent)
    monkeypatch.setattr(writing, "GRACE_SECONDS", 0.2)
    with written_by_one(bucket):
        assert b"elsewhere" not in bytes(bucket.read(WRITER))


def test_one_who_has_died_on_this_machine_is_followed_at_once(bucket: Bucket) -> None:
    owner = {**owners.this_process(), "born": 1.0}
    left(bucket, json.dumps({"owner": owner, "token": "another", "is_shared": False, "beats": 3}))
    with written_by_one(bucket):
        pass


def test_who_was_replaced_knows_it_and_leaves_the_object_of_the_other(bucket: Bucket) -> None:
    with written_by_one(bucket) as require_alone:
        left(bucket, json.dumps({"owner": owners.this_process(), "token": "another", "is_shared": False, "beats": 0}))
        deadline = time.monotonic() + 60
        with pytest.raises(BusyError, match="another writer by now"):
            while time.monotonic() < deadline:
                require_alone()
                time.sleep(0.01)
        for change in (
            lambda: bucket.write("a", b""),
            lambda: bucket.create("a", b""),
            lambda: bucket.remove([WRITER]),
        ):
            with pytest.raises(BusyError):
                change()
    assert list(bucket.listed()) == [WRITER]


def test_of_several_who_come_at_once_one_writes(bucket: Bucket) -> None:
    dead = {**owners.this_process(), "born": 1.0}
    left(bucket, json.dumps({"owner": dead, "token": "dead", "is_shared": False, "beats": 0}))
    came: list[str] = []
    barrier = threading.Barrier(4)

    def come() -> None:
        barrier.wait()
        try:
            with written_by_one(bucket):
                came.append("writes")
                barrier.wait()
        except BusyError:
            came.append("refused")
            barrier.wait()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == ["refused"] * 3 + ["writes"]


def test_what_says_nothing_is_not_taken_for_a_writer(bucket: Bucket) -> None:
    left(bucket, "{}")
    with pytest.raises(BusyError, match="remove it"), written_by_one(bucket):
        pass


def test_those_who_write_together_keep_others_out_also_when_the_first_has_ended(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written_together(bucket, token="all of us"):
        with written_together(bucket, token="all of us") as second:
            second()
        with pytest.raises(BusyError, match="writes to it"), written_by_one(bucket):
            pass
    assert list(bucket.listed()) == [WRITER]  # others may come
    with written_together(bucket, token="all of us"):
        pass
    monkeypatch.setattr(writing, "GRACE_SECONDS", 0.2)
    with written_by_one(bucket):
        pass


def test_what_is_gone_is_nobodys_and_cannot_be_claimed_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As S3 says it: with a 404, where others say that the version is another."""
    version = bucket.claim("a", b"1", over=None)

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError("404 Not Found")

    monkeypatch.setattr("obstore.put", refuse)
    assert bucket.claim("a", b"2", over=version) is None
    with pytest.raises(StoreError):
        bucket.claim("a", b"2", over=None)
