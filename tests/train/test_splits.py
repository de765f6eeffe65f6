"""A training goes by the split that its settings name, and a run is judged by no other of that name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from weldcache.cache.splits import Split
from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import LABEL, target_of
from weldcache.errors import FingerprintError, NotFoundError, OutputExistsError
from weldcache.settings import Settings
from weldcache.train.data.resident import FeaturePool
from weldcache.train.pipeline import train
from weldcache.train.runs.trained_run import load_run


@pytest.fixture
def settings(settings_for_runs_in: Callable[[Path], Callable[..., Settings]], toy_store: FeatureStore) -> Settings:
    """A short training on a copy of the toy store, by a split of its own: what was train is validated on."""
    parts = np.select([toy_store.index.parts == "train"], ["val"], "train")
    parts[::5] = "test"
    toy_store.add_splits([Split("mine", parts)])
    asked = settings_for_runs_in(toy_store.path.parent / "runs")(epochs=1)
    return asked.model_copy(
        update={
            "cache": asked.cache.model_copy(update={"path": toy_store.path}),
            "train": asked.train.model_copy(update={"split": "mine"}),
        }
    )


def test_a_run_goes_by_its_split_and_refuses_another_of_that_name(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore.open(settings.cache.path)
    pool = FeaturePool(store, np.arange(len(store.index)), device=torch.device("cpu"))
    for name, features in (("run", None), ("pooled", pool)):
        train(settings, run_name=name, overwrite=False, command="", pool=features)
    assert "the split mine" in " ".join(capsys.readouterr().err.split())
    run, pooled = (load_run(settings.runs.folder / name) for name in ("run", "pooled"))
    mine = store.divided_by("mine")
    trained_on = mine.index.row_of()
    for part, keys in run.manifest["samples"].items():
        assert {mine.index.parts[trained_on[key]] for key in keys} == {"val" if part == "validation" else part}
    assert run.manifest["split"] == {"name": "mine", "hash": mine.split_hash}
    assert pooled.manifest["samples"] == run.manifest["samples"]
    assert run.divided(store).index.parts.tolist() == mine.index.parts.tolist()

    parts = mine.index.parts.copy()
    parts[0] = "val"
    store.add_splits([Split("mine", parts)])
    with pytest.raises(FingerprintError, match="mine"):
        run.divided(store)
    with pytest.raises(NotFoundError, match="other"):
        store.divided_by("other")


def test_an_unfinished_run_does_not_go_on_by_another_split(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("weldcache.train.pipeline.keeping", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(settings, run_name="run", overwrite=False, command="")
    store = FeatureStore.open(settings.cache.path, split="mine")
    parts = store.index.parts.copy()
    parts[0] = "left_out"  # which was tested on: what is trained and validated on is the same
    store.add_splits([Split("mine", parts)])
    with pytest.raises(OutputExistsError, match=r"split\.hash"):
        train(settings, run_name="run", overwrite=False, command="")


def test_rows_that_joined_after_the_split_are_not_said_to_be_gone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore.open(settings.cache.path, split="mine")
    parts = store.index.parts.copy()
    parts[np.flatnonzero(parts == "test")[0]] = "left_out"
    store.add_splits([Split("mine", parts)])
    train(settings, run_name="run", overwrite=False, command="")
    told = " ".join(capsys.readouterr().err.split())
    assert "1 sample that the data set does not list any more or the split mine does not divide" in told


def test_what_is_not_known_takes_no_part_and_is_counted(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    store = FeatureStore.open(settings.cache.path)
    unknown = [
        *np.flatnonzero(store.divided_by("mine").index.parts == "val")[:3],
        np.flatnonzero(store.index.labels)[-1],
    ]
    labels = [None if row in unknown else int(label) for row, label in enumerate(store.index.labels)]
    label = target_of(LABEL, labels, keys=store.index.keys.tolist())
    store.follow(replace(store.index, targets={**store.index.targets, "label": label}), relabel=True)

    train(settings, run_name="run", overwrite=False, command="")
    run = load_run(settings.runs.folder / "run")
    used = {key for keys in run.manifest["samples"].values() for key in keys}
    assert used.isdisjoint(store.index.keys[unknown].tolist())
    told = " ".join(capsys.readouterr().err.split())
    assert "4 samples of train and validation whose label is not known" in told


def test_classes_of_which_none_is_normal_are_named(settings: Settings) -> None:
    store = FeatureStore.open(settings.cache.path)
    others = {name: target for name, target in store.index.targets.items() if name != LABEL.name}
    unlabelled = target_of(LABEL, [None] * len(store.index), keys=store.index.keys.tolist())
    store.follow(replace(store.index, targets={**others, LABEL.name: unlabelled}), relabel=True)
    with pytest.raises(NotFoundError, match=r"data\.normal_classes.*train\.task=classification"):
        train(settings, run_name="run", overwrite=False, command="")
