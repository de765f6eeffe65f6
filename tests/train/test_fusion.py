"""Fusing trained runs: what is measured on whom, and a run that stands alone and is read like any other."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM

from weldcache import atomic
from weldcache.atomic import write_json
from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import to_storage
from weldcache.cache.writer import StoreWriter
from weldcache.documents import write_sealed
from weldcache.errors import FingerprintError, NotFoundError, OutputExistsError, SettingsError, TrainingError
from weldcache.metrics.ranking import auroc
from weldcache.settings import Settings, to_yaml
from weldcache.tests.toy import index_of
from weldcache.train import fusion
from weldcache.train.combination import Weighting, fit_weights
from weldcache.train.data.features import FeatureReader
from weldcache.train.data.samples import split_rows
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.fusion import FusionSummary, describe_fusion, fuse
from weldcache.train.nn.joined_scores import FusedBy
from weldcache.train.pipeline import train
from weldcache.train.recipes.late_fusion import LateFusionRecipe, LateFusionSettings
from weldcache.train.runs import checkpointer
from weldcache.train.runs.checkpoint import read_checkpoint
from weldcache.train.runs.documents import sealed_manifest, shareable
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.names import latest_run
from weldcache.train.runs.trained_run import WEIGHTS, TrainedRun, load_run
from weldcache.train.scoring import score_rows
from weldcache.train.settings import TASKS
from weldcache.train.tasks import AnomalyTask, Direction, Targets
from weldcache.train.types import Prediction
from weldcache.train.validation import Validator

SETS = ("near", "far")
SPLITS = [*["train"] * 24, *["val"] * 24, *["test"] * 12]
LABELS = [*[0] * 24, *[0] * 12, *[1] * 12, *[0] * 6, *[1] * 6]
LACKING = 47  # a validation defect without features of the set `far`


def _embeddings(name: str, *, test_seed: int) -> np.ndarray:
    """Normals on a line through space; defects off it, far more so in the set `near`."""
    rng = np.random.default_rng(SETS.index(name))
    rows = rng.normal(size=(60, 1, 1)) * rng.normal(size=8) + 0.2 * rng.normal(size=(60, 3, 8))
    rows += np.array(LABELS)[:, None, None] * rng.normal(size=(60, 1, 8)) * (1.0 if name == "near" else 0.4)
    is_test = np.array(SPLITS) == "test"
    rows[is_test] += np.random.default_rng(test_seed).normal(size=(is_test.sum(), 3, 8))
    return rows


def make_store(path: Path, *, test_seed: int = 0, version: int = 1, labels: list[int] = LABELS) -> Path:
    index = index_of(
        keys=[f"day/{row:02d}" for row in range(60)],
        splits=SPLITS,
        class_names=["spatter" if label else "good" for label in labels],
        groups=["day"] * 60,
        labels=labels,
        attributes={},
    )
    store = FeatureStore.create(path, index=index)
    for name in SETS:
        spec = FeatureSetSpec(
            name,
            [ArraySpec("embedding", (3, 8), ("time", "dim"), "float16")],
            {"version": version if name == "far" else 1},
        )
        store.add_feature_set(spec)
        rows = [row for row in range(60) if name == "near" or row != LACKING]
        values = torch.from_numpy(_embeddings(name, test_seed=test_seed)[rows])
        stored = {"embedding": to_storage(values, spec.arrays[0], owners=[str(row) for row in rows])}
        nothing = [""] * len(rows)
        StoreWriter(store).write(name, rows, stored, sources=[()] * len(rows), notes=nothing)
    StoreWriter(store).report("far", LACKING, Status.ABSENT, reason="no .avi")
    return path


def settings_in(folder: Path, *, store: Path | None = None, frames: str = "near", **train_settings: object) -> Settings:
    few = {
        "epochs": 3,
        "batch_size": 8,
        "lr": 1e-2,
        "warmup_epochs": 0,
        "ema_decay": 0.9,
        "device": "cpu",
        "checkpoint_seconds": 0,
    }
    return Settings.model_validate(
        {
            "cache": {"path": store or folder / "toy.zarr"},
            "recipe": {"name": "video_ae", "frames": frames, "hidden": 8, "bottleneck": 2},
            "train": {**few, "monitor": "val_loss", **train_settings},
            "runs": {"folder": folder / "runs"},
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and two finished runs, `near` and `far`, each on the set of its name. Not to be changed."""
    folder = tmp_path_factory.mktemp("fusion")
    make_store(folder / "toy.zarr")
    for name in SETS:
        train(settings_in(folder, frames=name), run_name=name, overwrite=False, command=f"weldcache train --run {name}")
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


