"""Scores of samples that lack something on the scale of those that lack nothing: by hand, and on scores by design."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.evaluate.judged_rows import JudgedRows
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.scoring import Scored, Way
from weldcache.evaluate.tasks.anomaly.scale import (
    Placed,
    Scale,
    Scales,
    WholeSamples,
    on_whole_scale,
    rescaled,
    scale_caveats,
    scale_of,
    whole_samples,
)
from weldcache.metrics.estimate import Estimate

WHOLE, NOTHING, IMAGE, AUDIO = Way("averaged"), frozenset[str](), frozenset({"image"}), frozenset({"audio"})
NO_IMAGE = Way("averaged", IMAGE)
# Mean 4 and deviation 2; with photographs hidden mean 1 and deviation 0.5.
NORMALS = {WHOLE: np.tile([2.0, 6.0], 5), NO_IMAGE: np.tile([0.5, 1.5, 1.5, 0.5], 3)}


def _scales(normals: Mapping[Way, np.ndarray]) -> Scales:
    return {way: scale_of(scores) for way, scores in normals.items()}


def test_numbers_by_hand() -> None:
    assert scale_of(NORMALS[WHOLE]) == Scale(4.0, 2.0)
    assert scale_of(NORMALS[NO_IMAGE]) == Scale(1.0, 0.5)
    scores = np.array([1.0, 1.75, 1.75, 0.1])
    placed, on_scale = on_whole_scale(scores, WHOLE, lacking=[IMAGE, IMAGE, NOTHING, NOTHING], scales=_scales(NORMALS))
    assert placed.tolist() == [4.0, 7.0, 1.75, 0.1]  # 4 + 2 (1.75 - 1) / 0.5
    assert on_scale.all()
    assert scores.tolist() == [1.0, 1.75, 1.75, 0.1]


def test_what_the_way_hides_counts_as_lacking() -> None:
    both = Way("averaged", AUDIO | IMAGE)
    normals = {**NORMALS, both: np.tile([10.0, 20.0], 5)}  # mean 15, deviation 5
    placed, _ = on_whole_scale(
        np.array([1.5, 20.0, 1.5]), NO_IMAGE, lacking=[NOTHING, AUDIO, IMAGE], scales=_scales(normals)
    )
    assert placed.tolist() == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("alike", [[], [0.7] * 10, [0.1, 0.1 + 1e-9] * 5, [0.1, 0.9, 0.5] * 3])
def test_where_it_cannot_be_done_scores_stay(alike: list[float]) -> None:
    assert scale_of(np.array(alike)) is None
    scores = np.array([1.0, 2.0])
    for broken in (WHOLE, NO_IMAGE):
        normals = {**NORMALS, broken: np.array(alike)}
        placed, on_scale = on_whole_scale(scores, WHOLE, lacking=[IMAGE, NOTHING], scales=_scales(normals))
        assert placed.tolist() == scores.tolist()
        assert on_scale.tolist() == [False, True]


def test_the_same_normals_have_like_quantiles_with_and_without() -> None:
    """Distances of a prediction from a photograph, and without one only the prediction's spread, as was seen."""
    generator = np.random.default_rng(0)
    seen, hidden = generator.normal(2.65, 0.12, 2000), generator.normal(1.0, 0.04, 2000)
    normals = {WHOLE: seen[:500], NO_IMAGE: hidden[:500]}
    placed, _ = on_whole_scale(hidden[500:], WHOLE, lacking=[IMAGE] * 1500, scales=_scales(normals))
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(placed, shares), np.quantile(seen[500:], shares), atol=0.03)
    assert np.quantile(hidden, 0.95) < np.quantile(
        seen, 0.001
    )  # before, a threshold on the one says nothing of the other


finite = st.floats(-100, 100, width=32)


@given(st.lists(finite, min_size=10, max_size=20), st.lists(finite, min_size=10, max_size=20))
def test_the_normals_themselves_come_to_the_wanted_scale_in_their_order(
    first: list[float], second: list[float]
) -> None:
    found, wanted = scale_of(np.array(first)), scale_of(np.array(second))
    if found is None or wanted is None:
        return
    placed = rescaled(np.array(first), found=found, wanted=wanted)
    assert placed.mean() == pytest.approx(wanted.mean, abs=1e-6 * (abs(wanted.mean) + wanted.deviation))
    assert placed.std() == pytest.approx(wanted.deviation, rel=1e-6)
    assert (np.diff(placed[np.argsort(first, kind="stable")]) >= 0).all()


