"""Every error that a user can meet.

Those of our own are classes; what the machine refuses (the system, memory, the depth of what is nested) gets its
sentence here too. Each class also inherits the built-in error that a caller of the Python API would expect. A message
says what is wrong, where (file, row, sample, setting), and what to do. The command line prints the message alone and
turns `exit_code` into its exit status: 2 for bad input, 1 for a run that failed, 3 for one that is not good enough.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .wording import visible

_NEARLY_FULL = 1 << 20  # bytes; with fewer free, a library that only says that writing failed means the disk
_AGAIN = "What was complete is kept; run the same command again to go on."
# What is wrong with a path that the user gave: nothing was begun.
_BAD_INPUT = frozenset(
    {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
)
_ADVICE = {
    errno.ENOSPC: f"Make room there. {_AGAIN}",
    errno.EDQUOT: f"Make room in your quota there. {_AGAIN}",
    errno.EFBIG: f"The drive takes no file of that size; choose another. {_AGAIN}",
    errno.EROFS: "It is on a disk that is read-only here; name a place that can be written to.",
    errno.EACCES: "See whose it is and who may read and write it (ls -l).",
    errno.EPERM: "See whose it is and who may read and write it (ls -l).",
    errno.EIO: f"The disk or the network drive fails: see the system's log. {_AGAIN}",
    errno.ESTALE: f"The network drive has lost it; see that it is mounted. {_AGAIN}",
    errno.ENOENT: "Check the path.",
    errno.EEXIST: "Move it away, or name another place.",
    errno.ENOTDIR: "A file stands where a folder is wanted; name another place.",
    errno.EISDIR: "A folder stands where a file is wanted; move it away, or name another place.",
    errno.ENOTEMPTY: "Somebody else has written there meanwhile; name another place.",
    errno.ENAMETOOLONG: "Choose a shorter name: most drives take 255 bytes a name.",
    errno.ELOOP: "It is a link that leads to itself; remove it.",
    errno.EMFILE: "Too many files are open in this process; raise the limit (ulimit -n).",
    errno.ENFILE: "Too many files are open on this machine.",
    errno.ENOMEM: "Memory ran out: close other programs.",
}


class WeldcacheError(Exception):
    """Base of all errors meant for the user."""

    exit_code = 1


class BadInputError(WeldcacheError):
    """The user's input cannot be used as it is; nothing was changed."""

    exit_code = 2


class SettingsError(BadInputError, ValueError):
    """A setting is unknown, malformed or out of range."""


class SourceError(BadInputError, ValueError):
    """A data set's layout or manifest cannot be read."""


class NotFoundError(BadInputError, FileNotFoundError):
    """Data, a cache or a run that a command needs is not there; the message names the command that makes it."""


class FingerprintError(BadInputError, ValueError):
    """A cache was made by something other than what is asked for; the message names each difference."""


class StoreError(WeldcacheError, ValueError):
    """A feature store is damaged, or is asked for rows or arrays that it does not hold."""


class BucketError(WeldcacheError, RuntimeError):
    """The service that keeps a bucket fails."""


class BucketAccessError(BadInputError, RuntimeError):
    """A bucket cannot be had as it was asked for: its service, its region or the credentials for it are not right."""


class OutputExistsError(BadInputError, FileExistsError):
    """Writing here would replace earlier work."""


class BusyError(WeldcacheError, RuntimeError):
    """Another process writes to the same folder."""


class NoLocksError(BusyError):
    """The drive does not lock files or folders, so that writers cannot be kept apart: waiting for others is no use."""


class DecodeError(WeldcacheError, ValueError):
    """A media file cannot be decoded. `extract` records it for its sample and goes on."""


class BackboneError(BadInputError, ValueError):
    """A backbone cannot be loaded, or does not offer what is asked of it."""


class PrecisionError(WeldcacheError, ArithmeticError):
    """Values do not fit the storage type: they would overflow, or are not finite."""


class MetricError(BadInputError, ValueError):
    """A metric is undefined for these scores and labels."""