def fused(
    project: Path,
    *members: str,
    weighting: Weighting = "equal",
    combine: FusedBy = "mean",
    run_name: str | None = None,
    overwrite: bool = False,
    **changes: Any,
) -> FusionSummary:
    return fuse(
        settings_in(project, **changes),
        members=members or SETS,
        weighting=weighting,
        combine=combine,
        run_name=run_name,
        overwrite=overwrite,
        command="test",
    )


def scores_of(run: TrainedRun, store: FeatureStore, rows: np.ndarray) -> dict[str, np.ndarray]:
    """By averaged and by raw weights."""
    models = {weights: run.model(weights, device=torch.device("cpu")) for weights in WEIGHTS}
    source = StreamedFeatures(FeatureReader(store, run.recipe.needs().features), rows, torch.device("cpu"))
    return score_rows(run.recipe, models, source, batch_size=8, precision="float32")


@pytest.mark.parametrize("weighting", ["equal", (0.37, 0.63)])
def test_a_fused_score_is_the_members_combined_by_hand(project: Path, weighting: Weighting) -> None:
    summary = fused(project, weighting=weighting)
    shares = (0.5, 0.5) if weighting == "equal" else weighting
    store = FeatureStore.open(project / "toy.zarr")
    validation, test = np.delete(np.arange(24, 48), LACKING - 24), np.arange(48, 60)
    normals = np.arange(24, 36)
    run = load_run(summary.run.path)
    for weights in WEIGHTS:
        for rows in (validation, test):
            expected = np.zeros(len(rows))
            for name, share in zip(SETS, shares, strict=True):
                member = load_run(project / "runs" / name)
                of_normals = scores_of(member, store, normals)[weights].astype(np.float64)
                scores = scores_of(member, store, rows)[weights]
                expected += share * (scores - of_normals.mean()) / of_normals.std()
            np.testing.assert_allclose(scores_of(run, store, rows)[weights], expected, rtol=1e-4, atol=1e-5)
    averaged, raw = (scores_of(run, store, test)[weights] for weights in WEIGHTS)
    assert np.abs(averaged - raw).max() > 1e-3


@pytest.mark.parametrize("combine", ["min", "max", "product", "svm"])
def test_scores_may_be_combined_otherwise_than_by_a_mean(project: Path, combine: FusedBy) -> None:
    """By hand from the members' scores; the boundary is scikit-learn's around those of validation normals."""
    run = load_run(fused(project, combine=combine).run.path)
    store = FeatureStore.open(project / "toy.zarr")
    normals, rows = np.arange(24, 36), np.arange(48, 60)
    members = [load_run(project / "runs" / name) for name in SETS]
    units, scores = [], []
    for member in members:
        of_normals = scores_of(member, store, normals)["averaged"].astype(np.float64)
        units.append((of_normals - of_normals.mean()) / of_normals.std())
        found = scores_of(member, store, rows)["averaged"]
        scores.append(
            found / of_normals.mean() if combine == "product" else (found - of_normals.mean()) / of_normals.std()
        )
    joined, known = np.stack(scores, axis=1), np.stack(units, axis=1)
    expected = {
        "min": joined.min(axis=1),
        "max": joined.max(axis=1),
        "product": np.sqrt(np.abs(joined.prod(axis=1))),
        "svm": -OneClassSVM(nu=0.1).fit(known).decision_function(joined),
    }[combine]
    # What finds support vectors stops once it is within a thousandth.
    tolerance = 2e-3 if combine == "svm" else 1e-4
    np.testing.assert_allclose(scores_of(run, store, rows)["averaged"], expected, rtol=1e-3, atol=tolerance)
    assert run.manifest["fusion"]["combine"] == combine


