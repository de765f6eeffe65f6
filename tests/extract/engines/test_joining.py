"""Who may write to a store together with others, and what each of them holds meanwhile."""

import fcntl
from pathlib import Path

import pytest

from weldcache.atomic import locked_folder
from weldcache.errors import BusyError
from weldcache.extract.engines import joining
from weldcache.extract.engines.joining import Job, joined, read_job

JOB = Job(
    identity="ours", engine="rank", num_workers=2, noun="sample", num_rows=1, num_done=0, num_spans=1, started=0.0
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty folder in the place of a store: nobody looks into it here."""
    path = tmp_path / "features.zarr"
    path.mkdir()
    return path


def test_who_tries_to_be_the_first_while_the_first_lets_others_in_takes_nothing_away(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def prepare() -> Job:
        attempts.append(store)
        with locked_folder(store):
            return JOB

    def flock_with_a_gap(descriptor: int, how: int) -> None:
        """What Linux may do on a change to a shared lock: give up the former, and let somebody else have it."""
        if how == fcntl.LOCK_SH:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            with monkeypatch.context() as patient:
                patient.setattr(joining, "SETUP_SECONDS", 0.0)
                with pytest.raises(BusyError, match="in use"), joined(store, identity="ours", prepare=prepare):
                    pass
        fcntl.flock(descriptor, how)

    monkeypatch.setattr(joining, "flock", flock_with_a_gap)
    with joined(store, identity="ours", prepare=prepare):
        assert len(attempts) == 2
        assert read_job(store) == JOB
        with joined(store, identity="ours", prepare=prepare):
            assert len(attempts) == 2
