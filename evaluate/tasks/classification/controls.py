"""Controls of a classifier: the class as it is told by what is known of samples beside what they show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....cache.index import Index
from ....metrics.clustered import grouped_share
from ....metrics.estimate import Estimate
from ....metrics.p_value import Permutation, dealt_members, permutation_of
from ....metrics.repeats import RepeatsEstimate, mean_share_difference
from ...scores import Attributes
from ..anomaly.controls.nearest import (
    FILE_METADATA,
    MEDIA_FREE,
    NO_ATTRIBUTES,
    NO_FILES,
    nearest_train_rows,
    why_no_distances,
)

Classes = NDArray[np.int64]  # by their numbers


@dataclass(frozen=True)
class ClassControl:
    """What a control reaches on the judged samples.

    Attributes:
        name: as it stands in a sentence behind "the".
        sees: all that it looks at.
        accuracy: None where it cannot be had, for the `reason` given.
        difference: the model's accuracy less this one, paired by sample.
        needed: whether a result without it is doubtful.
        is_oracle: whether it is told what nobody knows of a new sample, so that no model has to beat it.
    """

    name: str
    sees: str
    accuracy: Estimate | None
    difference: RepeatsEstimate | None = None
    reason: str = ""
    needed: bool = False
    is_oracle: bool = False

    @property
    def is_missed(self) -> bool:
        """Whether it should be there and is not."""
        return self.needed and self.accuracy is None

    def beats(self, model: Estimate) -> bool:
        """Whether it is as good as the model or better."""
        return self.accuracy is not None and self.accuracy.value >= model.value

    @property
    def comes_close(self) -> bool:
        """Whether the model may be no better."""
        return self.difference is not None and self.difference.low <= 0 and not self.is_oracle


def class_controls(
    true: Classes,
    predicted: Classes,
    *,
    judged: Index,
    train: Index,
    train_classes: Classes,
    known: Index,
    known_classes: Classes,
    files: Attributes,
    train_files: Attributes,
) -> tuple[ClassControl, ...]:
    """The controls of the `judged` samples.

    Args:
        true: their classes.
        predicted: what the model takes them for.
        train: the samples that the model was trained on.
        train_classes: their classes.
        known: the samples of training and validation that are not judged, and so may tell a control their class.
        known_classes: their classes.
        files: what is told of the files of the judged samples, as by `file_metadata`.
        train_files: the same of the samples that the model was trained on.
    """
    by_settings = _by_nearest(judged.attributes, train.attributes, train_classes, nothing=NO_ATTRIBUTES)
    by_files = _by_nearest(files, train_files, train_classes, nothing=NO_FILES)
    found = (
        ("media-free control", MEDIA_FREE.sees, by_settings),
        ("file-metadata control", FILE_METADATA.sees, by_files),
        ("group-only control", "the group", _by_group(judged, known, known_classes)),
    )
    groups = judged.groups.tolist()
    measured = [measured_control(name, sees, answers, true, predicted, groups=groups) for name, sees, answers in found]
    settings, *others = measured
    return replace(settings, needed=True), *others  # files and groups are not known everywhere


def measured_control(
    name: str,
    sees: str,
    answers: Classes | str,
    true: Classes,
    predicted: Classes,
    *,
    groups: Sequence[str],
    is_oracle: bool = False,
) -> ClassControl:
    """The control that gives these answers, or gives none for the reason that stands in their place."""
    if isinstance(answers, str):
        return ClassControl(name, sees, accuracy=None, reason=answers, is_oracle=is_oracle)
    right, of_model = ((each == true)[np.newaxis] for each in (answers, predicted))
    accuracy, difference = grouped_share(right[0], groups=groups), mean_share_difference(of_model, right, groups=groups)
    return ClassControl(name, sees, accuracy, difference=difference, is_oracle=is_oracle)


def _by_nearest(attributes: Attributes, train: Attributes, classes: Classes, *, nothing: str) -> Classes | str:
    """The class of the training sample that is nearest in the attributes; `nothing` where none are known."""
    reason = why_no_distances(attributes, train=train, nothing=nothing)
    return reason or classes[nearest_train_rows(attributes, train=train)[1]]


def _by_group(judged: Index, known: Index, classes: Classes) -> Classes | str:
    """The most frequent class among the known samples of the same group; of no such group, among all of them."""
    if not (judged.groups != "").any():
        return "no groups are recorded"
    if not len(classes):
        return "there are no samples of known class to learn from"
    of_group = {name: _most(classes[known.groups == name]) for name in np.unique(known.groups).tolist() if name}
    most = _most(classes)
    return np.array([of_group.get(name, most) for name in judged.groups.tolist()], dtype=np.int64)


def _most(classes: Classes) -> int:
    return int(np.bincount(classes).argmax())


def permuted_classes(true: Classes, predicted: Classes, *, groups: Sequence[str], seed: int) -> Permutation:
    """The accuracy of the model's own answers where the true classes are dealt out anew, to whole groups or to samples
    as `dealt_members` has it."""
    members = dealt_members(true, groups=groups)
    first = np.unique(members, return_index=True)[1]
    generator, dealt = np.random.default_rng(seed), true[first]
    return permutation_of(
        float(np.mean(true == predicted)),
        deal=lambda: float(np.mean(generator.permutation(dealt)[members] == predicted)),
        of_groups=len(first) < len(true),
    )


def close_controls(controls: Sequence[ClassControl]) -> list[ClassControl]:
    """Those that the model may be no better than, the strongest first."""
    close = [(each.accuracy.value, each) for each in controls if each.accuracy is not None and each.comes_close]
    return [each for _, each in sorted(close, key=lambda pair: -pair[0])]
