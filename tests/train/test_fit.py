"""Runs of recipes that are fitted: finished or not there at all, and otherwise runs like any other."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from weldcache.cache.store import FeatureStore
from weldcache.errors import NotFoundError, OutputExistsError, SettingsError, TrainingError
from weldcache.settings import Settings
from weldcache.train import fit as fitting
from weldcache.train.data import kept
from weldcache.train.data.features import FeatureReader, Rows
from weldcache.train.data.resident import FeaturePool
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.fit import require_read
from weldcache.train.fusion import describe_fusion, fuse
from weldcache.train.pipeline import TrainingSummary, describe_run, train
from weldcache.train.recipes import gaussian
from weldcache.train.recipes.gaussian import GaussianRecipe, GaussianSettings
from weldcache.train.recipes.linear_probe import LinearProbeSettings
from weldcache.train.recipes.match_fusion import MatchFusionSettings
from weldcache.train.recipes.nearest import NearestSettings
from weldcache.train.recipes.vectors import VectorSettings
from weldcache.train.runs import folder as run_folder
from weldcache.train.runs.catalogue import read_entry
from weldcache.train.runs.checkpoint import read_checkpoint
from weldcache.train.runs.trained_run import load_run
from weldcache.train.runs.verification import verify_run
from weldcache.train.scoring import score_rows
from weldcache.train.state import OF_GRADIENT
from weldcache.train.types import Batch, FeatureRequest

MakeSettings = Callable[..., Settings]
CPU = torch.device("cpu")


def run(settings: Settings, *, name: str | None = None, overwrite: bool = False) -> TrainingSummary:
    return train(settings, run_name=name, overwrite=overwrite, command="weldcache train")


def bank_of(summary: TrainingSummary) -> torch.Tensor:
    return read_checkpoint(summary.run.best_path).tensors["averaged/bank"]


def test_a_fitted_run_is_finished_and_says_what_made_it(toy_settings: MakeSettings) -> None:
    summary = run(toy_settings(recipe="gaussian"))
    folder = summary.run
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "best.safetensors",
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "state.json",
    ]
    assert folder.name == "gaussian-001" and folder.finished
    assert (summary.epochs, summary.stopped, summary.resumed_from) == (1, "fitted", 0)
    (row,) = folder.log()
    assert row["val_auroc"] == summary.best.value and "val_loss" not in row and "loss" not in row
    assert load_run(folder.path).best() == summary.best
    assert folder.manifest()["recipe"] == "gaussian"
    assert "fitted in" in describe_run(summary) and "weldcache eval gaussian-001" in describe_run(summary)
    assert verify_run(folder, folder=folder.path.parent).passed
    entry = read_entry(folder, folder=folder.path.parent)
    assert entry.status == "finished" and entry.epochs == 1


def test_it_scores_like_any_other_and_has_no_weights_before_averaging(toy_settings: MakeSettings) -> None:
    summary = run(toy_settings(recipe="nearest"))
    trained, store = load_run(summary.run.path), FeatureStore.open(toy_settings().cache.path)
    assert trained.weights == ("averaged",)
    models = {kind: trained.model(kind, device=CPU) for kind in ("averaged", "raw")}
    rows = np.flatnonzero(store.index.parts == "val")
    samples = StreamedFeatures(FeatureReader(store, trained.recipe.needs().features), rows, CPU)
    scores = score_rows(trained.recipe, models, samples, batch_size=8, precision="bfloat16")
    assert np.array_equal(scores["averaged"], scores["raw"]) and np.isfinite(scores["raw"]).all()


def test_a_finished_one_is_not_fitted_twice_but_may_be_replaced(toy_settings: MakeSettings) -> None:
    settings = toy_settings(recipe="nearest")
    first = run(settings, name="mine")
    with pytest.raises(OutputExistsError, match="finished"):
        run(settings, name="mine")
    again = run(toy_settings(recipe="nearest", seed=1), name="mine", overwrite=True)
    assert again.run.manifest()["seed"] == 1 and first.run == again.run
    assert run(settings).run.name == "nearest-001"
    assert run(settings).run.name == "nearest-002"


def test_the_seed_draws_the_bank_and_the_way_of_loading_does_not(
    toy_settings: MakeSettings, toy_store_path: Path
) -> None:
    store = FeatureStore.open(toy_store_path)
    pool = FeaturePool(store, np.arange(len(store.index)), device=CPU)
    first, streamed, other = (
        bank_of(run(toy_settings(recipe="nearest", **changes)))
        for changes in ({}, {"loading": "streamed", "batch_size": 5}, {"seed": 1})
    )
    pooled = train(toy_settings(recipe="nearest"), run_name="p", overwrite=False, command="weldcache train", pool=pool)
    assert len(first) == 60
    assert torch.equal(first, streamed) and torch.equal(first, bank_of(pooled))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SettingsError("no")])
def test_what_does_not_end_leaves_nothing_and_can_be_done_again(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    class Interrupted(GaussianRecipe):
        def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
            next(iter(batches))
            raise error

    settings = toy_settings(recipe="gaussian")
    with monkeypatch.context() as patch:
        patch.setattr(gaussian, "GaussianRecipe", Interrupted)
        with pytest.raises(type(error)):
            run(settings)
    assert list(settings.runs.folder.iterdir()) == []
    assert run(settings).run.name == "gaussian-001"


def test_an_interrupted_replacement_leaves_the_former_run(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings(recipe="gaussian")
    before = run(settings, name="mine").run.manifest()
    monkeypatch.setattr(fitting, "fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(settings, name="mine", overwrite=True)
    assert load_run(settings.runs.folder / "mine").manifest == before


def test_the_rows_are_the_same_however_often_they_are_gone_through(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thrice(GaussianRecipe):
        def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
            first, second = ([next(batch.tensors()).clone() for batch in batches] for _ in range(2))
            assert len(first) > 0 and all(torch.equal(*pair) for pair in zip(first, second, strict=True))
            super().fit(model, batches, generator)

    usual = run(toy_settings(recipe="gaussian"))
    monkeypatch.setattr(gaussian, "GaussianRecipe", Thrice)
    for loading in ("resident", "streamed"):
        again = run(toy_settings(recipe="gaussian", loading=loading))
        tensors, same = (read_checkpoint(each.run.best_path).tensors for each in (usual, again))
        assert all(torch.equal(tensors[name], same[name]) for name in tensors)


def test_a_recipe_of_many_passes_reads_once_what_fits_and_the_rest_member_by_member(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Streamed in full, kept in part and kept in full; with the numbers of a resident run."""
    members = {
        "film": {"name": "nearest", "array": "video/tokens"},
        "sensors": {"name": "gaussian", "array": "sensor/values", "standardise": True},
        "match": {"name": "match", "process": ["video/tokens"], "result": ["image/block_6/patch_tokens"], "folds": 3},
    }
    fused = MatchFusionSettings.model_validate({"members": members, "folds": 2})
    fit_to = toy_settings().train.model_copy(update={"loading": "streamed"})
    settings = toy_settings().model_copy(update={"recipe": fused})
    usual = read_checkpoint(run(settings).run.best_path).tensors
    settings = settings.model_copy(update={"train": fit_to})
    read, whole = Counter[str](), FeatureReader._array

    def counted(reader: FeatureReader, request: FeatureRequest, rows: Rows, **out: Any) -> torch.Tensor:
        read[request.name] += len(rows)
        return whole(reader, request, rows, **out)

    monkeypatch.setattr(FeatureReader, "_array", counted)
    num_train, num_val = 37, 24
    # Three fits, of two folds and of all, and the scores of two folds; a gaussian of standardised numbers takes two
    # passes, a match three; and who takes part is counted once.
    film, sensors, patches = 3 * (1 + 3) + 2 + 1, 3 * 2 + 2 + 1, 3 * 3 + 2 + 1
    for limit, passes in ((0, (film, sensors, patches)), (6_000, (1, sensors, patches)), (1_000_000, (1, 1, 1))):
        monkeypatch.setattr(kept, "_KEPT_BYTES", limit)
        read.clear()
        tensors = read_checkpoint(run(settings).run.best_path).tensors
        assert all(torch.equal(usual[name], tensors[name]) for name in usual)
        names = ("video/tokens", "sensor/values", "image/block_6/patch_tokens")
        assert tuple((read[name] - num_val) / num_train for name in names) == passes
        assert ("read once" in capsys.readouterr().err) == (limit > 0)


