"""Stage two as a story: choose samples, load their features, train on them, keep the best epoch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..configs.load import to_yaml
from ..configs.schema import Settings
from ..errors import TrainingError
from ..locking import locked_folder
from ..progress import Progress, format_seconds, say
from .batches import BatchSource, batches_in_order
from .checkpointer import Checkpointer, resume
from .loading import load_features
from .loop import EpochResult, StopReason, stop_reason, train_epochs
from .manifest import make_manifest
from .metrics_log import append_row
from .randomness import Purpose, derived_seed, seeded_global_rng
from .recipes.recipe import Recipe
from .recipes.registry import make_recipe
from .requests import load_constants, require_features, shapes_for
from .run_folder import RunFolder
from .run_start import RunStart, decide_start
from .samples import ChosenSamples, choose_samples
from .state import Best, TrainingState, new_state
from .validation import Validator

RECIPE = "causal_film"
_CALIBRATION_ROWS = 64  # a part, whatever the batch size, so that neither it nor the way of loading changes a statistic


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


def train(settings: Settings, *, run_name: str | None, overwrite: bool, command: str) -> TrainingSummary:
    """Train on the normals of the cache until the epochs are over or validation stops getting better.

    An unfinished run of the same name and the same settings is continued from its last checkpoint, and ends as if it
    had never been interrupted: on a CPU to the last bit, if the number of threads is the same. Progress goes to stderr.

    Raises:
        NotFoundError: if there is no cache, or it lacks a split or features; names the command that makes it.
        SettingsError: if settings ask for what the cache or the machine does not have.
        OutputExistsError: if the run's name is taken.
        TrainingError: if a loss is not finite, or the features do not fit the memory.
        KeyboardInterrupt: on Ctrl-C, after saying how to go on.
    """
    started = time.monotonic()
    recipe, device = make_recipe(RECIPE, settings), resolve_device(settings.train.device, setting="train.device")
    store = FeatureStore.open(settings.cache.path)
    require_features(store, recipe)
    samples = choose_samples(store, recipe.requires(), monitor=settings.train.monitor)
    model = _initial_model(recipe, store, seed=settings.train.seed)
    manifest = make_manifest(
        recipe, name=RECIPE, model=model, store=store, samples=samples, seed=settings.train.seed, command=command
    )
    start = decide_start(settings, manifest, run_name=run_name, overwrite=overwrite)

    _say_who_takes_part(samples)
    train_samples, validation_samples = load_features(
        store,
        samples,
        requests=recipe.requires(),
        device=device,
        loading=settings.train.loading,
        batch_size=settings.train.batch_size,
    )
    calibrate(recipe, model, train_samples, store=store)
    state = new_state(model.to(device), settings=settings.train)
    _open_folder(start, settings=settings, manifest=manifest)
    with locked_folder(start.run.path):
        resume(state, run=start.run)
        resumed_from = state.epoch
        validator = Validator(
            recipe,
            validation_samples,
            labels=store.index.labels[samples.validation],
            batch_size=settings.train.batch_size,
        )
        try:
            _train_and_keep(recipe, state, train_samples, validator, run=start.run, settings=settings)
        except TrainingError:
            if not start.run.last_path.exists():
                start.run.remove()  # nothing to go on with, and the name is wanted for the next attempt
            raise
        except KeyboardInterrupt:
            say(f"Interrupted in epoch {state.epoch + 1}. `weldcache train --run {start.run.name}` goes on with it.")
            raise
    stopped = stop_reason(state, settings=settings.train)
    assert stopped is not None and state.best is not None
    return TrainingSummary(
        run=start.run,
        resumed_from=resumed_from,
        epochs=state.epoch,
        stopped=stopped,
        best=state.best,
        counts=manifest["counts"],
        seconds=time.monotonic() - started,
    )


def _initial_model(recipe: Recipe, store: FeatureStore, *, seed: int) -> nn.Module:
    """Built on the CPU, so that a seed gives the same weights on every device."""
    with seeded_global_rng(derived_seed(seed, Purpose.WEIGHTS), device=torch.device("cpu")):
        return recipe.build(shapes_for(store, recipe))


def _say_who_takes_part(samples: ChosenSamples) -> None:
    say(
        f"{len(samples.train)} normals to train on ({samples.defects_left_out} defects left out), "
        f"{len(samples.validation)} samples to validate on."
    )
    for split, lacking in (("train", samples.train_lacking), ("validation", samples.validation_lacking)):
        for feature_set, count in lacking.items():
            say(f"Left out of {split}: {count} samples without {feature_set} features.")


def calibrate(recipe: Recipe, model: nn.Module, train: BatchSource, *, store: FeatureStore) -> None:
    """Give the recipe all training rows to measure, part by part, of those arrays alone that it measures."""
    order = batches_in_order(len(train), batch_size=_CALIBRATION_ROWS)
    recipe.calibrate(model, train.batches(order, arrays=recipe.measures()), load_constants(store, recipe))


def _open_folder(start: RunStart, *, settings: Settings, manifest: dict[str, Any]) -> None:
    if start.replaces:
        with locked_folder(start.run.path):
            start.run.remove()
    if not start.resumes:
        start.run.create(config=to_yaml(settings), manifest=manifest)


def _train_and_keep(
    recipe: Recipe,
    state: TrainingState,
    samples: BatchSource,
    validator: Validator,
    *,
    run: RunFolder,
    settings: Settings,
) -> None:
    """Epochs go to the log, weights to the checkpoints, both to the progress line."""
    checkpointer = Checkpointer(run, seconds=settings.train.checkpoint_seconds)
    total, done = settings.train.epochs * len(samples), state.epoch * len(samples)
    with Progress(f"train {run.name}", total=total, unit="samples", done=done) as progress:
        for epoch in train_epochs(
            recipe,
            state=state,
            samples=samples,
            validate=validator,
            settings=settings.train,
            on_batch=progress.advance,
        ):
            append_row(run.metrics_path, epoch.metrics)
            checkpointer.epoch_done(state, improved=epoch.improved)
            progress.advance(0, note=_note(epoch))
    checkpointer.write(state, stopped=stop_reason(state, settings=settings.train))


def _note(epoch: EpochResult) -> str:
    auroc = epoch.metrics["val_auroc"]
    second = f"val loss {epoch.metrics['val_loss']:.4f}" if auroc is None else f"val AUROC {auroc:.3f}"
    return f"epoch {epoch.metrics['epoch']}, loss {epoch.metrics['loss']:.4f}, {second}"


def describe_run(summary: TrainingSummary) -> str:
    """The end of a training in a few lines: where the result is, how good validation finds it, why it ended."""
    best, ended = summary.best, {"epochs": "all epochs done", "patience": "validation no longer got better"}
    auroc = best.metrics["val_auroc"]
    found = f"validation loss {best.metrics['val_loss']:.4f}" + ("" if auroc is None else f", AUROC {auroc:.3f}")
    gone_on = f", gone on with after epoch {summary.resumed_from}" if summary.resumed_from else ""
    return (
        f"Run {summary.run.path}: {summary.epochs} epochs in {format_seconds(summary.seconds)}{gone_on}; "
        f"{ended[summary.stopped]}.\nBest is epoch {best.epoch} with {found} (averaged weights). "
        f"Judge it with `weldcache eval --run {summary.run.name}`."
    )
