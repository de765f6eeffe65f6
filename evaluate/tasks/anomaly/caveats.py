"""What the figures of an anomaly detector amount to, and what to know before believing them, in plain words."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ....metrics.clustered import FEWEST_GROUPS
from ....metrics.conformal import CONFIDENCE
from ....metrics.estimate import Estimate, percent, span, with_span
from ....metrics.p_value import RAREST_CHANCE
from ....metrics.ranking import auroc, part_by_label
from ....wording import count_of, from_to, is_are, listed
from ...scores import ScoreTable
from ...section import Standing
from ..alike import Verdict
from .controls.control import Control, Controls, Rival
from .controls.labelled import separating_told
from .defects import TOO_SMALL_NOTE
from .figures import Assessment
from .threshold_section import threshold_caveats

# A chosen limit, not a measured one: the averaging must not decide the second figure of the result.
LARGEST_WEIGHTS_GAP = 0.02
FEW_NORMALS = 30
# A score's rounding as a share of the largest score. With the batches of the training, which evaluation takes, and on
# its device, scores come out equal to the last bit. Batches of other sizes move them by 2e-7 in float32, and bfloat16
# in place of it by 3e-3 (measured on a CPU); the rest is room for other devices.
_ROUNDING: Mapping[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-2}


def verdict(assessment: Assessment) -> Verdict:
    """What the alarms do; and the model against chance first, then against the strongest of the controls, then its
    threshold against the target."""
    chosen = assessment.chosen
    alarms = f"{chosen.recall.value:.0%} of the defects found at {chosen.fpr.value:.1%} false alarms"
    told = (
        f"Of the defects {percent(chosen.recall)} raise an alarm, and of the normals {percent(chosen.fpr)}, where the "
        f"threshold aims at {chosen.threshold.target_fpr:.1%} and promises, with {CONFIDENCE:.0%} confidence, at most "
        f"{chosen.threshold.promise.rate:.1%}."
    )
    found = _ranking_verdict(assessment)
    if found.standing == "good" and chosen.misses_target:
        found = replace(
            found,
            standing="doubtful",
            headline=f"{found.headline}, but its threshold misses the false-alarm target",
        )
    return replace(found, explanation=f"{told} {found.explanation}{_of_few(assessment)}", alarms=alarms)


def _of_few(assessment: Assessment) -> str:
    """That the place of samples that lack something rests on few, where it does."""
    whole = assessment.whole
    if whole is None or whole.num_own_scale or whole.num_scale_normals >= FEW_NORMALS:
        return ""
    return (
        " Samples that lack a modality have their place by what "
        f"{count_of(whole.num_scale_normals, 'validation normal')} score without it, which is few."
    )


def _ranking_verdict(assessment: Assessment) -> Verdict:
    """The model against chance, and against the strongest of the controls."""
    model, controls = assessment.auroc, assessment.controls
    pairs = (
        f"Of 100 pairs of one defect and one normal sample, it gives the defect the higher score in about "
        f"{100 * model.value:.0f} ({from_to(100 * model.low, 100 * model.high, '.0f')}); guessing gives 50."
    )
    whole = assessment.whole
    if whole is not None and whole.num_own_scale:
        one, several = "sample that lacks a modality scores", "samples that lack a modality score"
        why = f"{count_of(whole.num_own_scale, one, several)} on another scale."
        return Verdict("bad", "The scores are on several scales, so the AUROC misleads", f"{why} {pairs}")
    nearest = controls.nearest_to(model)
    if model.low <= 0.5:
        more = "" if nearest is None or nearest.auroc is None else f" {_reaches(nearest.rival, nearest.auroc)}."
        return Verdict("bad", "The model is not shown to be better than chance", f"{pairs}{more}")
    # Few groups can be dealt in few ways, so that chance explains much: no reason to pass over a control that is ahead.
    is_beaten = nearest is not None and nearest.beats(model)
    if controls.permutation.p_value > RAREST_CHANCE and not is_beaten:
        why = f"With {controls.permutation.told}, chance alone reaches as much in {controls.permutation.p_value:.0%}."
        return Verdict("doubtful", "The model may be no better than chance", f"{pairs} {why}")
    if nearest is not None and nearest.auroc is not None:
        return _beside(nearest, nearest.auroc, model=model, pairs=pairs)
    missing = [each.rival.name for each in controls.rivals.values() if each.rival.needed and each.auroc is None]
    if missing:
        why = (
            "Whether it sees the defects or only what goes with them cannot be told, because there is no "
            f"{listed(missing, last='or')}."
        )
        return Verdict("doubtful", "The model beats chance, but a control is missing", f"{pairs} {why}")
    return Verdict("good", "The model beats chance and every control", f"{pairs} {_best_told(controls)}")


def _beside(control: Control, reached: Estimate, *, model: Estimate, pairs: str) -> Verdict:
    """What to make of a model that a control beats or comes close to."""
    rival = control.rival
    reaches = _reaches(rival, reached)
    if control.beats(model):
        why = f"{reaches}, so on these data the result does not show that {_not_shown(rival)}."
        standing: Standing = "doubtful" if rival.of_media else "bad"
        return Verdict(standing, f"The model does not beat the {rival.name}", f"{pairs} {why}")
    why = f"{reaches}, which is not clearly less: part of the result may come from that."
    return Verdict("doubtful", f"The model beats chance, but not clearly the {rival.name}", f"{pairs} {why}")


def _reaches(rival: Rival, reached: Estimate) -> str:
    return f"The {rival.name}, which sees {rival.sees} alone, gets {100 * reached.value:.0f}"


def _not_shown(rival: Rival) -> str:
    return "training adds anything" if rival.of_media else "the model sees defects"


def _best_told(controls: Controls) -> str:
    reached = [(each.auroc.value, each.rival) for each in controls.rivals.values() if each.auroc is not None]
    value, rival = max(reached, key=lambda pair: pair[0])
    return f"The strongest control, the {rival.name}, gets {100 * value:.0f}, clearly less."


def caveats(assessment: Assessment, *, validation: ScoreTable, test: ScoreTable) -> tuple[str, ...]:
    """Everything about `assessment` that calls for care, the gravest first."""
    return (
        *_about_random(test, control=assessment.controls.random),
        *_about_overlap(validation=validation, test=test),
        *_about_chance(assessment.auroc, test=test),
        *_about_controls(assessment.controls, model=assessment.auroc),
        *_about_permutation(assessment),
        *_about_groups(assessment),
        *_about_validation(assessment),
        *_about_weights(assessment),
        *threshold_caveats(assessment.chosen, assessment.shifts),
        *_about_size(assessment),
    )


def _about_chance(auroc: Estimate, *, test: ScoreTable) -> Iterator[str]:
    if np.ptp(test.scores) == 0:
        yield "All scores are equal: the model does not tell any two samples apart."
    elif auroc.high < 0.5:
        yield (
            f"The AUROC is below 0.5 ({span(auroc)}): normals score higher than defects. Either the scores are turned "
            "round, or the defects lie closer to the training samples than the normals of this split do."
        )
    elif auroc.contains(0.5):
        yield f"The AUROC's interval ({span(auroc)}) includes 0.5: this model is not shown to be better than chance."


def _about_controls(controls: Controls, *, model: Estimate) -> Iterator[str]:
    """What the controls that see no media leave of the result, then what those leave that are not trained."""
    for control in controls.rivals.values():
        if control.rival.needed and control.auroc is None:
            rival = control.rival
            yield f"There is no {rival.name}, because {control.reason}: a confound in {rival.sees} would go unseen."
    for of_media in (False, True):
        some = [each for each in controls.rivals.values() if each.rival.of_media == of_media]
        beating = [each for each in some if each.beats(model)]
        close = [each for each in some if each not in beating and each.comes_close(model)]
        if beating:
            yield (
                f"As good as the model ({model.value:.3f}) or better: {_named(beating)}. On these data it is not shown "
                f"that {_not_shown(beating[0].rival)}."
            )
        if close:
            yield (
                f"Close to the model ({with_span(model)}): {_named(close)}. It is not clearly shown that "
                f"{_not_shown(close[0].rival)}."
            )


def _named(controls: Sequence[Control]) -> str:
    """The controls with what they see and reach, the strongest first."""
    reached = [(each.auroc, each.rival) for each in controls if each.auroc is not None]
    reached.sort(key=lambda pair: -pair[0].value)
    return listed(f"the {rival.name} ({with_span(auroc)}), which sees {rival.sees} alone" for auroc, rival in reached)


def _about_permutation(assessment: Assessment) -> Iterator[str]:
    permutation, separating = assessment.controls.permutation, assessment.controls.separating
    if permutation.p_value > RAREST_CHANCE and assessment.auroc.low > 0.5:
        yield (
            f"With {permutation.told}, the model's scores reach its AUROC in {permutation.p_value:.0%} of the cases "
            f"({span(permutation.null)} by chance): it is not shown to be better than chance."
        )
    if separating:
        yield separating_told(separating)


def _about_random(test: ScoreTable, *, control: Estimate) -> Iterator[str]:
    spread = max(control.high - control.value, control.value - control.low)
    # The control leaves its own 95 % interval one time in twenty by chance; twice the reach, once in ten thousand.
    if abs(control.value - 0.5) > 2 * spread:
        yield (
            f"Random scores reach an AUROC of {control.value:.3f} on {len(test)} samples, far from 0.5: the evaluation "
            "itself is broken, and none of its numbers can be trusted."
        )


def _about_overlap(*, validation: ScoreTable, test: ScoreTable) -> Iterator[str]:
    shared = len(set(validation.keys) & set(test.keys))
    if shared:
        yield (
            f"{shared} of the {len(test)} evaluated samples {is_are(shared)} also validation samples, which chose the "
            "weights and the threshold: the numbers are too good by an unknown amount."
        )


def _about_groups(assessment: Assessment) -> Iterator[str]:
    disjoint, unknown = assessment.group_disjoint, assessment.num_unknown_group
    if 0 < unknown < assessment.num_normal + assessment.num_defect:
        yield (
            f"The group of {count_of(unknown, 'sample')} is not known: each counts as a group of its own, so that "
            "intervals are too narrow if some of them were recorded together."
        )
    total, alone = assessment.num_normal + assessment.num_defect, disjoint.num_normal + disjoint.num_defect
    if disjoint.auroc is None:
        yield f"There is no group-disjoint AUROC: {disjoint.note}."
    elif alone < total:
        yield (
            f"{total - alone} of the {total} evaluated samples come from groups that training or validation saw, or "
            f"from unknown ones. Over the other {alone} the AUROC is {disjoint.auroc.value:.3f} "
            f"({span(disjoint.auroc)})."
        )


def _about_validation(assessment: Assessment) -> Iterator[str]:
    validation = assessment.validation_auroc
    if validation is not None and validation.low > assessment.auroc.high:
        chosen = "" if assessment.raw_auroc is None else "the weights were chosen on validation, or "
        yield (
            f"Validation looks better ({span(validation)}) than the evaluated split ({span(assessment.auroc)}): "
            f"{chosen}the two splits differ."
        )


def _about_weights(assessment: Assessment) -> Iterator[str]:
    averaged, raw = assessment.auroc, assessment.raw_auroc
    if raw is not None and abs(averaged.value - raw.value) > LARGEST_WEIGHTS_GAP:
        yield (
            f"Averaged and raw weights are far apart ({averaged.value:.3f} against {raw.value:.3f}): the run was too "
            "short for its averaging, or it had not settled."
        )


def _about_size(assessment: Assessment) -> Iterator[str]:
    if assessment.num_normal < FEW_NORMALS:
        yield (
            f"Only {count_of(assessment.num_normal, 'normal sample was', 'normal samples were')} evaluated. Every "
            "number rests on so few and shares whatever is particular about them."
        )
    found = assessment.auroc
    if found.of_too_few and min(assessment.num_normal, assessment.num_defect) >= FEWEST_GROUPS:
        yield (
            f"The normals come from {count_of(found.num_normal_groups, 'group')} and the defects from "
            f"{found.num_defect_groups}: fewer than {FEWEST_GROUPS} groups of a class say little of how groups differ, "
            "and every interval is rough."
        )
    small = [name for name, result in assessment.per_class.items() if result.note == TOO_SMALL_NOTE]
    if small:
        yield f"Too few samples to judge these classes on their own: {', '.join(small)}."


def reproduction_caveats(
    validation: ScoreTable, *, recorded: float | None, recorded_keys: Collection[str], precision: str
) -> tuple[str, ...]:
    """What to know where validation does not come out as training recorded it.

    The AUROC counts pairs of a defect and a normal, and rounding can turn a pair only if its scores are that close:
    these pairs' share is the difference that is put down to rounding.

    Args:
        validation: scores of the validation samples by the averaged weights.
        recorded: the AUROC that training logged for these weights; None where it logged none.
        recorded_keys: the samples that training validated on.
        precision: arithmetic of the scores.
    """
    if recorded is None:
        return ()
    known = set(recorded_keys)
    same = validation.select(np.array([key in known for key in validation.keys], dtype=bool))
    if lost := len(known) - len(same):
        return (
            f"{lost} of the {len(known)} samples that training validated on {is_are(lost)} not among those that can be "
            "validated on now: whether the weights still do what training recorded of them cannot be checked.",
        )
    found = auroc(same.scores, same.labels)
    if abs(found - recorded) <= _share_within_rounding(same, rounding=_ROUNDING[precision]) + 1e-12:
        return ()
    return (
        f"On validation these weights reach an AUROC of {found:.4f}, and training recorded {recorded:.4f} for them, a "
        "difference beyond rounding: weights, features or code are not what they were. Train again.",
    )


def _share_within_rounding(table: ScoreTable, *, rounding: float) -> float:
    """The share of pairs of a defect and a normal whose scores are less than twice the rounding apart."""
    defects, normals = part_by_label(table.scores, table.labels)
    reach, ordered = 2 * rounding * float(np.abs(table.scores).max()), np.sort(normals)
    below, above = np.searchsorted(ordered, defects - reach, "left"), np.searchsorted(ordered, defects + reach, "right")
    return float((above - below).sum()) / (defects.size * normals.size)
