"""Scores of a split whose welds lack files, of the whole model and without each modality, through real files."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.errors import NotFoundError
from weldcache.evaluate.judging import background_of
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.scoring import Models, Scorer, Way, load_models, score_split, ways_to_measure
from weldcache.evaluate.tasks.anomaly import scale
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge, placed_by
from weldcache.evaluate.tasks.anomaly.scale import Placed
from weldcache.metrics.ranking import auroc
from weldcache.tests.toy import lose
from weldcache.train.data.resident import FeaturePool
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.runs.trained_run import TrainedRun, load_run

Run = Callable[..., Any]
CPU = torch.device("cpu")
PHOTOGRAPHS = ("image/block_2", "image/block_4")
MODALITIES = {"video", "audio", "image", "sensor"}


def _placed(scorer: Scorer, split: str) -> Placed:
    """A split's scores on the scale of whole samples, as a judge calibrates it on validation."""
    calibration = AnomalyJudge().calibrate(background_of(AnomalyJudge(), scorer, settings=scorer.run.settings.evaluate))
    return placed_by(calibration, score_split(scorer, split, hide=scorer.run.recipe.needs().dispensable))


@dataclass(frozen=True)
class Lacking:
    """A project some of whose welds lack files, trained on and judged; the weld that lacks it, by what it lacks."""

    project: Path
    keys: Mapping[str, str]
    judged: Any
    run: TrainedRun
    store: FeatureStore
    models: Models

    def scored(self, split: str = "test", *, pool: FeaturePool | None = None) -> Placed:
        return _placed(Scorer(self.run, self.store, models=self.models, pool=pool), split)


@pytest.fixture(scope="module")
def lacking(
    extracted: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run, weld_keys: Callable[..., list[str]]
) -> Lacking:
    project = Path(shutil.copytree(extracted, tmp_path_factory.mktemp("lacking") / "project"))
    store = FeatureStore.open(project / "features.zarr")
    train, val = weld_keys(project, "train"), weld_keys(project, "val", good=False)
    normals, defects = (weld_keys(project, "test", good=good) for good in (True, False))
    keys = {"audio": normals[0], "image": defects[0], "all": defects[1]}
    row_of = store.index.row_of()
    lose(store, PHOTOGRAPHS, [row_of[key] for key in (train[0], val[0], defects[0])])
    lose(store, ["audio"], [row_of[normals[0]]])
    lose(store, store.feature_sets, [row_of[defects[1]]])
    outcome = weldcache("train", "--run", "first", folder=project)
    assert outcome.code == 0, outcome.err
    judged = weldcache("eval", "--run", "latest", "-v", folder=project)
    run = load_run(project / "runs/first")
    return Lacking(project, keys, judged, run, store, load_models(run, store=store, device=CPU))


def sections_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["sections"]
    return found


def _score_of(key: str, table: ScoreTable, scores: np.ndarray) -> float:
    return float(scores[table.keys.index(key)])


def test_welds_that_lack_a_modality_are_judged_and_counted(lacking: Lacking) -> None:
    assert lacking.judged.code == 0, lacking.judged.err
    out = lacking.judged.out
    assert "Of the 14 samples of test, 1 lack audio and 1 lack image; they are scored all the same" in out
    assert "Training saw no sample without audio, so" in out  # it saw one without photographs
    assert "Training never left out video, audio or sensor" in out
    assert "in no figure: 1 sample of test without features that this model needs" in out
    lines = {line.split()[0]: line.split() for line in lacking.judged.raw_out.splitlines() if line.strip()}
    counts = {"video": "0", "audio": "1", "image": "1", "sensor": "0"}
    assert {name: lines[name][-2] for name in MODALITIES} == counts
    assert {lines[name][-1] for name in MODALITIES} == {"0"}


