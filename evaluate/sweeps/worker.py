"""One process of a sweep: it takes on trial after trial, trains each on its one copy of the features, tells the value.

A trial sees the splits train and val alone: what it is judged by is the best epoch's figure on val.
"""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...errors import BusyError, OutputExistsError, StudyUnreachableError, TrainingError, WeldcacheError
from ...extract.pool.workers import start_worker
from ...owners import called
from ...progress import quieted, say
from ...settings import Settings
from ...train.data.features import chosen_for, require_features
from ...train.data.resident import FeaturePool, fits_memory
from ...train.data.samples import TRAIN_SPLIT, VALIDATION_SPLIT
from ...train.display import ShowTraining, shown_as
from ...train.pipeline import train as train_run
from ...train.recipes.recipe import make_recipe
from ...train.runs.checkpoint import deciding_settings
from ...train.runs.folder import RunFolder
from ...train.runs.log import MetricRow, seconds_of
from ...train.stacked import StackingError
from ...train.tasks import Direction, make_task, monitor_of
from ...train.together import Together, groups, train_together
from ...wording import brief, in_words, listed
from ..trials.plan import one_line
from .request import SweepRequest, settings_of
from .study import Claim, SweepStudy

_LOOK_SECONDS = 1.0  # between two looks at trials of others
_HELD_SECONDS = 10.0  # between two tries of a trial whose run somebody holds


@dataclass(frozen=True)
class Sweep:
    """What every process of a sweep is told.

    Attributes:
        settings: of all trials but for what is drawn; runs go to `folder`.
        together: trials that are trained as one, where they differ in numbers alone.
        keep_weights: of all trials; else those of the best alone are kept.
        quiet: nothing is said on the way.
    """

    request: SweepRequest
    settings: Settings
    folder: Path
    together: int
    keep_weights: bool
    command: str
    quiet: bool

    @property
    def objective(self) -> str:
        """The figure of validation that trials are compared by: the one that chooses their best epochs."""
        return monitor_of(self.settings.train)

    @property
    def direction(self) -> Direction:
        return make_task(self.settings.train).monitors()[self.objective]

    def open_study(self) -> SweepStudy:
        train = self.settings.train
        drawn = self.request.space.get("train.epochs")
        most = getattr(drawn, "high", None) or max(getattr(drawn, "values", [train.epochs]))
        return SweepStudy(
            self.folder,
            self.request,
            direction=self.direction,
            warmup=train.warmup_epochs,
            epochs=int(most),
            seed=train.seed,
        )


class SharedFeatures:
    """The features of the splits train and val, on the device once for all trials of the process; each array is loaded
    when the first trial asks for it. Of other splits nothing is loaded."""

    def __init__(self, sweep: Sweep) -> None:
        train = sweep.settings.train
        self.store = FeatureStore.open(sweep.settings.cache.path)
        parts = self.store.divided_by(train.split).index.parts
        rows = np.concatenate([np.flatnonzero(parts == part) for part in (TRAIN_SPLIT, VALIDATION_SPLIT)])
        device = resolve_device(train.device, setting="train.device")
        self._pool = None if train.loading == "streamed" else FeaturePool(self.store, rows, device=device)
        self._rows = rows

    def for_trial(self, settings: Settings) -> FeaturePool | None:
        """What `train` takes its features from; None where they do not fit the memory, and it loads or streams its own.

        Raises:
            NotFoundError: if the store lacks what the trial needs.
        """
        recipe = make_recipe(settings.recipe)
        require_features(self.store, recipe)
        if self._pool is None:
            return None
        needs = recipe.needs()
        # Another trial may do without what this one asks for, so each array is loaded as if rows may lack it.
        needs = replace(needs, features=tuple(replace(each, optional=True) for each in needs.features))
        if not fits_memory(self._pool.num_bytes(needs), device=self._pool.device):
            return None
        self._pool.source(self._rows, needs)
        return self._pool


class _Pruned(Exception):
    """The trial is not worth going on with."""


class _Lost(Exception):
    """The trial is another process's by now, to which this one was dead."""


@dataclass(eq=False)
class _Watched:
    """Tells the study of each epoch, and ends a trial that is not worth its time."""

    study: SweepStudy
    claim: Claim
    objective: str

    def advance(self, num_samples: int) -> None:
        """Epochs are what a study is told of."""

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        value, epoch = metrics[self.objective], int(metrics["epoch"] or 0)
        if value is not None and self.study.report(self.claim, epoch=epoch, value=float(value)):
            raise _Pruned
        if self.study.is_lost(self.claim):
            raise _Lost


def _watching(study: SweepStudy, claim: Claim, *, objective: str) -> ShowTraining:
    def watched(history: Sequence[MetricRow]) -> _Watched:
        watch = _Watched(study, claim, objective)
        for row in history:  # of a trial that is gone on with
            watch.epoch_done(row, improved=False)
        return watch

    return shown_as(watched)


def work(sweep: Sweep, *, told: Callable[[], None]) -> None:
    """Try trials until all have ended, those of others too: what these leave by dying is gone on with here. `told` is
    called after each round of trials, and while others are waited for.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the trials are left to whoever comes next.
        StudyUnreachableError: if the database that keeps them does not answer.
    """
    study, shared = sweep.open_study(), SharedFeatures(sweep)
    waits = False
    while (claims := _claimed(study, most=sweep.together)) or (others := study.others()):
        if claims:
            _try_claimed(sweep, claims, study, shared)
        else:
            if not waits:
                say(f"No trial is left; those of {listed(dict.fromkeys(map(called, others)))} are waited for.")
            waits = True
            time.sleep(_LOOK_SECONDS)
        told()


