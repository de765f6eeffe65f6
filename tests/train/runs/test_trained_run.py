"""A run read back: what is on the disk is what was validated."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.settings import Settings
from weldcache.train.data.resident import FeaturePool
from weldcache.train.data.samples import choose_samples
from weldcache.train.pipeline import train
from weldcache.train.runs.trained_run import TrainedRun, Weights, load_run
from weldcache.train.tasks import AnomalyTask
from weldcache.train.validation import ValidationResult, Validator

MakeSettings = Callable[..., Settings]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Its best epoch is not its last, so the two files differ."""
    settings = settings_for_runs_in(tmp_path_factory.mktemp("runs"))(epochs=8, lr=3e-2)
    trained = load_run(train(settings, run_name="run", overwrite=False, command="").run.path)
    assert trained.best().epoch < 8
    return trained


def validate(run: TrainedRun, weights: Weights) -> ValidationResult:
    store = FeatureStore.open(run.settings.cache.path)
    rows = choose_samples(store, run.recipe, task=AnomalyTask(), monitor="val_auroc").validation
    validator = Validator(
        run.recipe,
        FeaturePool(store, rows, device=CPU).source(rows, run.recipe.needs()),
        task=AnomalyTask(),
        targets={"label": store.index.labels[rows]},
        batch_size=run.settings.train.batch_size,
        precision=run.settings.train.precision,
    )
    return validator(run.model(weights, store=store, device=CPU))


def test_the_reloaded_best_does_again_all_that_validation_recorded_of_it(run: TrainedRun) -> None:
    """To the last bit: loss, AUROC, and every sign of collapse."""
    found, recorded = validate(run, "averaged"), run.best().metrics
    figures = {**found.figures, **found.spread}
    assert figures == {name: recorded[name] for name in figures}
    assert {name for name in recorded if name.startswith(("val_", "z_"))} == figures.keys()
    assert recorded == run.metrics[run.best().epoch - 1]


def test_the_raw_weights_are_others(run: TrainedRun) -> None:
    assert validate(run, "raw").figures["val_loss"] != run.best().metrics["val_loss"]
