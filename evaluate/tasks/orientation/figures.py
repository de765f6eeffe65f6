"""The figures of predicted orientations: divergence, angles, numbers of peaks, and what is reached without a model."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from jaxtyping import Float64, Int64

from ....cache.index import Index
from ....metrics.estimate import Estimate
from ....metrics.repeats import RepeatsEstimate, mean_value
from ....metrics.von_mises import (
    KAPPA,
    NUM_STEPS,
    WEIGHT,
    angle_errors,
    circle,
    count_modes,
    kl_divergence,
    kl_of_densities,
    log_density,
    modes_of,
)
from ....train.orientation import CONCENTRATION, ORIENTATION, SYMMETRY, known_orientations, true_mixtures

Mixtures = Float64[np.ndarray, "rows _ 3"]
Values = Float64[np.ndarray, " rows"]

_FLAT = 1.0  # largest concentration of a peak that does not stand out
_COLLAPSED = 0.75  # of the weight in one peak, on average, where several are true: none of these has more than half


@dataclass(frozen=True)
class OrientationControl:
    """What is reached on the judged samples without what the model learned.

    Attributes:
        name: as it stands in a sentence behind "the".
        says: what it answers.
        kl: its mean divergence; None where it cannot be had, for the `reason` given.
        ahead: its divergence less the model's, paired by sample: above 0 where the model is better.
    """

    name: str
    says: str
    kl: Estimate | None
    ahead: RepeatsEstimate | None = None
    reason: str = ""


@dataclass(frozen=True)
class OfKind:
    """Samples of one symmetry or class: how many, their divergences, angles and numbers of modes."""

    name: str
    num: int
    kl: Estimate
    uniform: Estimate
    angle_error: float | None
    share_right: float


@dataclass(frozen=True, eq=False)
class OrientationAssessment:
    """The figures of one split.

    Attributes:
        kl: mean KL(truth || prediction) in nats.
        uniform: the same of the uniform distribution in place of the prediction.
        angle_error: mean degrees from a true peak to the nearest mode of the prediction; None where no prediction of a
            sample with peaks has a mode.
        share_right: of samples whose prediction has as many modes as are true.
        kl_of: the divergence of each sample.
        error_of: its degrees, NaN where it has no peak or its prediction no mode.
        num_modes: of its prediction.
        symmetry: what is true of it.
        by_symmetry, by_class: the same of some of them.
        counts: by true symmetry, how many predictions have how many modes.
        largest_weight: mean weight of the heaviest peak that stands out where more than one is true, 0 of a sample
            without any; None where nowhere more than one is.
    """

    kl: Estimate
    uniform: Estimate
    angle_error: Estimate | None
    share_right: float
    kl_of: Values
    error_of: Values
    num_modes: Int64[np.ndarray, " rows"]
    symmetry: Int64[np.ndarray, " rows"]
    by_symmetry: Sequence[OfKind]
    by_class: Sequence[OfKind]
    counts: Mapping[int, Mapping[int, int]]
    largest_weight: float | None
    controls: Sequence[OrientationControl] = ()

    @property
    def is_collapsed(self) -> bool:
        """Whether one peak has nearly all the weight where several are true."""
        return self.largest_weight is not None and self.largest_weight > _COLLAPSED


def truth_of(index: Index) -> Mapping[str, np.ndarray]:
    """The targets of an index that say what is true."""
    return {name: index.targets[name].values for name in (ORIENTATION, SYMMETRY, CONCENTRATION)}


def uniform_kl(targets: Mapping[str, np.ndarray], *, groups: Sequence[str]) -> Estimate:
    """Mean divergence of the uniform distribution from what is true."""
    return _mean(_of_constant(true_mixtures(targets), _UNIFORM), groups=groups)


def assess_orientations(
    targets: Mapping[str, np.ndarray],
    predicted: Mixtures,
    *,
    train: Mapping[str, np.ndarray],
    untrained: Mixtures | str,
    class_names: Sequence[str],
    groups: Sequence[str],
) -> OrientationAssessment:
    """Judge predicted mixtures of angles.

    Args:
        targets: what is true of each sample.
        predicted: its mixture, angles in radians.
        train: what is true of the training samples.
        untrained: what the network predicts before it has learned, or why that cannot be had.

    Raises:
        MetricError: if there are no samples.
    """
    truth = true_mixtures(targets)
    kl_of, modes = kl_divergence(truth, predicted), modes_of(predicted)
    error_of, _ = angle_errors(truth, modes)
    symmetry, num_modes = targets[SYMMETRY].astype(np.int64), count_modes(modes)
    uniform_of = _of_constant(truth, _UNIFORM)
    symmetries, names, several = np.unique(symmetry).tolist(), np.asarray(class_names), symmetry > 1

    def of_kind(name: str, chosen: np.ndarray) -> OfKind:
        there = list(compress(groups, chosen))
        errors = error_of[chosen & np.isfinite(error_of)]
        return OfKind(
            name,
            num=int(chosen.sum()),
            kl=_mean(kl_of[chosen], groups=there),
            uniform=_mean(uniform_of[chosen], groups=there),
            angle_error=float(errors.mean()) if len(errors) else None,
            share_right=float(np.mean(num_modes[chosen] == symmetry[chosen])),
        )

    return OrientationAssessment(
        kl=_mean(kl_of, groups=groups),
        uniform=_mean(uniform_of, groups=groups),
        angle_error=_mean_of_known(error_of, groups=groups),
        share_right=float(np.mean(num_modes == symmetry)),
        kl_of=kl_of,
        error_of=error_of,
        num_modes=num_modes,
        symmetry=symmetry,
        by_symmetry=[of_kind(str(each), symmetry == each) for each in symmetries],
        by_class=[of_kind(name, names == name) for name in np.unique(names).tolist()],
        counts={each: Counter(num_modes[symmetry == each].tolist()) for each in symmetries},
        largest_weight=float(_weights_of_peaks(predicted[several]).max(axis=1).mean()) if several.any() else None,
        controls=list(_controls(truth, kl_of, train=train, untrained=untrained, groups=groups)),
    )


_UNIFORM = np.full(NUM_STEPS, -np.log(2 * np.pi))


def _controls(
    truth: Mixtures,
    kl_of: Values,
    *,
    train: Mapping[str, np.ndarray],
    untrained: Mixtures | str,
    groups: Sequence[str],
) -> Iterator[OrientationControl]:
    known = known_orientations(train)
    of_train = true_mixtures({name: values[known] for name, values in train.items()})
    # The mean density is the constant answer with the least divergence.
    constant = np.log(np.exp(log_density(of_train, circle())).mean(axis=0))
    found: Sequence[tuple[str, str, Callable[[], Values] | str]] = (
        ("uniform control", "every angle alike", lambda: _of_constant(truth, _UNIFORM)),
        ("constant control", "the mean of what is true in training", lambda: _of_constant(truth, constant)),
        (
            "untrained control",
            "what the network says before it has learned",
            untrained if isinstance(untrained, str) else lambda: kl_divergence(truth, untrained),
        ),
    )
    for name, says, measure in found:
        if isinstance(measure, str):
            yield OrientationControl(name, says, kl=None, reason=measure)
            continue
        of_control = measure()
        yield OrientationControl(
            name,
            says,
            kl=_mean(of_control, groups=groups),
            ahead=mean_value((of_control - kl_of)[np.newaxis], groups=groups),
        )


def _of_constant(truth: Mixtures, log_answer: Float64[np.ndarray, " steps"]) -> Values:
    """KL(truth || answer) of each row, of one density on the circle for all of them."""
    return kl_of_densities(log_density(truth, circle(len(log_answer))), log_answer)


def _weights_of_peaks(mixtures: Mixtures) -> Float64[np.ndarray, "rows _"]:
    """Weights of those that stand out; a flat one, which spreads what it has over the circle, is no peak."""
    return np.where(mixtures[..., KAPPA] > _FLAT, mixtures[..., WEIGHT], 0.0)


def _mean_of_known(values: Values, *, groups: Sequence[str]) -> Estimate | None:
    known = np.isfinite(values)
    there = list(compress(groups, known))
    return _mean(values[known], groups=there) if there else None


def _mean(values: Values, *, groups: Sequence[str]) -> Estimate:
    """Of what is never below 0, without how its interval was made."""
    found = mean_value(values[np.newaxis], groups=groups)
    return Estimate(found.value, low=max(0.0, found.low), high=found.high)


def heaviest_first(mixtures: Mixtures) -> Mixtures:
    """Mixtures with their peaks by weight, the heaviest first; of one weight, by concentration."""
    order = np.lexsort((-mixtures[..., KAPPA], -mixtures[..., WEIGHT]), axis=1)
    return np.take_along_axis(mixtures, order[..., np.newaxis], axis=1)
