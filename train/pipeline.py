"""Stage two as a story: choose samples, load their features, train on them, keep the best epoch."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..cache.provenance import differences
from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..errors import SettingsError, TrainingError, WeldcacheError
from ..progress import say
from ..settings import Settings
from ..wording import count_of, format_seconds
from .data.batches import BatchSource, parts_in_order
from .data.features import FeatureReader, chosen_for, load_constants, require_features, shapes_for, targets_of
from .data.resident import FeaturePool, load_features
from .data.samples import ChosenSamples, choose_samples
from .display import ShownTraining, ShowTraining, TrainingDisplay, describe_epoch, figures_found, training_display
from .fit import FITTED, fit_run
from .loggers.logger import LoggedRun, Loggers, open_loggers, require_loggers
from .loop import EpochResult, stop_reason, train_epochs
from .randomness import Purpose, derived_seed, seeded_global_rng
from .recipes.recipe import Fitted, Recipe, Trained, make_recipe
from .runs.checkpointer import Checkpointer, resume
from .runs.folder import RunFolder
from .runs.log import append_row
from .runs.start import RunStart, decide_start, held_run, make_manifest
from .settings import TrainSettings
from .state import Best, StopReason, TrainingState, new_state
from .taking_part import say_who_takes_part
from .tasks import Task, monitor_of, task_for
from .validation import Validator


@dataclass(frozen=True)
class TrainingSummary:
    """What a training command did.

    Attributes:
        run: the folder that holds the result.
        resumed_from: the epoch that an earlier command had reached; 0 for a new run.
        epochs: epochs trained in all.
        stopped: why training is over.
        best: the best epoch by validation of the averaged weights.
        counts: samples that took part and that were left out, as in the manifest.
        seconds: what this command took.
    """

    run: RunFolder
    resumed_from: int
    epochs: int
    stopped: StopReason
    best: Best
    counts: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training before its first step.

    Attributes:
        settings: with what they left open chosen for the store.
        model: new, on the CPU.
        start: what is to become of the run's folder; nothing is written yet.
        samples: to train on.
        balance: the label or class of each of them, where all are to be as frequent.
    """

    recipe: Trained | Fitted
    settings: Settings
    store: FeatureStore
    model: nn.Module
    manifest: dict[str, Any]
    start: RunStart
    samples: BatchSource
    validator: Validator
    balance: Tensor | None


def prepare(
    settings: Settings, *, run_name: str | None, overwrite: bool, command: str, pool: FeaturePool | None
) -> Prepared:
    """Choose samples, build the model and load the features of a training; raises what `train` raises."""
    require_loggers(settings.train.loggers)
    name = settings.recipe.name
    resolve_device(settings.train.device, setting="train.device")
    recipe, monitor = _learner(settings), monitor_of(settings.train)
    task = task_for(settings.train, name, recipe.needs())
    split = settings.train.split
    store = FeatureStore.open(settings.cache.path, split=split) if pool is None else pool.store.divided_by(split)
    asked, settings = settings.recipe, chosen_for(store, settings)
    recipe = _learner(settings)
    require_features(store, recipe)
    samples = choose_samples(store, recipe, task=task, monitor=monitor)
    shapes = shapes_for(store, recipe)
    # Built on the CPU, so that a seed gives the same weights on every device.
    with seeded_global_rng(derived_seed(settings.train.seed, Purpose.WEIGHTS), device=torch.device("cpu")):
        model = recipe.build(shapes)
    manifest = make_manifest(
        recipe,
        settings=settings,
        model=model,
        shapes=shapes,
        store=store,
        samples=samples,
        command=command,
    )
    start = decide_start(settings, manifest, run_name=run_name, overwrite=overwrite)

    if pool is None:  # whoever shares features among trainings says it once
        for key, _, chosen in differences(asked.model_dump(mode="json"), settings.recipe.model_dump(mode="json")):
            say(f"Chosen for this store: recipe.{key} = {chosen}.")
        say_who_takes_part(samples, store, recipe=recipe, task=task)
    train_samples, validation_samples = _features(recipe, samples, store=store, pool=pool, settings=settings.train)
    validator = validator_of(recipe, validation_samples, samples, store=store, task=task, settings=settings.train)
    learns = isinstance(recipe, Trained)
    balance = _to_balance(store, samples, task=task, settings=settings.train) if learns else None
    return Prepared(recipe, settings, store, model, manifest, start, train_samples, validator, balance)


