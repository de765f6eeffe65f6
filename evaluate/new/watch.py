"""A folder that new samples come to: each is scored once, as soon as it is whole and nobody writes to it any more."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ...atomic import write_text
from ...documents import fingerprint, parse_json, read_regular_file
from ...errors import NotFoundError, SettingsError, SourceError, WeldcacheError, disk_named, reason_of
from ...extract.group_runner import kept_interrupt
from ...extract.sources.new import NewSamples
from ...extract.sources.source import Sample
from ...progress import say
from ...settings import Settings
from ...train.runs.trained_run import TrainedRun
from ...wording import count_of
from .features import samples_at, settings_here
from .lines import Emit, Tally
from .scorer import NewSampleScorer


class WatchState:
    """What was scored already, in a file of one line a sample, so that who starts again repeats nothing.

    The first line says by which run; what another run scored is scored again.
    """

    def __init__(self, path: Path, *, run: TrainedRun) -> None:
        """Raises SettingsError if the file is something else, WeldcacheError if it cannot be written."""
        self._path = path
        self._stamps: dict[str, str] = {}
        head = {"scored_by": run.folder.name, "manifest": fingerprint(run.manifest)}
        if path.exists():
            try:
                first, *lines = read_regular_file(path).decode().splitlines()
                by, told = parse_json(first), [parse_json(line) for line in lines if line.endswith("}")]
                if "manifest" not in by:
                    raise ValueError("its first line names no run")
                stamps = {str(line["key"]): str(line["stamp"]) for line in told}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise SettingsError(
                    f"{path} is not what `weldcache score --watch` writes ({error}); name another file with --state."
                ) from error
            if by == head:
                self._stamps = stamps
            else:
                say(f"{path} is of another run than {run.folder.path}: all that lies in the folder is scored again.")
        # Written anew, so that it has one line a sample, and none that a kill has cut short.
        lines = [json.dumps({"key": key, "stamp": stamp}) for key, stamp in self._stamps.items()]
        try:
            write_text(path, "".join(f"{line}\n" for line in [json.dumps(head), *lines]))
        except OSError as error:
            raise WeldcacheError(
                f"{path}, which is to remember what was scored, cannot be written ({reason_of(error)}); name another "
                "file with --state."
            ) from error

    def __len__(self) -> int:
        return len(self._stamps)

    def has(self, key: str, stamp: str) -> bool:
        """Whether a sample was scored with just these files."""
        return self._stamps.get(key) == stamp

    def add(self, key: str, stamp: str) -> None:
        """Remember that a sample was told."""
        self._stamps[key] = stamp
        with disk_named(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "stamp": stamp}) + "\n")


def watch_folder(
    run: TrainedRun,
    folder: Path,
    *,
    settings: Settings,
    emit: Emit,
    state: WatchState,
    every: float,
    patience: float,
    sleep: Callable[[float], object],
) -> Tally:
    """Look into `folder` every so many seconds and score what has come, until Ctrl-C.

    A sample that has all that the run looks at is scored once two looks find it the same; one that lacks something,
    once nothing of it has changed for `patience` seconds. What is replaced by other files is another sample.

    Raises what `score_paths` raises, but for what is wrong with the samples or the folder now and may be mended.
    """
    settings, tally, said = settings_here(run, settings), Tally("sample"), set[str]()
    arrivals = Arrivals(state, looks=max(1, math.ceil(patience / every)))
    say(f"Watching {folder}; {count_of(len(state), 'sample')} scored before. Ctrl-C ends.")
    try:
        while (found := _looked_if_there(run, folder, settings, said=said)) is None:
            sleep(every)
        tally.noun = found.noun
        with NewSampleScorer(run, found, settings=settings) as scorer, kept_interrupt() as raise_if_interrupted:
            while True:
                ready = list(arrivals.ready(found.listed, streams=scorer.streams))
                stamps = {sample.key: stamp for stamp, sample in ready}
                for scored in scorer([sample for _, sample in ready]) if ready else ():
                    emit(scored)
                    tally.add(scored)
                    state.add(scored.sample.key, stamps[scored.sample.key])
                    raise_if_interrupted()
                if ready:
                    say(f"{tally.counted()} so far.")
                sleep(every)
                try:
                    found = _looked(run, folder, settings)
                except (NotFoundError, SourceError) as error:  # such as a manifest that is being written
                    found = NewSamples(found.noun, folder, [], told=[str(error)])
                for line in found.told:
                    if line not in said:
                        say(line)
                        said.add(line)
    except KeyboardInterrupt:
        say(f"Ended: {tally.counted()}.")
    return tally


def _looked_if_there(run: TrainedRun, folder: Path, settings: Settings, *, said: set[str]) -> NewSamples | None:
    """What a first look finds; None where what it takes, such as a table, has not come yet, which is said once."""
    try:
        return _looked(run, folder, settings)
    except NotFoundError as error:
        if not folder.is_dir():
            raise
        if str(error) not in said:
            say(f"{error} It is waited for.")
            said.add(str(error))
        return None


def _looked(run: TrainedRun, folder: Path, settings: Settings) -> NewSamples:
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder} to watch.")
    return samples_at(run, [folder], settings=settings)


class Arrivals:
    """Tells which samples are not changing any more: who is whole after one look that found it the same, who lacks
    something after `looks` of them."""

    def __init__(self, state: WatchState, *, looks: int) -> None:
        self._state = state
        self._looks = looks
        self._seen: dict[str, tuple[str, int]] = {}

    def ready(self, samples: Sequence[Sample], *, streams: Mapping[str, int]) -> Iterator[tuple[str, Sample]]:
        """The samples to score now, each with a stamp of its files; so many files of `streams` make one whole."""
        seen = {}
        for sample in samples:
            stamp = _stamp(sample)
            if stamp is None or self._state.has(sample.key, stamp):
                continue
            before, looks = self._seen.get(sample.key, ("", 0))
            seen[sample.key] = stamp, looks + 1 if stamp == before else 0
            is_whole = all(
                stream in sample.vectors or len(sample.files.get(stream, ())) >= num for stream, num in streams.items()
            )
            if seen[sample.key][1] >= (1 if is_whole else self._looks):
                yield stamp, sample
        self._seen = seen


def _stamp(sample: Sample) -> str | None:
    """What tells a sample's files from others; None where it has none yet, or one is just being replaced."""
    files = [path for of_stream in sample.files.values() for path in of_stream]
    try:
        # However the folder was called, its files are the same.
        status = [(os.path.realpath(path), (found := path.stat()).st_size, found.st_mtime_ns) for path in files]
    except OSError:
        return None
    numbers = {name: list(values) for name, values in sample.vectors.items()}
    return fingerprint([[list(each) for each in status], numbers]) if status or numbers else None
