"""Where the trials of a sweep are kept: a journal in its folder, or a database that several machines reach.

A journal is one file of lines that only grows, and needs locks that all its writers see: one machine, or a shared disk
that has them. NFS loses lines of it. A database is PostgreSQL, or SQLite for the processes of one machine. Each gives
locks, too, that end with who holds them: what is drawn next is decided by one process at a time.

Credentials are in no URL: the client library takes them from the environment (PGPASSWORD, PGPASSFILE) or ~/.pgpass.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

from ...errors import SettingsError, StoreError, StudyUnreachableError
from ...progress import say
from ...wording import listed, with_extra

JOURNAL = "journal.log"
_SCHEMES = ("postgresql", "sqlite")
# What the query of a URL may say, none of which is a secret.
_QUERY = ("application_name", "connect_timeout", "host", "port", "sslcert", "sslkey", "sslmode", "sslrootcert")
# How long PostgreSQL waits for a machine that has gone without a word, before it gives its locks to others: 25 seconds.
_KEEPALIVES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
_LOST = (sqlalchemy.exc.DBAPIError, StorageInternalError)  # what libraries say where a database does not answer


def require_storage(url: str | None) -> None:
    """Refuse a URL of a database before anything notes it.

    Raises:
        SettingsError: if it holds a password or what may be one, is of another kind, or its driver is not installed.
    """
    if url is None:
        return
    scheme, _, rest = url.partition("://")
    try:
        # As what connects reads it: where two readings differ, a password could hide.
        parts = sqlalchemy.make_url(url) if scheme in _SCHEMES and rest else None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        parts = None
    if parts is None:
        raise SettingsError(
            "--storage takes postgresql://USER@HOST/DATABASE, or sqlite:///FILE for the processes of one machine."
        )
    if parts.password is not None or not parts.query.keys() <= {*_QUERY}:
        raise SettingsError(
            "The URL of --storage stands in every run and page, so it holds no password, and behind a question mark "
            f"only {listed(_QUERY)}. Leave the rest out, and give a password in the environment (PGPASSWORD) or in "
            "~/.pgpass of each machine."
        )
    if scheme == "postgresql" and find_spec("psycopg") is None:
        raise SettingsError(f"PostgreSQL is reached by psycopg, which is not installed: {with_extra('postgresql')}.")


class TrialStorage:
    """The storage of one sweep, and its locks.

    Attributes:
        kept: Optuna's own.
        study: what the sweep is called in it.
        place: what messages call it.
    """

    def __init__(self, folder: Path, url: str | None, *, name: str) -> None:
        """Open the journal in `folder`, or the database at `url`, or begin one; `name` is that of the sweep.

        Raises:
            SettingsError: as `require_storage`.
            StoreError: if the journal is damaged.
            StudyUnreachableError: if there is no such database, or it does not answer.
        """
        require_storage(url)
        self._folder = folder
        self._engine = None if url is None or url.startswith("sqlite") else _engine(url)
        self.place = str(folder / JOURNAL) if url is None else url
        self.study = "sweep" if url is None else f"weldcache/{name}"
        # Tables that two processes make at once are refused to one of them.
        with self.alone("claims"), self.reached():
            if url is None:
                self.kept: BaseStorage = _journal(folder)
            else:
                # No pool: between two epochs a server may have started anew, and connections are few.
                self.kept = RDBStorage(_with_driver(url), engine_kwargs={"poolclass": sqlalchemy.NullPool})

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Give what a database that does not answer makes of a call a sentence.

        Raises:
            StudyUnreachableError: if it does not.
        """
        try:
            yield
        except _LOST as error:
            reason = str(getattr(error, "orig", None) or error.__cause__ or error).strip().partition("\n")[0]
            raise StudyUnreachableError(
                f"{self.place}, where the trials of the sweep are kept, does not answer: {reason}. What was tried is "
                "kept; see that it runs and lets this machine in, and give the same command again."
            ) from None

    @contextmanager
    def alone(self, purpose: str) -> Iterator[None]:
        """Hold a lock of the sweep, one for each purpose; it ends with the process."""
        if self._engine is None:
            lock = FileLock(self._folder / f".{purpose}.lock")
            lock.acquire()
            try:
                yield
            finally:
                lock.release()
            return
        name = int.from_bytes(hashlib.sha256(f"{self.study} {purpose}".encode()).digest()[:8], "big", signed=True)
        with self.reached():
            connection = self._engine.connect()
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:name)"), {"name": name})
        try:
            yield
        finally:
            connection.close()  # and the lock with it: nothing is pooled


class FileLock:
    """One process at a time; the lock ends with the process, so that a kill leaves none behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file = None


def _engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        _with_driver(url),
        poolclass=sqlalchemy.NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"options": _KEEPALIVES},
    )


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _journal(folder: Path) -> JournalStorage:
    lock = FileLock(folder / ".journal.lock")
    lock.acquire()  # half a line may be one that somebody is writing
    try:
        _drop_half_a_line(folder / JOURNAL)
    finally:
        lock.release()
    if _file_system(folder).startswith("nfs"):
        say(
            f"{folder} is on NFS, where a journal takes one machine at a time; several share a sweep by --storage "
            "postgresql://USER@HOST/DATABASE."
        )
    as_asked: Any = lock  # what the backend asks of a lock has no public name
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL), lock_obj=as_asked))


def _file_system(folder: Path) -> str:
    """Of which kind the disk is that a folder is on; "" where the system does not say."""
    real = folder.resolve()
    mounted = [each for each in psutil.disk_partitions(all=True) if real.is_relative_to(each.mountpoint)]
    return max(mounted, key=lambda each: len(each.mountpoint)).fstype if mounted else ""


def _drop_half_a_line(journal: Path) -> None:
    """What a machine wrote last when its power went; a line that is not whole makes the journal unreadable."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)
    try:
        for line in content.split(b"\n")[:-1]:
            json.loads(line)
    except ValueError:
        raise StoreError(
            f"{journal} is damaged: a line of it is no JSON. Restore it from a copy, or give the sweep another --name."
        ) from None
