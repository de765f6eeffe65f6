"""The sections of a report on a classifier, in the order in which they are read."""

from collections.abc import Iterator, Sequence

from ....wording import count_of
from ...section import Column, Fact, Rows, Section
from .by_class import by_class_section, confusion_section
from .caveats import verdict
from .figures import ClassAssessment
from .modalities import modalities_section
from .predicted_values import predicted_section

_HOW = (
    "Intervals are Clopper-Pearson's; those of shares of all samples are of as many samples as say as much "
    "when they are independent, where samples come in groups (Korn and Graubard), those of single classes "
    "take the samples as independent. Predictions of a trained model come from the averaged (EMA) "
    "weights. The majority control always gives the class that is most frequent in training."
)


def class_sections(
    found: ClassAssessment,
    *,
    warnings: Sequence[str],
    training: Section,
    further: Sequence[Section] = (),
    samples: Sequence[Section] = (),
    probabilities: Sequence[Section] = (),
) -> tuple[Section, ...]:
    """Every section of a report on a classifier, in the order in which they are read; `further` are what is told of
    some classifiers alone, `samples` are of single ones, `probabilities` how far confidences can be taken at their
    word."""
    return (
        _headline(found),
        verdict(found).section(warnings),
        *_beside_controls(found),
        *([modalities_section(found.modalities)] if found.modalities else []),
        *further,
        *map(predicted_section, found.predicted),
        by_class_section(found.by_class, chance=found.majority.value),
        confusion_section(list(found.by_class), found.confusion),
        *samples,
        *probabilities,
        training,
        Section("how", "How these numbers are made", note=[_HOW], look="folded"),
    )


def _headline(found: ClassAssessment) -> Section:
    num_there = sum(each.num > 0 for each in found.by_class.values())
    facts = (
        Fact("accuracy", "Accuracy", found.accuracy, note=count_of(found.num, "sample")),
        Fact("majority_accuracy", "Majority control", found.majority, note=f"always {found.majority_class}"),
        Fact("macro_f1", "Macro F1", found.macro_f1, note="every class counts alike"),
        Fact("majority_macro_f1", "Macro F1 of the control", found.majority_f1),
        Fact(
            "balanced_accuracy",
            "Balanced accuracy",
            found.balanced_accuracy,
            note=f"mean share found of the classes; chance is {1 / num_there:.3f}",
        ),
        Fact("num_samples", None, found.num),
    )
    return Section("headline", "The result", facts=facts, look="headline", brief=True)


def _beside_controls(found: ClassAssessment) -> Iterator[Section]:
    """What is told beside the samples' features; no section where nobody asked."""
    if found.permutation is None:
        return
    columns = (
        Column("control", "control", of_text=True),
        Column("sees", "sees alone", of_text=True),
        Column("accuracy", "accuracy"),
        Column("difference", "model less control", style="+.3f"),
        Column("note", "", of_text=True),
    )
    values = [(each.name, each.sees, each.accuracy, each.difference, each.reason) for each in found.controls]
    facts = (
        Fact(
            "permutation_null",
            "Accuracy where true classes are dealt out anew",
            found.permutation.null,
            note=found.permutation.told,
        ),
        Fact("permutation_p_value", "Share of these that reach the model's", found.permutation.p_value),
    )
    note = (
        "The media-free control gives a sample the class of the training sample that is nearest in its settings, the "
        "file-metadata control of the one whose files are most like its own; the group-only control the most frequent "
        "class that training and validation hold of its group."
    )
    if any(each.is_oracle for each in found.controls):
        note += (
            " An oracle control gives it the class whose mean in training is nearest to what a target says of the "
            "sample itself: so much can be read off that target, and no model that is not told it has to reach as much."
        )
    yield Section(
        "controls",
        "The model beside its controls",
        facts=facts,
        rows=[Rows("by_control", columns, values)],
        note=[note],
    )
