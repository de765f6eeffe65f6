"""One process of a sweep: it takes on trial after trial, trains each on its one copy of the features, tells the value.

A trial sees the splits train and val alone: what it is judged by is the best epoch's figure on val.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...errors import OutputExistsError, TrainingError
from ...extract.pool.workers import start_worker
from ...progress import say
from ...settings import Settings
from ...train.data.features import chosen_for, require_features
from ...train.data.resident import FeaturePool, fits_memory
from ...train.data.samples import TRAIN_SPLIT, VALIDATION_SPLIT
from ...train.display import ShowTraining, TrainingDisplay
from ...train.pipeline import train
from ...train.recipes.recipe import make_recipe
from ...train.runs.checkpoint import deciding_settings
from ...train.runs.folder import RunFolder
from ...train.runs.log import MetricRow, seconds_of
from ...train.settings import TrainSettings
from ...train.tasks import Direction, make_task, monitor_of
from ...wording import brief, in_words
from ..trials.plan import one_line
from .space import SweepRequest, settings_of
from .study import Claim, SweepStudy


@dataclass(frozen=True)
class Sweep:
    """What every process of a sweep is told.

    Attributes:
        settings: of all trials but for what is drawn; runs go to `folder`.
        keep_weights: of all trials; else those of the best alone are kept.
    """

    request: SweepRequest
    settings: Settings
    folder: Path
    keep_weights: bool
    command: str

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


def _watching(study: SweepStudy, claim: Claim, *, objective: str) -> ShowTraining:
    @contextmanager
    def show(
        name: str,
        *,
        settings: TrainSettings,
        num_samples: int,
        noun: str,
        history: Sequence[MetricRow],
        best: MetricRow | None,
    ) -> Iterator[TrainingDisplay]:
        watched = _Watched(study, claim, objective)
        for row in history:  # of a trial that is gone on with
            watched.epoch_done(row, improved=False)
        yield watched

    return show


def work(sweep: Sweep, *, told: Callable[[], None]) -> None:
    """Try trials until none is left; `told` is called after each.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the trial is left to whoever comes next.
    """
    study, shared = sweep.open_study(), SharedFeatures(sweep)
    while (claim := study.claim()) is not None:
        try:
            _try(sweep, claim, study, shared)
        except BaseException:
            study.give_back(claim)
            raise
        if not sweep.keep_weights:
            spare_weights(sweep.folder, study)
        told()


def work_apart(sweep: Sweep) -> None:
    """The same as a process of its own, which ends with the main process."""
    start_worker()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        work(sweep, told=lambda: None)


def _try(sweep: Sweep, claim: Claim, study: SweepStudy, shared: SharedFeatures) -> None:
    """Train a trial and tell its value; one that fails says why, and costs the sweep no other."""
    run, started = RunFolder(sweep.folder / claim.run), time.monotonic()
    told = ", ".join(f"{key} {brief(value)}" for key, value in claim.values.items())
    try:
        settings = settings_of(sweep.settings, claim.values, origin=sweep.request.origin)
        settings = chosen_for(shared.store, settings)
        value = _value_of(run, settings, objective=sweep.objective)
        if value is None:
            _train(
                run, settings, shared, command=sweep.command, show=_watching(study, claim, objective=sweep.objective)
            )
            value = _value_of(run, settings, objective=sweep.objective)
        if value is None:
            raise TrainingError(f"validation says nothing of {sweep.objective}")
    except _Pruned:
        run.remove()
        study.prune(claim)
        say(f"{claim.run}: ended early; {told}")
    except Exception as error:  # whatever it is, it costs the sweep no other trial
        study.fail(claim, reason=one_line(error))
        say(f"{claim.run}: {one_line(error)}; {told}")
    else:
        rows = run.log()
        seconds = seconds_of(rows) or time.monotonic() - started
        study.complete(claim, value=value, seconds=seconds, epochs=len(rows))
        say(f"{claim.run}: {in_words(sweep.objective)} {value:.4g}; {told}")


def _train(run: RunFolder, settings: Settings, shared: SharedFeatures, *, command: str, show: ShowTraining) -> None:
    pool = shared.for_trial(settings)
    try:
        train(settings, run_name=run.name, overwrite=False, command=command, pool=pool, show=show)
    except OutputExistsError:  # left by something else that asked for other settings or features
        train(settings, run_name=run.name, overwrite=True, command=command, pool=pool, show=show)


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
    best = study.best()
    for trial in study.tried():
        if trial.state == "complete" and best is not None and trial.run != best.run:
            for path in (RunFolder(folder / trial.run).best_path, RunFolder(folder / trial.run).last_path):
                path.unlink(missing_ok=True)
