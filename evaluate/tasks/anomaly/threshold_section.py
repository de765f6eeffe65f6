"""What a report says of the alarm threshold: its section, what it promises in words, and what calls for care."""

from collections.abc import Iterator, Sequence

from ....metrics.conformal import CONFIDENCE
from ....metrics.estimate import Estimate, percent
from ....metrics.p_value import RAREST_CHANCE
from ....metrics.threshold import Confusion
from ....wording import count_of, visible
from ...exhibits import ThresholdSlider
from ...section import Column, Fact, Rows, Section
from .thresholds import AlarmThreshold, AtThreshold, GroupShift

_MOST_SHIFTS = 16  # rows; of more groups those that lie highest and lowest


def shift_rows(shifts: Sequence[GroupShift]) -> Rows | None:
    """A table of where the normals of each group lie; None where no group is known."""
    if not shifts:
        return None
    half = _MOST_SHIFTS // 2
    told = shifts if len(shifts) <= _MOST_SHIFTS else (*shifts[:half], *shifts[-half:])
    columns = (
        Column("group", "group", of_text=True),
        Column("part", "of", of_text=True),
        Column("num", "normals"),
        Column("median", "median score", style="+.2f"),
    )
    title = "Where the normals of each group lie, in standard deviations from validation's median"
    if len(told) < len(shifts):
        title += f" ({half} highest and {half} lowest of {len(shifts)} groups)"
    values = [(each.group, each.part, each.num, each.median) for each in told]
    return Rows("normals_by_group", columns, values, title, detail=True)


def promise_sentence(threshold: AlarmThreshold) -> str:
    """What validation's normals promise of a threshold, and how many it would take."""
    kept, target = threshold.promise, threshold.target_fpr
    of_groups = (
        ""
        if kept.num == threshold.num_normal
        else " (a group counts as one, by the share of its normals that are above)"
    )
    held = (
        f"With {CONFIDENCE:.0%} confidence at most {kept.rate:.1%} of all normals score above the threshold for "
        f"{target:.1%}: it rests on {count_of(kept.num, 'independent normal')}{of_groups}."
    )
    if kept.threshold is None:
        return f"{held} No threshold promises {target:.1%} from so few; that takes {kept.num_needed}."
    return f"{held} A threshold of {kept.threshold:#.4g} promises {target:.1%}."


def threshold_section(
    chosen: AtThreshold,
    all_told: Sequence[AtThreshold],
    shifts: Sequence[GroupShift],
    *,
    expected: Estimate,
    slider: ThresholdSlider | None = None,
) -> Section:
    """At the alarm threshold: its rates, those to be `expected`, what it promises, and those for other targets."""
    threshold, shifted = chosen.threshold, shift_rows(shifts)
    return Section(
        id="threshold",
        title="At the alarm threshold",
        facts=_facts(chosen, expected=expected),
        rows=[_confusion(chosen.confusion), _by_target(all_told), *([] if shifted is None else [shifted])],
        note=[
            f"The threshold comes from {threshold.num_normal} normal validation samples alone, for a false-alarm rate "
            f"of {threshold.target_fpr:.1%}; with so many the true rate lies between {expected.low:.1%} and "
            f"{expected.high:.1%} nineteen times in twenty.",
            promise_sentence(threshold),
        ],
        exhibits=[] if slider is None else [slider],
        look="tiles",
        brief=True,
    )


def _facts(chosen: AtThreshold, *, expected: Estimate) -> Sequence[Fact]:
    threshold, confusion = chosen.threshold, chosen.confusion
    return (
        Fact("threshold", "Threshold", threshold.value, style="#.4g", note="a score above raises an alarm"),
        Fact(
            "achieved_fpr",
            "False alarms here",
            chosen.fpr,
            style=".1%",
            note=f"{confusion.false_alarms} of {confusion.false_alarms + confusion.passed} normals",
        ),
        Fact(
            "recall",
            "Defects found",
            chosen.recall,
            style=".1%",
            note=f"{confusion.detected} of {confusion.detected + confusion.missed} defects",
        ),
        Fact("balanced_accuracy", "Balanced accuracy", confusion.balanced_accuracy, note="chance 0.5"),
        Fact("f1", "F1", confusion.f1),
        Fact("expected_fpr", None, expected, style=".1%"),
        Fact("target_fpr", None, threshold.target_fpr, style=".1%"),
        Fact("fpr_held", None, threshold.promise.rate, style=".1%"),
        Fact("threshold_that_holds", None, threshold.promise.threshold, style="#.4g"),
        Fact("num_validation_normal", None, threshold.num_normal),
        Fact("num_independent_normal", None, threshold.promise.num),
        Fact("num_independent_normal_needed", None, threshold.promise.num_needed),
        Fact("validation_fpr", None, threshold.num_normal_above / threshold.num_normal),
    )


def _confusion(confusion: Confusion) -> Rows:
    columns = (Column("truth", "", of_text=True), Column("alarm", "alarm"), Column("no_alarm", "no alarm"))
    values = (
        ("Defects", confusion.detected, confusion.missed),
        ("Normals", confusion.false_alarms, confusion.passed),
    )
    return Rows("confusion", columns, values)


def _by_target(all_told: Sequence[AtThreshold]) -> Rows:
    columns = (
        Column("target_fpr", "target", style=".1%"),
        Column("threshold", "threshold", style="#.4g"),
        Column("achieved_fpr", "false alarms", style=".1%"),
        Column("recall", "defects found", style=".1%"),
        Column("fpr_held", f"held with {CONFIDENCE:.0%} confidence", style=".1%"),
        Column("num_independent", "independent normals"),
        Column("num_needed", "needed for the target"),
        Column("threshold_that_holds", None),
    )
    values = [
        (
            each.threshold.target_fpr,
            each.threshold.value,
            each.fpr,
            each.recall,
            each.threshold.promise.rate,
            each.threshold.promise.num,
            each.threshold.promise.num_needed,
            each.threshold.promise.threshold,
        )
        for each in all_told
    ]
    return Rows("by_target_fpr", columns, values, title="Thresholds for several false-alarm rates")


def threshold_caveats(chosen: AtThreshold, shifts: Sequence[GroupShift]) -> Iterator[str]:
    """What to know before relying on the threshold."""
    threshold = chosen.threshold
    if threshold.num_normal * threshold.target_fpr < 1:
        yield (
            f"{count_of(threshold.num_normal, 'validation normal is', 'validation normals are')} too few to set a "
            f"false-alarm rate of {threshold.target_fpr:.1%}: the threshold is simply the highest of their scores."
        )
    excluded = not chosen.fpr.contains(threshold.target_fpr)
    if excluded or chosen.by_chance < RAREST_CHANCE:
        why = (
            "an interval that excludes the target"
            if excluded
            else "which chance alone does less than one time in twenty where samples are independent"
        )
        yield (
            f"The threshold aimed at {threshold.target_fpr:.1%} false alarms and gave {percent(chosen.fpr)}, {why}: "
            f"validation normals may not resemble these.{_reason(shifts)}"
        )


def _reason(shifts: Sequence[GroupShift]) -> str:
    """How the groups differ, where they do."""
    if len(shifts) < 2:
        return ""
    highest, lowest = shifts[0], shifts[-1]
    return (
        f" Groups differ: the normals of {visible(highest.group)} ({highest.part}, n = {highest.num}) have their "
        f"median {highest.median:+.1f} standard deviations of validation's from its own, those of "
        f"{visible(lowest.group)} ({lowest.part}, n = {lowest.num}) {lowest.median:+.1f}."
    )
