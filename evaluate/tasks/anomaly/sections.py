"""The sections of a report on an anomaly detector, in the order in which they are read."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ....metrics.clustered import grouped_share
from ....metrics.estimate import Estimate, clopper_pearson, span
from ....metrics.ranking import roc_curve
from ....train.recipes.published import Reference
from ....wording import listed, visible
from ...figures import Curve, Curves, Group, Intervals, Panel, Spreads, Tone
from ...scores import ScoreTable
from ...section import Column, Fact, Rows, Section
from .caveats import verdict
from .defects import target_section
from .figures import Assessment
from .members import member_section
from .modalities import modality_section
from .samples import gallery_section, table_section, threshold_slider
from .threshold_section import threshold_section
from .thresholds import alarms

_NUM_WORST = 8


def sections(
    assessment: Assessment,
    *,
    test: ScoreTable,
    warnings: Sequence[str],
    training: Section,
    p_values: NDArray[np.float64] | None = None,
    probabilities: Sequence[Section] = (),
) -> tuple[Section, ...]:
    """Every section; `test` is the table that the figures were made from, with a p-value each where these are known;
    the gravest of the warnings comes first."""
    members = member_section(assessment.members, whole=assessment.auroc)
    by_target = target_section(assessment.by_target)
    modalities = modality_section(assessment.modalities)
    return (
        _headline(assessment),
        verdict(assessment).section(warnings),
        _beside_controls(assessment),
        *([] if members is None else [members]),
        _ranking(test, threshold=assessment.threshold.value),
        threshold_section(
            assessment.chosen,
            assessment.thresholds,
            assessment.shifts,
            expected=assessment.expected_fpr,
            slider=threshold_slider(test, threshold=assessment.threshold.value),
        ),
        _by_class(assessment, test=test),
        *([] if by_target is None else [by_target]),
        *([] if modalities is None else [modalities]),
        gallery_section(test, threshold=assessment.threshold.value),
        table_section(test, threshold=assessment.threshold.value, p_values=p_values),
        _further(assessment),
        *probabilities,
        training,
        _worst(test, threshold=assessment.threshold.value),
        _HOW,
    )


def _headline(assessment: Assessment) -> Section:
    """The model's AUROC with what it has to be compared with."""
    whole = assessment.whole
    disjoint = assessment.group_disjoint
    facts = [
        Fact("auroc", "AUROC", assessment.auroc, note=_of_groups(assessment)),
        *(
            Fact(name, each.rival.heading, each.auroc, note=each.note)
            for name, each in assessment.controls.rivals.items()
            if each.rival.leads
        ),
        Fact("random_control", "Random scores", assessment.controls.random, note="canary: belongs near 0.5"),
        Fact(
            "group_disjoint",
            "Unseen groups only" if _tells_of_groups(assessment) else None,
            disjoint.auroc,
            note="; ".join(filter(None, [_counts(disjoint.num_normal, disjoint.num_defect), disjoint.note])),
        ),
        Fact("num_normal", None, assessment.num_normal),
        Fact("num_defect", None, assessment.num_defect),
        Fact("group_disjoint_num_normal", None, disjoint.num_normal),
        Fact("group_disjoint_num_defect", None, disjoint.num_defect),
    ]
    if whole is not None:
        note = f"{_counts(whole.num_normal, whole.num_defect)} that lack no modality"
        facts.insert(1, Fact("whole_samples", "Whole samples only", whole.auroc, note=note))
        facts += [
            Fact("whole_samples_num_normal", None, whole.num_normal),
            Fact("whole_samples_num_defect", None, whole.num_defect),
            Fact("num_own_scale", None, whole.num_own_scale),
            Fact("num_scale_normals", None, whole.num_scale_normals),
        ]
    return Section(id="headline", title="The result", facts=facts, look="headline", brief=True)


def _of_groups(assessment: Assessment) -> str:
    """The samples, their groups, and what the interval would be without these where that differs visibly."""
    found, counts = assessment.auroc, _counts(assessment.num_normal, assessment.num_defect)
    if (found.num_normal_groups, found.num_defect_groups) == (assessment.num_normal, assessment.num_defect):
        return counts
    told = f"{counts}, from {found.num_normal_groups} and {found.num_defect_groups} groups"
    alone = span(found.independent)
    return told if alone == span(found) else f"{told}; {alone} if samples were independent"


