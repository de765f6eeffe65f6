"""Leaving out one modality: the numbers by hand, whose absence training knew, and what is said about it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from weldcache.evaluate.judged_rows import JudgedRows
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.scoring import Scored
from weldcache.evaluate.tasks.anomaly.modalities import (
    ModalityResult,
    change_caveats,
    lacking_caveats,
    modalities_seen_missing,
    modality_results,
    unseen_note,
)
from weldcache.evaluate.tasks.anomaly.scale import Placed
from weldcache.metrics.estimate import Estimate
from weldcache.metrics.repeats import RepeatsEstimate
from weldcache.settings import Settings
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.trained_run import TrainedRun

NOTHING = ModalityResult(
    Estimate(0.8, 0.7, 0.9),
    RepeatsEstimate(0.0, low=0.0, high=0.0, method="equal"),
    num_having=(60, 90),
    num_lacking=0,
    num_rescaled=0,
    seen_missing=True,
)


def _placed(
    table: ScoreTable, without: Mapping[str, np.ndarray], num_lacking: Mapping[str, int] | None = None
) -> Placed:
    lacking = {name: np.arange(len(table)) < num for name, num in (num_lacking or {}).items()}
    scored = Scored(split="val", rows=JudgedRows(np.arange(len(table))), table=table, ways={}, lacking=lacking)
    return Placed(scored, table, without, rescaled=np.arange(len(table)) < 1, num_scale_normals=12)


def _change(value: float, low: float, high: float) -> RepeatsEstimate:
    return RepeatsEstimate(value, low=low, high=high, method="delong")


def test_numbers_by_hand(make_table: Callable[..., ScoreTable]) -> None:
    """Two normals and two defects: 4 of 4 pairs in order with all modalities, 3 of 4 without video.

    One normal lacks it, and is on the scale of whole samples.
    """
    table = replace(make_table(num_normal=2, num_defect=2), scores=np.array([1.0, 2.0, 3.0, 4.0]))
    found = modality_results(_placed(table, {"video": np.array([1.0, 3.0, 2.0, 4.0])}, {"video": 1}), seen_missing=())
    assert found["video"].auroc.value == 0.75
    assert found["video"].change.value == -0.25
    assert found["video"].change.low < -0.25 < found["video"].change.high
    assert (found["video"].num_lacking, found["video"].num_rescaled, found["video"].seen_missing) == (1, 1, False)
    assert found["video"].num_having == (1, 2)


def test_the_interval_is_that_of_paired_aurocs(table: ScoreTable) -> None:
    noise = np.random.default_rng(5).normal(0, 0.3, len(table))
    found = modality_results(_placed(table, {"audio": table.scores + noise}), seen_missing={"audio"})["audio"]
    whole, without = (roc_auc_score(table.labels, scores) for scores in (table.scores, table.scores + noise))
    assert found.auroc.value == pytest.approx(without)
    assert found.change.value == pytest.approx(without - whole)
    # The two rank nearly alike, so the difference is known far better than either.
    assert found.change.high - found.change.low < 0.5 * (found.auroc.high - found.auroc.low)
    assert found.seen_missing


def test_a_modality_that_is_not_looked_at_changes_exactly_nothing(table: ScoreTable) -> None:
    found = modality_results(_placed(table, {"sensor": 2 * table.scores}), seen_missing=())["sensor"]
    assert (found.change.value, found.change.low, found.change.high) == (0.0, 0.0, 0.0)


def test_what_changes_nothing_is_said() -> None:
    needed = replace(NOTHING, change=_change(-0.1, -0.15, -0.05))
    unclear = replace(NOTHING, change=_change(0.0, -0.02, 0.02))
    idle = replace(NOTHING, change=_change(0.001, -0.004, 0.006))
    (text,) = change_caveats({"video": needed, "audio": idle, "image": unclear, "sensor": idle})
    assert text.startswith("Leaving out audio or sensor changes nothing")


def test_an_interval_of_no_width_is_not_read_as_doing_without() -> None:
    (text,) = change_caveats({"audio": NOTHING})
    assert "nothing can be told" in text and "does without" not in text


@pytest.mark.parametrize("having", [(9, 90), (60, 9)])
def test_nothing_is_concluded_from_a_few(having: tuple[int, int]) -> None:
    better = replace(NOTHING, change=_change(0.1, 0.05, 0.15), num_having=having)
    (text,) = change_caveats({"video": replace(NOTHING, num_having=having), "audio": better})
    assert text.startswith("Fewer than 10 normals or fewer than 10 defects have video or audio")


def test_what_no_sample_has_is_no_change(table: ScoreTable) -> None:
    found = modality_results(_placed(table, {"video": table.scores}, {"video": len(table)}), seen_missing={"video"})
    assert found["video"].auroc is None and found["video"].change is None
    (text,) = change_caveats(found)
    assert text.startswith("No sample has video")


def test_what_is_better_left_out_is_said() -> None:
    worse, hardly = (replace(NOTHING, change=_change(*change)) for change in ((0.06, 0.02, 0.1), (0.006, 0.001, 0.011)))
    (text,) = change_caveats({"audio": worse, "video": hardly})
    assert "better without audio: the AUROC changes by +0.060 (+0.020 to +0.100)" in text


@pytest.mark.parametrize(("seen", "num_texts"), [(True, 1), (False, 2)])
def test_samples_that_lack_a_modality_are_counted(seen: bool, num_texts: int, table: ScoreTable) -> None:
    scored = _placed(table, {}, {"video": 2, "audio": 0, "image": 3})
    texts = list(lacking_caveats(scored, seen_missing={"video", "audio", "image"} if seen else ()))
    assert len(texts) == num_texts
    assert "Of the 150 samples of val, 2 lack video and 3 lack image; they are scored all the same" in texts[0]
    assert seen or re.search(r"Training saw no sample without video or image, so .*recipe.modality_dropout", texts[1])


def test_the_note_on_what_training_never_left_out() -> None:
    assert unseen_note({"video": NOTHING}) is None
    note = unseen_note({"video": NOTHING, "audio": replace(NOTHING, seen_missing=False)})
    assert note is not None and note.startswith("Training never left out audio: ")


def _run(manifest: Mapping[str, Any], settings: Settings) -> TrainedRun:
    recipe = make_recipe(settings.recipe)
    return TrainedRun(RunFolder(Path("run")), settings=settings, manifest=manifest, metrics=[], recipe=recipe)


def _with_dropout(dropout: float) -> Settings:
    return Settings.model_validate({"recipe": {"name": "causal_film", "modality_dropout": dropout}})


@pytest.mark.parametrize(
    ("dropout", "lacked", "seen"),
    [(0.0, {}, set()), (0.0, {"image": 2}, {"image"}), (0.1, {}, {"video", "audio", "image", "sensor"})],
)
def test_whose_absence_training_knew(dropout: float, lacked: dict[str, int], seen: set[str]) -> None:
    for name in ("train_without", "train_normals_without"):  # as an earlier version called it
        manifest = {"recipe": "causal_film", "counts": {name: lacked}}
        assert modalities_seen_missing(_run(manifest, _with_dropout(dropout))) == seen


@pytest.mark.parametrize(("dropouts", "seen"), [((0.1, 0.1), True), ((0.1, 0.0), False), ((0.0, 0.0), False)])
def test_a_fused_run_knew_what_every_member_that_looks_at_it_knew(dropouts: tuple[float, float], seen: bool) -> None:
    # The autoencoder can do without nothing, so its having no dropout is no matter.
    film = {"name": "causal_film"}
    members = {"vae": {"name": "video_ae"}} | {
        f"film-{place}": film | {"modality_dropout": share} for place, share in enumerate(dropouts)
    }
    beside = {"precision": dict.fromkeys(members, "float32"), "untrained": dict.fromkeys(members, ())}
    settings = Settings.model_validate({"recipe": {"name": "late_fusion", "members": members, **beside}})
    run = _run({"recipe": "late_fusion", "counts": {}}, settings)
    assert modalities_seen_missing(run) == (frozenset(run.recipe.needs().dispensable) if seen else frozenset())
    assert run.recipe.needs().dispensable
