"""Who may write to a store together with others, and what each of them holds meanwhile."""

import errno
import fcntl
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from weldcache.atomic import is_locked, joint_folder, locked_folder, read_locked_folder
from weldcache.errors import BusyError, NoLocksError
from weldcache.extract.engines import joining
from weldcache.extract.engines.joining import SharedJob, held_rank, joined, read_shared_job

JOB = SharedJob(
    identity="ours",
    listing="same",
    engine="rank",
    num_workers=2,
    noun="sample",
    num_rows=1,
    num_done=0,
    num_spans=1,
    started=0.0,
)


def join(
    store: Path, *, prepare: Callable[[], SharedJob] | None, identity: str = "ours", listing: str = "same"
) -> AbstractContextManager[None]:
    return joined(store, identity=identity, listing=listing, prepare=prepare)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty folder in the place of a store: nobody looks into it here."""
    path = tmp_path / "features.zarr"
    path.mkdir()
    return path


def test_while_ranks_write_nobody_else_does(store: Path) -> None:
    with ExitStack() as held:
        held.enter_context(join(store, prepare=lambda: JOB))
        held.enter_context(join(store, prepare=lambda: pytest.fail("it was prepared twice")))
        with pytest.raises(BusyError), locked_folder(store):
            pass
        with pytest.raises(BusyError), read_locked_folder(store):
            pass
        with (
            pytest.raises(BusyError, match="--engine rank"),
            join(store, identity="theirs", prepare=lambda: JOB),
        ):
            pass
    with locked_folder(store), read_locked_folder(store.parent):
        assert not is_locked(joint_folder(store) / "writers.lock")


def test_ranks_wait_for_who_writes_alone_and_say_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "SETUP_SECONDS", 0.3)

    def prepare() -> SharedJob:
        with locked_folder(store):
            return JOB

    with (
        locked_folder(store),
        pytest.raises(BusyError, match="in use"),
        join(store, prepare=prepare),
    ):
        pass
    with join(store, prepare=prepare):
        assert read_shared_job(store) == JOB
    with (
        pytest.raises(BusyError, match="not there any more"),
        join(store, prepare=None),
    ):
        pass


def test_who_tries_to_be_the_first_while_the_first_lets_others_in_takes_nothing_away(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def prepare() -> SharedJob:
        attempts.append(store)
        with locked_folder(store):
            return JOB

    def flock_with_a_gap(descriptor: int, how: int) -> None:
        """What Linux may do on a change to a shared lock: give up the former, and let somebody else have it."""
        if how == fcntl.LOCK_SH:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            with monkeypatch.context() as patient:
                patient.setattr(joining, "SETUP_SECONDS", 0.0)
                with (
                    pytest.raises(BusyError, match="in use"),
                    join(store, prepare=prepare),
                ):
                    pass
        fcntl.flock(descriptor, how)

    monkeypatch.setattr(joining, "flock", flock_with_a_gap)
    with join(store, prepare=prepare):
        assert len(attempts) == 2
        assert read_shared_job(store) == JOB
        with join(store, prepare=prepare):
            assert len(attempts) == 2


def test_who_lists_other_samples_does_not_join(store: Path) -> None:
    with join(store, prepare=lambda: JOB):
        with pytest.raises(BusyError, match="other samples"), join(store, listing="another", prepare=lambda: JOB):
            pass
        with join(store, prepare=lambda: JOB):
            pass


def test_two_processes_are_not_the_same_rank(store: Path) -> None:
    with join(store, prepare=lambda: JOB), held_rank(store, 1):
        with held_rank(store, 0), pytest.raises(BusyError, match="Rank 1"), held_rank(store, 1):
            pass
        with held_rank(store, 0):
            pass


def test_a_drive_without_locks_is_told_at_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare() -> SharedJob:
        with locked_folder(store):
            return JOB

    def flock(_: int, __: int) -> None:
        raise OSError(errno.EBADF, "refused")

    monkeypatch.setattr("weldcache.atomic.flock", flock)  # as on NFS: of files, not of folders
    monkeypatch.setattr(joining.time, "sleep", lambda _: pytest.fail("it waits"))
    with pytest.raises(NoLocksError, match="does not lock folders"), join(store, prepare=prepare):
        pass
