"""One writer at a time of a store in a bucket: an object says who it is, and counts up for as long as he lives.

A bucket has no locks. But a service puts an object on request only where there is none, or only over the version that
one has seen, so that of several who try, one succeeds. Who finds the object of another process of this machine knows
whether that lives. Of one elsewhere he waits whether it counts up: clocks of two machines are never compared.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from ...documents import parse_json
from ...errors import BusyError, WeldcacheError
from ...owners import Owner, called, is_here, lives, this_process
from ...progress import say
from ...wording import format_seconds
from ..nodes import Told
from .bucket import Bucket, Version

WRITER = "mirror/writer.json"  # the object
BEAT_SECONDS = 5.0  # between two signs of life
GRACE_SECONDS = 60.0  # without one, until a writer elsewhere is taken for dead; he stops some beats before that


class Writer(Told):
    """Who writes to a store; `token` is of no others than those who write together, and `beats` are counted up."""

    owner: Owner
    token: str
    is_shared: bool
    beats: int


@contextmanager
def written_by_one(bucket: Bucket) -> Iterator[Callable[[], None]]:
    """Be the only one who writes to the store in `bucket`. Yields what raises BusyError once another has taken over,
    which happens only to who could not reach the bucket for a while.

    Raises:
        BusyError: if somebody else writes to it.
    """
    with done_by_one(bucket, WRITER, doing="writes to it") as require_alone:
        yield require_alone


@contextmanager
def written_together(bucket: Bucket, *, token: str) -> Iterator[Callable[[], None]]:
    """As `written_by_one`, with others who have the same token. The object stays at the end, since others may go on:
    who ends the work removes it."""
    with _held(bucket, WRITER, doing="writes to it", token=token, is_shared=True) as require_alone:
        yield require_alone


@contextmanager
def done_by_one(bucket: Bucket, name: str, *, doing: str) -> Iterator[Callable[[], None]]:
    """Be the only one who holds the object `name`; as `written_by_one`. `doing` is what is said of another who does."""
    with _held(bucket, name, doing=doing, token=uuid.uuid4().hex, is_shared=False) as require_alone:
        yield require_alone


@contextmanager
def _held(bucket: Bucket, name: str, *, doing: str, token: str, is_shared: bool) -> Iterator[Callable[[], None]]:
    claim = _Claim(bucket, name, doing=doing, token=token, is_shared=is_shared)
    claim.take()
    heart = threading.Thread(target=claim.beat, name="writer", daemon=True)
    heart.start()
    try:
        with bucket.guarded(claim.require):
            yield claim.require
    finally:
        claim.ended.set()
        heart.join()
        if not is_shared and claim.is_held:
            bucket.remove([name])


class _Claim:
    """An object by which this process says that it is at something."""

    def __init__(self, bucket: Bucket, name: str, *, doing: str, token: str, is_shared: bool) -> None:
        self.ended = threading.Event()
        self.lost = False
        self._bucket = bucket
        self._name = name
        self._doing = doing
        self._writer = Writer(owner=this_process(), token=token, is_shared=is_shared, beats=0)
        self._version: Version = {}
        self._last = _now()

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have taken over by now."""
        return not self.lost and _now() - self._last < GRACE_SECONDS - 3 * BEAT_SECONDS

    def require(self) -> None:
        if not self.is_held:
            raise BusyError(
                f"{self._bucket.url} has another writer by now: this process could not reach it for "
                f"{format_seconds(GRACE_SECONDS)}. Wait for the other one to end, and run the same command again."
            )

    def take(self) -> None:
        """Become the writer; in the place of one who has died, if need be."""
        former: Version | None = None
        while not self._claim(former):
            found = _writer_in(self._bucket, self._name)
            former = None if found is None else self._taken_for_dead(*found)

    def beat(self) -> None:
        """Give signs of life until `ended`."""
        while not self.ended.wait(BEAT_SECONDS):
            self._writer = self._writer.model_copy(update={"beats": self._writer.beats + 1})
            try:
                self.lost = not self._claim(self._version)
            except WeldcacheError:
                continue  # which may be over next time, or else ends the claim in time
            if self.lost:
                return

    def _claim(self, former: Version | None) -> bool:
        asked, content = _now(), self._writer.model_dump_json().encode()
        version = self._bucket.claim(self._name, content, over=former)
        if version is None:
            # An answer may have been lost on the way, and the request have been sent twice.
            found = _writer_in(self._bucket, self._name)
            version = found[1] if found is not None and found[0].token == self._writer.token else None
        if version is None:
            return False
        self._version, self._last = version, asked  # since which others may count, however long the answer took
        return True

    def _taken_for_dead(self, writer: Writer, version: Version) -> Version:
        """The version of the object that a dead writer has left.

        Raises:
            BusyError: if he lives.
        """
        if is_here(writer.owner) and not writer.is_shared:  # else others may go on where the last who said so has ended
            if lives(writer.owner):
                raise self._busy(writer)
            return version
        say(
            f"{called(writer.owner)} wrote to {self._bucket.url}; waiting up to {format_seconds(GRACE_SECONDS)} to see "
            "whether it still does."
        )
        since = time.monotonic()
        while time.monotonic() - since < GRACE_SECONDS:
            time.sleep(BEAT_SECONDS / 2)
            found = _writer_in(self._bucket, self._name)
            if found is not None and found[0] != writer:
                raise self._busy(found[0])
            if found is None:
                break  # it has ended, and may have another follower
        return version

    def _busy(self, writer: Writer) -> BusyError:
        return BusyError(f"{self._bucket.url} is busy: {called(writer.owner)} {self._doing}. Wait for it to end.")


def _now() -> float:
    """Seconds of a clock that goes on while the machine sleeps: others do."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _writer_in(bucket: Bucket, name: str) -> tuple[Writer, Version] | None:
    found = bucket.claimed(name)
    if found is None:
        return None
    try:
        return Writer.model_validate(parse_json(found[0])), found[1]
    except (ValidationError, ValueError):
        raise BusyError(
            f"{bucket.url}/{name} does not say who writes to the store. If nobody does, remove it with the service's "
            "own tools."
        ) from None
