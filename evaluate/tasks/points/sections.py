"""The sections of a report on a detector of points, what it amounts to, and what to know before believing it."""

from collections.abc import Iterator, Sequence

import numpy as np

from ....metrics.estimate import Estimate, span, with_span
from ....wording import count_of
from ...figures import Curve, Curves, Intervals, Panel
from ...section import Column, Fact, Rows, Section
from ..alike import Verdict
from .figures import PointAssessment, PointControl

_MOST_CURVE_POINTS = 400
_TIMES_TARGET = 2.0  # a chosen limit: a threshold whose false alarms are more than twice what it promised misses it
_NAMES = {"auroc": "AUROC", "ap": "AP", "fpr_at_95_tpr": "FPR at 95% TPR", "recall": "recall at the budget"}


def verdict(found: PointAssessment) -> Verdict:
    """The model against chance, then against its controls, then its threshold against what that promised."""
    model = found.sample_auroc
    told = (
        "Of 100 pairs of a defective and a normal point of one sample it gives the defective one the higher score in "
        f"about {100 * model.value:.0f}; guessing gives 50."
    )
    if model.low <= 0.5:
        return Verdict("bad", "The model is not shown to tell points apart better than chance", told)
    for control in found.controls:
        if not control.oracle and control.sample_auroc.value >= model.value:
            return Verdict("bad", f"The model does not beat the {control.name}", told)
    if close := _close(found.controls):
        return Verdict("doubtful", f"The model beats chance, but not clearly the {close[0].name}", told)
    beaten = "The model beats its controls"
    if found.recall is not None and found.recall == 0:
        return Verdict("doubtful", f"{beaten}, and its threshold finds no point", told)
    if found.fpr is not None and found.fpr > _TIMES_TARGET * found.target_fpr:
        return Verdict("doubtful", f"{beaten}, but its threshold misses the false-alarm target", told)
    return Verdict("good", "The model beats chance and every control", told)


def _close(controls: Sequence[PointControl]) -> list[PointControl]:
    return [each for each in controls if not each.oracle and each.difference.low <= 0]


def caveats(found: PointAssessment) -> Iterator[str]:
    """Everything about the figures that calls for care, the gravest first."""
    if found.sample_auroc.high < 0.5:
        yield (
            f"The AUROC of points is below 0.5 ({span(found.sample_auroc)}): normal points score higher than defective "
            "ones. What was learned finds samples, if anything, and not their points."
        )
    elif found.sample_auroc.low <= 0.5:
        yield (
            f"The interval of the AUROC of points ({span(found.sample_auroc)}) holds 0.5: this model is not shown to "
            "be better than chance."
        )
    for control in _close(found.controls):
        yield (
            f"As good as the model ({with_span(found.sample_auroc)}), better or not clearly worse: the {control.name} "
            f"({with_span(control.sample_auroc)}), which sees {control.sees} alone."
        )
    if found.recall == 0:
        share = 1 - found.num_defective / max(1, found.num_points)
        yield (
            f"At the threshold no defective point is found: calling every point normal is as right, and has an "
            f"accuracy of {share:.4f} because defective points are so few."
        )
    if found.detectable.num_groups < 5:
        yield (
            f"Points of both kinds come from {count_of(found.detectable.num_groups, 'group')} of the split alone: "
            "every interval is rough."
        )


def point_sections(found: PointAssessment, *, warnings: Sequence[str], training: Section) -> tuple[Section, ...]:
    """Every section of a report on a detector of points, in the order in which they are read."""
    return (
        _headline(found),
        verdict(found).section(warnings),
        _figures(found),
        _controls(found),
        _threshold(found),
        training,
        Section(
            "how",
            "How these numbers are made",
            note=[
                "Points are counted in bins of their scores, sample by sample. Micro: all points together; its "
                "interval leaves out one group at a time (jackknife). Macro: the mean over groups that have points of "
                "both kinds, each group alike; its interval is of the t distribution. Detectable samples are those "
                "with a defective point; all samples add the others' points, which can only be false alarms. Points "
                "whose label is not known are in no figure."
            ],
            look="folded",
        ),
    )


