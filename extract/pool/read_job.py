"""One sample's files read: prepared tensors or the reason for their absence, by feature, and the files behind them."""

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...cache.status import SourceFile, Status, source_file
from ...errors import DecodeError
from ..decode.decoded import Extents
from ..features.kind import Prepared, Reader
from ..plan import Job
from ..sources.source import Sample


@dataclass(frozen=True)
class Failure:
    """Why a sample lacks a feature."""

    status: Status
    reason: str


@dataclass(frozen=True)
class ReadJob:
    """A job with what its files held and which files these were, by feature."""

    job: Job
    prepared: Mapping[str, Prepared | Failure]
    sources: Mapping[str, tuple[SourceFile, ...]]  # empty where no file could be read to its end
    seconds: float = field(default=0.0, compare=False)  # how long it took to read


def read_job(
    job: Job, *, readers: Mapping[str, Reader], root: Path, begin: Callable[[str], object] = lambda _: None
) -> ReadJob:
    """Hash and decode the files of every feature in `job.decode`; `root` is what the files' paths are relative to.

    `begin` is told each feature before anything of it is read.

    Raises:
        MemoryError: if memory ran out, which says nothing about the files.
        Exception: what else a reader raised, other than `DecodeError`, with a note that names the sample.
    """
    started = time.perf_counter()
    files = SampleFiles(root)
    prepared: dict[str, Prepared | Failure] = {}
    sources: dict[str, tuple[SourceFile, ...]] = {}
    for feature in sorted(job.decode):
        begin(feature)
        try:
            outcome, sources[feature] = _read(job.sample, reader=readers[feature], files=files)
            prepared[feature] = _without_root(outcome, root)
        except Exception as error:
            if _is_of_memory(error):
                raise MemoryError(str(error)) from error
            error.add_note(f"This happened with the {feature} of {job.sample.key}.")
            raise
    return ReadJob(job=job, prepared=prepared, sources=sources, seconds=time.perf_counter() - started)


def _without_root(outcome: Prepared | Failure, root: Path) -> Prepared | Failure:
    """Files by their names in the data set: what is noted is kept in the store, which people share."""
    place = f"{root}/"
    if isinstance(outcome, Failure):
        return replace(outcome, reason=outcome.reason.replace(place, ""))
    return replace(outcome, notes=tuple(note.replace(place, "") for note in outcome.notes))


def _is_of_memory(error: Exception) -> bool:
    """Whether memory ran out, whatever the library calls it: PyTorch has a RuntimeError for it."""
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or no_memory or "DefaultCPUAllocator" in str(error)


class SampleFiles:
    """The files of one sample, each hashed once, however many features read it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[Path, tuple[SourceFile, tuple[int, int]]] = {}

    def of(self, sample: Sample, *, reader: Reader) -> tuple[SourceFile, ...] | Failure:
        """Describe the files and the numbers that `reader` takes, or say why a file cannot be."""
        described = []
        for path in reader.files(sample):
            try:
                described.append(self._describe(path))
            except OSError as error:
                return Failure(Status.UNREADABLE, f"{path} cannot be read: {error.strerror or error}.")
        return (*described, *sample.numbers(reader.stream))

    def measured(self, sources: Sequence[SourceFile], extents: Extents) -> tuple[SourceFile, ...]:
        """The files with what decoding told of their extent."""
        told = {path.relative_to(self._root).as_posix(): each for path, each in extents.items()}
        return tuple(replace(file, extent=told.get(file.path, {})) for file in sources)

    def _describe(self, path: Path) -> SourceFile:
        """Raises OSError for what is no regular file: a decoder that opens it by its name would wait for ever."""
        if path not in self._seen:
            before = _size_and_time(path)
            self._seen[path] = source_file(path, root=self._root), before
        return self._seen[path][0]

    def changed(self, path: Path) -> bool:
        """Whether a file is no longer what it was just before it was described."""
        try:
            return _size_and_time(path) != self._seen[path][1]
        except OSError:
            return True


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def why_nothing(sample: Sample, *, stream: str) -> Failure | None:
    """Why a sample has nothing to read of a stream, where the data set itself says so."""
    why = sample.why_absent(stream)
    return None if why is None else Failure(Status.UNREADABLE if stream in sample.unreadable else Status.ABSENT, why)


def _read(sample: Sample, *, reader: Reader, files: SampleFiles) -> tuple[Prepared | Failure, tuple[SourceFile, ...]]:
    stream = reader.stream
    if (missing := why_nothing(sample, stream=stream)) is not None:
        return missing, ()
    sources = files.of(sample, reader=reader)
    if isinstance(sources, Failure):
        return sources, ()
    outcome: Prepared | Failure
    try:
        outcome = reader(sample)
        sources = files.measured(sources, outcome.extents)
        outcome = replace(outcome, notes=outcome.notes + sample.notes.get(stream, ()))
    except DecodeError as error:
        outcome = Failure(Status.UNREADABLE, "; ".join((str(error), *sample.notes.get(stream, ()))))
    changed = [str(path) for path in reader.files(sample) if files.changed(path)]
    if changed:
        reason = f"{', '.join(changed)} changed while it was read. Run again when nothing writes to it any more."
        return Failure(Status.UNREADABLE, reason), ()
    return outcome, sources
