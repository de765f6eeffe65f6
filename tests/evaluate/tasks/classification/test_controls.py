"""Controls of a classifier: each by hand, none that knows a judged sample's own class, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from weldcache.cache.index import Index, index_with
from weldcache.evaluate.section import Section
from weldcache.evaluate.tasks.alike import Verdict
from weldcache.evaluate.tasks.classification.caveats import caveats, verdict
from weldcache.evaluate.tasks.classification.controls import ClassControl, class_controls, permuted_classes
from weldcache.evaluate.tasks.classification.figures import assess_classes
from weldcache.evaluate.tasks.classification.sections import class_sections
from weldcache.metrics.estimate import Estimate
from weldcache.metrics.repeats import RepeatsEstimate

NAMES = ["crack", "good", "pore"]


def _index(groups: list[str], speeds: list[float]) -> Index:
    keys = [str(place) for place in range(len(groups))]
    attributes = {"speed": speeds} if speeds else {}
    return index_with(keys=keys, parts=[""] * len(keys), groups=groups, targets={}, attributes=attributes)


def _codes(*codes: int) -> np.ndarray:
    return np.array(codes, dtype=np.int64)


def test_controls_by_hand() -> None:
    judged, true, predicted = _index(["a", "b", "x", ""], [1.0, 2.0, 9.0, 9.0]), _codes(0, 2, 1, 1), _codes(0, 2, 1, 0)
    train, known = _index(["a", "a"], [1.5, 8.0]), _index(["a", "a", "b", "c", "c"], [1.5, 8.0, 3.0, 4.0, 5.0])
    settings, files, group = class_controls(
        true,
        predicted,
        judged=judged,
        train=train,
        train_classes=_codes(0, 1),
        known=known,
        known_classes=_codes(0, 1, 2, 1, 1),
        files={"image width": np.array([64.0, 64.0, 640.0, 64.0])},
        train_files={"image width": np.array([64.0, 640.0])},
    )
    # Nearest: 0, 0, 1, 1. Groups: a: 0 (the first of two as frequent), b: 2, else the most frequent: 1.
    assert settings.accuracy is not None and settings.accuracy.value == 3 / 4
    assert files.accuracy is not None and files.accuracy.value == 2 / 4  # 0, 0, 1, 0
    assert group.accuracy is not None and group.accuracy.value == 1
    assert group.difference is not None and group.difference.value == -1 / 4 and group.comes_close


def test_no_control_and_why() -> None:
    judged = _index(["", ""], [])
    settings, files, group = class_controls(
        _codes(0, 1), _codes(0, 1), judged=judged, train=judged, train_classes=_codes(0, 1), known=judged,
        known_classes=_codes(0, 1), files={}, train_files={},
    )  # fmt: skip
    assert (settings.accuracy, files.accuracy, group.accuracy) == (None, None, None)
    assert "no attributes" in settings.reason and "files" in files.reason and "no groups" in group.reason


def test_classes_dealt_anew() -> None:
    true = np.repeat([0, 1, 2], 20)
    found = permuted_classes(true, true, groups=[""] * len(true), seed=0)
    assert found.p_value == pytest.approx(1 / 1001) and found.null.contains(1 / 3)
    always = permuted_classes(true, np.ones_like(true), groups=[""] * len(true), seed=0)
    assert always.p_value == 1 and always.null.value == pytest.approx(1 / 3)


def test_groups_of_one_class_are_dealt_whole() -> None:
    """Four groups of 15: of six ways to choose two, one is as right, however many samples there are."""
    true, groups = np.repeat([0, 1, 0, 1], 15), [f"g{row // 15}" for row in range(60)]
    found = permuted_classes(true, true, groups=groups, seed=0)
    assert found.of_groups and 0.1 < found.p_value < 0.25
    for others in (["", *groups[1:]], ["g1", *groups[1:]], [str(row) for row in range(60)]):
        single = permuted_classes(true, true, groups=others, seed=0)
        assert not single.of_groups and single.p_value == pytest.approx(1 / 1001)


@pytest.mark.parametrize(("told_by_group", "standing"), [(True, "bad"), (False, "good")])
def test_the_verdict_knows_them(told_by_group: bool, standing: str) -> None:
    true = np.tile([0, 1], 30)
    judged = _index([f"g{code}-{row // 6}" for row, code in enumerate(true)], [0.0] * 60)
    known = judged if told_by_group else replace(judged, groups=np.roll(judged.groups, 1))
    controls = class_controls(
        true, true, judged=judged, train=judged, train_classes=np.roll(true, 2) * 0, known=known, known_classes=true,
        files={}, train_files={},
    )  # fmt: skip
    found = replace(
        assess_classes(true, true, train=_codes(1), names=NAMES, groups=[""] * 60),
        controls=controls,
        permutation=permuted_classes(true, true, groups=[""] * len(true), seed=0),
    )
    parts = {part.id: part for part in class_sections(found, warnings=(), training=Section("training", "Training"))}
    assert parts["verdict"].standing == standing
    assert ("group-only control" in parts["verdict"].title) == told_by_group
    assert any("the group-only control" in text for text in caveats(found)) == told_by_group
    assert [row[0] for row in parts["controls"].rows[0].values] == [
        "media-free control",
        "file-metadata control",
        "group-only control",
    ]


def _beside(*controls: ClassControl, p_value: float = 0.001, predicted: NDArray[np.int64] | None = None) -> Verdict:
    true = np.tile([0, 1], 30)
    told = true if predicted is None else predicted
    found = assess_classes(true, told, train=_codes(1), names=NAMES, groups=[""] * 60)
    permutation = replace(permuted_classes(true, true, groups=[""] * 60, seed=0), p_value=p_value)
    return verdict(replace(found, controls=controls, permutation=permutation))


def test_the_verdict_asks_chance_and_misses_the_media_free_control() -> None:
    weak = ClassControl("media-free control", "the settings", Estimate(0.4, 0.3, 0.5), needed=True)
    strong = replace(weak, accuracy=Estimate(1.0, 0.9, 1.0), difference=RepeatsEstimate(0.0, 0.0, 0.0, method="equal"))
    missed = replace(weak, accuracy=None, reason="the data set records no attributes")
    assert _beside(weak).standing == "good"
    doubted = _beside(weak, p_value=0.2)
    assert doubted.standing == "doubtful" and "chance" in doubted.headline
    hardly = np.where(np.arange(60) < 34, np.tile([0, 1], 30), np.tile([1, 0], 30))
    refused = _beside(weak, p_value=0.2, predicted=hardly)
    assert refused.standing == "bad" and "chance" in refused.headline
    assert _beside(weak, p_value=0.01, predicted=hardly).standing == "doubtful"
    without = _beside(missed)
    assert without.standing == "doubtful" and "missing" in without.headline
    assert _beside(replace(missed, needed=False)).standing == "good"
    # A control that is ahead is told before chance, which explains much where groups are few.
    beaten = _beside(strong, p_value=0.2)
    assert beaten.standing == "bad" and "media-free control" in beaten.headline
