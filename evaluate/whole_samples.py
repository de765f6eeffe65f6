"""The samples that lack no modality beside all samples, and what to know where scores were put on one scale."""

from collections.abc import Iterator

import numpy as np

from ..metrics.auroc import auroc_interval
from ..metrics.estimate import Estimate, span
from ..wording import count_of
from .results import WholeSamples
from .scoring import ScoredSplit
from .whole_scale import FEWEST_NORMALS


def whole_samples(scored: ScoredSplit) -> WholeSamples | None:
    """The model on the samples alone that lack nothing; None where all are such."""
    if scored.whole.all():
        return None
    whole = scored.table.select(scored.whole)
    num_normal, num_defect = (int(np.count_nonzero(whole.labels == label)) for label in (0, 1))
    auroc = auroc_interval(whole.scores, whole.labels) if min(num_normal, num_defect) else None
    own_scale = int(np.count_nonzero(~scored.whole & ~scored.rescaled))
    return WholeSamples(
        auroc=auroc,
        num_normal=num_normal,
        num_defect=num_defect,
        num_scale_normals=scored.num_scale_normals,
        num_own_scale=own_scale,
    )


def scale_caveats(
    judged: ScoredSplit, *, validation: ScoredSplit, split: str, auroc: Estimate, whole: WholeSamples | None
) -> tuple[str, ...]:
    """What to know where samples of the split or validation normals lack something, the gravest first.

    Args:
        judged: the samples that are reported on.
        validation: those whose normals give the threshold.
        split: the name of the samples that are reported on.
        auroc: the model's over all of them.
        whole: the model's over those that lack nothing.
    """
    return (
        *_about_own_scales(judged, split=split),
        *_about_rescaled(judged, split=split, auroc=auroc, whole=whole),
        *_about_threshold(validation),
    )


def _about_own_scales(judged: ScoredSplit, *, split: str) -> Iterator[str]:
    num = int(np.count_nonzero(~judged.whole & ~judged.rescaled))
    if num:
        yield (
            f"On a scale of their own: {count_of(num, 'sample')} of {split}, out of {len(judged.whole)}, without a "
            "modality that training had. It could not be joined to that of whole samples: "
            f"{_why_not_joined(judged)}. Alarms for them say nothing, and their part in the AUROC misleads."
        )


def _why_not_joined(judged: ScoredSplit) -> str:
    if judged.num_scale_normals < FEWEST_NORMALS:
        return (
            f"validation has {count_of(judged.num_scale_normals, 'normal')} that lack nothing, and this takes "
            f"{FEWEST_NORMALS} at least"
        )
    return "the validation normals that lack nothing all get the same score, whole or with the same modality hidden"


def _about_rescaled(judged: ScoredSplit, *, split: str, auroc: Estimate, whole: WholeSamples | None) -> Iterator[str]:
    num = int(np.count_nonzero(judged.rescaled))
    if not num:
        return
    yield (
        f"Put on the scale of whole samples: {count_of(num, 'sample')} of {split} without a modality, by what "
        f"{judged.num_scale_normals} validation normals score with the same modality hidden. Alarms for them and their "
        f"part in the AUROC rest on {judged.num_scale_normals}, and no interval holds the error of that. "
        f"{_comparison(auroc, whole=whole)}"
    )


def _comparison(auroc: Estimate, *, whole: WholeSamples | None) -> str:
    if whole is None or whole.auroc is None:
        return "Whole samples alone are not of both classes, so they have no AUROC."
    return (
        f"Over the {whole.num_normal + whole.num_defect} whole samples alone the AUROC is {whole.auroc.value:.3f} "
        f"({span(whole.auroc)}), over all {auroc.value:.3f}."
    )


def _about_threshold(validation: ScoredSplit) -> Iterator[str]:
    normal = validation.table.labels == 0
    partial = normal & ~validation.whole
    num, num_rescaled = int(np.count_nonzero(partial)), int(np.count_nonzero(partial & validation.rescaled))
    if num:
        how = (
            f"all put on the scale of whole ones, which rests on {validation.num_scale_normals}"
            if num == num_rescaled
            else f"{num - num_rescaled} on another scale"
        )
        yield (
            f"{num} of the {int(np.count_nonzero(normal))} validation normals, which give the threshold, lack a "
            f"modality ({how})."
        )