def _tells_of_groups(assessment: Assessment) -> bool:
    """Whether unseen groups are something else than the whole split of samples, each of which is a group of its own."""
    found, disjoint = assessment.auroc, assessment.group_disjoint
    numbers = assessment.num_normal, assessment.num_defect
    each_alone = (found.num_normal_groups, found.num_defect_groups) == numbers
    return not (each_alone and (disjoint.auroc is None or (disjoint.num_normal, disjoint.num_defect) == numbers))


def _counts(num_normal: int, num_defect: int) -> str:
    return f"{num_normal} normal, {num_defect} defect"


def _beside_controls(assessment: Assessment) -> Section:
    whole = assessment.whole
    unseen = assessment.group_disjoint.auroc if _tells_of_groups(assessment) else None
    rows: list[tuple[str, Estimate | None, Tone]] = [
        ("This model", assessment.auroc, "model"),
        ("Model, whole samples only", None if whole is None else whole.auroc, "model"),
        *((each.rival.heading, each.auroc, "control") for each in assessment.controls.rivals.values()),
        ("Random scores", assessment.controls.random, "control"),
        ("Model, unseen groups only", unseen, "model"),
        ("Model, raw weights", assessment.raw_auroc, "model"),
        ("Model, on validation", assessment.validation_auroc, "model"),
    ]
    shown = [(name, estimate, tone) for name, estimate, tone in rows if estimate is not None]
    figure = Intervals("AUROC of the model and of the controls, with intervals", "AUROC (dashed: chance)", shown)
    controls = assessment.controls
    columns = (
        Column("control", "control", of_text=True),
        Column("sees", "sees alone", of_text=True),
        Column("auroc", "AUROC"),
        Column("difference", "model less control", style="+.3f"),
        Column("note", "", of_text=True),
    )
    values = [
        (each.rival.name, each.rival.sees, each.auroc, each.difference, each.reason or each.told)
        for each in controls.rivals.values()
    ]
    permutation = controls.permutation
    facts = (
        Fact("permutation_null", "AUROC where labels are dealt out anew", permutation.null, note=permutation.told),
        Fact("permutation_p_value", "Share of these that reach the model's", permutation.p_value),
    )
    return Section(
        id="controls",
        title="The model beside its controls",
        facts=facts,
        rows=[Rows("by_control", columns, values)],
        figures=[figure],
        note=[_ABOUT_CONTROLS],
    )


_ABOUT_CONTROLS = (
    "A control looks at what stands beside its name, and at nothing else. What it reaches can be had without this "
    "model; what counts is the difference on the same samples. Controls that know labels know those of training and "
    "validation alone."
)


def _ranking(test: ScoreTable, *, threshold: float) -> Section:
    curve, num_defect = roc_curve(test.scores, test.labels), int(np.count_nonzero(test.labels))
    band = [clopper_pearson(round(share * num_defect), trials=num_defect) for share in curve.tpr]
    low, high = np.array([bound.low for bound in band]), np.array([bound.high for bound in band])
    steps = Curve(curve.fpr, curve.tpr, "model", label="model", low=low, high=high)
    roc = Curves(
        "ROC curve",
        "false-alarm rate",
        [Panel("detection rate", [steps], kind="shares")],
        caption="ROC curve with a pointwise 95% band",
    )
    num_normal = len(test) - num_defect
    # No sample alarms at the strictest cut, where precision has no value.
    precision = num_defect * curve.tpr[1:] / (num_defect * curve.tpr[1:] + num_normal * curve.fpr[1:])
    found = Curve(np.append(0.0, curve.tpr[1:]), np.append(precision[0], precision), "model", label="model")
    recall = Curves(
        "Precision over the share of defects found",
        "share of defects found",
        [Panel("share of alarms that are defects", [found], kind="unit", chance=num_defect / len(test))],
        caption="Precision-recall curve; chance is the share of defects among all",
    )
    parts: tuple[tuple[int, str, Tone], ...] = ((0, "normal", "model"), (1, "defect", "contrast"))
    histograms = Spreads(
        "Histograms of the scores of normals and defects",
        "anomaly score",
        [Group(name, test.scores[test.labels == label], tone) for label, name, tone in parts],
        shape="histograms",
        mark=threshold,
        mark_name="threshold",
        share="% of the class",
        caption="Scores of normals and defects, each as a share of its own class",
    )
    return Section(id="ranking", title="Telling defects from normals", figures=[roc, recall, histograms])


