"""What is said of the samples of a training before it begins: how many take part, and which do not and why."""

import numpy as np

from ..cache.splits import LEFT_OUT, OFFICIAL
from ..cache.store import FeatureStore
from ..progress import say
from ..wording import count_of
from .data.features import targets_of
from .data.samples import TRAIN_SPLIT, VALIDATION_SPLIT, ChosenSamples, in_pairs
from .recipes.recipe import Recipe
from .tasks import Task
from .training_caveats import training_caveats


def say_who_takes_part(samples: ChosenSamples, store: FeatureStore, *, recipe: Recipe, task: Task) -> None:
    """Say how many samples are trained and validated on, which are not and why, and what to know of them."""
    num_train, num_validation, noun = len(samples.train), len(samples.validation), store.noun
    if store.split != OFFICIAL:
        say(f"{noun.capitalize()}s are divided by the split {store.split}, not by the data set's own.")
    say(
        f"{count_of(num_train, task.trains_on)} to train on "
        f"({count_of(samples.train_left_out, task.leaves_out)} left out), "
        f"{count_of(num_validation, noun)} to validate on."
    )
    say_left_out(samples, noun=noun)
    parts = (("train", num_train, samples.train_without), ("validation", num_validation, samples.validation_without))
    for split, num, without in parts:
        for modality, count in without.items():
            if modality not in samples.untrained:
                say(f"Part of {split} although they lack {modality}: {count} of {count_of(num, noun)}.")
    targets = targets_of(store)
    known = task.training_rows(targets) | task.judged_rows(targets)
    if unknown := int(np.sum(~known & np.isin(store.index.parts, (TRAIN_SPLIT, VALIDATION_SPLIT)))):
        say(f"No part is taken by {count_of(unknown, noun)} of train and validation whose {task.target} is not known.")
    if left_out := int(np.count_nonzero(store.index.parts == LEFT_OUT)):
        # Rows that joined the store after a split was made are listed, and in no part of it.
        why = "" if store.split == OFFICIAL else f" or the split {store.split} does not divide"
        say(f"No part is taken by {count_of(left_out, noun)} that the data set does not list any more{why}.")
    row_of = store.index.row_of()
    splits = {key: str(store.index.parts[row_of[key]]) for key in samples.twins}
    for split in sorted(set(splits.values())):
        twins = {key: normal for key, normal in samples.twins.items() if splits[key] == split}
        say(
            f"Warning: left out wherever the model is judged: {count_of(len(twins), noun)} of {split} that train "
            f"has under other names ({in_pairs(twins)})."
        )
    for caveat in training_caveats(store, samples.train, recipe=recipe, untrained=samples.untrained):
        say(f"Warning: {caveat}")


def say_left_out(samples: ChosenSamples, *, noun: str) -> None:
    """Say of each split how many samples, called `noun`, lack features."""
    for split, lacking in (("train", samples.train_lacking), ("validation", samples.validation_lacking)):
        for feature_set, count in lacking.items():
            say(f"Left out of {split}: {count_of(count, noun)} without {feature_set} features.")