def _try_claimed(sweep: Sweep, claims: Sequence[Claim], study: SweepStudy, shared: SharedFeatures) -> None:
    try:
        _try(sweep, claims, study, shared)
    except BaseException:
        with suppress(StudyUnreachableError):  # then its owner is found dead
            for claim in claims:
                study.give_back(claim)
        raise
    if not sweep.keep_weights:
        spare_weights(sweep.folder, study)


def _claimed(study: SweepStudy, *, most: int) -> list[Claim]:
    claims: list[Claim] = []
    while len(claims) < most and (claim := study.claim()) is not None:
        claims.append(claim)
    return claims


def work_apart(sweep: Sweep) -> None:
    """The same as a process of its own, which ends with the main process."""
    start_worker()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with quieted(sweep.quiet), suppress(KeyboardInterrupt):
        work(sweep, told=lambda: None)


@dataclass(frozen=True, eq=False)
class _Trial:
    """A claim with its settings, and what watches its epochs."""

    claim: Claim
    settings: Settings
    run: RunFolder
    show: ShowTraining


def _try(sweep: Sweep, claims: Sequence[Claim], study: SweepStudy, shared: SharedFeatures) -> None:
    """Train trials and tell their values: together those that can be, the others one by one."""
    trials = []
    for claim in claims:
        try:
            settings = chosen_for(shared.store, settings_of(sweep.settings, claim.values, origin=sweep.request.origin))
        except WeldcacheError as error:
            _tell(sweep, claim, study, error)
            continue
        show = _watching(study, claim, objective=sweep.objective)
        trials.append(_Trial(claim, settings, RunFolder(sweep.folder / claim.run), show))
    known = [_value_of(trial.run, trial.settings, objective=sweep.objective) is not None for trial in trials]
    fresh = [trial for trial, done in zip(trials, known, strict=True) if not done]
    for trial in [trial for trial, done in zip(trials, known, strict=True) if done]:
        _tell(sweep, trial.claim, study, None)  # whoever trained it died before it told
    for places in groups([trial.settings for trial in fresh]):
        group = [fresh[place] for place in places]
        outcomes = _train_group(group, shared, command=sweep.command) if len(group) > 1 else None
        if outcomes is None:
            for trial in group:
                _tell(sweep, trial.claim, study, _train_alone(trial, shared, command=sweep.command))
        else:
            for trial, outcome in zip(group, outcomes, strict=True):
                _tell(sweep, trial.claim, study, outcome)


def _train_group(group: Sequence[_Trial], shared: SharedFeatures, *, command: str) -> Sequence[Exception | None] | None:
    """What ended each training; None where they have to be trained one by one, which tells what is wrong with each."""
    trainings = [Together(trial.settings, trial.run.name, trial.show) for trial in group]
    try:
        return train_together(trainings, command=command, pool=shared.for_trial(group[0].settings))
    except StackingError as error:
        say(f"{listed(trial.run.name for trial in group)} are trained one by one: {one_line(error)}")
    except StudyUnreachableError:
        raise
    except WeldcacheError:
        pass
    return None


def _train_alone(trial: _Trial, shared: SharedFeatures, *, command: str) -> Exception | None:
    """What ended the training; None where nothing did."""
    try:
        pool = shared.for_trial(trial.settings)
        train = partial(train_run, trial.settings, run_name=trial.run.name, command=command, pool=pool, show=trial.show)
        try:
            train(overwrite=False)
        except OutputExistsError:  # left by something else that asked for other settings or features
            train(overwrite=True)
    except StudyUnreachableError:
        raise
    except Exception as error:  # whatever it is, it costs the sweep no other trial
        return error
    return None


def _tell(sweep: Sweep, claim: Claim, study: SweepStudy, error: Exception | None) -> None:
    """Tell the study what became of a trial, and who looks on."""
    run = RunFolder(sweep.folder / claim.run)
    told = ", ".join(f"{key} {brief(value)}" for key, value in claim.values.items())
    state = run.state() if error is None else None
    value = None if state is None or state["best"] is None else state["best"].get(sweep.objective)
    if isinstance(error, _Lost | BusyError):
        # Of two that have one trial, a process that sees whose it is leaves it, and one that finds the run held waits.
        study.give_back(claim)
        time.sleep(_HELD_SECONDS)
        return
    if isinstance(error, _Pruned):
        counts, what = study.prune(claim), f"ended early; {told}"
        if counts and run.exists:
            run.remove()
    elif value is None:
        reason = one_line(error or TrainingError(f"Validation says nothing of {sweep.objective}."))
        counts, what = study.fail(claim, reason=reason), f"{reason}; {told}"
    else:
        rows = run.log()
        counts = study.complete(claim, value=float(value), seconds=seconds_of(rows), epochs=len(rows))
        what = f"{in_words(sweep.objective)} {value:.4g}; {told}"
    say(f"{claim.run}: {what if counts else 'another process has it by now, and what that finds counts'}")


def _value_of(run: RunFolder, settings: Settings, *, objective: str) -> float | None:
    """What the best epoch of a finished run reached; None where there is no such run of these settings."""
    state = run.state() if run.exists else None
    if state is None or not state["finished"] or state["best"] is None:
        return None
    if deciding_settings(run.settings()) != deciding_settings(settings):
        return None
    value = state["best"].get(objective)
    return None if value is None else float(value)


def spare_weights(folder: Path, study: SweepStudy) -> None:
    """Delete the weights of all complete trials but the best, which are of use to nobody."""
    tried = study.tried()
    best = study.best_of(tried)  # of one reading: a better trial that another process completes now keeps its weights
    for trial in tried:
        if trial.state == "complete" and best is not None and trial.run != best.run:
            for path in (RunFolder(folder / trial.run).best_path, RunFolder(folder / trial.run).last_path):
                path.unlink(missing_ok=True)
