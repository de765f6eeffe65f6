"""A run read back: what is on the disk is what was validated."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.errors import NotFoundError
from weldcache.settings import Settings
from weldcache.train.data.features import FeatureReader, shapes_for
from weldcache.train.data.resident import FeaturePool
from weldcache.train.data.samples import choose_samples
from weldcache.train.pipeline import train
from weldcache.train.runs.documents import Manifest
from weldcache.train.runs.trained_run import TrainedRun, Weights, load_run
from weldcache.train.scoring import encode
from weldcache.train.tasks import AnomalyTask
from weldcache.train.types import Batch
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
    return validator(run.model(weights, device=CPU))


def test_the_reloaded_best_does_again_all_that_validation_recorded_of_it(run: TrainedRun) -> None:
    """To the last bit: loss, AUROC, and every sign of collapse."""
    found, recorded = validate(run, "averaged"), run.best().metrics
    figures = {**found.figures, **found.spread}
    assert figures == {name: recorded[name] for name in figures}
    assert {name for name in recorded if name.startswith(("val_", "z_"))} == figures.keys()
    assert recorded == run.metrics[run.best().epoch - 1]


def test_the_raw_weights_are_others(run: TrainedRun) -> None:
    assert validate(run, "raw").figures["val_loss"] != run.best().metrics["val_loss"]


def score_of(run: TrainedRun, rows: Batch) -> torch.Tensor:
    model = run.model("averaged", device=CPU)
    return run.recipe.predict(model, encode(run.recipe, model, rows, precision=run.precision)).score


def test_rows_are_scored_alike_when_the_store_is_gone(toy_settings: MakeSettings, toy_store: FeatureStore) -> None:
    made = train(toy_settings(store=toy_store.path, epochs=1), run_name="alone", overwrite=False, command="").run
    rows = FeatureReader(toy_store, load_run(made.path).recipe.needs().features).read(np.arange(5))
    before = score_of(load_run(made.path), rows)
    shutil.rmtree(toy_store.path)
    assert torch.equal(score_of(load_run(made.path), rows), before)


def test_a_run_of_a_former_version_takes_its_shapes_from_a_store(run: TrainedRun) -> None:
    store = FeatureStore.open(run.settings.cache.path)
    assert run.shapes() == run.shapes(store) == shapes_for(store, run.recipe)
    kept: Manifest = run.manifest.copy()
    del kept["shapes"]
    former = replace(run, manifest=kept)
    with pytest.raises(NotFoundError, match="shapes"):
        former.model("averaged", device=CPU)
    mine, own = former.model("averaged", device=CPU, shapes=former.shapes(store)), run.model("averaged", device=CPU)
    assert all(torch.equal(values, own.state_dict()[name]) for name, values in mine.state_dict().items())
