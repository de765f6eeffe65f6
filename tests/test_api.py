"""What a notebook asks for: the commands as functions, and a store as a table and as tensors."""

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import weldcache
from weldcache import api
from weldcache.cache.splits import LEFT_OUT
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor
from weldcache.configs.section import installed
from weldcache.errors import NotFoundError, OutputExistsError, SettingsError, StoreError

Keys = Callable[..., list[str]]


@pytest.fixture(scope="module")
def store(extracted: Path) -> api.Store:
    return api.open_store(extracted / "features.zarr")


def test_a_store_says_what_it_holds(store: api.Store) -> None:
    shown = repr(store)
    assert f"{len(store.samples)} weld" in shown and store.held.fingerprint[:12] in shown
    assert all(name in shown for name in store.held.feature_sets)


def test_settings_are_those_of_a_command_in_the_folder(extracted: Path) -> None:
    changes = {"recipe.name": "nearest", "recipe.k": 2, "runs.folder": "others"}
    settings = api.load_settings(folder=extracted, changes=changes)
    assert settings.recipe.model_dump(include={"name", "k"}) == {"name": "nearest", "k": 2}
    assert settings.train.epochs == 3  # the folder says so
    assert api.load_settings(folder=extracted, changes={"train.betas": (0.8, 0.9)}).train.betas == (0.8, 0.9)
    assert settings.runs.folder == extracted / "others"
    assert (settings.cache.path, settings.data.root) == (extracted / "features.zarr", extracted)
    assert api.load_settings(folder=extracted, changes={"cache.path": Path("x")}).cache.path == extracted / "x"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"train.epohcs": 3}, "changes: .*train.epohcs.*train.epochs"),
        ({"train.epochs": "3"}, "changes: train.epochs"),
        ({"train": 3}, "train is a section"),
        ({"recipe.name": "causal_flim"}, "causal_film"),
        ({"recipe.name": "nearest", "train": {"lr": 0.1}}, "nearest .*train.lr"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(changes: dict[str, Any], names: str, extracted: Path) -> None:
    with pytest.raises(SettingsError, match=names):
        api.load_settings(folder=extracted, changes=changes)


def test_a_store_is_a_table_of_its_samples(store: api.Store, extracted: Path, weld_keys: Keys) -> None:
    samples, held = store.samples, FeatureStore.open(extracted / "features.zarr")
    assert samples.index.name == "key" and samples.index.tolist() == held.index.keys.tolist()
    assert samples.columns.unique(level=0).tolist() == ["index", "targets", "attributes", "status"]
    test = samples[samples["index"]["split"] == "test"]
    assert sorted(test.index) == sorted(weld_keys(extracted, "test"))
    labels = test["targets"]["label"]
    assert sorted(labels.index[labels == "normal"]) == sorted(weld_keys(extracted, "test", good=True))
    assert labels.cat.codes.tolist() == held.index.labels[held.index.parts == "test"].tolist()
    assert (samples["status"]["video"] == "complete").all()
    assert samples["attributes"].columns.tolist() == list(held.index.attributes)


def test_a_store_is_tensors_by_array_and_keys(store: api.Store) -> None:
    assert {"video/embedding", "sensor/values"} <= store.arrays.keys()
    keys = store.complete("video", "sensor").index[[3, 1]]
    values = store.tensor("sensor/values", keys)
    assert values.shape == (2, *store.arrays["sensor/values"].shape)
    assert torch.equal(values, read_tensor(store.held, "sensor/values", [3, 1]))
    assert len(store.tensor("video/embedding")) == len(store.samples)


def test_what_the_data_set_does_not_list_is_in_no_tensor_unless_asked_for(
    store: api.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, withdrawn = store.held.index, store.samples.index[0]
    splits = index.parts.copy()
    splits[0] = LEFT_OUT
    monkeypatch.setattr(store.held, "index", replace(index, parts=splits))
    assert len(store.tensor("video/embedding")) == len(index) - 1
    assert len(store.tensor("video/embedding", [withdrawn])) == 1


def test_what_a_store_does_not_have_is_refused_by_name(store: api.Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        store.tensor("video/embedding", ["nobody"])
    with pytest.raises(StoreError, match="video/embeding"):
        store.tensor("video/embeding")
    with pytest.raises(StoreError, match="vidoe"):
        store.complete("video", "vidoe")
    with pytest.raises(NotFoundError, match="weldcache extract"):
        api.open_store(tmp_path / "none.zarr")


def test_from_features_to_scores(extracted: Path, tmp_path: Path, weld_keys: Keys, undrawn: None) -> None:
    changes = {"recipe.name": "nearest", "recipe.array": "sensor/values", "runs.folder": tmp_path / "runs"}
    settings = api.load_settings(folder=extracted, changes=changes)
    assert api.extract(settings).num_tried == 0  # all is there
    run = api.train(settings, run="mine")
    assert run.folder.finished and run.folder.calibration_path.is_file()
    assert api.load_run(settings=settings).folder == api.load_run("mine", settings=settings).folder == run.folder

    evaluation = api.evaluate(settings, run="mine")
    assert evaluation.report_path == run.folder.path / "report.html"
    told = api.scores(run)
    assert sorted(told.index) == sorted(weld_keys(extracted, "test"))
    written = pd.read_csv(run.folder.path / "scores_test.csv", index_col="key")
    assert told["score"].loc[written.index].tolist() == written["score"].tolist()
    assert {"group", "split", "label", "class", "score"} <= set(told.columns)
    assert "raw_weights_score" not in told  # it is fitted, and has no others

    of_training = api.scores(run, split="train", cache=extracted / "features.zarr")
    assert set(of_training["split"]) == {"train"}
    with pytest.raises(NotFoundError, match="split night"):
        api.scores(run, split="night")
    with pytest.raises(NotFoundError, match="mine"):
        api.load_run("mien", settings=settings)


def test_scores_of_samples_of_which_nothing_more_is_known(tmp_path: Path) -> None:
    """Pictures in folders have no attributes beside the media."""
    for number in range(9):
        path = tmp_path / "parts" / ("good" if number < 7 else "dent") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    changes = {"data.root": "parts", "features.image": None, "features.pixels": {"kind": "pixels", "num_views": 1}}
    changes |= {"extract.features": ["pixels"], "recipe.array": "pixels/values"}
    settings = api.load_settings("pictures", folder=tmp_path, changes=changes)
    api.extract(settings)
    told = api.scores(api.train(settings))
    assert told.columns.tolist() == ["group", "split", "class", "label", "score"] and set(told["split"]) == {"test"}


def test_scores_of_a_trained_run_are_those_of_its_report(judged: Path) -> None:
    run = api.load_run("first", settings=api.load_settings(folder=judged))
    told, written = api.scores(run), pd.read_csv(run.folder.path / "scores_test.csv", index_col="key")
    assert told["raw_weights_score"].loc[written.index].tolist() == written["raw_weights_score"].tolist()
    assert [row["epoch"] for row in run.metrics] == [1, 2, 3]


def test_what_a_run_costs_and_whether_a_store_can_be_trusted(extracted: Path, copy_of: Callable[[Path], Path]) -> None:
    project = copy_of(extracted)  # verifying leaves a record in the store
    settings = api.load_settings(folder=project)
    expected = api.plan(settings, measure=False)
    assert expected.num_todo == 0 and expected.speeds is None and expected.store_path == settings.cache.path
    found = api.verify(settings, sources=False)
    assert found.trustworthy
    with pytest.raises(NotFoundError, match="none"):
        api.verify(api.load_settings(folder=project, changes={"cache.path": "none.zarr"}))


def test_a_store_is_dealt_anew_carried_and_opened_by_its_split(
    extracted: Path, copy_of: Callable[[Path], Path]
) -> None:
    project = copy_of(extracted)
    settings = api.load_settings(folder=project)
    (made,) = api.split("mine", api.Dealing(stratify="class", seed=3), settings=settings)
    samples = api.open_store(settings.cache.path, split="mine").samples
    assert samples["index"]["split"].tolist() == made.parts.tolist() and set(made.parts) == {"train", "val", "test"}
    with pytest.raises(OutputExistsError, match="mine"):
        api.split("mine", settings=settings)
    file = api.export_store(project / "store.h5", settings=settings)
    elsewhere = api.load_settings(folder=project, changes={"cache.path": "again.zarr"})
    assert api.import_store(file, settings=elsewhere).samples.equals(api.open_store(settings.cache.path).samples)


def test_runs_are_a_table_and_become_one(extracted: Path, runs_of: Callable[[Path], Path], undrawn: None) -> None:
    project = runs_of(extracted)
    near = {"recipe.name": "nearest", "recipe.array": "sensor/values"}
    settings = api.load_settings(folder=project)
    for name, k in (("one", 1), ("three", 3)):
        api.train(api.load_settings(folder=project, changes={**near, "recipe.k": k}), run=name)
    with pytest.raises(NotFoundError, match="thre"):
        api.fuse("one", "thre", settings=settings)
    with pytest.raises(SettingsError, match="fti"):
        api.fuse("one", "three", settings=settings, weights="fti")
    assert api.fuse("one", "three", settings=settings, run="both", weights=(0.25, 0.75)).folder.finished
    facts = api.evaluate(settings, run="both").report["sections"]["headline"]["facts"]
    told = api.runs(settings)
    assert told.index.tolist() == ["one", "three", "both"] and set(told["status"]) == {"finished"}
    assert told["test_auroc"]["both"] == facts["auroc"]["value"] and pd.isna(told["test_auroc"]["one"])
    assert told["test_auroc_low"]["both"] <= told["test_auroc"]["both"] <= told["test_auroc_high"]["both"]

    held = api.compare("one", "both", settings=settings).paired
    assert held is not None and held.scored_now == ("one",)
    ranking = pd.DataFrame(held.as_json()["ranking"]).set_index("run")
    assert ranking["figure"]["both"]["value"] == facts["auroc"]["value"] and set(ranking.index) == {"one", "both"}

    lists = project / "neighbours.yaml"
    lists.write_text(
        "set: {recipe.name: gaussian}\nvariants: {one: {}, near: {set: {recipe.name: nearest, recipe.k: 3}}}"
    )
    with contextlib.chdir(project):
        found = api.bench(lists, changes={"recipe.array": "sensor/values"}, seeds=[0])
        assert found.complete and len(api.runs(nested=True)) == 5
    table = pd.DataFrame(found.document["leaderboards"][0]["variants"]).set_index("name")
    assert set(table.index) == {"one", "near"} and table["auroc"]["one"]["value"] > 0
    with pytest.raises(NotFoundError, match="nowhere"):
        api.bench("nowhere.yaml")
    changes = {"recipe.name": "linear_probe", "recipe.array": "sensor/values", "runs.folder": "others", "train.seed": 7}
    elsewhere = api.load_settings(folder=project, changes=changes)
    again = api.bench(lists, settings=elsewhere, changes={"recipe.array": "sensor/values"}, seeds=[0])
    assert again.folder == project / "others" / "neighbours" and again.complete
    assert [each["auroc"] for each in again.document["leaderboards"][0]["variants"]] == list(table["auroc"])


def run_notebook(name: str, *, folder: Path) -> dict[str, Any]:
    """The names that a notebook of examples/ leaves, run cell by cell in `folder`."""
    told = json.loads((Path(__file__).resolve().parents[1] / "examples" / name).read_text())
    cells = [cell for cell in told["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    names: dict[str, Any] = {}
    with contextlib.chdir(folder):
        for cell in cells:
            exec(compile("".join(cell["source"]), name, "exec"), names)
    return names


def test_the_first_look_runs(extracted: Path, copy_of: Callable[[Path], Path], undrawn: None) -> None:
    names = run_notebook("first_look.ipynb", folder=copy_of(extracted))
    assert names["run"].folder.finished and len(names["scores"]) == 15
    assert names["scores"]["score"].is_monotonic_decreasing


def test_a_run_is_explained(extracted: Path, copy_of: Callable[[Path], Path], undrawn: None) -> None:
    names = run_notebook("train_judge_explain.ipynb", folder=copy_of(extracted))
    assert {each.run for each in names["compared"].paired.ranking} == {"nearest-video", "nearest-audio", "both"}
    (told,) = names["again"].to_dict("records")
    assert told["score"] == pytest.approx(names["scores"].loc[names["hardest"], "score"], rel=1e-4)
    assert {"member_nearest-video", "member_nearest-audio"} <= set(told), list(told)


@pytest.mark.slow  # two processes: one writes a package, one installs it
def test_a_recipe_of_ones_own_is_written_installed_and_compared(
    extracted: Path, copy_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch, undrawn: None
) -> None:
    root = Path(__file__).resolve().parents[1]
    monkeypatch.setenv("PYTHONPATH", str(root / ".import"))
    monkeypatch.setattr("sys.path", sys.path.copy())  # the notebook puts a folder before the others
    installed.cache_clear()
    try:
        names = run_notebook("own_recipe.ipynb", folder=copy_of(extracted))
    finally:
        installed.cache_clear()
        sys.modules.pop("farthest.recipe", None)
        sys.modules.pop("farthest", None)
    assert {each.run for each in names["compared"].paired.ranking} == {"farthest", "nearest"}


def test_the_package_offers_its_api_alone() -> None:
    assert weldcache.__all__ == ["api"]
    with pytest.raises(AttributeError, match="open_stroe"):
        _ = weldcache.open_stroe
    assert all(hasattr(api, name) for name in api.__all__)
