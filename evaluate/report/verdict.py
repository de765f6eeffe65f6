"""The verdict: what the numbers amount to, in two sentences that need no statistics."""

from dataclasses import dataclass
from enum import Enum

from ...wording import count_of, from_to
from ..results import Assessment

DEMO_SENTENCE = (
    "Demo with random-weight backbones: the features come from untrained networks. The numbers show that the pipeline "
    "works, not what the method can do."
)


class Standing(Enum):
    """How far a result can be relied on."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True)
class Verdict:
    """A headline and the sentences that explain it."""

    standing: Standing
    headline: str
    explanation: str


def verdict(assessment: Assessment) -> Verdict:
    """Judge the model against chance first, then against the stronger of the controls that see no recording."""
    model, media_free, files = assessment.auroc, assessment.controls.media_free, assessment.controls.file_metadata
    pairs = (
        f"Of 100 pairs of one defect and one normal sample, it gives the defect the higher score in about "
        f"{100 * model.value:.0f} ({from_to(100 * model.low, 100 * model.high, '.0f')}); guessing gives 50."
    )
    whole = assessment.whole
    if whole is not None and whole.num_own_scale:
        why = f"{count_of(whole.num_own_scale, 'sample')} that lack a modality score on a scale of their own."
        return Verdict(Standing.BAD, "The scores are on several scales, so the AUROC misleads", f"{why} {pairs}")
    if model.low <= 0.5:
        return Verdict(Standing.BAD, "The model is not shown to be better than chance", pairs)
    if media_free.auroc is None:
        why = "Whether it sees the defects or only the settings cannot be told, because there is no media-free control."
        return Verdict(Standing.DOUBTFUL, "The model beats chance, but a control is missing", f"{pairs} {why}")
    name, told, control = "media-free control", "settings", media_free.auroc
    if files.auroc is not None and files.auroc.value > control.value:
        name, told, control = "file-metadata control", "number, size and length of files", files.auroc
    reaches = f"A control that never sees a recording, but the {told}, gets {100 * control.value:.0f}"
    if control.value >= model.value:
        why = f"{reaches}, so on these data the result does not show that the model sees defects."
        return Verdict(Standing.BAD, f"The model does not beat the {name}", f"{pairs} {why}")
    if control.overlaps(model):
        why = f"{reaches}, and the two intervals overlap: part of the result may come from the {told}."
        return Verdict(Standing.DOUBTFUL, f"The model beats chance, but not clearly the {name}", f"{pairs} {why}")
    why = f"{reaches}, clearly less."
    return Verdict(Standing.GOOD, "The model beats chance and the media-free control", f"{pairs} {why}")
