"""A checkpoint knows what it belongs to, and is used for nothing else, whatever the files beside it say."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from weldcache.atomic import write_json, write_text
from weldcache.cache.store import FeatureStore
from weldcache.configs.load import to_yaml
from weldcache.configs.schema import Settings
from weldcache.errors import FingerprintError, NotFoundError, TrainingError
from weldcache.train import pipeline
from weldcache.train.pipeline import train
from weldcache.train.randomness import Purpose, derived_seed
from weldcache.train.runs.checkpoint import read_checkpoint, write_checkpoint
from weldcache.train.runs.documents import sealed_manifest
from weldcache.train.runs.folder import RunFolder, named_run
from weldcache.train.runs.metrics_log import append_row
from weldcache.train.runs.origin import deciding_settings, read_run_checkpoint, require_same_features
from weldcache.train.runs.settings import shareable
from weldcache.train.runs.trained_run import load_run

MakeSettings = Callable[..., Settings]
CPU = torch.device("cpu")


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


@pytest.fixture(scope="module")
def finished(
    settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """A run that is trained. Not to be changed."""
    settings = settings_for_runs_in(tmp_path_factory.mktemp("finished"))(epochs=2, seed=3)
    return train(settings, run_name="first", overwrite=False, command="weldcache train").run


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy that a test may change."""
    return RunFolder(Path(shutil.copytree(finished.path, tmp_path / "copied")))


def forge(run: RunFolder, *, settings: Settings | None = None, **manifest: object) -> None:
    """Change what a run says of itself as somebody would who makes every checksum anew."""
    state, config = run.state(), run.config_path.read_text() if settings is None else to_yaml(settings)
    write_text(run.config_path, config)
    write_json(run.manifest_path, sealed_manifest({**run.manifest(), **manifest}, config=config))
    assert state is not None
    run.write(run.state_path, state)


def other_text(store: FeatureStore) -> None:
    store.add_constant("text/prompt", np.ones(24, np.float32), made_by={"backbone": {"model": "another"}})


def test_a_checkpoint_says_all_that_training_goes_by(finished: RunFolder) -> None:
    """Rates follow from the schedule and the step, random numbers from the seed and the epoch."""
    settings, manifest = finished.settings(), finished.manifest()
    last, best = read_checkpoint(finished.last_path), read_checkpoint(finished.best_path)
    assert last.origin == best.origin
    assert Settings.model_validate(last.origin["settings"]) == shareable(settings)
    assert last.origin["schedule"] == {
        "warmup_lr": settings.train.warmup_lr,
        "lr": settings.train.lr,
        "min_lr": settings.train.min_lr,
        "warmup_steps": 5,
        "total_steps": 10,
    }
    assert {name: last.origin[name] for name in ("run", "recipe", "cache", "fingerprint")} == {
        "run": "first",
        "recipe": "causal_film",
        "cache": manifest["cache"],
        "fingerprint": manifest["fingerprint"],
    }
    assert (last.record["epoch"], last.record["step"]) == (2, 10)
    assert last.record["seeds_of_next_epoch"] == {
        purpose.name.lower(): derived_seed(3, purpose, epoch=3)
        for purpose in (Purpose.ORDER, Purpose.LOSS, Purpose.DROPOUT)
    }


def test_weights_that_were_deleted_are_told_from_such_that_never_were(run: RunFolder) -> None:
    run.best_path.unlink()
    with pytest.raises(NotFoundError, match=r"the run is finished, and its weights were deleted.* --keep-weights"):
        load_run(run.path).best()
    run.write(run.state_path, {**(run.state() or {}), "finished": False})
    with pytest.raises(NotFoundError, match="There is no checkpoint"):
        load_run(run.path).best()


def test_a_renamed_run_is_still_itself(run: RunFolder) -> None:
    assert read_run_checkpoint(run.best_path, run=run).origin["run"] == "first"


def test_settings_that_decide_nothing_may_change(run: RunFolder) -> None:
    settings = run.settings()
    moved = settings.cache.model_copy(update={"path": Path("/elsewhere.zarr")})
    rarely = settings.train.model_copy(update={"checkpoint_seconds": 1.0, "loading": "streamed"})
    forge(run, settings=settings.model_copy(update={"cache": moved, "train": rarely}))
    read_run_checkpoint(run.best_path, run=run)


def member(name: str) -> dict[str, object]:
    told = {"recipe": "causal_film", "created": "2026-01-01", "seed": 0, "fingerprint": "f", "cache": {}}
    return {"name": name, **told, "settings": {}}


@pytest.mark.parametrize(
    ("section", "setting", "value", "said"),
    [
        ("train", "lr", 0.5, r"settings\.train\.lr: 0\.001 in the checkpoint, 0\.5 in the folder"),
        ("loss", "l1", 3.0, r"settings\.loss\.l1: 10\.0 in the checkpoint, 3\.0 in the folder"),
        ("train", "epochs", 9, r"schedule\.total_steps: 10 in the checkpoint, 45 in the folder"),
    ],
)
def test_edited_settings_are_refused(run: RunFolder, section: str, setting: str, value: object, said: str) -> None:
    settings = run.settings()
    changed = getattr(settings, section).model_copy(update={setting: value})
    forge(run, settings=settings.model_copy(update={section: changed}))
    with pytest.raises(FingerprintError, match=said):
        read_run_checkpoint(run.best_path, run=run)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fingerprint", "0" * 64, r"fingerprint: [0-9a-f]+\.* in the checkpoint, 0+\.* in the folder"),
        ("samples", {"train": ["x"], "validation": ["y"]}, r"samples\.train: "),
        ("cache", {"features": {}, "constants": {}}, r"cache\.features\.\S+: .* in the checkpoint, \(absent\) in"),
        ("members", [member("other"), member("one")], r"members: \[\] in the checkpoint, \[.*other"),
        ("recipe", "late_fusion", "recipe: causal_film in the checkpoint, late_fusion in the folder"),
    ],
)
def test_an_edited_manifest_is_refused(run: RunFolder, name: str, value: object, said: str) -> None:
    forge(run, **{name: value})
    with pytest.raises(FingerprintError, match=said):
        read_run_checkpoint(run.best_path, run=run)