def test_weights_are_for_a_mean(project: Path) -> None:
    with pytest.raises(SettingsError, match="max"):
        fused(project, combine="max", weighting="fit")


def test_the_test_split_has_no_part_in_it(project: Path, tmp_path: Path) -> None:
    """The original standardised test scores by the test set's own mean and spread."""
    for weighting in ("equal", "fit"):
        first = fused(project, weighting=weighting, run_name=f"first-{weighting}")
        store = make_store(tmp_path / weighting / "toy.zarr", test_seed=99)
        other = fused(project, weighting=weighting, run_name=f"other-{weighting}", store=store)
        assert first.combination == other.combination
        mine, theirs = (read_checkpoint(summary.run.best_path).tensors for summary in (first, other))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert {name: value for name, value in first.metrics.items() if name != "seconds"} == {
            name: value for name, value in other.metrics.items() if name != "seconds"
        }


def test_weights_are_fitted_on_validation(project: Path) -> None:
    summary = fused(project, weighting="fit")
    store, labels = FeatureStore.open(project / "toy.zarr"), np.array(LABELS, dtype=np.uint8)
    rows = np.delete(np.arange(24, 48), LACKING - 24)
    own = np.stack(
        [scores_of(load_run(project / "runs" / name), store, rows)["averaged"] for name in SETS], axis=1
    ).astype(np.float64)
    normals = own[labels[rows] == 0]
    standardised = (own - normals.mean(axis=0)) / normals.std(axis=0)
    assert (summary.combination.weight, summary.combination.step) == fit_weights(standardised, labels[rows])
    assert summary.metrics["val_auroc"] == pytest.approx(
        auroc(standardised @ np.array(summary.combination.weight), labels[rows]), abs=0.01
    )
    assert summary.metrics["val_auroc"] >= max(auroc(own[:, place], labels[rows]) for place in (0, 1)) - 0.01
    assert "weights were fitted to it, in steps of 0.01" in describe_fusion(summary)


def test_it_is_a_run_like_any_other(project: Path) -> None:
    summary = fused(project)
    assert summary.run.name == "late_fusion-001"
    assert fused(project).run.name == "late_fusion-002"
    assert latest_run(project / "runs").name == "late_fusion-002"
    run = load_run(summary.run.path)
    assert run.folder.finished and isinstance(run.recipe, LateFusionRecipe)
    assert run.manifest["recipe"] == "late_fusion"
    members = {name: load_run(project / "runs" / name).settings.recipe for name in SETS}
    assert isinstance(run.settings.recipe, LateFusionSettings) and run.settings.recipe.members == members
    told = run.manifest["fusion"]
    assert (told["weighting"], told["step"], told["measured_on"]) == ("equal", None, "validation")
    told = told["scores"]["far"]["averaged"]
    assert (told["mean"], told["std"], told["weight"]) == (
        summary.combination.mean[1],
        summary.combination.std[1],
        0.5,
    )
    assert run.manifest["samples"]["train"] == [f"day/{row:02d}" for row in range(24)]
    assert len(run.manifest["samples"]["validation"]) == 23  # one lacks `far`
    assert run.manifest["counts"]["validation_lacking"] == {"far": 1}
    assert [dict(row) for row in run.metrics] == [dict(summary.metrics)]
    assert dict(run.best().metrics) == dict(summary.metrics)
    assert {"near/code_effective_rank", "far/code_std_min"} <= summary.metrics.keys()
    json.dumps(run.manifest, allow_nan=False)
    text = describe_fusion(summary)
    assert "2 runs fused" in text and "12 validation normals" in text and "eval late_fusion-001" in text


