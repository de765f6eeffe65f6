"""A split is judged: validation is scored, the run's calibration is read or made again, and the judge is asked.

Who looks at a run changes nothing in it: that it keeps a calibration is a step of its own.
"""

from collections.abc import Collection, Mapping
from typing import Any

from typing_extensions import TypedDict

from ..errors import TrainingError
from ..metrics.estimate import METRICS_VERSION
from ..train.data.samples import VALIDATION_SPLIT
from ..train.recipes.recipe import MEMBERS, Joined
from ..train.runs.folder import RunFolder
from .judge import Background, Judge, Judgement, Kept
from .scoring import Scorer, score_split, ways_for_scale
from .settings import EvaluateSettings


class OfSomeVersion(TypedDict):
    """What a calibration of any version says."""

    rests_on: dict[str, Any]


def judge_split(
    judge: Judge[Kept],
    scorer: Scorer,
    split: str,
    *,
    background: Background,
    hide: Mapping[str, Collection[str]] | None = None,
) -> Judgement:
    """Score a split and judge the scores against a background, by the calibration that the run keeps or would keep.

    `hide` are the feature sets by modality that are to be hidden from the model, one modality at a time.

    Raises:
        NotFoundError: as `score_split`, or if the run was interrupted before its first checkpoint.
        MetricError: as `score_split`, `Judge.calibrate` and `Judge.assess`.
        TrainingError: as `calibration_of`.
    """
    members = (MEMBERS,) if judge.of_scores and isinstance(scorer.run.recipe, Joined) else ()
    test = score_split(scorer, split, hide=hide if judge.of_scores else None, outputs=(*judge.outputs, *members))
    return judge.assess(test, calibration_of(judge, background), background=background)


def background_of(judge: Judge[Kept], scorer: Scorer, *, settings: EvaluateSettings) -> Background:
    """Score validation, and gather what else a judge may ask.

    Raises:
        NotFoundError: as `score_split`, or if the run was interrupted before its first checkpoint.
        FingerprintError: as `TrainedRun.require_same_classes`.
        MetricError: as `score_split`.
    """
    scorer.run.require_same_classes(scorer.store)
    ways = ways_for_scale(scorer) if judge.of_scores else ()
    validation = score_split(scorer, VALIDATION_SPLIT, scale_ways=ways, outputs=judge.outputs)
    return Background(scorer.run, scorer.store, scorer.seen, scorer.run.best(), validation, settings)


def kept_calibration(judge: Judge[Kept], folder: RunFolder) -> Kept | None:
    """The calibration that a run keeps; None where it keeps none, or one of other definitions of the figures, as
    another version of weldcache made it: that is made again.

    Raises:
        TrainingError: if it is damaged, was edited, or is of another run.
    """
    path = folder.calibration_path
    if not path.exists():
        return None
    try:
        made = folder.read(path, OfSomeVersion)
        return folder.read(path, judge.kept_as) if made["rests_on"].get("metrics_version") == METRICS_VERSION else None
    except TrainingError as error:
        raise TrainingError(f"{error} Deleting {path.name} is enough: `weldcache eval` makes it again.") from error


def calibration_of(judge: Judge[Kept], background: Background) -> Kept:
    """The calibration that the run keeps; made, for this once, where there is none or it rests on something else by
    now, and with other settings of the section `evaluate` than the run's own.

    Raises:
        TrainingError: if what the run keeps is damaged, was edited, or is not of this run.
        MetricError: as `Judge.calibrate`.
    """
    return _still_valid(judge, background) or judge.calibrate(background)


def keep_calibration(judge: Judge[Kept], background: Background) -> None:
    """Write the calibration into the run, where it does not keep it yet; with other settings of the section `evaluate`
    than its own, nothing is written.

    Raises:
        Exception: as `calibration_of`.
        OSError: if the disk is full or fails.
    """
    if _of_run(background) and _still_valid(judge, background) is None:
        folder = background.run.folder
        folder.write(folder.calibration_path, judge.calibrate(background))


def _of_run(background: Background) -> bool:
    return background.settings.deciding == background.run.settings.evaluate.deciding


def _still_valid(judge: Judge[Kept], background: Background) -> Kept | None:
    """The calibration that the run keeps, if it is what would be made now."""
    folder = background.run.folder
    # With other settings another judge may be asked, who could not even read what is kept.
    kept = kept_calibration(judge, folder) if _of_run(background) else None
    if kept is not None and kept["rests_on"]["fingerprint"] != background.run.manifest["fingerprint"]:
        raise TrainingError(
            f"{folder.calibration_path} rests on other features than {folder.path} was trained on; delete it, and "
            "`weldcache eval` makes it again."
        )
    return kept if kept is not None and (kept["task"], kept["rests_on"]) == (judge.task, background.rests_on) else None