def test_what_only_gradient_training_reads_decides_nothing(toy_settings: MakeSettings) -> None:
    usual = toy_settings(recipe="gaussian").train
    rates = {name: getattr(usual, name) / 2 for name in OF_GRADIENT if isinstance(getattr(usual, name), float)}
    counts = {name: getattr(usual, name) + 1 for name in OF_GRADIENT if isinstance(getattr(usual, name), int)}
    others = {**rates, **counts, "betas": (0.5, 0.5), "compile": "default"}
    assert others.keys() == OF_GRADIENT
    one, other = run(toy_settings(recipe="gaussian")), run(toy_settings(recipe="gaussian", **others))
    tensors, same = (read_checkpoint(each.run.best_path).tensors for each in (one, other))
    assert tensors.keys() == same.keys() and all(torch.equal(tensors[name], same[name]) for name in tensors)
    assert one.best.value == other.best.value


def test_what_is_asked_for_and_not_read_is_refused(toy_settings: MakeSettings) -> None:
    fitted, trained = toy_settings(recipe="gaussian"), toy_settings(recipe="causal_film")
    asked = ["recipe.array", "train.seed", "train.split", *(f"train.{name}" for name in OF_GRADIENT)]
    with pytest.raises(SettingsError) as refused:
        require_read(fitted, [*asked, "train.checkpoint_seconds"])
    assert all(f"train.{name}" in str(refused.value) for name in (*OF_GRADIENT, "checkpoint_seconds"))
    assert "gaussian" in str(refused.value) and "train.seed" not in str(refused.value)
    require_read(trained, asked)
    require_read(fitted, asked[:3])