def test_what_validation_recorded_comes_out_again(project: Path) -> None:
    run = load_run(fused(project).run.path)
    store = FeatureStore.open(project / "toy.zarr")
    rows = split_rows(store, "val", recipe=run.recipe).usable
    validator = Validator(
        run.recipe,
        StreamedFeatures(FeatureReader(store, run.recipe.needs().features), rows, torch.device("cpu")),
        task=AnomalyTask(),
        targets={"label": store.index.labels[rows]},
        batch_size=8,
        precision="float32",
    )
    result = validator(run.model("averaged", device=torch.device("cpu")))
    assert dict(result.figures) == {name: run.metrics[0][name] for name in ("val_loss", "val_auroc")}
    # The validation loss of a fusion is the members', weighted like their scores.
    losses = [
        row["val_loss"] for name in SETS for row in load_run(project / "runs" / name).metrics if row["epoch"] == 3
    ]
    assert min(losses) * 0.8 < (result.figures["val_loss"] or 0) < max(losses) * 1.2


def test_members_are_scored_in_the_arithmetic_that_they_were_trained_in(project: Path) -> None:
    train(settings_in(project, precision="bfloat16"), run_name="half", overwrite=False, command="test")
    run = load_run(fused(project, "half", "far", run_name="both", precision="float16").run.path)
    assert run.precision == "bfloat16"  # the coarsest of the members', whatever the folder says
    assert run.settings.recipe.model_dump()["precision"] == {"half": "bfloat16", "far": "float32"}
    store, normals = FeatureStore.open(project / "toy.zarr"), np.arange(24, 36)
    for name, told in run.manifest["fusion"]["scores"].items():
        member = load_run(project / "runs" / name)
        model = {"averaged": member.model("averaged", device=torch.device("cpu"))}
        source = StreamedFeatures(FeatureReader(store, member.recipe.needs().features), normals, torch.device("cpu"))
        scores = score_rows(member.recipe, model, source, batch_size=8, precision=member.precision)["averaged"]
        assert told["averaged"]["mean"] == pytest.approx(scores.astype(np.float64).mean(), rel=1e-6)
    rows, other = np.arange(48, 60), load_run(fused(project, "half", "far", run_name="again").run.path)
    fused_scores, same = (scores_of(each, store, rows)["averaged"] for each in (run, other))
    assert np.array_equal(fused_scores, same)  # whatever the arithmetic of the folder that fused them


def test_members_may_be_deleted(project: Path) -> None:
    run = fused(project).run
    store, rows = FeatureStore.open(project / "toy.zarr"), np.arange(48, 60)
    before = scores_of(load_run(run.path), store, rows)
    for name in SETS:
        RunFolder(project / "runs" / name).remove()
    after = scores_of(load_run(run.path), store, rows)
    assert all(np.array_equal(before[weights], after[weights]) for weights in WEIGHTS)


def test_a_fused_run_may_be_fused(project: Path) -> None:
    train(settings_in(project, seed=5), run_name="third", overwrite=False, command="test")
    inner = fused(project, run_name="inner").run
    outer = load_run(fused(project, "inner", "third", run_name="outer").run.path)
    shutil.rmtree(inner.path)
    store, rows = FeatureStore.open(project / "toy.zarr"), np.arange(48, 60)
    assert np.isfinite(scores_of(outer, store, rows)["averaged"]).all()
    assert isinstance(outer.settings.recipe, LateFusionSettings)
    assert [member.name for member in outer.settings.recipe.members.values()] == ["late_fusion", "video_ae"]