def train(
    settings: Settings,
    *,
    run_name: str | None,
    overwrite: bool,
    command: str,
    pool: FeaturePool | None = None,
    show: ShowTraining = training_display,
) -> TrainingSummary:
    """Train on the rows of the cache that the task takes until the epochs are over or validation stops getting better.

    Features come from `pool` where one is given, which several trainings may share, and from the cache otherwise.
    `show` says how the training is shown on the terminal.

    An unfinished run of the same name and the same settings is continued from its last checkpoint, and ends as if it
    had never been interrupted: on a CPU to the last bit, if the number of threads is the same. Progress goes to stderr.

    Raises:
        NotFoundError: if there is no cache, or it lacks a split or features; names the command that makes it.
        SettingsError: if settings ask for what the cache or the machine does not have.
        OutputExistsError: if the run's name is taken.
        TrainingError: if a loss is not finite, the features do not fit the memory, or the disk refuses a write.
        KeyboardInterrupt: on Ctrl-C, after saying how to go on.
    """
    started = time.monotonic()
    ready = prepare(settings, run_name=run_name, overwrite=overwrite, command=command, pool=pool)
    counts = ready.manifest["counts"]
    if isinstance(ready.recipe, Fitted):
        run, best = fit_run(
            ready.recipe,
            ready.model.to(resolve_device(ready.settings.train.device, setting="train.device")),
            ready.samples,
            ready.validator,
            start=ready.start,
            settings=ready.settings,
            manifest=ready.manifest,
            noun=ready.store.noun,
        )
        return TrainingSummary(run, 0, 1, FITTED, best, counts, time.monotonic() - started)
    run, state, resumed_from = _train_epochs(ready, ready.recipe, show=show, says_how_to_go_on=pool is None)
    stopped = stop_reason(state, settings=ready.settings.train)
    assert stopped is not None and state.best is not None
    seconds = time.monotonic() - started
    return TrainingSummary(run, resumed_from, state.epoch, stopped, state.best, counts, seconds)


def _train_epochs(
    ready: Prepared, recipe: Trained, *, show: ShowTraining, says_how_to_go_on: bool
) -> tuple[RunFolder, TrainingState, int]:
    """The run once its epochs are over, its state, and the epoch that an earlier command had reached."""
    settings = ready.settings.train
    # Before the model goes to its device: statistics are counted on the CPU.
    measure(recipe, ready.model, ready.samples, store=ready.store)
    device = resolve_device(settings.device, setting="train.device")
    state = new_state(ready.model.to(device), settings=settings)
    with held_run(ready.start, settings=ready.settings, manifest=ready.manifest) as run:
        resume(state, run=run)
        resumed_from = state.epoch
        with (
            _ending_told(run, state, says_how_to_go_on=says_how_to_go_on),
            keeping(run, state, ready, show=show) as keeper,
        ):
            for epoch in train_epochs(
                recipe,
                state=state,
                samples=ready.samples,
                validate=ready.validator,
                settings=settings,
                on_batch=keeper.display.advance,
                balance=ready.balance,
            ):
                keeper.epoch_done(epoch)
    return run, state, resumed_from


@contextmanager
def _ending_told(run: RunFolder, state: TrainingState, *, says_how_to_go_on: bool) -> Iterator[None]:
    """What ends the epochs of the block too early says what is left of the run, and how to go on with it."""
    try:
        yield
    except (TrainingError, SettingsError):
        if not run.last_path.exists():
            run.remove()  # nothing to go on with, and the name is wanted for the next attempt
        raise
    except WeldcacheError:
        raise  # some of which are OSErrors too, and have their own words
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{run.path} cannot be written to ({error}). Make room there; {run.how_to_go_on()}"
        ) from error
    except KeyboardInterrupt:
        if says_how_to_go_on:
            saved = run.state()
            kept = f"after epoch {saved['epoch']}, the last that was saved" if saved else "from the beginning"
            say(f"Interrupted in epoch {state.epoch + 1}. {run.how_to_go_on().rstrip('.')}, {kept}.")
        raise


def _learner(settings: Settings) -> Trained | Fitted:
    recipe, name = make_recipe(settings.recipe), settings.recipe.name
    if not isinstance(recipe, Trained | Fitted):
        raise SettingsError(f"The recipe {name} does not learn itself; `weldcache fuse` makes it of finished runs.")
    return recipe


