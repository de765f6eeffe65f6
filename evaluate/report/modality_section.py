"""The section of the HTML report on what the model does without each modality."""

from collections.abc import Mapping
from html import escape

from ...metrics.auroc import SMALLEST_CLASS_FOR_DELONG
from ...metrics.estimate import span, with_span
from ...metrics.repeats import Method
from ...wording import listed
from ..modalities import NO_CHANGE, unseen_note
from ..results import Assessment, ModalityResult
from .sections import table

_METHODS: Mapping[Method, str] = {
    "delong": "DeLong's for pairs",
    "newcombe": "Newcombe's of both AUROCs, put together as if these were independent, so rather too wide (fewer than "
    f"{SMALLEST_CLASS_FOR_DELONG} samples of a class, or complete separation)",
    "equal": "of no width, as every sample keeps its place",
}


def modality_section(assessment: Assessment) -> str:
    """A whole section, or nothing where the model can do without none."""
    if not assessment.modalities:
        return ""
    rows = (
        (name, *_figures(result), str(result.num_lacking), str(result.num_rescaled))
        for name, result in assessment.modalities.items()
    )
    header = ("Without", "AUROC", "95% interval", "change (95% interval)", "samples that lack it", "put on one scale")
    return (
        "<section><h2>Without one modality</h2>"
        f"<p>{escape(_explanation(assessment))}</p>{table(header, rows=rows, num_text_columns=1)}</section>"
    )


def _figures(result: ModalityResult) -> tuple[str, str, str]:
    if result.auroc is None or result.change is None:
        return "none has it", "", ""
    return f"{result.auroc.value:.3f}", span(result.auroc), with_span(result.change, sign="+")


def _explanation(assessment: Assessment) -> str:
    return (
        "All samples, scored as if none had the modality. The change is to the whole model on the same samples; its "
        f"interval is {_how_intervals_were_made(assessment)}. Where all of it lies within {NO_CHANGE:g} of zero and "
        f"{SMALLEST_CLASS_FOR_DELONG} normals and {SMALLEST_CLASS_FOR_DELONG} defects at least have the modality, "
        "nothing changes. Where samples lack a modality, their scores are put on the scale of those that lack none, if "
        f"enough validation normals say where it lies. {unseen_note(assessment.modalities) or ''}"
    )


def _how_intervals_were_made(assessment: Assessment) -> str:
    made = {name: result.change.method for name, result in assessment.modalities.items() if result.change is not None}
    used = {method: [name for name, its in made.items() if its == method] for method in dict.fromkeys(made.values())}
    if len(used) == 1:
        return _METHODS[next(iter(used))]
    return "; ".join(f"{_METHODS[method]}, of {listed(names)}" for method, names in used.items()) or "not to be had"
