"""The samples that lack nothing beside all of them, and what is said where scores were put on one scale."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weldcache.evaluate.judged_rows import JudgedRows
from weldcache.evaluate.results import WholeSamples
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.scoring import ScoredSplit
from weldcache.evaluate.whole_samples import scale_caveats, whole_samples
from weldcache.metrics.estimate import Estimate

AUROC = Estimate(0.75, 0.6, 0.9)


def _scored(table: ScoreTable, *, without_image: list[int], rescaled: list[int]) -> ScoredSplit:
    rows = np.arange(len(table))
    lacking = {"image": np.isin(rows, without_image)} if without_image else {}
    return ScoredSplit(
        table=table,
        as_scored=table,
        without={},
        lacking=lacking,
        whole=~np.isin(rows, without_image),
        rescaled=np.isin(rows, rescaled),
        num_scale_normals=12,
        rows=JudgedRows(rows),
    )


@pytest.fixture
def four(make_table: Callable[..., ScoreTable]) -> ScoreTable:
    """Two normals, then two defects."""
    return replace(make_table(num_normal=2, num_defect=2), scores=np.array([1.0, 3.0, 2.0, 4.0]))


def test_where_nothing_is_lacking_nothing_is_said(four: ScoreTable) -> None:
    scored = _scored(four, without_image=[], rescaled=[])
    assert whole_samples(scored) is None
    assert scale_caveats(scored, validation=scored, split="test", auroc=AUROC, whole=None) == ()


def test_whole_samples_alone(four: ScoreTable) -> None:
    found = whole_samples(_scored(four, without_image=[2], rescaled=[2]))
    assert found is not None and found.auroc is not None
    assert (found.auroc.value, found.num_normal, found.num_defect) == (1.0, 2, 1)
    alone = whole_samples(_scored(four, without_image=[2, 3], rescaled=[]))
    assert alone == WholeSamples(None, num_normal=2, num_defect=0, num_scale_normals=12, num_own_scale=2)


def test_mapped_scores_are_said_with_both_aurocs(four: ScoreTable) -> None:
    scored, validation = (_scored(four, without_image=rows, rescaled=rows) for rows in ([2], []))
    (text,) = scale_caveats(scored, validation=validation, split="test", auroc=AUROC, whole=whole_samples(scored))
    assert text.startswith("Put on the scale of whole samples: 1 sample of test without a modality")
    assert "what 12 validation normals score" in text and "rest on 12" in text
    assert "Over the 3 whole samples alone the AUROC is 1.000" in text and text.endswith("over all 0.750.")
    defects = _scored(four, without_image=[2, 3], rescaled=[2, 3])
    (text,) = scale_caveats(defects, validation=validation, split="test", auroc=AUROC, whole=whole_samples(defects))
    assert "Whole samples alone are not of both classes" in text


def test_scores_that_could_not_be_mapped_are_said_first(four: ScoreTable) -> None:
    scored, validation = (_scored(four, without_image=rows, rescaled=rows[:1]) for rows in ([1, 2], []))
    texts = scale_caveats(scored, validation=validation, split="test", auroc=AUROC, whole=whole_samples(scored))
    assert len(texts) == 2
    assert texts[0].startswith("On a scale of their own: 1 sample of test, out of 4, without a modality")
    assert "all get the same score" in texts[0]
    few = replace(scored, num_scale_normals=4)
    text = scale_caveats(few, validation=validation, split="test", auroc=AUROC, whole=whole_samples(few))[0]
    assert "validation has 4 normals that lack nothing, and this takes 10 at least" in text


def test_validation_normals_that_set_the_threshold(four: ScoreTable) -> None:
    whole = _scored(four, without_image=[], rescaled=[])
    texts = [
        scale_caveats(whole, validation=validation, split="test", auroc=AUROC, whole=None)
        for validation in (
            _scored(four, without_image=[0], rescaled=[0]),
            _scored(four, without_image=[0, 1], rescaled=[0]),
            _scored(four, without_image=[3], rescaled=[3]),  # a defect
        )
    ]
    assert "1 of the 2 validation normals, which give the threshold, lack a modality (all put on" in texts[0][0]
    assert "which rests on 12)" in texts[0][0]
    assert "(1 on another scale)" in texts[1][0]
    assert texts[2] == ()
