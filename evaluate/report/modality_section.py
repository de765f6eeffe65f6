"""The section of the HTML report on what the model does without each modality."""

from html import escape

from ..modalities import NO_CHANGE, unseen_note
from ..results import Assessment
from ..wording import change, span
from .sections import table


def modality_section(assessment: Assessment) -> str:
    """A whole section, or nothing where the model can do without none."""
    if not assessment.modalities:
        return ""
    rows = (
        (
            name,
            f"{result.auroc.value:.3f}",
            span(result.auroc),
            change(result.change),
            str(result.num_lacking),
            str(result.num_rescaled),
        )
        for name, result in assessment.modalities.items()
    )
    header = ("Without", "AUROC", "95% interval", "change (95% interval)", "samples that lack it", "put on one scale")
    return (
        "<section><h2>Without one modality</h2>"
        f"<p>{escape(_explanation(assessment))}</p>{table(header, rows=rows, num_text_columns=1)}</section>"
    )


def _explanation(assessment: Assessment) -> str:
    return (
        "All samples, scored as if none had the modality. The change is to the whole model on the same samples, with "
        f"an interval for pairs (DeLong's); where all of it lies within {NO_CHANGE:g} of zero, nothing changes. "
        "Where samples lack a modality, their scores are put on the scale of those that lack none. "
        f"{unseen_note(assessment.modalities) or ''}"
    )
