"""Recommendations on the toy store: what they rest on, that test has no say, and that their settings train."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.errors import MetricError, NotFoundError, OutputExistsError
from weldcache.evaluate.trials import candidates as candidates_of
from weldcache.evaluate.trials import recommend as module
from weldcache.evaluate.trials.pseudo_defects import Dealt, PseudoDefects
from weldcache.evaluate.trials.recommend import recommend
from weldcache.evaluate.trials.recommendation import recommendation_table, write_settings
from weldcache.settings import load_settings
from weldcache.tables import print_tables
from weldcache.train.data.batches import batches_in_order
from weldcache.train.data.features import FeatureReader
from weldcache.train.data.resident import ResidentFeatures
from weldcache.train.pipeline import train
from weldcache.train.types import Batch

NEAREST = {"nearest": {"name": "nearest"}}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearest neighbours of each array, and of all together, in few draws."""
    monkeypatch.setattr(module, "_DRAWS", 3)
    monkeypatch.setattr(candidates_of, "_OF_VECTORS", {**NEAREST, "gaussian": {"name": "gaussian"}})
    monkeypatch.setattr(candidates_of, "_OF_PATCHES", {})


def test_a_pseudo_defect_is_moved_away_from_another_group_in_one_modality() -> None:
    generator = torch.Generator().manual_seed(0)
    groups = ["a", "a", "b", "b", "b", "c"]
    samples = Batch(
        {
            "film/embedding": torch.randn(6, 2, 3, generator=generator),
            "sound/values": torch.randn(6, 4, generator=generator).half(),
            "sound/values_length": torch.arange(6),
        }
    )
    dealt = Dealt.drawn(groups, ["film", "sound"], generator=np.random.default_rng(0))
    made = PseudoDefects(ResidentFeatures(samples), dealt)
    assert len(made) == 6 and set(dealt.modalities) == {"film", "sound"}
    (batch,) = (next(made.batches([order])) for order in batches_in_order(6, batch_size=6))
    for row, (other, modality) in enumerate(zip(dealt.others.tolist(), dealt.modalities, strict=True)):
        assert groups[other] != groups[row]
        for name in ("film/embedding", "sound/values"):
            mine, theirs = samples.features[name][row].float(), samples.features[name][other].float()
            expected = mine + (mine - theirs) / 2 if name.startswith(modality) else mine
            assert batch.features[name].dtype == samples.features[name].dtype
            torch.testing.assert_close(batch.features[name][row].float(), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(batch.features["sound/values_length"], torch.arange(6))
    alone = Dealt.drawn(["x"] * 4, ["film"], generator=np.random.default_rng(0))
    assert all(other != row for row, other in enumerate(alone.others.tolist()))


def test_all_modalities_together_find_what_each_may_show(project: Path, few: None) -> None:
    found = recommend(load_settings(folder=project))
    assert found.chosen.name.endswith("of each modality") and found.chosen.first_in > 0.5
    figures = [each.figure.value for each in found.ranking]
    assert figures == sorted(figures, reverse=True) and figures[0] > figures[-1] + 0.1
    assert sum(each.first_in for each in found.ranking) == pytest.approx(1)
    assert (found.num_normals, found.num_groups) == (10, 1) and "pseudo-defects" in found.sentences()[1]
    assert "no better than guessing" in found.sentences()[2]
    assert {each.name.partition(" on ")[2] for each in found.ranking} >= {"frames/embedding", "sensor/values"}
    print_tables([recommendation_table(found)])


def test_what_is_too_wide_for_a_gaussian_has_its_nearest_neighbours(
    project: Path, few: None, toy_store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates_of, "_WIDEST", 6)  # frames have 8 numbers, sensors 6
    found = candidates_of.candidates(FeatureStore.open(toy_store_path), load_settings(folder=project))
    assert "gaussian on sensor/values" in found and "gaussian on frames/embedding" not in found
    members = found["gaussian of each modality"].recipe.model_dump()["members"]
    assert {name: member["name"] for name, member in members.items()} == {
        "frames_embedding": "nearest",
        "sensor_values": "gaussian",
    }


def test_nothing_of_test_can_change_what_is_recommended(
    project: Path, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recommend(load_settings(folder=project)).as_json()
    opened, read = FeatureStore.open, FeatureReader.read

    def with_other_labels(path: Path, *, split: str = "official") -> FeatureStore:
        store = opened(path, split=split)
        tested = store.index.parts == "test"
        store.index.labels[tested] = 1 - store.index.labels[tested]
        return store

    def never_of_test(reader: FeatureReader, rows: Any, **keywords: Any) -> Any:
        assert not (reader.store.index.parts[rows] == "test").any()
        return read(reader, rows, **keywords)

    monkeypatch.setattr(FeatureStore, "open", with_other_labels)
    monkeypatch.setattr(FeatureReader, "read", never_of_test)
    after = recommend(load_settings(folder=project)).as_json()
    for document in (before, after):
        for each in document["ranking"]:
            each.pop("seconds")
    assert after == before


def test_declared_defects_of_validation_stand_in_the_place_of_pseudo_defects(project: Path, few: None) -> None:
    found = recommend(load_settings(folder=project), validation_defects=True)
    (nearest,) = (each for each in found.ranking if each.name == "nearest on frames/embedding")
    path = project / "found.yaml"
    write_settings(replace(found, ranking=(nearest,)), path, overwrite=False)
    with pytest.raises(OutputExistsError):
        write_settings(found, path, overwrite=False)
    settings = load_settings(str(path), folder=project)
    assert settings.recipe == nearest.settings.recipe
    trained = train(settings, run_name="found", overwrite=False, command="weldcache train")
    # All rows of train and val have sound, so that the run knows the same samples.
    assert nearest.figure.value == pytest.approx(trained.best.metrics["val_auroc"])
    assert found.against == "10 defects of it" and len(found.sentences()) == 2


def test_what_cannot_be_compared_is_refused(project: Path, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = FeatureStore.open

    def relabelled(label: int) -> Callable[..., FeatureStore]:
        def open_store(path: Path, *, split: str = "official") -> FeatureStore:
            store = opened(path, split=split)
            store.index.labels[store.index.parts == "val"] = label
            return store

        return open_store

    monkeypatch.setattr(FeatureStore, "open", relabelled(0))
    with pytest.raises(MetricError, match="--validation-defects"):
        recommend(load_settings(folder=project), validation_defects=True)
    monkeypatch.setattr(FeatureStore, "open", relabelled(1))
    with pytest.raises(NotFoundError, match=r"val of .* has 0 normal samples"):
        recommend(load_settings(folder=project))


def test_the_command_writes_what_train_takes(weldcache: Callable[..., Any], project: Path, few: None) -> None:
    outcome = weldcache("recommend", "--json", folder=project)
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.raw_out)
    assert told["schema_version"] == 1 and told["recipe"]["name"] == "match_fusion"
    assert weldcache("recommend", folder=project).code == 2  # the file is there
    shown = weldcache("recommend", "--overwrite", folder=project)
    assert shown.code == 0 and "How sure: " in shown.out and "recommended.yaml" in shown.out
    assert weldcache("train", "--config", "recommended.yaml", "--run", "it", folder=project).code == 0
    config = (project / "runs/it/config.yaml").read_text()
    assert "match_fusion" in config
