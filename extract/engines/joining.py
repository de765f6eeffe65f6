"""Several processes that write to one store: who may join, and the locks that they hold.

Beside the store lies a folder with two lock files and `job.json`. Whoever writes holds `writers.lock` shared, and the
store's folder too, so that nobody writes alone meanwhile. One who gets `writers.lock` for himself is the first: he
prepares the store while the others wait, and says in `job.json` what it was prepared for. Who comes later joins, if he
is about the same. Records of many rows share a file; `records.lock` is held by the one who changes any.

The locks are on files that are open for writing, since on a network drive others are refused, or hold on one machine
alone.
"""

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ...atomic import WRITERS_LOCK, joint_folder, shared_folder, write_json
from ...cache.nodes import Told
from ...documents import faults_told, read_document
from ...errors import BusyError, NoLocksError, NotFoundError, StoreError
from ...progress import say
from ...wording import format_seconds

JOB_FILE = "job.json"
SETUP_SECONDS = 900.0  # that others may prepare a store: listing, checking and hashing a large data set takes minutes
_LOOK_SECONDS = 0.1
_SILENT_SECONDS = 20.0
_REFUSALS = 3  # of the lock in a row, after which others are at work: who only looks has it for microseconds
_RECORDS_LOCK = "records.lock"

_Text = Annotated[str, Field(max_length=300)]
_Count = Annotated[int, Field(ge=0)]


class SharedJob(Told):
    """An extraction that several processes work on, as it was when the store was prepared for it; JSON.

    Attributes:
        identity: equal for all who may work on it together.
        listing: fingerprint of what is made of which samples; spans mean the same where it is equal.
        num_done: rows that had nothing to write then, of `num_rows`.
    """

    identity: _Text
    listing: _Text
    engine: _Text
    num_workers: _Count
    noun: _Text
    num_rows: _Count
    num_done: _Count
    num_spans: _Count
    started: float


def read_shared_job(store_path: Path) -> SharedJob:
    """What is being, or was last, worked on by several processes.

    Raises:
        NotFoundError: if nothing was.
        StoreError: if the file that says it is damaged.
    """
    path = joint_folder(store_path) / JOB_FILE
    try:
        return SharedJob.model_validate(read_document(path))
    except FileNotFoundError:
        raise NotFoundError(
            f"No extraction by several workers was begun at {store_path}. Begin one with `weldcache extract --workers "
            "N` or another --engine; `weldcache info` tells what a store holds."
        ) from None
    except ValidationError as error:
        raise StoreError(f"{path} does not tell of an extraction ({faults_told(error)}); remove it.") from None
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); remove it.") from None


@contextmanager
def joined(store_path: Path, *, identity: str, listing: str, prepare: Callable[[], SharedJob] | None) -> Iterator[None]:
    """Be one of those who write to a store, after one has prepared it; `identity` and `listing` are as in `SharedJob`.

    Without `prepare` somebody else must be at work.

    Raises:
        BusyError: if others write to it who are about something else, or it is not ready in time.
        NoLocksError: if the drive has no locks.
        Exception: what `prepare` raised, where it was called.
    """
    folder = joint_folder(store_path)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        writers = held.enter_context(_opened(folder / WRITERS_LOCK))
        waited_since, told, refused = time.monotonic(), False, 0
        while True:
            if not (folder / WRITERS_LOCK).exists():
                raise BusyError(f"{folder} has just been removed; run the same command again.")
            if _try_lock(writers, LOCK_EX):
                if _is_first(store_path, writers, held, prepare):
                    break
                refused = 0
            elif (refused := refused + 1) > _REFUSALS and _joins(store_path, writers, held, identity, listing):
                break
            waited = time.monotonic() - waited_since
            if waited > SETUP_SECONDS:
                raise BusyError(
                    f"{store_path} has been in use for {format_seconds(waited)}: another process prepares it, reads it "
                    "or writes to it alone. See what does (`lsof`), and run the same command again when it has ended."
                )
            if waited > _SILENT_SECONDS and not told:
                told = True
                say(f"Waiting for {store_path}: another process prepares it, reads it or writes to it alone.")
            time.sleep(_LOOK_SECONDS)
        yield


@contextmanager
def held_rank(store_path: Path, rank: int) -> Iterator[None]:
    """Be the only process that is this rank; for those who have joined.

    Raises:
        BusyError: if another one is: both would write the same rows.
    """
    with _opened(joint_folder(store_path) / f"rank-{rank}.lock") as descriptor:
        if not _try_lock(descriptor, LOCK_EX):
            raise BusyError(
                f"Rank {rank} of the extraction into {store_path} is at work already (`weldcache extract --status` "
                "says where). Give each process a rank of its own; start one again when its former process is gone."
            )
        yield


def recording_lock(store_path: Path) -> Callable[[], Any]:
    """What a `StoreWriter` of one of several processes holds while it changes records."""
    return partial(_locked_file, joint_folder(store_path) / _RECORDS_LOCK)


def _is_first(store_path: Path, writers: int, held: ExitStack, prepare: Callable[[], SharedJob] | None) -> bool:
    """Prepare the store, with `writers` for oneself; False where its folder is in use, and the lock is given back."""
    if prepare is None:
        raise BusyError(f"Whoever was to write to {store_path} together with this process is not there any more.")
    folder = joint_folder(store_path)
    for former in (folder / JOB_FILE, *folder.glob("worker-*")):
        former.unlink(missing_ok=True)  # before all else: nobody may join what is over
    try:
        job = prepare()
        held.enter_context(shared_folder(store_path))
    except NoLocksError:
        raise
    except BusyError:
        flock(writers, LOCK_UN)
        return False
    # Not atomic: another may get the lock for himself in between. He removes what says whom to join, finds the folder
    # in use and gives the lock back, so that it is written only when nobody can do so any more.
    flock(writers, LOCK_SH)
    write_json(folder / JOB_FILE, job.model_dump(mode="json"))
    return True


def _joins(store_path: Path, writers: int, held: ExitStack, identity: str, listing: str) -> bool:
    """Join those who are at work; False where the first of them is not ready."""
    if not _try_lock(writers, LOCK_SH):
        return False
    try:
        job = read_shared_job(store_path)
    except NotFoundError:
        flock(writers, LOCK_UN)
        return False
    if job.identity != identity:
        raise BusyError(
            f"{store_path} is busy: {job.num_workers} workers of another extraction (--engine {job.engine}) write to "
            "it. Wait for them to end; all who work together need the same settings and number of workers."
        )
    if job.listing != listing:
        raise other_samples(str(store_path))
    held.enter_context(shared_folder(store_path))
    return True


def other_samples(store: str) -> BusyError:
    """What is said to a worker who lists other samples than those whom he would join."""
    return BusyError(
        f"{store} is busy: its workers list other samples of the data set than {socket.gethostname()} does now, or "
        "make other features of them. Either files came or went since they began, or not all machines see the same. "
        "Complete rows are safe; run the same command again when the workers have ended."
    )


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    with _opened(path) as descriptor:
        flock(descriptor, LOCK_EX)
        yield


def _try_lock(descriptor: int, how: int) -> bool:
    try:
        flock(descriptor, how | LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise NoLocksError(
                f"The drive that the store is on does not lock files ({error.strerror}), so several writers could not "
                "be kept apart. Put the store on one that does, or extract with one process."
            ) from error
        return False
    return True
