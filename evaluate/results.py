"""The numbers of an evaluation and where they come from, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..metrics.estimate import Estimate
from ..metrics.repeats import RepeatsEstimate
from ..metrics.threshold import Confusion
from .controls import MediaFreeControl

SMALLEST_GROUP = 5
TOO_SMALL_NOTE = "n too small"


@dataclass(frozen=True)
class ClassResult:
    """AUROC of one defect class, `num` samples, against all normals; `note` says where `num` is too small to judge."""

    auroc: Estimate
    num: int
    note: str | None


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold from validation normals, and what it does on the evaluated samples.

    Attributes:
        value: in the unit of the scores; scores strictly above raise an alarm.
        target_fpr: the false-alarm rate that was asked for.
        num_normal: how many validation normals it was taken from.
        num_normal_above: how many of them score above it.
        confusion: alarms among the evaluated samples.
    """

    value: float
    target_fpr: float
    num_normal: int
    num_normal_above: int
    confusion: Confusion


@dataclass(frozen=True)
class Controls:
    """What can be had without a model.

    Attributes:
        random: AUROC of seeded random scores.
        media_free: AUROC of the distance in attributes to the nearest training sample.
        file_metadata: the same of the number, the size and the length of files.
        chance_ap: average precision of random scores, which is the share of defects.
        majority_accuracy: accuracy of always answering the more frequent label.
    """

    random: Estimate
    media_free: MediaFreeControl
    file_metadata: MediaFreeControl
    chance_ap: float
    majority_accuracy: float


@dataclass(frozen=True)
class SessionDisjoint:
    """AUROC over the samples from sessions that neither training nor validation saw; `note` says what limits it."""

    auroc: Estimate | None
    num_normal: int
    num_defect: int
    note: str | None


@dataclass(frozen=True)
class ModalityResult:
    """The model as if no sample had one modality.

    Attributes:
        auroc: on the same samples; None, as the change, where no sample has the modality.
        change: that AUROC less the whole model's; negative where the modality is of use.
        num_having: how many normals and how many defects of the samples have it.
        num_lacking: how many of the samples lack it anyway.
        num_rescaled: how many of those were put on the scale of the whole samples, see `whole_scale`.
        seen_missing: whether training left it out now and then. If not, the change mixes how much the modality is
            needed with how strange its absence is.
    """

    auroc: Estimate | None
    change: RepeatsEstimate | None
    num_having: tuple[int, int]
    num_lacking: int
    num_rescaled: int
    seen_missing: bool


@dataclass(frozen=True)
class WholeSamples:
    """The model on the samples alone that lack no modality.

    Attributes:
        auroc: None where they have one class only.
        num_normal: how many of them are normals.
        num_defect: how many are defects.
        num_scale_normals: on how many whole validation normals the others' place on their scale rests.
        num_own_scale: how many of the others could not be put there, and spoil every figure over all.
    """

    auroc: Estimate | None
    num_normal: int
    num_defect: int
    num_scale_normals: int
    num_own_scale: int


@dataclass(frozen=True)
class Spread:
    """How far a representation of the validation normals spreads, after one epoch.

    Attributes:
        epoch: counted from 1.
        effective_rank: how many directions they fill, see `train.collapse`.
        std: mean over dimensions of the standard deviation.
        std_min: of the dimension that spreads least.
        std_max: of the dimension that spreads most.
    """

    epoch: int
    effective_rank: float
    std: float
    std_min: float
    std_max: float


@dataclass(frozen=True)
class Representation:
    """A representation that training watched for collapse: after the first, the best and the last epoch."""

    first: Spread
    best: Spread
    last: Spread


@dataclass(frozen=True)
class Assessment:
    """Everything that a report says about a trained model on one split.

    Attributes:
        auroc: with the averaged (EMA) weights, which are the ones a run ships.
        raw_auroc: with the weights of the same epoch as the optimiser left them, before averaging.
        ap: average precision, defects being the positives.
        fpr_at_95_tpr: false-alarm rate where 95 % of the defects are found.
        per_class: by defect class, in alphabetical order.
        validation_auroc: None where validation has one class only.
        warnings: in plain words, the gravest first.
        recorded_validation_auroc: what training's log says of the same weights; None where it says nothing.
        modalities: by modality the model without it; empty where it can do without none.
        representations: by name; empty where training watched none.
        whole: the samples that lack nothing; None where all are such, so that there is nothing to compare.
        validation_is_rescaled: whether `validation_auroc` is over scores that were put on one scale, unlike what
            training's log says.
    """

    auroc: Estimate
    raw_auroc: Estimate
    ap: float
    fpr_at_95_tpr: float
    num_normal: int
    num_defect: int
    per_class: Mapping[str, ClassResult]
    threshold: ThresholdResult
    controls: Controls
    session_disjoint: SessionDisjoint
    validation_auroc: Estimate | None
    warnings: tuple[str, ...]
    recorded_validation_auroc: float | None = None
    modalities: Mapping[str, ModalityResult] = field(default_factory=dict)
    representations: Mapping[str, Representation] = field(default_factory=dict)
    whole: WholeSamples | None = None
    validation_is_rescaled: bool = False


@dataclass(frozen=True)
class Provenance:
    """What was evaluated, made by what.

    Attributes:
        run_name: folder name of the run.
        split: the split that was scored.
        created: time of the evaluation, ISO 8601 with its offset from UTC.
        command: the command line that made the report.
        seed: that the run was trained with.
        fingerprint: of the features that the run was trained on, of all that the store holds.
        settings: resolved settings as JSON values: sections of named values.
        versions: library versions by name.
        backbones_are_random: whether the features come from random weights, as in a demo: the numbers then say
            nothing about the method.
    """

    run_name: str
    split: str
    created: str
    command: str
    seed: int
    fingerprint: str
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    backbones_are_random: bool
