"""Samples through a trained model: scores, validation, and what a model makes of modalities that are hidden from it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.metrics.ranking import auroc
from weldcache.settings import Settings
from weldcache.train.data.features import FeatureReader
from weldcache.train.data.resident import load_resident
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.pipeline import train
from weldcache.train.recipes.recipe import Trained
from weldcache.train.runs.trained_run import TrainedRun, load_run
from weldcache.train.scoring import encode, encode_all, passes
from weldcache.train.tasks import AnomalyTask
from weldcache.train.validation import Validator, spread

MakeSettings = Callable[..., Settings]
CPU = torch.device("cpu")
VALIDATION = np.arange(40, 64)


@pytest.fixture(scope="module")
def trained(
    settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory
) -> TrainedRun:
    settings = settings_for_runs_in(tmp_path_factory.mktemp("trained"))(epochs=2)
    return load_run(train(settings, run_name=None, overwrite=False, command="").run.path)


def scores_of(trained: TrainedRun, store: FeatureStore, *, without: Sequence[str] = ()) -> np.ndarray:
    samples = StreamedFeatures(FeatureReader(store, trained.recipe.needs().features), VALIDATION, CPU)
    model = trained.model("averaged", device=CPU)
    encodings = [
        encode(trained.recipe, model, batch, precision="float32", without=without)
        for batch in passes(samples, batch_size=8)
    ]
    return torch.cat([trained.recipe.predict(model, each).score for each in encodings]).numpy()


@pytest.mark.parametrize("modality", ["video", "audio", "image", "sensor"])
def test_a_hidden_modality_is_one_that_no_row_has(trained: TrainedRun, toy_store: FeatureStore, modality: str) -> None:
    feature_sets = trained.recipe.needs().modalities[modality]
    hidden = scores_of(trained, toy_store, without=feature_sets)
    assert np.isfinite(hidden).all()
    assert not np.array_equal(hidden, scores_of(trained, toy_store))
    for feature_set in feature_sets:
        for row in VALIDATION:
            StoreWriter(toy_store).report(feature_set, int(row), Status.ABSENT, reason="no file")
    np.testing.assert_array_equal(scores_of(trained, FeatureStore.open(toy_store.path)), hidden)


def test_validation_sees_what_scoring_sees(trained: TrainedRun, toy_store: FeatureStore) -> None:
    recipe: Trained = trained.recipe
    samples = load_resident(FeatureReader(toy_store, recipe.needs().features, ["label"]), VALIDATION, device=CPU)
    model: nn.Module = trained.model("averaged", device=CPU)
    labels = toy_store.index.labels[VALIDATION]
    judging = {"task": AnomalyTask(), "targets": {"label": labels}}
    found = Validator(recipe, samples, **judging, batch_size=8, precision="float32")(model)
    assert found.figures["val_auroc"] == auroc(scores_of(trained, toy_store), labels)
    encodings, targets = encode_all(recipe, model, samples, batch_size=8, precision="float32")
    assert targets["label"].tolist() == labels.tolist()
    normals = {name: encoding[:12] for name, encoding in encodings.items()}  # as they stand in the toy store
    parts = [{name: encoding[start : start + 8] for name, encoding in normals.items()} for start in (0, 8)]
    with torch.no_grad():
        losses = [float(recipe.loss(model, part, {}).total) for part in parts]
    assert found.figures["val_loss"] == pytest.approx((8 * losses[0] + 4 * losses[1]) / 12, rel=1e-6)
    assert found.spread["z_pred_std"] == spread(recipe.loss(model, normals, {}).watched["z_pred"])["std"]
    assert {name.partition("_std")[0] for name in found.spread if "_std" in name} == {"z_result", "z_pred"}
