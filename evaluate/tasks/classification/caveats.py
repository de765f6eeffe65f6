"""What the figures of a classifier amount to, and what to know before believing them, in plain words."""

from collections.abc import Iterator

from ....metrics.estimate import span, with_span
from ....metrics.p_value import RAREST_CHANCE
from ....wording import listed, shortened
from ..alike import Verdict
from .controls import ClassControl, close_controls
from .figures import ClassAssessment
from .modalities import modality_caveats
from .predicted_values import predicted_caveats

_FEW = 5
_NAMED = 3


def verdict(found: ClassAssessment) -> Verdict:
    """The model against the majority, then against chance and the other controls, in the order in which an anomaly
    detector is held against them."""
    told = (
        f"Of 100 samples it gives about {100 * found.accuracy.value:.0f} their class; always answering "
        f"{found.majority_class}, the most frequent class in training, gets {100 * found.majority.value:.0f}."
    )
    if found.accuracy.value <= found.majority.value:
        return Verdict("bad", "The model does not beat always giving the most frequent class", told)
    by_chance = found.permutation is not None and found.permutation.p_value > RAREST_CHANCE
    if found.accuracy.low <= found.majority.high:
        if by_chance:
            return Verdict("bad", "The model is not shown to be better than chance", told)
        return Verdict("doubtful", "The model is not clearly better than always giving the most frequent class", told)
    if found.oracles:
        return Verdict("doubtful", f"An oracle's result: the model is told {listed(found.oracles)}", told)
    close = close_controls(found.controls)
    if close and close[0].beats(found.accuracy):
        return Verdict("bad", f"The model does not beat the {close[0].name}", told)
    # Few groups can be dealt in few ways, so that chance explains much: no reason to pass over a control that is ahead.
    if by_chance:
        return Verdict("doubtful", "The model may be no better than chance", told)
    if close:
        return Verdict("doubtful", f"The model is not clearly better than the {close[0].name}", told)
    beaten = "The model beats always giving the most frequent class"
    if any(each.is_missed for each in found.controls):
        return Verdict("doubtful", f"{beaten}, but a control is missing", told)
    return Verdict("good", beaten, told)


def caveats(found: ClassAssessment) -> Iterator[str]:
    """Everything about the figures that calls for care, the gravest first."""
    if found.accuracy.low <= found.majority.high:
        yield (
            f"The accuracy's interval ({span(found.accuracy)}) is not above that of always answering "
            f"{found.majority_class} ({span(found.majority)}): the model is not shown to tell the classes apart."
        )
    for each in found.controls:
        if each.is_missed:
            yield f"There is no {each.name}, because {each.reason}: a confound in {each.sees} would go unseen."
    close = close_controls(found.controls)
    if close:
        named = listed(f"the {each.name} ({_reached(each)}), which sees {each.sees} alone" for each in close)
        yield (
            f"As good as the model ({with_span(found.accuracy)}), better or not clearly worse: {named}. It is not "
            "clearly shown that the model tells the classes by what it is shown."
        )
    if found.permutation is not None and found.permutation.p_value > RAREST_CHANCE:
        yield (
            f"With {found.permutation.told}, the model's answers are as right in {found.permutation.p_value:.0%} of "
            "the cases: it is not shown to know the classes."
        )
    yield from modality_caveats(found.modalities)
    yield from predicted_caveats(found.predicted)
    few = [name for name, each in found.by_class.items() if each.num < _FEW]
    if few:
        yield f"Fewer than {_FEW} samples of these classes were evaluated: {shortened(few, most=_NAMED)}."


def _reached(control: ClassControl) -> str:
    return "" if control.accuracy is None else with_span(control.accuracy)
