"""Scores of a split whose welds lack files, of the whole model and without each modality, through real files."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.errors import NotFoundError
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.scoring import ScoredSplit, load_models, score_split
from weldcache.metrics.auroc import auroc
from weldcache.train.feature_pool import FeaturePool
from weldcache.train.streamed import StreamedFeatures
from weldcache.train.trained_run import TrainedRun, load_run

Run = Callable[..., Any]
CPU = torch.device("cpu")
MODALITIES = {"video", "audio", "image", "sensor"}


@dataclass(frozen=True)
class Lacking:
    """A project some of whose welds lack files, trained on and judged; the weld that lacks it, by what it lacks."""

    project: Path
    keys: Mapping[str, str]
    judged: Any
    run: TrainedRun
    store: FeatureStore

    def scored(self, split: str = "test", *, pool: FeaturePool | None = None) -> ScoredSplit:
        models = load_models(self.run, store=self.store, device=CPU)
        return score_split(self.run, self.store, split, models=models, pool=pool, hide=self.run.recipe.modalities())


@pytest.fixture(scope="module")
def lacking(
    synthetic: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run, weld_keys: Callable[..., list[str]]
) -> Lacking:
    project = Path(shutil.copytree(synthetic, tmp_path_factory.mktemp("lacking") / "project"))
    train, val = weld_keys(project, "train"), weld_keys(project, "val", good=False)
    normals, defects = (weld_keys(project, "test", good=good) for good in (True, False))
    keys = {"audio": normals[0], "image": defects[0], "all": defects[1]}
    for key in (train[0], val[0], defects[0]):
        shutil.rmtree(project / key / "images")
    next((project / normals[0]).glob("*.flac")).unlink()
    shutil.rmtree(project / defects[1])
    for command in (["extract"], ["train", "--run", "first"]):
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
    judged = weldcache("eval", "--run", "latest", folder=project)
    run = load_run(project / "runs/first")
    return Lacking(project, keys, judged, run, FeatureStore.open(project / "features.zarr"))


def _score_of(key: str, table: ScoreTable, scores: np.ndarray) -> float:
    return float(scores[table.keys.index(key)])


def test_welds_that_lack_a_modality_are_judged_and_counted(lacking: Lacking) -> None:
    assert lacking.judged.code == 0, lacking.judged.err
    out = lacking.judged.out
    assert "Of the 14 samples of test, 1 lack audio and 1 lack image; they are scored all the same" in out
    assert "Training saw no sample without audio, so" in out  # it saw one without photographs
    assert "Training never left out video, audio or sensor" in out
    assert "1 samples of test lack features that this model needs and are not scored" in out
    lines = {line.split()[1]: line.split() for line in lacking.judged.raw_out.splitlines() if line.startswith("│")}
    assert {name: lines[name][-2] for name in MODALITIES} == {"video": "0", "audio": "1", "image": "1", "sensor": "0"}


def test_the_report_holds_finite_numbers_of_each_modality(lacking: Lacking) -> None:
    report = json.loads((lacking.project / "runs/first/report.json").read_text())
    found = report["without_modality"]
    assert set(found) == MODALITIES
    for result in found.values():
        assert 0 <= result["low"] <= result["auroc"] <= result["high"] <= 1
        assert result["change"]["value"] == pytest.approx(result["auroc"] - report["auroc"]["value"])
        assert result["change"]["low"] <= result["change"]["value"] <= result["change"]["high"]
    assert {name for name, result in found.items() if result["seen_missing"]} == {"image"}
    assert "<h2>Without one modality</h2>" in (lacking.project / "runs/first/report.html").read_text()


def test_hiding_what_a_weld_lacks_changes_nothing_for_it(lacking: Lacking) -> None:
    scored = lacking.scored()
    assert lacking.keys["all"] not in scored.table.keys and scored.num_left_out == 1
    for modality in ("audio", "image"):
        changed = scored.without[modality] != scored.table.scores
        unchanged = {key for key, differs in zip(scored.table.keys, changed, strict=True) if not differs}
        assert unchanged == {lacking.keys[modality]}


def test_a_pool_gives_the_same_scores(lacking: Lacking) -> None:
    rows = np.flatnonzero(lacking.store.index.splits != "train")
    streamed, pooled = lacking.scored(), lacking.scored(pool=FeaturePool(lacking.store, rows, device=CPU))
    np.testing.assert_array_equal(streamed.table.scores, pooled.table.scores)
    np.testing.assert_array_equal(streamed.table.raw_scores, pooled.table.raw_scores)
    for modality, scores in streamed.without.items():
        np.testing.assert_array_equal(scores, pooled.without[modality])


def test_every_sample_is_fetched_once(lacking: Lacking, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    batches = StreamedFeatures.batches

    def counted(self: StreamedFeatures, order: Any, **options: Any) -> Any:
        fetched.extend(sample for chosen in order for sample in chosen.tolist())
        return batches(self, order, **options)

    monkeypatch.setattr(StreamedFeatures, "batches", counted)
    scored = lacking.scored()
    assert fetched == list(range(len(scored.table)))
    assert set(scored.without) == MODALITIES


def test_validation_comes_out_as_training_recorded_it_to_the_last_bit(lacking: Lacking) -> None:
    table, best = lacking.scored("val").table, lacking.run.best()
    assert auroc(table.scores, table.labels) == best.metrics["val_auroc"]
    assert "training recorded" not in lacking.judged.out


def test_a_split_that_is_not_there(lacking: Lacking) -> None:
    with pytest.raises(NotFoundError, match="no rows of the split nowhere"):
        lacking.scored("nowhere")
