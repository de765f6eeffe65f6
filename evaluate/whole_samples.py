"""The samples that lack no modality beside all samples, and what to know where scores were put on one scale."""

from collections.abc import Iterator

import numpy as np

from ..metrics.auroc import auroc_interval
from ..metrics.estimate import Estimate
from .results import WholeSamples
from .scoring import ScoredSplit
from .wording import span


def whole_samples(scored: ScoredSplit) -> WholeSamples | None:
    """The model on the samples alone that lack nothing; None where all are such."""
    if scored.whole.all():
        return None
    whole = scored.table.select(scored.whole)
    num_normal, num_defect = (int(np.count_nonzero(whole.labels == label)) for label in (0, 1))
    auroc = auroc_interval(whole.scores, whole.labels) if min(num_normal, num_defect) else None
    return WholeSamples(auroc=auroc, num_normal=num_normal, num_defect=num_defect)


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
            f"{num} samples of {split} lack a modality and score on a scale of their own. They could not be put on "
            "that of whole samples: validation has fewer than two normals that lack nothing, or these all get the same "
            "score, whole or with the same modality hidden. Alarms for them say nothing, and their part in the AUROC "
            "misleads."
        )


def _about_rescaled(judged: ScoredSplit, *, split: str, auroc: Estimate, whole: WholeSamples | None) -> Iterator[str]:
    num = int(np.count_nonzero(judged.rescaled))
    if not num:
        return
    yield (
        f"{num} samples of {split} lack a modality, so they score on another scale. They were put on that of whole "
        "samples by what validation normals score with the same modality hidden: alarms for them and their part in "
        f"the AUROC rest on this. {_comparison(auroc, whole=whole)}"
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
        how = "all put on the scale of whole ones" if num == num_rescaled else f"{num - num_rescaled} on another scale"
        yield (
            f"{num} of the {int(np.count_nonzero(normal))} validation normals, which give the threshold, lack a "
            f"modality ({how})."
        )