def _by_class(assessment: Assessment, *, test: ScoreTable) -> Section:
    references = {name: each for name, each in assessment.references.items() if name in assessment.per_class}
    ranked = sorted(assessment.per_class.items(), key=lambda item: item[1].auroc.value, reverse=True)
    bars = Intervals(
        "AUROC by defect class with intervals",
        "AUROC (dashed: chance)",
        [(f"{visible(name)} ({found.num})", found.auroc, "contrast") for name, found in ranked],
        caption="AUROC of each defect class against all normals, number of samples in brackets",
        marks=[references[name].value if name in references else None for name, _ in ranked] if references else (),
        mark_name="published, of other data",
    )
    names = np.array(test.class_names)
    columns = (
        Column("class", "Defect class", of_text=True),
        Column("num", "n"),
        Column("found", "found", style=".1%"),
        Column("auroc", "AUROC"),
        *([Column("reference", "published")] if references else []),
        Column("ap", "AP"),
        Column("fpr_at_95_tpr", "FPR at 95% TPR"),
        Column("note", "note", of_text=True),
    )
    values = [
        (
            name,
            found.num,
            _alarmed(test.select((test.labels == 1) & (names == name)), assessment),
            found.auroc,
            *_published(references, name),
            found.ap,
            found.fpr_at_95_tpr,
            found.note,
        )
        for name, found in assessment.per_class.items()
    ]
    macro = {
        f"macro_{name}": float(np.mean([getattr(found, name) for found in assessment.per_class.values()]))
        for name in ("ap", "fpr_at_95_tpr")
    }
    macro["macro_auroc"] = float(np.mean([found.auroc.value for found in assessment.per_class.values()]))
    return Section(
        id="by_class",
        title="By defect class",
        rows=[Rows("by_class", columns, values)],
        facts=[Fact(name, None, value) for name, value in macro.items()],
        figures=[bars, _boxes(test, threshold=assessment.threshold.value)],
        note=[*_about_references(references), _about_macro(assessment, macro)],
        brief=True,
    )


def _boxes(test: ScoreTable, *, threshold: float) -> Spreads:
    """The scores of each class, those of normals last."""
    names = np.array(test.class_names)
    classes = sorted({(int(label), str(name)) for label, name in zip(test.labels, names, strict=True)}, reverse=True)
    tones: tuple[Tone, Tone] = ("model", "contrast")
    return Spreads(
        "Box plots of the scores by class",
        "anomaly score (dotted: threshold)",
        [
            Group(visible(name), test.scores[(test.labels == label) & (names == name)], tones[label])
            for label, name in classes
        ],
        shape="boxes",
        mark=threshold,
        caption="Scores by class: median, quartiles, and whiskers to the 5th and 95th percentile",
    )


def _alarmed(defects: ScoreTable, assessment: Assessment) -> Estimate:
    """The share of these defects that raise an alarm."""
    return grouped_share(defects.scores > assessment.threshold.value, groups=defects.groups)


def _about_macro(assessment: Assessment, macro: Mapping[str, float]) -> str:
    of_classes = f"AUROC {macro['macro_auroc']:.3f}, AP {macro['macro_ap']:.3f}"
    of_all = f"{assessment.auroc.value:.3f}, {assessment.ap:.3f}, {assessment.fpr_at_95_tpr:.3f}"
    return (
        "Found is the share that raises an alarm; what follows is each class against all normals. Macro, the mean over "
        f"classes however rare: {of_classes}, FPR at 95% TPR {macro['macro_fpr_at_95_tpr']:.3f}; micro, over all "
        f"defects together: {of_all}."
    )


def _published(references: Mapping[str, Reference], name: str) -> tuple[float | None, ...]:
    """The cell of a class in the column of published figures; none where there is no such column."""
    if not references:
        return ()
    return (references[name].value if name in references else None,)


def _about_references(references: Mapping[str, Reference]) -> list[str]:
    """Where published figures come from, and what they do not say."""
    if not references:
        return []
    sources = listed(dict.fromkeys(each.source for each in references.values()))
    return [
        f"Published figures ({sources}) are of another model on other data, or on the same data divided otherwise. "
        "They show which classes others found hard; that one is higher or lower than the figure here decides nothing."
    ]