def test_the_settings_of_a_run_are_parsed_once(toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, read = [], run_folder.read_settings

    def counted(path: Path, content: bytes) -> Settings:
        parsed.append(path)
        return read(path, content)

    monkeypatch.setattr(run_folder, "read_settings", counted)
    for recipe in ("gaussian", "causal_film"):
        summary = run(toy_settings(recipe=recipe, epochs=1))
        assert load_run(summary.run.path).settings == summary.run.settings()
    names = [path.parent.name for path in parsed]
    assert names[-2:] == ["gaussian-001", "causal_film-001"]
    assert len(names) == len(set(names)) == 3  # what is fitted is written elsewhere, and appears when it is whole
    summary.run.config_path.write_text("train: {}")
    with pytest.raises(TrainingError, match="edited"):
        summary.run.settings()


def test_its_best_figure_is_the_monitors(toy_settings: MakeSettings) -> None:
    value = {
        monitor: run(toy_settings(recipe="gaussian", monitor=monitor)).best.value
        for monitor in (None, "val_auroc", "val_loss")
    }
    assert value[None] == value["val_auroc"] is not None and value["val_loss"] is None  # a recipe without a loss


def test_without_defects_to_validate_on_there_is_no_figure(toy_settings: MakeSettings, toy_store: FeatureStore) -> None:
    index = toy_store.index
    splits = np.where((index.parts == "val") & (index.labels == 1), "test", index.parts)
    toy_store.follow(replace(index, parts=splits), relabel=True)
    summary = run(toy_settings(store=toy_store.path, recipe="nearest"))
    assert summary.best.value is None and summary.best.metrics["val_auroc"] is None
    assert load_run(summary.run.path).best() == summary.best
    assert "fitted in" in describe_run(summary)


def test_fitted_runs_are_fused_with_one_another_and_with_trained_ones(toy_settings: MakeSettings) -> None:
    for recipe in ("nearest", "gaussian", "causal_film"):
        run(toy_settings(recipe=recipe, epochs=1), name=recipe)

    def fused(*members: str) -> dict[str, float | int | None]:
        summary = fuse(
            toy_settings(), members=members, weighting="equal", run_name=None, overwrite=False, command="test"
        )
        assert describe_fusion(summary)
        loaded = load_run(summary.run.path)
        assert loaded.weights == (("averaged", "raw") if "causal_film" in members else ("averaged",))
        assert {name.partition("/")[0] for name in read_checkpoint(summary.run.best_path).tensors} == {*loaded.weights}
        return dict(summary.metrics)

    both, mixed = fused("nearest", "gaussian"), fused("gaussian", "causal_film")
    assert "val_loss" not in both and mixed["val_loss"] is None
    assert both["val_auroc"] is not None and mixed["val_auroc"] is not None


@pytest.mark.parametrize("recipe", [GaussianSettings(), NearestSettings(), LinearProbeSettings()])
def test_an_array_is_chosen_in_a_told_order(recipe: VectorSettings) -> None:
    pictures = ["image/block_2/patch_tokens", "image/block_2/mean", "image/block_2/cls", "image/block_4/mean"]
    film = ["video/tokens", "video/embedding"]
    for held, chosen in (
        (["other/embedding", *pictures, *film], "video/embedding"),
        ([*pictures, "frames/embedding"], "frames/embedding"),
        (["sensor/values", *pictures], "image/block_2/mean"),
        (["sensor/values"], "sensor/values"),
        (["audio/tokens"], "video/embedding"),  # which is missed then
    ):
        assert recipe.for_store(held).array == chosen
    said = recipe.model_copy(update={"array": "audio/tokens"})
    assert said.for_store(film) == said


def test_a_run_keeps_the_array_that_was_chosen(toy_settings: MakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    settings = toy_settings().model_copy(update={"recipe": GaussianSettings()})
    kept = run(settings).run.settings().recipe
    assert kept == GaussianSettings(array="sensor/values")
    assert "recipe.array = sensor/values" in capsys.readouterr().err


def test_of_what_members_leave_open_only_that_is_told(
    toy_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {"open": {"name": "gaussian"}, "said": {"name": "nearest", "array": "sensor/values"}}
    chosen = MatchFusionSettings.model_validate({"members": members, "folds": 2})
    run(toy_settings().model_copy(update={"recipe": chosen}))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Chosen")]
    assert told == ["Chosen for this store: recipe.members.open.array = sensor/values."]


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ("video/embedding", NotFoundError, "video has tokens"),
        ("film/tokens", NotFoundError, r"recipe\.array"),
        ("audio/tokens_length", SettingsError, "audio/tokens_length"),
    ],
)
def test_an_array_that_cannot_be_compared_is_refused(
    toy_settings: MakeSettings, array: str, error: type[Exception], message: str
) -> None:
    settings = toy_settings(recipe="gaussian")
    recipe = GaussianSettings(array=array)
    with pytest.raises(error, match=message):
        run(settings.model_copy(update={"recipe": recipe}))
    assert not settings.runs.folder.exists()


def test_loggers_get_the_one_row(toy_settings: MakeSettings) -> None:
    summary = run(toy_settings(recipe="gaussian", loggers=("tensorboard",)))
    assert any((summary.run.path / "tensorboard").iterdir())