def _headline(found: PointAssessment) -> Section:
    return Section(
        "headline",
        "The result",
        facts=(
            Fact(
                "sample_auroc",
                "AUROC of a sample's points",
                found.sample_auroc,
                note=f"mean over {count_of(found.num_detectable, 'detectable sample')}",
            ),
            Fact("macro_auroc", "AUROC, mean over groups", found.all.macro.get("auroc")),
            Fact("micro_auroc", "AUROC, all points together", found.all.micro["auroc"]),
            Fact("micro_ap", "AP, all points together", found.all.micro["ap"], note="chance is the share of defective"),
            Fact(
                "defective_share",
                "Share of points that are defective",
                found.num_defective / max(1, found.num_points),
                style=".5f",
            ),
            Fact("num_samples", None, found.num_samples),
            Fact("num_detectable", None, found.num_detectable),
            Fact("num_points", None, found.num_points),
        ),
        look="headline",
        brief=True,
    )


def _figures(found: PointAssessment) -> Section:
    columns = (
        Column("of", "points of", of_text=True),
        Column("mean", "mean over", of_text=True),
        *(Column(name, label) for name, label in _NAMES.items()),
    )
    parts = (("all samples", found.all), ("detectable samples", found.detectable))
    values = [
        (of, mean, *(each.get(name) for name in _NAMES))
        for of, ranked in parts
        for mean, each in (("points (micro)", ranked.micro), (f"{ranked.num_groups} groups (macro)", ranked.macro))
    ]
    rows: list[tuple[str, Estimate]] = [("mean over samples", found.sample_auroc)]
    rows += [
        (f"{of}, {mean}", each["auroc"])
        for of, ranked in parts
        for mean, each in (("micro", ranked.micro), ("macro", ranked.macro))
        if "auroc" in each
    ]
    intervals = Intervals(
        "AUROC of points with intervals", "AUROC (dashed: chance)", [(name, each, "model") for name, each in rows]
    )
    negatives, positives = found.counts.counts.cumsum(axis=1)
    fpr, tpr = negatives / negatives[-1], positives / positives[-1]
    places = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, _MOST_CURVE_POINTS)).clip(max=len(fpr) - 1))
    curve = Curve(np.append(0.0, fpr[places]), np.append(0.0, tpr[places]), "model", label="model")
    roc = Curves(
        "ROC curve of points",
        "share of normal points",
        [Panel("share of defective points", [curve], kind="shares")],
        caption="ROC curve of the points of all samples",
    )
    return Section(
        "points",
        "Points of all samples, and of those that show something",
        facts=(
            Fact("auroc_tolerance", "What bins may move the AUROC by", found.all.figures.auroc_tolerance, style=".1e"),
        ),
        rows=[Rows("by_mean", columns, values)],
        figures=[intervals, roc],
        note=[f"The budget is {found.target_fpr:.1%} of the normal points (evaluate.target_fpr)."],
        brief=True,
    )


def _controls(found: PointAssessment) -> Section:
    columns = (
        Column("control", "control", of_text=True),
        Column("sees", "sees alone", of_text=True),
        Column("sample_auroc", "AUROC"),
        Column("difference", "model less control", style="+.3f"),
    )
    values = [(each.name, each.sees, each.sample_auroc, each.difference) for each in found.controls]
    note = ["What a control reaches can be had without this model; it is the mean over the same samples."]
    note += [
        f"The {each.name} is an oracle: the model learned from labels of samples, so it need not reach as much."
        for each in found.controls
        if each.oracle
    ]
    return Section(
        "controls",
        "The model beside its controls",
        rows=[Rows("by_control", columns, values)],
        note=note,
        brief=True,
    )


def _threshold(found: PointAssessment) -> Section:
    note = (
        "Validation gave no threshold: its highest bin of scores holds more normal points than the budget."
        if found.threshold is None
        else "The threshold is from the normal points of validation."
    )
    return Section(
        "threshold",
        "At the threshold of validation",
        facts=(
            Fact("threshold", "Threshold", found.threshold, style="#.4g"),
            Fact("threshold_fpr", "Normal points above it", found.fpr, style=".3%", note=f"aim {found.target_fpr:.1%}"),
            Fact("threshold_recall", "Defective points above it", found.recall, style=".1%"),
        ),
        note=[note],
    )
