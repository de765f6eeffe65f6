"""One writer at a time."""

import errno
from pathlib import Path

import pytest

from weldcache.errors import BusyError
from weldcache.locking import locked_folder


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with locked_folder(tmp_path), pytest.raises(BusyError, match="another process is writing"), locked_folder(tmp_path):
        pass
    with locked_folder(tmp_path):
        pass


def test_the_lock_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked_folder(tmp_path):
        raise KeyError
    with locked_folder(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(_: int, __: int) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("weldcache.locking.flock", flock)
    with pytest.raises(BusyError, match="does not lock") as told, locked_folder(tmp_path):
        pass
    assert str(tmp_path) in str(told.value)
