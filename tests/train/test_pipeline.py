"""Training as a whole, on a small store: what comes out, what it may see, and that it learns."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.errors import FingerprintError, NotFoundError, OutputExistsError, TrainingError
from weldcache.metrics.ranking import auroc
from weldcache.settings import Settings
from weldcache.train.data.features import FeatureReader
from weldcache.train.data.samples import ChosenSamples
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.pipeline import TrainingSummary, describe_run, train
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.runs import checkpointer
from weldcache.train.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from weldcache.train.runs.names import latest_run
from weldcache.train.runs.start import make_manifest
from weldcache.train.runs.trained_run import TrainedRun, load_run
from weldcache.train.scoring import score_rows

MakeSettings = Callable[..., Settings]
WriteRows = Callable[..., None]
CPU = torch.device("cpu")


def run(settings: Settings, *, name: str | None = None, overwrite: bool = False) -> TrainingSummary:
    return train(settings, run_name=name, overwrite=overwrite, command="weldcache train --set x=1")


def scores(trained: TrainedRun, store: FeatureStore, rows: np.ndarray, *, batch_size: int = 8) -> dict[str, np.ndarray]:
    models = {kind: trained.model(kind, device=CPU) for kind in ("averaged", "raw")}
    samples = StreamedFeatures(FeatureReader(store, trained.recipe.needs().features), rows, CPU)
    return score_rows(trained.recipe, models, samples, batch_size=batch_size, precision="float32")


def weights(summary: TrainingSummary) -> dict[str, torch.Tensor]:
    return dict(read_checkpoint(summary.run.last_path).tensors)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def finished(
    settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory
) -> TrainingSummary:
    """A run of three epochs. Not to be changed."""
    return run(settings_for_runs_in(tmp_path_factory.mktemp("finished") / "runs")(epochs=3, seed=5))


@pytest.fixture(scope="module")
def undisturbed(
    settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    """Weights after two epochs."""
    return weights(run(settings_for_runs_in(tmp_path_factory.mktemp("undisturbed") / "runs")(epochs=2)))


def test_learns_what_normal_welds_have_in_common(toy_settings: MakeSettings) -> None:
    """Defects break the link between process and result; each modality by itself looks normal."""
    untrained = run(toy_settings(epochs=1, lr=1e-9, warmup_lr=0))
    trained = run(toy_settings(epochs=6))
    assert untrained.best.value < 0.8
    assert trained.best.value > 0.9


def test_a_run_says_what_made_it(
    finished: TrainingSummary, settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path: Path
) -> None:
    folder = finished.run
    settings = settings_for_runs_in(folder.path.parent)(epochs=3, seed=5)
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "best.safetensors",
        "config.yaml",
        "last.safetensors",
        "manifest.json",
        "metrics.jsonl",
        "state.json",
    ]
    assert folder.name == "causal_film-001" and folder.finished
    new = tmp_path / "new"
    new.touch()
    assert {path.stat().st_mode for path in folder.path.iterdir()} == {new.stat().st_mode}
    kept = folder.settings()
    assert kept.train == settings.train and kept.recipe == settings.recipe
    assert kept.cache.path == settings.cache.path and kept.runs.folder == settings.runs.folder
    store, manifest = FeatureStore.open(settings.cache.path), folder.manifest()
    used = ["video", "audio", "image/block_2", "image/block_6", "sensor", "text/prompt"]
    assert manifest["fingerprint"] == store.fingerprint_of(used)
    assert manifest["cache"]["features"].keys() | manifest["cache"]["constants"].keys() == set(used)
    assert manifest["backbones_are_random"] is True
    assert (manifest["seed"], manifest["command"]) == (5, "weldcache train --set x=1")
    assert manifest["counts"] == {
        "train": 37,
        "train_left_out": 3,
        "train_lacking": {},
        "train_without": {},
        "validation": 24,
        "validation_normals": 12,
        "validation_defects": 12,
        "validation_lacking": {},
        "validation_without": {},
    }
    assert manifest["samples"]["train"] == [f"day/{row:03d}" for row in range(37)]
    assert manifest["parameters"]["trainable"] == manifest["parameters"]["total"] > 1000
    state = json.loads(folder.state_path.read_text())
    assert (state["epoch"], state["step"], state["stopped"]) == (3, 15, "epochs")
    assert state["best"] == finished.best.metrics
    assert "causal_film-001" in describe_run(finished)
    assert latest_run(settings.runs.folder) == folder


def test_trains_on_normals_only(toy_settings: MakeSettings, toy_store: FeatureStore, write_features: WriteRows) -> None:
    """A defect of the train split full of nonsense changes not one bit of the weights."""
    settings = toy_settings(store=toy_store.path, epochs=1)
    before = weights(run(settings, name="before"))
    defect = int(np.flatnonzero((toy_store.index.parts == "train") & (toy_store.index.labels == 1))[0])
    write_features(toy_store, "video", [defect], {"tokens": np.full((1, 4, 16), 6e4)})
    write_features(toy_store, "sensor", [defect], {"values": np.full((1, 10, 6), 1e30)})
    assert same(before, weights(run(settings, name="after")))


def test_the_seed_and_nothing_else_decides_the_weights(toy_settings: MakeSettings) -> None:
    state_before = torch.get_rng_state()
    first = weights(run(toy_settings(epochs=1)))
    assert torch.equal(torch.get_rng_state(), state_before)
    torch.rand(5)
    second, other = weights(run(toy_settings(epochs=1))), weights(run(toy_settings(epochs=1, seed=1)))
    assert same(first, second)
    assert not same(first, other)


def test_the_best_weights_reproduce_the_recorded_metric_exactly(
    finished: TrainingSummary, toy_store_path: Path
) -> None:
    trained, store = load_run(finished.run.path), FeatureStore.open(toy_store_path)
    rows = store.rows("val", feature_sets=("video", "audio", "image/block_2", "image/block_6", "sensor"))
    found = scores(trained, store, rows)
    assert auroc(found["averaged"], store.index.labels[rows]) == finished.best.metrics["val_auroc"]
    assert not np.array_equal(found["averaged"], found["raw"])
    assert trained.best() == finished.best
    assert [row["epoch"] for row in trained.metrics] == [1, 2, 3]
    assert max(row["val_auroc"] for row in trained.metrics) == finished.best.value


def test_scores_do_not_depend_on_the_batch_size(finished: TrainingSummary, toy_store_path: Path) -> None:
    trained, store = load_run(finished.run.path), FeatureStore.open(toy_store_path)
    rows = np.array([63, 4, 17, 41, 0])
    expected = scores(trained, store, rows, batch_size=5)["averaged"]
    for batch_size in (1, 2, 64):
        found = scores(trained, store, rows, batch_size=batch_size)["averaged"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert scores(trained, store, rows[:0])["averaged"].shape == (0,)


def test_reading_a_run_draws_no_random_numbers(finished: TrainingSummary) -> None:
    trained = load_run(finished.run.path)
    before = torch.get_rng_state()
    trained.model("raw", device=CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_store_of_other_features_is_refused_with_the_differences(
    finished: TrainingSummary, toy_store: FeatureStore
) -> None:
    trained = load_run(finished.run.path)
    toy_store.add_constant("text/prompt", np.zeros(24, np.float32), made_by={"backbone": {"model": "another"}})
    with pytest.raises(
        FingerprintError, match=r"text/prompt\.made_by\.backbone\.model: toy in the run, another in the cache"
    ):
        trained.require_same_features(toy_store)


def test_what_the_store_gains_later_does_not_matter_to_a_run(
    toy_settings: MakeSettings, toy_store: FeatureStore, write_features: WriteRows
) -> None:
    """Another block, with random weights, and another backbone: neither is what this run was trained on."""
    settings = toy_settings(store=toy_store.path, epochs=1)
    summary = run(settings)
    rows = toy_store.rows("val", feature_sets=())

    def scored() -> np.ndarray:
        return scores(load_run(summary.run.path), FeatureStore.open(toy_store.path), rows)["averaged"]

    before, fingerprint = scored(), toy_store.fingerprint
    for name in ("image/block_8", "image_b/block_2"):
        toy_store.add_feature_set(
            FeatureSetSpec(name, [ArraySpec("cls", (2,), ("dim",), "float32")], {"backbone": {"random_weights": True}})
        )
        write_features(toy_store, name, [0], {"cls": np.ones((1, 2), np.float32)})
    assert toy_store.fingerprint != fingerprint
    assert np.array_equal(scored(), before)


def test_other_weights_under_the_same_name_do_matter(toy_settings: MakeSettings, toy_store: FeatureStore) -> None:
    summary = run(toy_settings(store=toy_store.path, epochs=1))
    arrays = list(toy_store.arrays("image/block_6").values())
    made_by = {**toy_store.manifest["features"]["image/block_6"]["made_by"]}
    for backbone, refused in (({**made_by["backbone"], "weights": "4567"}, True), (made_by["backbone"], False)):
        toy_store.replace_feature_set(FeatureSetSpec("image/block_6", arrays, {**made_by, "backbone": backbone}))
        trained = load_run(summary.run.path)
        if not refused:
            trained.require_same_features(toy_store)
            continue
        with pytest.raises(
            FingerprintError, match=r"block_6\.made_by\.backbone\.weights: 0123 in the run, 4567 in the"
        ):
            trained.require_same_features(toy_store)


@pytest.mark.parametrize("used_is_random", [True, False])
def test_random_backbones_count_where_they_are_used(
    toy_settings: MakeSettings, toy_store: FeatureStore, used_is_random: bool
) -> None:
    """Block 4 is in the store and the model does not use it."""
    for name in toy_store.feature_sets:
        made_by = {"backbone": {"random_weights": used_is_random == (name != "image/block_4")}}
        toy_store.add_feature_set(FeatureSetSpec(name, list(toy_store.arrays(name).values()), made_by))
    toy_store.add_constant("text/prompt", np.zeros(24, np.float32), made_by={})
    nobody = np.empty(0, np.int64)
    manifest = make_manifest(
        make_recipe(toy_settings().recipe),
        settings=toy_settings(),
        model=torch.nn.Linear(1, 1),
        shapes={},
        store=toy_store,
        samples=ChosenSamples(nobody, nobody, 0, {}, {}, {}, {}, frozenset(), {}),
        command="",
    )
    assert toy_store.random_backbones
    assert manifest["backbones_are_random"] is used_is_random


def test_a_finished_run_is_replaced_only_when_asked(toy_settings: MakeSettings) -> None:
    first = run(toy_settings(epochs=1), name="mine")
    (first.run.path / "report.html").write_text("of the first run")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        run(toy_settings(epochs=1), name="mine")
    second = run(toy_settings(epochs=2), name="mine", overwrite=True)
    assert second.epochs == 2 and second.resumed_from == 0
    assert not (second.run.path / "report.html").exists()


def test_without_defects_in_validation_the_loss_decides(toy_settings: MakeSettings, toy_store: FeatureStore) -> None:
    toy_store.forget("video", list(range(52, 64)))
    summary = run(toy_settings(store=toy_store.path, epochs=2, monitor="val_loss"))
    assert summary.counts["validation_lacking"] == {"video": 12}
    assert summary.best.metrics["val_auroc"] is None
    assert summary.best.value == summary.best.metrics["val_loss"]


@pytest.mark.parametrize("refusal", [OSError(28, "No space left on device"), SafetensorError("I/O error: No space")])
def test_a_full_disk_is_a_sentence_and_the_run_goes_on_afterwards(
    toy_settings: MakeSettings,
    undisturbed: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    refusal: Exception,
) -> None:
    """safetensors has an error of its own for what the disk refuses."""
    settings, writes = toy_settings(epochs=2), itertools.count()

    def full(path: Path, checkpoint: Checkpoint) -> None:
        if next(writes) == 2:
            raise refusal
        write_checkpoint(path, checkpoint)

    monkeypatch.setattr(checkpointer, "write_checkpoint", full)
    with pytest.raises(TrainingError, match=r"cut cannot be written to \(.*No space.*\). Make room there; .* goes on"):
        run(settings, name="cut")
    assert same(weights(run(settings, name="cut")), undisturbed)


def test_without_a_cache_the_message_names_the_command(toy_settings: MakeSettings, tmp_path: object) -> None:
    settings = toy_settings(store=toy_settings().runs.folder / "nowhere.zarr")
    with pytest.raises(NotFoundError, match="weldcache extract"):
        run(settings)
    assert not settings.runs.folder.exists()


def test_the_number_of_trained_parameters_leaves_out_what_is_fixed(toy_settings: MakeSettings) -> None:
    settings = toy_settings(epochs=1)
    fixed = settings.model_copy(update={"recipe": settings.recipe.model_copy(update={"learnable_gem": False})})
    counts = run(fixed).run.manifest()["parameters"]
    assert counts["total"] - counts["trainable"] == 2