@pytest.mark.parametrize("file", ["config.yaml", "manifest.json"])
def test_what_was_edited_by_hand_is_refused_by_its_checksum(run: RunFolder, file: str) -> None:
    path = run.path / file
    text = path.read_text()
    path.write_text(
        text.replace("seed: 3", "seed: 4") if file == "config.yaml" else text.replace('"seed": 3', '"seed": 4')
    )
    assert path.read_text() != text
    with pytest.raises(TrainingError, match=rf"{file} (was edited|does not match)"):
        read_run_checkpoint(run.best_path, run=run)


def test_a_manifest_that_is_none_is_refused(run: RunFolder) -> None:
    write_json(run.manifest_path, {"created": "2026-01-01"})
    with pytest.raises(TrainingError, match=r"manifest\.json is damaged \(recipe: Field required"):
        read_run_checkpoint(run.best_path, run=run)


def test_a_checkpoint_that_says_nothing_of_itself_is_refused(run: RunFolder) -> None:
    checkpoint = read_checkpoint(run.best_path)
    write_checkpoint(run.best_path, type(checkpoint)(checkpoint.tensors, checkpoint.record))
    with pytest.raises(TrainingError, match="run: Field required"):
        read_run_checkpoint(run.best_path, run=run)


def test_a_checkpoint_refuses_other_features_by_itself(run: RunFolder, toy_store: FeatureStore) -> None:
    checkpoint = read_run_checkpoint(run.best_path, run=run)
    require_same_features(checkpoint, toy_store, path=run.best_path)
    other_text(toy_store)
    with pytest.raises(
        FingerprintError, match=r"text/prompt\.made_by\.backbone\.model: toy in the run, another in the cache"
    ):
        require_same_features(checkpoint, toy_store, path=run.best_path)


def test_a_model_is_not_loaded_for_other_features_even_if_the_manifest_says_so(
    run: RunFolder, toy_store: FeatureStore
) -> None:
    trained, before = load_run(run.path), run.manifest()
    trained.model("averaged", store=toy_store, device=CPU)
    other_text(toy_store)
    used = [*before["cache"]["features"], *before["cache"]["constants"]]
    swapped = {"cache": toy_store.manifest_of(used), "fingerprint": toy_store.fingerprint_of(used)}
    forge(run, **swapped)
    with pytest.raises(FingerprintError, match="toy in the checkpoint, another in the folder"):
        load_run(run.path).model("averaged", store=toy_store, device=CPU)
    forge(run, **before)
    with pytest.raises(FingerprintError, match="toy in the run, another in the cache"):
        load_run(run.path).model("averaged", store=toy_store, device=CPU)


def test_a_run_does_not_go_on_with_other_features_even_if_its_manifest_says_so(
    toy_settings: MakeSettings, toy_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings(store=toy_store.path)

    def killed(path: Path, row: dict[str, object]) -> None:
        append_row(path, row)
        if row["epoch"] == 2:
            raise Killed

    monkeypatch.setattr(pipeline, "append_row", killed)
    with pytest.raises(Killed):
        train(settings, run_name="cut", overwrite=False, command="")
    monkeypatch.undo()
    cut = named_run(settings.runs.folder, "cut")
    before = cut.manifest()
    other_text(toy_store)
    used = [*before["cache"]["features"], *before["cache"]["constants"]]
    swapped = {"cache": toy_store.manifest_of(used), "fingerprint": toy_store.fingerprint_of(used)}
    forge(cut, **swapped)
    with pytest.raises(
        FingerprintError, match=r"made_by\.backbone\.model: toy in the checkpoint, another in the folder"
    ):
        train(settings, run_name="cut", overwrite=False, command="")


def test_a_run_does_not_go_on_with_another_stream_of_random_numbers(toy_settings: MakeSettings, run: RunFolder) -> None:
    """As after a change of how seeds are derived: it would not end as if it had not been interrupted."""
    last = read_checkpoint(run.last_path)
    seeds = {**last.record["seeds_of_next_epoch"], "order": 1}
    write_checkpoint(
        run.last_path, type(last)(last.tensors, {**last.record, "seeds_of_next_epoch": seeds}, last.origin)
    )
    run.write(run.state_path, {**(run.state() or {}), "finished": False})
    with pytest.raises(TrainingError, match="draws other random numbers"):
        train(run.settings(), run_name=run.name, overwrite=False, command="")


def test_what_decides_is_told_by_section(toy_settings: MakeSettings) -> None:
    told = deciding_settings(toy_settings())
    assert told["train"]["lr"] == 1e-3 and told["model"]["d_model"] == 16 and "l1" in told["loss"]
    assert not {"checkpoint_seconds", "loading", "loggers"} & told["train"].keys()