def test_without_defects_weights_cannot_be_fitted(tmp_path: Path) -> None:
    normal = [0] * 48 + LABELS[48:]
    make_store(tmp_path / "toy.zarr", labels=normal)
    for name in SETS:
        train(settings_in(tmp_path, frames=name), run_name=name, overwrite=False, command="test")
    with pytest.raises(SettingsError, match="normals alone"):
        fused(tmp_path, weighting="fit")
    summary = fused(tmp_path)
    assert summary.metrics["val_auroc"] is None
    assert "val loss" in describe_fusion(summary) and "AUROC" not in describe_fusion(summary)
    assert load_run(summary.run.path).best().value == summary.metrics["val_loss"]
    for name in SETS:
        settings = settings_in(tmp_path).model_dump(mode="json")
        settings["recipe"] = {"name": "nearest", "array": f"{name}/embedding"}
        train(Settings.model_validate(settings), run_name=f"{name}-fitted", overwrite=False, command="test")
    summary = fused(tmp_path, "near-fitted", "far-fitted")  # which have no loss either
    assert load_run(summary.run.path).best().value is None and describe_fusion(summary)


def unfinished(project: Path) -> None:
    run = RunFolder(project / "runs" / "far")
    run.write(run.state_path, {**(run.state() or {}), "finished": False})


def validated_on_others(project: Path) -> None:
    run = RunFolder(project / "runs" / "far")
    manifest, state = run.manifest(), run.state()
    manifest["samples"]["validation"].remove("day/30")
    write_sealed(run.manifest_path, manifest)
    run.write(run.state_path, state or {})


def nothing_changed(project: Path) -> None:
    """The project as it is."""