def test_the_report_holds_finite_numbers_of_each_modality(lacking: Lacking) -> None:
    report = json.loads((lacking.project / "runs/first/report.json").read_text())
    found = {result["modality"]: result for result in report["sections"]["without_modality"]["rows"]["by_modality"]}
    assert set(found) == MODALITIES
    whole = report["sections"]["headline"]["facts"]["auroc"]["value"]
    for result in found.values():
        assert 0 <= result["auroc"]["low"] <= result["auroc"]["value"] <= result["auroc"]["high"] <= 1
        assert result["change"]["value"] == pytest.approx(result["auroc"]["value"] - whole)
        assert result["change"]["low"] <= result["change"]["value"] <= result["change"]["high"]
    assert {name for name, result in found.items() if result["seen_missing"]} == {"image"}
    assert "<h2>Without one modality</h2>" in (lacking.project / "runs/first/report.html").read_text()


def test_deleted_files_put_scores_on_another_scale_and_that_is_said(
    lacking: Lacking, facts_of: Callable[[Path], dict[str, Any]]
) -> None:
    """Four validation normals are too few to know that scale from, so nothing is rescaled, nor is there a verdict."""
    report, facts = (read(lacking.project / "runs/first/report.json") for read in (sections_of, facts_of))
    scored = lacking.scored()
    assert not any(result["num_rescaled"] for result in report["without_modality"]["rows"]["by_modality"])
    assert (facts["num_own_scale"], facts["num_scale_normals"]) == (2, 4)
    assert "The scores are on several scales" in report["verdict"]["title"]
    whole = scored.table.select(scored.scored.whole)
    counts = (facts["whole_samples_num_normal"], facts["whole_samples_num_defect"])
    assert counts == (facts["num_normal"] - 1, facts["num_defect"] - 1) and sum(counts) == len(whole) == 12
    assert facts["whole_samples"]["value"] == auroc(whole.scores, whole.labels)
    assert facts["auroc"]["value"] == auroc(scored.table.scores, scored.table.labels)
    said = report["verdict"]["points"][0]
    assert said.startswith("On a scale of their own: 2 samples of test, out of 14, without a modality")
    assert "validation has 4 normals that lack nothing" in said
    with (lacking.project / "runs/first/scores_test.csv").open(newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert {key: row["lacks"] for key, row in rows.items() if row["lacks"]} == {
        lacking.keys[modality]: modality for modality in ("audio", "image")
    }
    assert {row["lacks"] for row in rows.values() if row["scale"] == "own"} == {"audio", "image"}
    assert all(
        float(row["threshold"]) == facts["threshold"]
        and row["alarm"] == ("" if row["scale"] == "own" else str(int(float(row["score"]) > facts["threshold"])))
        for row in rows.values()
    )
    assert "put on one scale" in lacking.judged.out and "Whole samples only" in lacking.judged.out
    page = (lacking.project / "runs/first/report.html").read_text()
    assert "Whole samples only" in page and "put on one scale" in page
    with (lacking.project / "runs/first/scores_test.csv").open(newline="") as file:
        assert [float(row["score"]) for row in csv.DictReader(file)] == scored.table.scores.tolist()


def test_hiding_what_a_weld_lacks_changes_nothing_for_it(lacking: Lacking) -> None:
    scored = lacking.scored()
    assert lacking.keys["all"] not in scored.table.keys and scored.scored.rows.num_left_out == 1
    for modality in ("audio", "image"):
        changed = scored.without[modality] != scored.table.scores
        unchanged = {key for key, differs in zip(scored.table.keys, changed, strict=True) if not differs}
        assert unchanged == {lacking.keys[modality]}


def test_a_pool_gives_the_same_scores(lacking: Lacking) -> None:
    rows = np.flatnonzero(lacking.store.index.parts != "train")
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
    validation = lacking.store.index.parts == "val"
    normals = validation & (lacking.store.index.labels == 0)
    assert fetched == [*range(validation.sum()), *range(normals.sum()), *range(len(scored.table))]
    assert set(scored.without) == MODALITIES


def test_validation_comes_out_as_training_recorded_it_to_the_last_bit(lacking: Lacking) -> None:
    table, best = lacking.scored("val").scored.table, lacking.run.best()
    assert auroc(table.scores, table.labels) == best.metrics["val_auroc"]
    assert "training recorded" not in lacking.judged.out


def test_a_split_that_is_not_there(lacking: Lacking) -> None:
    with pytest.raises(NotFoundError, match="no rows of the split nowhere"):
        lacking.scored("nowhere")


@dataclass(frozen=True)
class Project:
    """A trained run, its models, and a store of its own in which welds can lose their photographs."""

    run: TrainedRun
    store: FeatureStore
    models: Models

    def rows(self, split: str, *, label: int) -> list[int]:
        index = self.store.index
        return np.flatnonzero((index.parts == split) & (index.labels == label)).tolist()

    def take_photographs(self, rows: list[int]) -> None:
        lose(self.store, PHOTOGRAPHS, rows)

    def scored(self, split: str = "test") -> Placed:
        return _placed(Scorer(self.run, FeatureStore.open(self.store.path), models=self.models), split)

    def by_way(self, rows: list[int], *variants: Way) -> dict[Way, np.ndarray]:
        scorer = Scorer(self.run, FeatureStore.open(self.store.path), models=self.models)
        return scorer(np.array(rows), variants)


@pytest.fixture(scope="module")
def trained(judged: Path) -> tuple[TrainedRun, Models]:
    run = load_run(judged / "runs/first")
    return run, load_models(run, store=FeatureStore.open(judged / "features.zarr"), device=CPU)


@pytest.fixture
def project(
    judged: Path, trained: tuple[TrainedRun, Models], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Its four validation normals count as enough to know a scale from."""
    monkeypatch.setattr(scale, "FEWEST_NORMALS", 2)
    run, models = trained
    store = FeatureStore.open(Path(shutil.copytree(judged / "features.zarr", tmp_path / "features.zarr")))
    assert run.recipe.needs().dispensable["image"] == PHOTOGRAPHS
    return Project(run, store, models)


def _of(keys: list[str], table: ScoreTable) -> np.ndarray:
    return np.isin(table.keys, keys)


def test_photographs_that_are_gone_leave_the_scale_where_it_was(project: Project) -> None:
    """By hand from the validation normals, for each kind of weights; the others' scores keep every bit."""
    before, normals = project.scored(), project.rows("val", label=0)
    kinds: tuple[tuple[Literal["averaged", "raw"], str], ...] = (("averaged", "scores"), ("raw", "raw_scores"))
    ways = {kind: (Way(kind), Way(kind, frozenset(PHOTOGRAPHS))) for kind, _ in kinds}
    found = project.by_way(normals, *(way for of_kind in ways.values() for way in of_kind))
    gone = [*project.rows("test", label=0)[::2], *project.rows("test", label=1)[:2]]
    project.take_photographs(gone)
    after = project.scored()
    mask = _of(project.store.index.keys[gone].tolist(), after.table)
    assert (after.rescaled == mask).all() and (after.scored.whole == ~mask).all()
    for kind, column in kinds:
        whole, hidden = (found[way] for way in ways[kind])
        scores, raw = getattr(after.table, column), getattr(after.scored.table, column)
        by_hand = whole.mean() + whole.std() * (raw[mask] - hidden.mean()) / hidden.std()
        np.testing.assert_allclose(scores[mask], by_hand, rtol=1e-12)
        assert (scores[mask] != raw[mask]).all()
        for table in (after.table, after.scored.table):
            np.testing.assert_array_equal(getattr(table, column)[~mask], getattr(before.table, column)[~mask])


def test_normals_without_photographs_score_like_the_same_normals_with_them(project: Project) -> None:
    """The validation normals, half of which lose theirs, as far as a handful of welds can tell."""
    before, normals = project.scored("val"), project.rows("val", label=0)
    gone = normals[::2]
    project.take_photographs(gone)
    after = project.scored("val")
    mask = _of(project.store.index.keys[gone].tolist(), after.table)
    with_them, without = before.table.scores[mask], after.scored.table.scores[mask]
    spread = before.table.scores[before.table.labels == 0].std()
    away = abs(np.median(without) - np.median(with_them))
    assert away > 3 * spread
    assert abs(np.median(after.table.scores[mask]) - np.median(with_them)) < min(2 * spread, away / 3)


def test_test_samples_have_no_part_in_the_mapping(project: Project) -> None:
    normals, defects = (project.rows("test", label=label) for label in (0, 1))
    project.take_photographs(normals[:1])
    key = str(project.store.index.keys[normals[0]])
    alone = project.scored().table
    project.take_photographs([*normals[1:4], *defects])
    together = project.scored().table
    assert _score_of(key, alone, alone.scores) == _score_of(key, together, together.scores)
    assert _score_of(key, alone, alone.raw_scores) == _score_of(key, together, together.raw_scores)


def test_too_few_whole_validation_normals_leave_scores_as_they_are(project: Project) -> None:
    gone = project.rows("test", label=0)[:2]
    project.take_photographs(gone)
    for num_whole, can in ((2, True), (1, False), (0, False)):
        project.take_photographs(project.rows("val", label=0)[num_whole:])
        scored = project.scored()
        mask = _of(project.store.index.keys[gone].tolist(), scored.table)
        assert scored.rescaled.tolist() == (mask & can).tolist() and scored.num_scale_normals == num_whole
        assert scored.num_rescaled == {"image": 2 * can} and scored.num_lacking == {"image": 2}
        assert ((scored.table.scores != scored.scored.table.scores) == (mask & can)).all()


def test_only_whole_validation_normals_are_passed_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    batches = StreamedFeatures.batches

    def counted(self: StreamedFeatures, order: Any, **options: Any) -> Any:
        passes.append(len(self))
        return batches(self, order, **options)

    monkeypatch.setattr(StreamedFeatures, "batches", counted)
    scored, num_validation = project.scored(), int(np.sum(project.store.index.parts == "val"))
    expected = [num_validation, len(project.rows("val", label=0)), len(scored.table)]  # new samples may lack something
    assert passes == expected
    assert scored.table.scores.tolist() == scored.scored.table.scores.tolist() and not scored.rescaled.any()
    project.take_photographs(project.rows("test", label=0)[:1])
    project.scored()
    assert passes[3:] == expected


def test_a_part_of_the_photographs_that_is_gone_counts_as_it_does_for_the_model(project: Project) -> None:
    """One block of several: the welds are not whole, and this model takes them for welds without photographs."""
    first, second = project.rows("test", label=0)[:2]
    project.take_photographs([first])
    lose(project.store, PHOTOGRAPHS[:1], [second])
    scored = project.scored()
    mask = _of(project.store.index.keys[[first, second]].tolist(), scored.table)
    assert (scored.rescaled == mask).all()
    alone = project.by_way([second], Way("averaged", frozenset(PHOTOGRAPHS)))
    (raw,) = next(iter(alone.values()))
    key = str(project.store.index.keys[second])
    assert _score_of(key, scored.scored.table, scored.scored.table.scores) == pytest.approx(raw, rel=1e-5)


def test_what_has_to_be_measured() -> None:
    whole, nothing, image, audio = Way("averaged"), frozenset[str](), frozenset({"image"}), frozenset({"audio"})
    no_image = Way("averaged", image)
    raw = Way("raw")
    assert ways_to_measure([whole, raw, no_image], lacking=[nothing, nothing]) == ()
    found = ways_to_measure([whole, raw], lacking=[nothing, image, image])
    assert set(found) == {whole, raw, no_image, Way("raw", image)} and len(found) == 4
    # A sample without audio has neither where photographs are hidden as well.
    found = ways_to_measure([whole, no_image], lacking=[nothing, audio])
    assert set(found) == {whole, no_image, Way("averaged", audio), Way("averaged", audio | image)}
