"""Detectors of points: figures by hand, the judge's contract, and what is said of one that finds nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.errors import MetricError
from weldcache.evaluate.section import Section
from weldcache.evaluate.tasks.points.figures import (
    ControlAnswers,
    PlaceControl,
    PointAssessment,
    SplitCounts,
    assess_points,
    count_points,
)
from weldcache.evaluate.tasks.points.judge import PointsJudge
from weldcache.evaluate.tasks.points.sections import caveats, point_sections, verdict
from weldcache.testing.judges import JudgeContract


class TestContract(JudgeContract):
    def judge(self) -> PointsJudge:
        return PointsJudge()

    @pytest.fixture
    def run(self, scenes: Path, runs_of: Callable[[Path], Path]) -> Path:
        return runs_of(scenes) / "runs/points"


def drawn(num: int, *, gap: float, num_points: int = 200) -> tuple[SplitCounts, list[str]]:
    """Samples in pairs, each a group; every second group has defective points, whose scores are higher by a gap."""
    rng, groups = np.random.default_rng(0), [str(place // 2) for place in range(num)]
    scores, labels = [], []
    for place in range(num):
        label = np.zeros(num_points, np.int64)
        if place // 2 % 2:
            label[:5] = 1
        labels.append(label)
        scores.append((rng.normal(size=num_points) + gap * label).astype(np.float32))
    return count_points(iter(scores), iter(labels), groups=groups), groups


def assessed(
    counts: SplitCounts,
    groups: list[str],
    *,
    control: float = 0.5,
    threshold: float | None = 1.7,
    oracle: bool = False,
) -> PointAssessment:
    found = np.where(np.isfinite(counts.sample_auroc), control, np.nan)
    controls = [ControlAnswers("place control", "where a point lies", found, oracle)]
    return assess_points(counts, groups=groups, target_fpr=0.05, threshold=threshold, controls=controls)


def test_figures_by_hand() -> None:
    scores = [np.array([3, 1, 2], np.float32), np.array([5, 4], np.float32), np.array([9], np.float32)]
    labels = [np.array([1, 0, 0]), np.array([0, 1]), np.array([-1])]
    counts = count_points(iter(scores), iter(labels), groups=["a", "b", ""])
    assert counts.sample_auroc[:2].tolist() == [1, 0] and np.isnan(counts.sample_auroc[2])
    assert counts.num_points.tolist() == [3, 2, 0] and counts.num_defective.tolist() == [1, 1, 0]
    found = assess_points(counts, groups=["a", "b", ""], target_fpr=0.05, threshold=4.0, controls=[])
    assert found.sample_auroc.value == 0.5 and found.all.figures.auroc == pytest.approx(4 / 6)
    assert found.all.macro["auroc"].value == 0.5 and found.all.num_groups == 2
    assert found.fpr == pytest.approx(1 / 3) and found.recall == 0.5
    assert found.num_detectable == 2 and found.num_samples == 3


def test_normal_samples_are_in_all_and_not_in_the_detectable() -> None:
    counts, groups = drawn(20, gap=2.0)
    found = assessed(counts, groups)
    assert found.num_detectable == 10 and found.all.figures.ap < found.detectable.figures.ap
    assert found.all.num_groups == found.detectable.num_groups == 5
    assert found.sample_auroc.value > 0.85 > found.sample_auroc.low > 0.5


@pytest.mark.parametrize(
    ("gap", "control", "threshold", "standing"),
    [(2.0, 0.5, 1.7, "good"), (0.0, 0.4, 1.7, "bad"), (2.0, 0.99, 1.7, "bad"), (2.0, 0.5, 99.0, "doubtful")],
)
def test_the_verdict_is_against_chance_then_controls_then_the_threshold(
    gap: float, control: float, threshold: float, standing: str
) -> None:
    counts, groups = drawn(40, gap=gap)
    assert verdict(assessed(counts, groups, control=control, threshold=threshold)).standing == standing


def test_an_oracle_is_shown_and_does_not_decide() -> None:
    counts, groups = drawn(40, gap=2.0)
    found = assessed(counts, groups, control=0.99, oracle=True)
    assert verdict(found).standing == "good" and not list(caveats(found))
    shown = {each.id: each for each in point_sections(found, warnings=[], training=Section("training", "Training"))}
    assert "oracle" in shown["controls"].note[-1]


def test_the_place_control_learns_from_what_labels_it_is_given() -> None:
    rng = np.random.default_rng(0)
    points = [rng.uniform(size=(500, 3)).astype(np.float32) for _ in range(4)]
    where = np.array([[0.95, 0.5, 0.5], [0.1, 0.5, 0.5]], np.float32)
    by_point = PlaceControl(lambda: [(each, (each[:, 0] > 0.75).astype(np.int64)) for each in points])
    far, near = by_point(where)
    assert far > 0.8 and near < 0.1
    labelled = [(each, np.full(500, place % 2)) for place, each in enumerate(points)]
    far, near = PlaceControl(lambda: labelled)(where)
    assert abs(float(far) - float(near)) < 0.5


def test_that_every_point_is_called_normal_is_told_with_the_accuracy_that_flatters_it() -> None:
    counts, groups = drawn(40, gap=0.0)
    told = " ".join(caveats(assessed(counts, groups, threshold=99.0)))
    share = counts.num_defective.sum() / counts.num_points.sum()
    assert f"{1 - share:.4f}" in told and "no defective point is found" in told


def test_a_split_without_defective_points_cannot_be_judged() -> None:
    counts = count_points(iter([np.zeros(3, np.float32)]), iter([np.zeros(3, np.int64)]), groups=["a"])
    with pytest.raises(MetricError, match="points"):
        assess_points(counts, groups=["a"], target_fpr=0.05, threshold=None, controls=[])


def test_eval_and_the_list_of_runs_tell_the_figure(evaluated: Callable[[str], tuple[dict[str, Any], str]]) -> None:
    facts, runs = evaluated("points")
    assert facts["num_detectable"] > 0 and 0 <= facts["sample_auroc"]["value"] <= 1
    assert "AUROC of points" in runs
