"""The verdict follows the model's interval, then the control's."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from weldcache.evaluate.controls import MediaFreeControl
from weldcache.evaluate.report.verdict import Standing, verdict
from weldcache.evaluate.results import Assessment
from weldcache.evaluate.scores import ScoreTable
from weldcache.metrics.estimate import Estimate


@pytest.mark.parametrize(
    ("model", "control", "standing", "words"),
    [
        (Estimate(0.85, 0.8, 0.9), Estimate(0.5, 0.4, 0.6), Standing.GOOD, "beats chance and the media-free control"),
        (Estimate(0.85, 0.8, 0.9), Estimate(0.8, 0.7, 0.9), Standing.DOUBTFUL, "not clearly the media-free"),
        (Estimate(0.85, 0.8, 0.9), Estimate(0.86, 0.8, 0.9), Standing.BAD, "does not beat the media-free control"),
        (Estimate(0.85, 0.8, 0.9), None, Standing.DOUBTFUL, "control is missing"),
        (Estimate(0.55, 0.45, 0.65), Estimate(0.3, 0.2, 0.4), Standing.BAD, "not shown to be better than chance"),
        (Estimate(0.1, 0.05, 0.2), None, Standing.BAD, "not shown to be better than chance"),
    ],
)
def test_standing(
    model: Estimate,
    control: Estimate | None,
    standing: Standing,
    words: str,
    table: ScoreTable,
    make_assessment: Callable[..., Assessment],
) -> None:
    assessment = make_assessment(table)
    controls = replace(
        assessment.controls, media_free=MediaFreeControl(auroc=control, reason=None if control else "none")
    )
    judged = verdict(replace(assessment, auroc=model, controls=controls))
    assert judged.standing is standing
    assert words in judged.headline
    assert f"about {100 * model.value:.0f} (" in judged.explanation


def test_the_stronger_control_counts(table: ScoreTable, make_assessment: Callable[..., Assessment]) -> None:
    assessment = make_assessment(table)
    beaten = MediaFreeControl(auroc=Estimate(0.5, 0.4, 0.6), reason=None)
    model = Estimate(0.85, 0.8, 0.9)
    for control, standing, words in (
        (Estimate(0.6, 0.5, 0.7), Standing.GOOD, "beats chance and"),
        (Estimate(0.8, 0.7, 0.9), Standing.DOUBTFUL, "not clearly the file-metadata control"),
        (Estimate(0.9, 0.8, 0.95), Standing.BAD, "does not beat the file-metadata control"),
    ):
        files = MediaFreeControl(auroc=control, reason=None)
        controls = replace(assessment.controls, media_free=beaten, file_metadata=files)
        judged = verdict(replace(assessment, auroc=model, controls=controls))
        assert judged.standing is standing and words in judged.headline


def test_scores_on_several_scales_show_nothing(rich_assessment: Assessment) -> None:
    assert rich_assessment.whole is not None
    judged = verdict(replace(rich_assessment, whole=replace(rich_assessment.whole, num_own_scale=3)))
    assert judged.standing is Standing.BAD and "several scales" in judged.headline
    assert "3 samples" in judged.explanation