def _features(
    recipe: Recipe, samples: ChosenSamples, *, store: FeatureStore, pool: FeaturePool | None, settings: TrainSettings
) -> tuple[BatchSource, BatchSource]:
    """What to train on and what to validate on."""
    needs = recipe.needs()
    if pool is not None:
        return pool.source(samples.train, needs), pool.source(samples.validation, needs)
    return load_features(
        FeatureReader(store, needs.features, needs.targets),
        samples,
        device=resolve_device(settings.device, setting="train.device"),
        loading=settings.loading,
        batch_size=settings.batch_size,
    )


def validator_of(
    recipe: Recipe,
    features: BatchSource,
    samples: ChosenSamples,
    *,
    store: FeatureStore,
    task: Task,
    settings: TrainSettings,
) -> Validator:
    """Judges models by the validation samples, whose `features` these are."""
    return Validator(
        recipe,
        features,
        task=task,
        targets={name: target[samples.validation] for name, target in targets_of(store).items()},
        batch_size=settings.batch_size,
        precision=settings.precision,
        without=recipe.needs().sets_of(samples.untrained),
    )


def _to_balance(store: FeatureStore, samples: ChosenSamples, *, task: Task, settings: TrainSettings) -> Tensor | None:
    """The label or class of each sample to train on, where all of these are to be as frequent.

    Raises:
        SettingsError: if what the task asks for has no few values that could be.
    """
    if settings.sampling == "each_once":
        return None
    values = targets_of(store)[task.target][samples.train]
    if values.ndim != 1 or values.dtype.kind != "i":
        raise SettingsError(
            f"train.sampling = {settings.sampling} needs labels or classes, and {task.target} is none; leave it at "
            "each_once."
        )
    return torch.from_numpy(values.astype("int64"))


def measure(recipe: Trained, model: nn.Module, train: BatchSource, *, store: FeatureStore) -> None:
    """Give the recipe all training rows to measure, part by part, of those arrays alone that it measures."""
    parts = train.batches(parts_in_order(len(train)), arrays=recipe.needs().measures)
    recipe.measure(model, parts, load_constants(store, recipe))


@dataclass(frozen=True, eq=False)
class Kept:
    """Where what the epochs give goes: the log and the loggers, the checkpoints, the terminal."""

    run: RunFolder
    state: TrainingState
    checkpointer: Checkpointer
    loggers: Loggers
    display: TrainingDisplay

    def epoch_done(self, epoch: EpochResult) -> None:
        append_row(self.run.metrics_path, epoch.metrics)
        self.checkpointer.epoch_done(self.state, improved=epoch.improved)
        self.loggers.epoch_done(epoch.metrics, improved=epoch.improved)
        self.display.epoch_done(epoch.metrics, improved=epoch.improved)


@contextmanager
def keeping(run: RunFolder, state: TrainingState, ready: Prepared, *, show: ShowTraining) -> Iterator[Kept]:
    """Keep the epochs of a run within the block, and mark it as finished where the block ends well."""
    settings = ready.settings
    checkpointer = Checkpointer(run, seconds=settings.train.checkpoint_seconds)
    history, best = run.log(), None if state.best is None else state.best.metrics
    logged = LoggedRun(folder=run, settings=settings, manifest=run.manifest(), history=history, best=best)
    shown = ShownTraining(run.name, settings.train, len(ready.samples), ready.store.noun, history, best)
    with open_loggers(settings.train.loggers, logged) as loggers:
        with show(shown) as display:
            yield Kept(run, state, checkpointer, loggers, display)
        checkpointer.write(state, stopped=stop_reason(state, settings=settings.train))


def describe_run(summary: TrainingSummary) -> str:
    """The end of a training in a few lines: where the result is, how good validation finds it, why it ended."""
    best, ended = summary.best, {"epochs": "all epochs done", "patience": "validation no longer got better"}
    if summary.stopped == FITTED:
        found = [f"fitted in {format_seconds(summary.seconds)}", *figures_found(best.metrics)]
        return f"Run {summary.run.path}: {', '.join(found)}.\nJudge it with `weldcache eval {summary.run.name}`."
    gone_on = f", gone on with after epoch {summary.resumed_from}" if summary.resumed_from else ""
    return (
        f"Run {summary.run.path}: {count_of(summary.epochs, 'epoch')} in {format_seconds(summary.seconds)}{gone_on}; "
        f"{ended[summary.stopped]}.\nBest is {describe_epoch(best.metrics)} (averaged weights). "
        f"Judge it with `weldcache eval {summary.run.name}`."
    )
