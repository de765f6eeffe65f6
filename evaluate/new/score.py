"""`weldcache score` as a story: named files become samples, a run scores them, and each is told as soon as it is."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from ...atomic import replaced_file
from ...errors import NotFoundError, OutputExistsError, SettingsError
from ...extract.pipeline import kept_interrupt
from ...progress import Progress, say
from ...settings import Settings
from ...train.runs.trained_run import TrainedRun
from ...wording import count_of, first_of, listed
from .features import samples_at, settings_here
from .lines import Emit, Form, ScoreLines, Tally
from .scorer import NewSampleScorer
from .watch import WatchState, watch_folder

_TOLD = 5  # lines of what is not looked at


@dataclass(frozen=True)
class Watching:
    """How a folder is watched: seconds between two looks, and until what lacks something is scored; where it is kept
    what was scored (None: in the folder)."""

    every: float
    patience: float
    state: Path | None


def score_to(
    out: Path | None,
    run: TrainedRun,
    paths: Sequence[Path],
    *,
    settings: Settings,
    form: Form | None = None,
    overwrite: bool = False,
    watching: Watching | None = None,
) -> Tally:
    """Score the samples at `paths`, or those that come to the one folder that is watched, and write a line for each to
    `out` (None: stdout), which is whole or absent; a folder that is watched adds to it.

    Raises:
        OutputExistsError: if `out` is there, and is neither to be replaced nor added to.
        SettingsError: if several paths are to be watched, or the file of what was scored is something else.
        Exception: as `score_paths`.
    """
    written = form or ("jsonl" if out is not None and out.suffix in (".jsonl", ".ndjson", ".json") else "csv")
    if watching is None:
        with _replaced(out, written, overwrite=overwrite) as emit:
            return score_paths(run, paths, settings=settings, emit=emit)
    if len(paths) != 1:
        raise SettingsError("--watch takes one folder, and not several paths.")
    (folder,) = paths
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder} to watch.")
    state = WatchState(watching.state or folder / f".scored_by_{run.folder.name}.jsonl", run=run)
    with _added_to(out, written) as emit:
        return watch_folder(
            run,
            folder,
            settings=settings,
            emit=emit,
            state=state,
            every=watching.every,
            patience=watching.patience,
            sleep=sleep,
        )


@contextmanager
def _replaced(out: Path | None, form: Form, *, overwrite: bool) -> Iterator[Emit]:
    if out is None:
        with closing(ScoreLines(sys.stdout, form)) as lines:
            yield lines
        return
    if out.exists() and not overwrite:
        raise OutputExistsError(f"{out} exists already; replace it with --overwrite, or choose another name.")
    with (
        replaced_file(out) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
        closing(ScoreLines(file, form)) as lines,
    ):
        yield lines


@contextmanager
def _added_to(out: Path | None, form: Form) -> Iterator[Emit]:
    if out is None:
        with closing(ScoreLines(sys.stdout, form)) as lines:
            yield lines
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a+", newline="", encoding="utf-8") as file:
        file.seek(0)
        header = next(csv.reader(file), None) if form == "csv" else None
        with closing(ScoreLines(file, form, header=header)) as lines:
            yield lines


def score_paths(run: TrainedRun, paths: Sequence[Path], *, settings: Settings, emit: Emit) -> Tally:
    """Score every sample at `paths`, each handed to `emit` as soon as it is scored, in their order.

    `settings` are the run's, or others that make the same features here.

    Raises:
        NotFoundError: if a path is not there, or none of them holds a sample.
        SourceError: if one cannot be read as the run's source reads it.
        SettingsError: if the settings would judge otherwise than the run was calibrated.
        FingerprintError: if they make other features than those that the run was trained on.
        BackboneError: if a backbone cannot be had, or is another one.
    """
    settings = settings_here(run, settings)
    found = samples_at(run, paths, settings=settings)
    for line in first_of(found.told, most=_TOLD):
        say(line)
    if not found.listed:
        raise NotFoundError(f"There is no {found.noun} in {listed(map(str, paths))}.")
    tally, total = Tally(found.noun), len(found.listed)
    with (
        NewSampleScorer(run, found, settings=settings, at_most=total) as scorer,
        Progress("score", total=total, unit=f"{found.noun}s") as progress,
        kept_interrupt() as raise_if_interrupted,
    ):
        for scored in scorer(found.listed):
            emit(scored)
            tally.add(scored)
            progress.advance(note=count_of(tally.num_alarms, "alarm"))
            raise_if_interrupted()
    say(tally.told())
    return tally