@pytest.mark.parametrize(
    ("members", "change", "error", "message"),
    [
        (["near"], nothing_changed, SettingsError, "two runs at least; only near is named"),
        (["near", "near"], nothing_changed, SettingsError, "near is named twice"),
        (["near", "far", "latest"], nothing_changed, SettingsError, "is named twice"),
        (["near", "fra"], nothing_changed, NotFoundError, "fra is not a run. Did you mean far"),
        (["near", "far"], unfinished, NotFoundError, "far is not finished: `weldcache train --run far`"),
        (["near", "far"], validated_on_others, TrainingError, "far was not validated on 1 of the 23 .* day/30 among"),
    ],
)
def test_what_cannot_be_fused_is_refused(
    project: Path, members: list[str], change: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    change(project)
    with pytest.raises(error, match=message):
        fused(project, *members)
    assert sorted(path.name for path in (project / "runs").iterdir()) == ["far", "near"]


class MarginTask(AnomalyTask):
    """Another task on scores of anomaly, with a monitor of its own."""

    def monitors(self) -> Mapping[str, Direction]:
        return {"val_margin": "max", "val_loss": "min"}

    def validate(self, prediction: Prediction, targets: Targets) -> Mapping[str, float | None]:
        scores = prediction.score.numpy()
        return {"val_margin": float(scores[targets["label"] == 1].mean() - scores[targets["label"] == 0].mean())}


def test_the_task_is_that_of_all_members(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(dict[str, str], TASKS._shipped), "margin", f"{__name__}:MarginTask")
    for name in SETS:
        settings = settings_in(project, frames=name, task="margin", epochs=1)
        train(settings, run_name=f"{name}-margin", overwrite=False, command="test")
    summary = fused(project, "near-margin", "far-margin")
    run = load_run(summary.run.path)
    assert (run.manifest["task"], run.settings.train.monitor) == ("margin", "val_margin")
    assert run.best().value == summary.metrics["val_margin"] is not None and "val_auroc" not in summary.metrics
    assert "val margin" in describe_fusion(summary)
    with pytest.raises(SettingsError, match="near on anomaly, far-margin on margin"):
        fused(project, "near", "far-margin")


def test_who_tells_classes_is_not_fused(project: Path) -> None:
    settings = settings_in(project, task="classification", epochs=1).model_dump(mode="json")
    settings["recipe"] = {"name": "linear_probe", "array": "near/embedding"}
    train(Settings.model_validate(settings), run_name="probe", overwrite=False, command="test")
    with pytest.raises(SettingsError, match="probe was trained for classification"):
        fused(project, "near", "probe")


def test_other_features_are_refused_with_the_difference(project: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path / "other" / "toy.zarr", version=2)
    with pytest.raises(FingerprintError, match=r"far.*version: 1 in the run, 2 in the cache"):
        fused(project, store=store)
    with pytest.raises(NotFoundError, match="no feature store"):
        fused(project, store=tmp_path / "nowhere.zarr")
    with pytest.raises(SettingsError, match="3 weights for 2 runs"):
        fused(project, weighting=(0.2, 0.3, 0.5))


def test_killed_while_it_is_written_the_same_command_works(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stands under the run's name before it is whole, and what the kill left is removed."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpointer, "write_checkpoint", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(atomic.shutil, "rmtree", lambda *_, **__: None)  # as after a kill, nothing tidies up
        with pytest.raises(KeyboardInterrupt):
            fused(project, run_name="both")
    left = [path for path in (project / "runs").iterdir() if path.name.startswith(".")]
    assert len(left) == 1 and not (project / "runs/both").exists()
    assert fused(project, run_name="both").run.finished
    assert not left[0].exists()


def test_a_number_that_is_taken_meanwhile_becomes_the_next_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = fusion.choose_samples

    def slow(*arguments: Any, **keywords: Any) -> Any:
        (project / "runs/late_fusion-001/x").mkdir(parents=True)
        return choose(*arguments, **keywords)

    monkeypatch.setattr(fusion, "choose_samples", slow)
    run = fused(project).run
    assert run.name == "late_fusion-002" and read_checkpoint(run.best_path).origin["run"] == "late_fusion-002"


def test_a_run_that_an_earlier_version_fused_is_refused_with_the_mend(project: Path) -> None:
    run = fused(project, run_name="both").run
    text = to_yaml(shareable(settings_in(project)))
    run.config_path.write_text(text)
    write_json(run.manifest_path, sealed_manifest({**run.manifest()}, config=text))
    with pytest.raises(TrainingError, match=r"both is a run of the recipe late_fusion.*`weldcache fuse --run both"):
        load_run(run.path)


def test_few_normals_to_bring_scores_together_by_are_told(tmp_path: Path) -> None:
    labels = LABELS[:24] + [0] * 5 + [1] * 19 + LABELS[48:]
    make_store(tmp_path / "toy.zarr", labels=labels)
    for name in SETS:
        train(settings_in(tmp_path, frames=name, epochs=1), run_name=name, overwrite=False, command="test")
    (caveat,) = fused(tmp_path).run.manifest()["caveats"]
    assert "5 validation normals alone" in caveat


def test_a_fused_run_cannot_be_trained(project: Path) -> None:
    run = load_run(fused(project).run.path)
    with pytest.raises(SettingsError, match=r"late_fusion does not learn.*`weldcache fuse`"):
        train(run.settings, run_name="again", overwrite=False, command="test")


def test_a_name_is_taken_once(project: Path) -> None:
    fused(project, run_name="both")
    with pytest.raises(OutputExistsError, match=r"both is finished.*--overwrite"):
        fused(project, run_name="both")
    with pytest.raises(OutputExistsError, match="one of the runs that are fused"):
        fused(project, run_name="far", overwrite=True)
    (project / "runs" / "folder" / "mine").mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="is not a run"):
        fused(project, run_name="folder", overwrite=True)
    again = fused(project, run_name="both", weighting=(1.0, 0.0), overwrite=True)
    assert load_run(again.run.path).manifest["fusion"]["weighting"] == "given"