AUROC = Estimate(0.75, 0.6, 0.9)


def _placed(table: ScoreTable, *, without_image: list[int], rescaled: list[int]) -> Placed:
    rows = np.arange(len(table))
    scored = Scored(
        split="test",
        rows=JudgedRows(rows),
        table=table,
        ways={},
        lacking_sets=[IMAGE if row in without_image else NOTHING for row in rows],
        lacking={"image": np.isin(rows, without_image)} if without_image else {},
    )
    return Placed(scored, table, without={}, rescaled=np.isin(rows, rescaled), num_scale_normals=12)


@pytest.fixture
def four(make_table: Callable[..., ScoreTable]) -> ScoreTable:
    """Two normals, then two defects."""
    return replace(make_table(num_normal=2, num_defect=2), scores=np.array([1.0, 3.0, 2.0, 4.0]))


def test_where_nothing_is_lacking_nothing_is_said(four: ScoreTable) -> None:
    scored = _placed(four, without_image=[], rescaled=[])
    assert whole_samples(scored) is None
    assert list(scale_caveats(scored, validation=scored, auroc=AUROC, whole=None)) == []


def test_whole_samples_alone(four: ScoreTable) -> None:
    found = whole_samples(_placed(four, without_image=[2], rescaled=[2]))
    assert found is not None and found.auroc is not None
    assert (found.auroc.value, found.num_normal, found.num_defect) == (1.0, 2, 1)
    alone = whole_samples(_placed(four, without_image=[2, 3], rescaled=[]))
    assert alone == WholeSamples(None, num_normal=2, num_defect=0, num_scale_normals=12, num_own_scale=2)


def test_mapped_scores_are_said_with_both_aurocs(four: ScoreTable) -> None:
    scored, validation = (_placed(four, without_image=rows, rescaled=rows) for rows in ([2], []))
    (text,) = scale_caveats(scored, validation=validation, auroc=AUROC, whole=whole_samples(scored))
    assert text.startswith("Put on the scale of whole samples: 1 sample of test without a modality")
    assert "what 12 validation normals score" in text and "rest on 12" in text
    assert "Over the 3 whole samples alone the AUROC is 1.000" in text and text.endswith("over all 0.750.")
    defects = _placed(four, without_image=[2, 3], rescaled=[2, 3])
    (text,) = scale_caveats(defects, validation=validation, auroc=AUROC, whole=whole_samples(defects))
    assert "Whole samples alone are not of both classes" in text


def test_scores_that_could_not_be_mapped_are_said_first(four: ScoreTable) -> None:
    scored, validation = (_placed(four, without_image=rows, rescaled=rows[:1]) for rows in ([1, 2], []))
    texts = list(scale_caveats(scored, validation=validation, auroc=AUROC, whole=whole_samples(scored)))
    assert len(texts) == 2
    assert texts[0].startswith("On a scale of their own: 1 sample of test, out of 4, without a modality")
    assert "all get the same score" in texts[0]
    few = replace(scored, num_scale_normals=4)
    text = next(scale_caveats(few, validation=validation, auroc=AUROC, whole=whole_samples(few)))
    assert "validation has 4 normals that lack nothing, and this takes 10 at least" in text


def test_validation_normals_that_set_the_threshold(four: ScoreTable) -> None:
    whole = _placed(four, without_image=[], rescaled=[])
    texts = [
        list(scale_caveats(whole, validation=validation, auroc=AUROC, whole=None))
        for validation in (
            _placed(four, without_image=[0], rescaled=[0]),
            _placed(four, without_image=[0, 1], rescaled=[0]),
            _placed(four, without_image=[3], rescaled=[3]),  # a defect
        )
    ]
    assert "1 of the 2 validation normals, which give the threshold, lack a modality (all put on" in texts[0][0]
    assert "which rests on 12)" in texts[0][0]
    assert "(1 on another scale)" in texts[1][0]
    assert texts[2] == []