def _worst(test: ScoreTable, *, threshold: float) -> Section:
    """The most confident errors: the normals that score highest and the defects that score lowest.

    Folded, as the gallery shows nearly the same samples by what they look like; programs read them here.
    """
    by_score = np.argsort(test.scores, kind="stable").tolist()
    lowest_defects = [row for row in by_score if test.labels[row] == 1][:_NUM_WORST]
    highest_normals = [row for row in by_score[::-1] if test.labels[row] == 0][:_NUM_WORST]
    columns = (
        Column("key", "key", of_text=True),
        Column("class", "class", of_text=True),
        Column("score", "score", style="#.4g"),
        Column("alarm", "", of_text=True),
    )

    told = {None: "", True: "alarm", False: "no alarm"}
    raised = alarms(test, threshold=threshold)

    def table(name: str, title: str, rows: Sequence[int]) -> Rows:
        values = [
            (
                test.keys[row],
                test.class_names[row],
                float(test.scores[row]),
                told[raised[row]],
            )
            for row in rows
        ]
        return Rows(name, columns, values, title=title)

    tables = (
        table("lowest_defects", "Defects with the lowest scores", lowest_defects),
        table("highest_normals", "Normals with the highest scores", highest_normals),
    )
    return Section(id="errors", title="The most confident errors, by name", rows=tables, look="folded")


def _further(assessment: Assessment) -> Section:
    """Figures that need their chance level beside them to mean anything."""
    controls = assessment.controls
    none = "" if assessment.validation_auroc is not None else "one class only"
    recorded = assessment.recorded_validation_auroc
    rescaled = assessment.validation_is_rescaled
    same = "before scores were put on one scale" if rescaled else "equal to the one above"
    fitted = "" if assessment.raw_auroc is not None else "fitted: nothing was averaged"
    facts = (
        Fact("ap", "Average precision", assessment.ap, note=f"chance {controls.chance_ap:.3f}"),
        Fact(
            "fpr_at_95_tpr",
            "False-alarm rate where 95% of the defects are found",
            assessment.fpr_at_95_tpr,
            note="chance 0.950",
        ),
        Fact(
            "eer",
            "Equal error rate",
            assessment.eer,
            note="chance 0.5",
        ),
        Fact(
            "majority_accuracy",
            "Accuracy of always giving the more frequent answer",
            controls.majority_accuracy,
            note="a control",
        ),
        Fact("raw_auroc", "AUROC with the raw instead of the averaged weights", assessment.raw_auroc, note=fitted),
        Fact("validation_auroc", "AUROC on validation", assessment.validation_auroc, note=none),
        *(
            []
            if recorded is None
            else [Fact("recorded_validation_auroc", "AUROC on validation that training recorded", recorded, note=same)]
        ),
        Fact("chance_ap", None, controls.chance_ap),
    )
    return Section(id="further", title="Further numbers", facts=facts)


_HOW = Section(
    id="how",
    title="How these numbers are made",
    look="folded",
    note=(
        "AUROC is the probability that a random defect scores above a random normal sample; 0.5 is guessing. Samples "
        "of one group, such as a session, resemble each other, so its 95% interval is of the variance between groups "
        "(Obuchowski 1997), on the logit scale with Student's t; where a class comes from fewer than three groups, or "
        "nothing varies, it is Newcombe's score interval of as many samples as there are groups. Where each sample is "
        "a group of its own, or groups are not known, it is DeLong's, or Newcombe's where a class has fewer than 10 "
        "samples. All are approximate for few samples or few groups.",
        "Average precision is the mean precision over the steps of recall (no interpolation); the equal error rate is "
        "read from the ROC curve with its points joined by lines.",
        "A p-value of a sample is the share of validation's whole normals, itself among them, that score as high; "
        "adjusted, after Benjamini and Hochberg, it says what share of the samples told as defects may be normals.",
        "The media-free control scores a sample by its distance to the nearest training sample in the recorded "
        "settings. It sees no media, so whatever it reaches can be had without looking at them.",
        "Unseen groups only: the samples whose group occurs in neither training nor validation.",
        "Shares have Clopper-Pearson intervals, of as many samples as say as much when they are independent, where "
        "samples come in groups (Korn and Graubard). Scores of a trained model come from the averaged (EMA) "
        "weights.",
    ),
)
