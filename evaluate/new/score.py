"""`weldcache score` as a story: named files become samples, a run scores them, and each is told, with its maps."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep

from ...atomic import new_folder, replaced_file
from ...errors import NotFoundError, OutputExistsError, SettingsError, StoppedError, WeldcacheError, disk_named
from ...extract.group_runner import kept_interrupt
from ...progress import Progress, say
from ...settings import Settings
from ...train.runs.trained_run import TrainedRun
from ...wording import count_of, first_of, listed
from ..judge import judge_of
from ..localise.export import write_maps
from ..localise.localiser import places_of
from ..localise.maps import SampleMaps
from .features import samples_at, settings_here
from .lines import Emit, Form, ScoreLines, Tally, adjusted_over_set
from .scorer import NewSampleScorer, calibration_for
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
    out: Path | Emit | None,
    run: TrainedRun,
    paths: Sequence[Path],
    *,
    settings: Settings,
    form: Form | None = None,
    overwrite: bool = False,
    maps: Path | None = None,
    watching: Watching | None = None,
    fail_on_alarm: bool = False,
) -> Tally:
    """Score the samples at `paths`, or those that come to the one folder that is watched, and write a line for each to
    `out` (None: stdout), which is whole or absent; a folder that is watched adds to it. An `out` that is no path takes
    the samples themselves. `maps` as in `score_paths`.
    `fail_on_alarm`: an alarm is what this is done for, so that a run by which none can be raised is refused.

    Raises:
        OutputExistsError: if `out` is there, and is neither to be replaced nor added to, or something is at `maps`.
        SettingsError: if several paths are to be watched, or maps are asked for that cannot be had so, or the file of
            what was scored is something else, or no alarm can be raised that is waited for.
        StoppedError: if Ctrl-C came before all of a set were scored.
        Exception: as `score_paths`.
    """
    if fail_on_alarm and calibration_for(judge_of(run, run.settings.evaluate), run) is None:
        raise SettingsError("Without a calibration no sample raises an alarm, so that --fail-on-alarm would find none.")
    written = form or ("jsonl" if isinstance(out, Path) and out.suffix in (".jsonl", ".ndjson", ".json") else "csv")
    if watching is None:
        if maps is not None and isinstance(out, Path) and out.resolve().is_relative_to(maps.resolve()):
            raise SettingsError(f"--maps makes the folder {maps}, which holds nothing else: write {out} elsewhere.")
        try:
            return score_paths(
                run, paths, settings=settings, lines=_replaced(out, written, overwrite=overwrite), maps=maps
            )
        except KeyboardInterrupt:
            raise StoppedError("Interrupted; the same command scores all of them from the beginning.") from None
    if maps is not None:
        raise SettingsError("--maps takes all samples at once, which share their colours: it goes without --watch.")
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
def _replaced(out: Path | Emit | None, form: Form, *, overwrite: bool) -> Iterator[Emit]:
    """Lines of a set; what Ctrl-C left of them stands beside `out`."""
    if not isinstance(out, Path):
        with _passed_on(out, form) as emit:
            yield emit
        return
    if out.exists() and not out.is_file():  # a device would be replaced too
        raise OutputExistsError(f"{out} is no file, but a folder, a pipe or a device; name a file for the scores.")
    if out.exists() and not overwrite:
        raise OutputExistsError(f"{out} exists already; replace it with --overwrite, or choose another name.")
    with replaced_file(out) as temporary:
        try:
            with temporary.open("w", newline="", encoding="utf-8") as file, closing(ScoreLines(file, form)) as lines:
                yield lines
        except KeyboardInterrupt:
            if temporary.stat().st_size:
                kept = out.with_name(f"{out.stem}.interrupted{out.suffix}")
                temporary.replace(kept)
                say(f"{kept} has the lines of what was scored.")
            raise


@contextmanager
def _passed_on(out: Emit | None, form: Form) -> Iterator[Emit]:
    if out is not None:
        yield out
        return
    with closing(ScoreLines(sys.stdout, form)) as lines:
        yield lines


@contextmanager
def _added_to(out: Path | Emit | None, form: Form) -> Iterator[Emit]:
    if not isinstance(out, Path):
        with _passed_on(out, form) as emit:
            yield emit
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        disk_named(out),
        out.open("a+", newline="", encoding="utf-8") as file,
        closing(ScoreLines.behind(file, form)) as lines,
    ):
        yield lines


def score_paths(
    run: TrainedRun,
    paths: Sequence[Path],
    *,
    settings: Settings,
    lines: AbstractContextManager[Emit],
    maps: Path | None = None,
) -> Tally:
    """Score every sample at `paths` as one set: in their order they go to `lines`, and their maps, if asked for, to the
    new folder `maps`, which appears whole once the lines are written.

    `settings` are the run's, or others that make the same features here.

    Raises:
        NotFoundError: if a path is not there, or none of them holds a sample, or there are no maps.
        OutputExistsError: if something is at `maps` already.
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
    if maps is not None and not places_of(run):
        raise NotFoundError(f"There are no maps of {run.folder.name}: its model looks at nothing that has places.")
    tally, total, mapped = Tally(found.noun), len(found.listed), dict[str, SampleMaps]()
    with new_folder(maps) if maps is not None else nullcontext() as folder:
        with (
            lines as emit,
            adjusted_over_set(emit) as tell,
            NewSampleScorer(run, found, settings=settings, at_most=total, with_maps=maps is not None) as scorer,
            Progress("score", total=total, unit=f"{found.noun}s") as progress,
            kept_interrupt() as raise_if_interrupted,
        ):
            for scored in scorer(found.listed):
                mapped[scored.sample.key] = scored.maps
                tell(replace(scored, maps=SampleMaps()))  # of which lines say nothing, while they wait
                tally.add(scored)
                progress.advance(note=tally.alarms())
                raise_if_interrupted()
        say(tally.told())
        if folder is not None and not tally.num_scored:
            raise WeldcacheError(f"There are no maps, as nothing could be scored: {scored.problem}")
        if folder is not None:
            num_maps = write_maps(folder, mapped, root=found.root, run_name=run.folder.name)
            if not num_maps:
                raise NotFoundError(f"There are no maps: of no {found.noun} is it known where it is strange.")
            say(f"{maps}: {count_of(num_maps, 'map')}, listed in maps.json.")
    return tally
