"""What can be read off a target, what each modality does, and reports on models that are told what nobody knows."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from weldcache.errors import SettingsError
from weldcache.evaluate.scoring import DealtOut
from weldcache.evaluate.tasks.classification.modalities import dealt_modalities, modality_caveats
from weldcache.evaluate.tasks.classification.oracles import by_class_means
from weldcache.extract.features.settings import VectorSettings
from weldcache.extract.features.vector import make
from weldcache.extract.sources.source import Sample
from weldcache.train.data.batches import batches_in_order
from weldcache.train.data.resident import ResidentFeatures
from weldcache.train.types import Batch

Run = Callable[..., Any]
FUSION = ("--set", "recipe.name=cub_fusion")


def test_the_class_is_read_off_by_the_means_of_training_as_far_as_values_are_known() -> None:
    train = np.array([[1, 0, 1], [1, -1, 0], [0, 1, 1], [0, 1, 0]])
    classes = np.array([3, 3, 7, 7])
    judged = np.array([[1, 0, -1], [-1, 1, 1], [0, -1, -1]])
    found = by_class_means(judged, train=train, classes=classes)
    assert not isinstance(found, str) and found.tolist() == [3, 7, 7]
    shares, of_train = (np.where(each < 0, np.nan, each.astype(float)) for each in (judged, train))
    again = by_class_means(shares, train=of_train, classes=classes)
    assert not isinstance(again, str) and again.tolist() == [3, 7, 7]
    assert isinstance(by_class_means(judged, train=np.full((4, 3), -1), classes=classes), str)


def test_means_agree_with_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(4, size=60)
    train, judged = (rng.normal(size=(num, 5)) + 0.7 * np.arange(5) for num in (60, 40))
    train[rng.random(train.shape) < 0.3], judged[rng.random(judged.shape) < 0.3] = np.nan, np.nan
    deviation = np.nanstd(train, axis=0)
    means = np.stack([np.nanmean(train[classes == name], axis=0) for name in range(4)])
    slow = [int(np.nansum(((row - means) / deviation) ** 2, axis=1).argmin()) for row in judged]
    found = by_class_means(judged, train=train, classes=classes)
    assert not isinstance(found, str) and found.tolist() == slow


def test_one_modality_of_another_sample_and_the_rest_of_its_own() -> None:
    rows = {"image/mean": torch.arange(5.0), "sound/mean": 10 * torch.arange(5.0)}
    samples = ResidentFeatures(Batch(rows, present={"sound": torch.arange(5) % 2 == 0}))
    dealt = DealtOut(samples, torch.tensor([4, 3, 2, 1, 0]), frozenset({"sound/mean"}))
    batches = [
        {name: tensor.tolist() for name, tensor in {**batch.features, **batch.present}.items()}
        for batch in dealt.batches(batches_in_order(5, batch_size=2))
    ]
    assert [batch["image/mean"] for batch in batches] == [[0, 1], [2, 3], [4]]
    assert [batch["sound/mean"] for batch in batches] == [[40, 30], [20, 10], [0]]
    assert [batch["sound"] for batch in batches] == [[True, False], [True, False], [True]]


def test_a_modality_that_does_nothing_is_told_where_there_are_others() -> None:
    true = np.arange(200) % 2
    right, wrong = (np.eye(2)[each].astype(np.float32) for each in (true, 1 - true))
    used: Mapping[str, Any] = {"image": {"logits": wrong}, "sound": {"logits": right}}
    found = dealt_modalities(true, true, used, groups=[""] * 200)
    assert [(each.name, each.accuracy.value, each.difference.value) for each in found] == [
        ("image", 0.0, 1.0),
        ("sound", 1.0, 0.0),
    ]
    assert [each.split(" of one another")[0].rsplit(" ", 1)[1] for each in modality_caveats(found)] == ["sound"]
    assert not list(modality_caveats(found[1:]))


def test_what_nobody_knows_of_a_new_sample_is_stored_under_a_name_that_says_so() -> None:
    settings = VectorSettings(stream="oracle_attributes", size=3)
    make("oracle_of_people", settings, None)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"features\.attributes.*features\.oracle_attributes"):
        make("attributes", settings, None)  # type: ignore[arg-type]


def test_numbers_are_as_many_as_the_data_set_has_where_settings_leave_it_open() -> None:
    class Two:
        noun = "bird"

        def samples(self) -> list[Sample]:
            vectors: list[dict[str, tuple[float, ...]]] = [{}, {"oracle_attributes": (1.0, 0.0)}]
            return [Sample(str(place), "train", "", {}, vectors=each) for place, each in enumerate(vectors)]

    tools: Any = SimpleNamespace(source=Two())
    made = make("oracle_attributes", VectorSettings(stream="oracle_attributes", size=None), tools)
    assert made.specs[0].arrays[0].shape == (2,)
    with pytest.raises(SettingsError, match=r"No bird has numbers speeds"):
        make("speeds", VectorSettings(stream="speeds", size=None), tools)


def report_of(project: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs" / name / "report.json").read_text())
    return found


def rows_of(report: dict[str, Any], section: str, rows: str, key: str) -> dict[str, Any]:
    return {row[key]: row for row in report["sections"][section]["rows"][rows]}


def test_an_oracle_is_told_in_the_title_and_is_never_good(
    birds: Path, runs_of: Callable[[Path], Path], weldcache: Run, undrawn: None
) -> None:
    project = runs_of(birds)
    settings = ("recipe.attributes=oracle_class_attributes/values", "train.epochs=20", "train.batch_size=16")
    options = (*FUSION, *(word for setting in settings for word in ("--set", setting)))
    assert weldcache("train", "--run", "told", *options, folder=project).code == 0
    outcome = weldcache("eval", "--run", "told", folder=project)
    assert outcome.code == 0, outcome.err
    assert "told, an oracle told oracle_class_attributes on test" in outcome.out
    report, page = report_of(project, "told"), (project / "runs/told/report.html").read_text()
    assert "<h1>told, an oracle told oracle_class_attributes</h1>" in page
    assert report["oracles"] == ["oracle_class_attributes"]
    assert report["sections"]["verdict"]["standing"] != "good"
    assert report["sections"]["verdict"]["points"][0].startswith("An oracle's result")
    told = rows_of(report, "modalities", "by_modality", "modality")
    assert set(told) == {"image", "oracle_class_attributes"}
    assert told["oracle_class_attributes"]["difference"]["low"] > 0.3
    controls = rows_of(report, "controls", "by_control", "control")
    assert controls["oracle control (class_attributes)"]["accuracy"]["value"] == 1
    # The attributes of a picture tell its class as well as people's eyes do, and not surely.
    assert 0.5 < controls["oracle control (attributes)"]["accuracy"]["value"] < 1


def test_what_is_not_told_is_no_oracle_and_the_choice_of_an_array_never_makes_it_one(
    birds: Path, runs_of: Callable[[Path], Path], weldcache: Run, undrawn: None
) -> None:
    project = runs_of(birds)
    for name, options in {"fusion": FUSION, "bottleneck": ("--set", "recipe.name=cub_bottleneck")}.items():
        assert weldcache("train", "--run", name, *options, folder=project).code == 0
        assert "image/values" in (project / "runs" / name / "config.yaml").read_text()
        outcome = weldcache("eval", "--run", name, folder=project)
        assert outcome.code == 0 and f"{name} on test" in outcome.out, outcome.err
        report = report_of(project, name)
        assert report["oracles"] == [] and set(rows_of(report, "modalities", "by_modality", "modality")) == {"image"}