class TrainingError(WeldcacheError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


class TooFewSamplesError(TrainingError):
    """There are fewer samples than what is to be fitted to them takes, which another run does not change."""

    exit_code = 2


class BoundError(WeldcacheError):
    """A run was judged, and is not as good as the user demands."""

    exit_code = 3


class StudyUnreachableError(WeldcacheError, ConnectionError):
    """The database that keeps the trials of a sweep does not answer."""


class StoppedError(WeldcacheError):
    """Ctrl-C ended what does not go on where it was."""

    exit_code = 130


@dataclass(frozen=True)
class Refusal:
    """A sentence for the user, and the exit status: 2 where what was given is at fault, 1 where the run failed."""

    sentence: str
    exit_code: int


def reason_of(error: Exception) -> str:
    """What the system refused, in its own words, or in those of a library that has them from the system."""
    return getattr(error, "strerror", None) or str(error)


def refusal_of(error: BaseException) -> Refusal | None:
    """What the machine refused, or None for an error of another kind, which is a fault of the program."""
    if isinstance(error, MemoryError):
        asked = f" ({error})" if str(error) else ""
        return Refusal(
            f"Memory ran out{asked}. Close other programs, or ask for less at once (extract.batch_size, "
            f"extract.workers, train.batch_size, train.loading=streamed). {_AGAIN}",
            1,
        )
    if isinstance(error, RecursionError):
        return Refusal("Something that was read is nested too deep to be sane; --debug shows where.", 2)
    if isinstance(error, UnicodeEncodeError):
        return Refusal(
            f"A name holds bytes that are not UTF-8 ({visible(error.object)}); rename it (convmv does whole trees).", 2
        )
    if isinstance(error, ModuleNotFoundError) and str(error).startswith("Could not import module"):
        # Transformers' own words for a class behind which a library does not fit: torchvision, nearly always.
        return Refusal(
            f"transformers cannot be imported ({error.__cause__ or error}). If torchvision is installed, it has to be "
            "the one that belongs to the torch that is installed; weldcache does without: pip uninstall torchvision.",
            1,
        )
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return Refusal("A path holds a NUL character; write it without.", 2)
    return _refusal_of_system(error) if isinstance(error, OSError) and error.errno is not None else None


def _refusal_of_system(error: OSError) -> Refusal:
    number = error.errno or 0
    paths = [
        os.fspath(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)
    ]
    where = " and ".join(os.fsdecode(path) for path in paths)
    what = error.strerror or os.strerror(number)
    sentence = f"{where}: {what[:1].lower()}{what[1:]}." if where else f"{what}."
    advice = _ADVICE.get(number, "--debug shows where.")
    return Refusal(f"{sentence} {advice}", 2 if number in _BAD_INPUT else 1)


@contextlib.contextmanager
def disk_named(path: Path) -> Iterator[None]:
    """Give the operating system's refusals the path that was worked on; other errors pass unless the disk is full.

    A write that a full disk refuses names no file. Libraries in Rust put the system's number into a text, and
    libsndfile says no more than that it failed: these become the OSError that they come from.
    """
    try:
        yield
    except WeldcacheError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    except Exception as error:
        number = _system_error_of(error, path)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


@contextlib.contextmanager
def disk_errors(
    path: Path, *, kept: str = "Complete rows are safe", kinds: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Turn the system's refusal to write to `path` into a sentence; `kept` says what is not lost by it, and `kinds` are
    the errors that a library has for it.

    Raises:
        StoreError: if the disk is full or refuses the write.
    """
    try:
        yield
    except WeldcacheError:
        raise  # some of which are OSErrors too, and have their own words
    except kinds as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room" if full else "see that it can be written there"
        raise StoreError(
            f"Writing to {path} failed: {reason_of(error)}. {kept}; {advice} and run the same command again."
        ) from error


def _system_error_of(error: Exception, path: Path) -> int | None:
    """The number of the system's error behind another library's; None where there is none."""
    if told := re.search(r"\(os error (\d+)\)", str(error)):
        return int(told[1])
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    return errno.ENOSPC if shutil.disk_usage(existing).free < _NEARLY_FULL else None
