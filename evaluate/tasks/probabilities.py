"""How far probabilities can be taken at their word: fitted on validation, kept in calibration.json, held against what
came true in a section that every judge makes alike."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import softmax
from typing_extensions import TypedDict

from ...metrics.calibration import (
    LogisticCurve,
    Reliability,
    RisingCurve,
    class_brier,
    isotonic_curve,
    logistic_curve,
    reliability,
    temperature,
)
from ...train.runs.documents import Count
from ...wording import count_of
from ..figures import Curve, Curves, Panel, Tone
from ..scores import ScoreTable
from ..section import Column, Rows, Section

_TITLE = "Probabilities, and what came true"
_TONES: Sequence[Tone] = ("model", "contrast", "third")


class LogisticKept(TypedDict):
    """The fields of `metrics.calibration.LogisticCurve`."""

    slope: float
    centre: float
    offset: float


class RisingKept(TypedDict):
    """The fields of `metrics.calibration.RisingCurve`."""

    scores: list[float]
    shares: list[float]


class ProbabilitiesKept(TypedDict):
    """How scores become probabilities of a defect, as calibration.json keeps it.

    Attributes:
        num_normal: of the validation samples that the curves were fitted on.
        num_defect: as `num_normal`.
    """

    logistic: LogisticKept
    isotonic: RisingKept
    num_normal: Count
    num_defect: Count


def probabilities_of(validation: ScoreTable) -> ProbabilitiesKept | None:
    """Fit both curves on validation; None where it does not hold normals and defects."""
    num_normal, num_defect = (int(np.count_nonzero(validation.labels == label)) for label in (0, 1))
    if not num_normal or not num_defect:
        return None
    known = validation.select(validation.labels >= 0)
    rising = isotonic_curve(known.scores, known.labels)
    logistic = logistic_curve(known.scores, known.labels)
    return ProbabilitiesKept(
        logistic=LogisticKept(slope=logistic.slope, centre=logistic.centre, offset=logistic.offset),
        isotonic=RisingKept(scores=rising.scores.tolist(), shares=rising.shares.tolist()),
        num_normal=num_normal,
        num_defect=num_defect,
    )


def sample_probabilities(table: ScoreTable, kept: ProbabilitiesKept | None) -> list[float | None]:
    """The probability of a defect of each sample, by the logistic curve; None on a scale of its own, and of all where
    nothing was fitted."""
    if kept is None:
        return [None] * len(table)
    found = LogisticCurve(**kept["logistic"]).at(table.scores).tolist()
    return [None if scale == "own" else value for value, scale in zip(found, table.scales, strict=True)]


def section_of_scores(judged: ScoreTable, kept: ProbabilitiesKept | None) -> Section:
    """Probabilities of a defect held against the judged samples, which are all on the scale of validation."""
    if kept is None:
        why = (
            "Scores are not made probabilities: that takes both normals and defects of validation. A p-value, which "
            "takes normals alone, stands beside the score of each sample."
        )
        return Section("calibration", _TITLE, note=[why])
    if not len(judged):
        why = "Scores are not made probabilities: those of all samples are on a scale of their own."
        return Section("calibration", _TITLE, note=[why])
    prevalence = kept["num_defect"] / (kept["num_normal"] + kept["num_defect"])
    rising = RisingCurve(*(np.array(kept["isotonic"][name], dtype=np.float64) for name in ("scores", "shares")))
    probabilities = {
        "logistic": LogisticCurve(**kept["logistic"]).at(judged.scores),
        "isotonic": rising.at(judged.scores),
        "share of defects of validation": np.full(len(judged), prevalence),
    }
    found = {kind: reliability(values, judged.labels == 1) for kind, values in probabilities.items()}
    notes = [
        "Probabilities of a defect, by a logistic curve and by one that rises in steps (isotonic regression), both "
        f"fitted on the scores of validation: {count_of(kept['num_normal'], 'normal')} and "
        f"{count_of(kept['num_defect'], 'defect')}. They take defects to be as frequent as there, {prevalence:.1%}: "
        "where these are rarer, so are all probabilities. The last row always gives that share, and its Brier score "
        "is what the others have to beat. Beside the score of each sample stands the logistic one."
    ]
    if kept["logistic"]["slope"] <= 0:
        notes.append(
            "Defects of validation do not score above its normals, so that the logistic curve does not rise: these "
            "probabilities say nothing."
        )
    briers = {kind: each.brier for kind, each in found.items()}
    return _section(found, briers=briers, notes=notes, brier_told="the mean squared error of the probabilities")


def temperature_of(
    logits: Float[np.ndarray, "samples classes"], classes: Integer[np.ndarray, " samples"]
) -> float | None:
    """The temperature of validation; None where all its samples of known class (-1: unknown) are right, or there are
    none: these do not tell how sure to be."""
    known = classes >= 0
    logits, classes = logits[known].astype(np.float64), classes[known]
    return None if (logits.argmax(axis=1) == classes).all() else temperature(logits, classes)


def section_of_logits(
    logits: Float[np.ndarray, "samples classes"],
    classes: Integer[np.ndarray, " samples"],
    *,
    temperature: float | None,
) -> Section:
    """How often the predicted class is right, by its probability, as it is and at the temperature of validation."""
    divisors = {"as predicted": 1.0} | ({} if temperature is None else {f"temperature {temperature:.3g}": temperature})
    found, briers = {}, {}
    for kind, divisor in divisors.items():
        probabilities = softmax(logits.astype(np.float64) / divisor, axis=1)
        found[kind] = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == classes)
        briers[kind] = class_brier(probabilities, classes)
    told = "Probabilities of the predicted class, and how often it is right, as the model gives them"
    if temperature is None:
        told += (
            ". Validation has no sample whose class is known and predicted wrongly, so that it gives no temperature."
        )
    else:
        told += (
            ", and with all logits divided by the temperature that makes the classes of validation the likeliest. "
            "Which class is predicted stays the same."
        )
    return _section(
        found,
        briers=briers,
        notes=[told],
        brier_told="the mean over samples of the squared errors of all classes' probabilities, summed (0 to 2)",
    )


def _section(
    kinds: Mapping[str, Reliability], *, briers: Mapping[str, float], notes: Sequence[str], brier_told: str
) -> Section:
    columns = (Column("kind", "by", of_text=True), Column("brier", "Brier score"), Column("ece", "calibration error"))
    bins = (
        Column("kind", "by", of_text=True),
        Column("mean", "mean probability"),
        Column("share", "came true"),
        Column("num", "n"),
    )
    curves = [
        Curve(
            np.array([each.mean for each in found.bins]),
            np.array([each.share.value for each in found.bins]),
            tone,
            label=kind,
            low=np.array([each.share.low for each in found.bins]),
            high=np.array([each.share.high for each in found.bins]),
        )
        for (kind, found), tone in zip(kinds.items(), _TONES, strict=False)
        if len(found.bins) > 1  # one point is no curve, and stands in the table
    ]
    figure = Curves(
        "Reliability: how often what has a probability comes true",
        "mean probability",
        [Panel("share that came true", curves, kind="promise")],
        caption="Samples by their probability in ten equal parts, with 95% intervals (Clopper-Pearson)",
    )
    return Section(
        "calibration",
        _TITLE,
        rows=[
            Rows("probabilities", columns, [(kind, briers[kind], each.ece) for kind, each in kinds.items()]),
            Rows(
                "reliability",
                bins,
                [(kind, each.mean, each.share, each.num) for kind, found in kinds.items() for each in found.bins],
                title="Samples by their probability in ten parts, and what came true",
                detail=True,
            ),
        ],
        figures=[figure] if curves else [],
        note=[
            *notes,
            f"The Brier score is {brier_told}; the calibration error (ECE) the mean distance "
            "between probability and share over the bins. Of both, less is better. Samples count as independent here.",
        ],
    )
