"""Which rows of a split a run may be judged on, and why others may not: every report and every bench asks here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..cache.splits import LEFT_OUT, OFFICIAL
from ..cache.store import FeatureStore
from ..errors import MetricError
from ..train.data.features import Rows, targets_of
from ..train.data.samples import VALIDATION_SPLIT, find_twins, in_pairs, split_rows
from ..train.recipes.recipe import Recipe
from ..train.runs.trained_run import TrainedRun
from ..train.tasks import Task
from ..wording import count_of, is_are, shortened

_NAMED = 3


@dataclass(frozen=True, eq=False)
class SeenRows:
    """What training knew of a store: rows that it trained on, rows that it was validated on, and the modalities that
    none of the former has."""

    train: Rows
    validation: Rows
    untrained: frozenset[str]


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """Rows of one split, and how many take no part and why.

    Attributes:
        usable: those that may be judged.
        without: those of them that lack a modality, by its name; the model copes with it.
        num_lacking: how many lack features that the model needs.
        num_unknown: how many have no known label or class, against which a prediction could be held.
        trained_on: keys of the samples that the run was trained on.
        validated_on: keys of the samples that it was validated on; none in the validation split, where they belong.
        twins: keys of samples with the same files as one that training or validation saw, and the key of that one.
        sharing: keys of usable samples with some file of such a sample, and the key of that one.
    """

    usable: Rows
    without: Mapping[str, Rows] = field(default_factory=dict)
    num_lacking: int = 0
    num_unknown: int = 0
    trained_on: tuple[str, ...] = ()
    validated_on: tuple[str, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)
    sharing: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_left_out(self) -> int:
        """How many rows of the split are not judged."""
        return self.num_lacking + self.num_unknown + len(self.trained_on) + len(self.validated_on) + len(self.twins)


def seen_rows(run: TrainedRun, store: FeatureStore) -> SeenRows:
    """The rows of `store` that a run knows by their keys.

    Raises:
        NotFoundError: if it lacks samples that the run was trained on, with which the controls compare.
    """
    train, row_of = run.training_rows(store), store.index.row_of()
    validation = [row_of[key] for key in run.manifest["samples"]["validation"] if key in row_of]
    return SeenRows(train, np.array(validation, dtype=np.int64), run.untrained)


def rows_to_judge(store: FeatureStore, split: str, *, recipe: Recipe, task: Task, seen: SeenRows) -> JudgedRows:
    """The rows of `split` of which it is known what they are, and that nothing of the training has seen, by key or by
    the contents of their files.

    Raises:
        NotFoundError: if the split is not there, or none of its rows has what the model needs.
        MetricError: if none such as were trained on, of an anomaly detector a normal one, is left of those there are.
    """
    found, targets = split_rows(store, split, recipe=recipe, untrained=seen.untrained), targets_of(store)
    validating = split == VALIDATION_SPLIT
    known = found.usable[task.judged_rows(targets)[found.usable]]
    trained_on = known[np.isin(known, seen.train)]
    validated_on = known[np.isin(known, seen.validation) & (not validating)]
    unseen = np.setdiff1d(known, np.concatenate([trained_on, validated_on]))
    # Validation of today gives the threshold, so its samples are seen too, whatever the run was validated on.
    thresholds = np.flatnonzero(store.index.parts == VALIDATION_SPLIT)
    others = seen.train if validating else np.unique(np.concatenate([seen.train, seen.validation, thresholds]))
    twins = find_twins(store, unseen, others, recipe=recipe)
    usable = unseen[~np.isin(store.index.keys[unseen], list(twins.same))]
    judged = JudgedRows(
        usable=usable,
        without={modality: np.intersect1d(rows, usable) for modality, rows in found.without.items()},
        num_lacking=int(np.count_nonzero(store.index.parts == split)) - len(found.usable),
        num_unknown=len(found.usable) - len(known),
        trained_on=tuple(store.index.keys[trained_on].tolist()),
        validated_on=tuple(store.index.keys[validated_on].tolist()),
        twins=twins.same,
        sharing=twins.sharing,
    )
    trainable = task.training_rows(targets)
    if trainable[known].any() and not trainable[usable].any():
        raise MetricError(
            f"No {task.trains_on} sample is left of the split {split} in {store.path}, which a judgement needs. "
            f"{' '.join(_about_left_out(judged, split=split))} Judge the run on a split that its training did not see."
        )
    return judged


def rows_caveats(judged: JudgedRows, validation: JudgedRows, *, split: str) -> tuple[str, ...]:
    """What to know of the rows that take no part because training saw them, of the split and of validation."""
    of_validation = () if split == VALIDATION_SPLIT else _about_left_out(validation, split=VALIDATION_SPLIT)
    return (*_about_left_out(judged, split=split), *of_validation, *_about_sharing(judged, split=split))


def split_caveats(store: FeatureStore) -> Iterator[str]:
    """What to know where samples are divided otherwise than the data set divides them."""
    if store.split != OFFICIAL:
        yield (
            f"Samples are divided by the split {store.split} (hash {store.split_hash[:8]}) and not by the data set's "
            "own: figures of runs that were trained on another split do not compare with these."
        )


def withdrawn_caveats(seen: SeenRows, store: FeatureStore, *, task: Task) -> Iterator[str]:
    """What to know where the data set does not list training samples any more, or calls them by now what the task never
    trains on."""
    entries, targets = store.index.select(seen.train), targets_of(store)
    never = (task.judged_rows(targets) & ~task.training_rows(targets))[seen.train]
    withdrawn, others = (entries.keys[mask].tolist() for mask in (entries.parts == LEFT_OUT, never))
    if withdrawn:
        yield (
            f"{len(withdrawn)} of the {count_of(len(seen.train), 'sample')} that this run was trained on "
            f"{is_are(len(withdrawn))} not in the data set any more ({shortened(withdrawn, most=_NAMED)}): train again "
            "to have a model without them."
        )
    if others:
        yield (
            f"Called {task.leaves_out} by now: {len(others)} of the {count_of(len(seen.train), 'sample')} that this "
            f"run was trained on as {task.trains_on} ({shortened(others, most=_NAMED)}). Train again to have a model "
            "without them."
        )


def _about_left_out(judged: JudgedRows, *, split: str) -> Iterator[str]:
    for num, who in (
        (judged.num_unknown, "of which it is not known what they are"),
        (
            len(judged.trained_on),
            f"that this run was trained on ({shortened(judged.trained_on, most=_NAMED)}). The store is divided in "
            "another way than it was then",
        ),
        (
            len(judged.validated_on),
            f"that chose this run's weights in validation ({shortened(judged.validated_on, most=_NAMED)})",
        ),
        (
            len(judged.twins),
            f"that training or validation saw under other names ({in_pairs(judged.twins)}, by the contents of their "
            "files)",
        ),
    ):
        if num:
            yield f"Left out of {split}, and in no figure: {count_of(num, 'sample')} {who}."


def _about_sharing(judged: JudgedRows, *, split: str) -> Iterator[str]:
    if judged.sharing:
        yield (
            f"In every figure of {split}: {count_of(len(judged.sharing), 'sample')} with some files of samples that "
            f"training or validation saw ({in_pairs(judged.sharing)}), and with others of their own."
        )
