"""Splits that a data set does not say: whole groups into train, validation and test, train holding normal ones alone.

`cache/splitting.py` deals groups of a store's rows otherwise, evenly by their sizes. What is drawn here hangs on names
and classes of groups alone, so that one sample more in a group moves no other into another split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from ...cache.targets import NORMAL
from ...configs.section import Fraction, Section
from ...errors import SettingsError
from .classes import GOOD
from .source import Sample, Split

SPLIT_WORDS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What splits are called, in small letters."""


class SplitSettings(Section):
    """How splits are drawn where the data set does not say them."""

    val_fraction: Fraction = Field(0.2, description="Share of normal groups for validation, where no split is told.")
    test_fraction: Fraction = Field(0.2, description="Share of normal groups for test, where no split is told.")
    split_seed: int = Field(0, ge=0, description="Seed of the splits that are drawn.")


def draw_splits(samples: Sequence[Sample], settings: SplitSettings) -> list[Sample]:
    """The samples, each in the split that is drawn for it, whatever it was in; all of a group are in one.

    What is not known to be normal is never in train. Where there are no labels, classes are shared each by itself.

    Raises:
        SettingsError: if the fractions leave nothing for train, or nothing for the defects.
    """
    check_fractions(settings.val_fraction, settings.test_fraction)
    held: dict[str, set[str]] = {}
    for sample in samples:
        is_normal = sample.targets.get("label") == NORMAL
        held.setdefault(sample.group, set()).add(GOOD if is_normal else f"not {GOOD}: {sample.targets.get('class')}")
    classes_of = {group: frozenset(classes) for group, classes in held.items()}
    alike = [classes_of]
    if not any("label" in sample.targets for sample in samples):
        kinds = sorted(set(classes_of.values()), key=sorted)
        alike = [{group: frozenset({GOOD}) for group, kind in classes_of.items() if kind == of} for of in kinds]
    generator, splits = np.random.default_rng(settings.split_seed), dict[str, Split]()
    for groups in alike:
        splits |= split_groups(
            groups,
            normal=GOOD,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            generator=generator,
        )
    return [replace(sample, split=splits[sample.group]) for sample in samples]


def draw_validation(samples: Sequence[Sample], settings: SplitSettings) -> list[Sample]:
    """The samples with validation drawn from the normal ones in train; its defects, which nobody trains on, stay there.

    Raises:
        SettingsError: if the fraction leaves nothing for train.
    """
    normal = [sample for sample in samples if sample.split == "train" and sample.targets.get("label", NORMAL) == NORMAL]
    drawn = draw_splits(normal, settings.model_copy(update={"test_fraction": 0.0}))
    split_of = {sample.key: sample.split for sample in drawn}
    return [replace(sample, split=split_of.get(sample.key, sample.split)) for sample in samples]


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuse shares of validation and test that leave no split for the defects, or none for train.

    Raises:
        SettingsError: with their sum.
    """
    total = val_fraction + test_fraction
    if not 0 < total < 1:
        raise SettingsError(
            f"data.val_fraction + data.test_fraction is {total:g}; it must be above 0, for defects are never in train, "
            "and below 1, so that train keeps some."
        )


def split_groups(
    classes_of: Mapping[str, frozenset[str]],
    *,
    normal: str,
    val_fraction: float,
    test_fraction: float,
    generator: np.random.Generator,
) -> dict[str, Split]:
    """The split of each group, from the classes that it holds.

    Groups of normal samples alone are shuffled and cut by the two fractions, train taking the rest. Groups with a
    defect are shared between validation and test in the ratio of the fractions, class by class. Wherever a fraction
    is above zero its split gets at least one group of each kind, as far as there are enough: train comes first, then
    validation, then test. At least one fraction must be above zero, and their sum below one.
    """
    # Sorted, because the order of a folder's entries differs from disk to disk.
    pure = sorted(name for name, classes in classes_of.items() if classes == {normal})
    defective = sorted(classes_of.keys() - set(pure))
    val_share = val_fraction / (val_fraction + test_fraction)
    return {
        **_split_normal(_shuffled(pure, generator), val_fraction=val_fraction, test_fraction=test_fraction),
        **_split_defective(_by_class(_shuffled(defective, generator), classes_of), val_share=val_share),
    }


def _shuffled(names: list[str], generator: np.random.Generator) -> list[str]:
    return [names[position] for position in generator.permutation(len(names))]


def _by_class(names: list[str], classes_of: Mapping[str, frozenset[str]]) -> list[str]:
    """Groups of one class side by side, else in the order given, for the sort is stable."""
    return sorted(names, key=lambda name: sorted(classes_of[name]))


def _split_normal(names: list[str], *, val_fraction: float, test_fraction: float) -> dict[str, Split]:
    count = len(names)
    num_val = _share(count, val_fraction, most=count - 1)
    num_test = _share(count, test_fraction, most=count - 1 - num_val)
    return {
        name: "val" if place < num_val else "test" if place < num_val + num_test else "train"
        for place, name in enumerate(names)
    }


def _split_defective(names: list[str], *, val_share: float) -> dict[str, Split]:
    """Validation's groups spread evenly over the list, so that every class is shared in the same ratio."""
    count = len(names)
    num_val = count if val_share == 1 else _share(count, val_share, most=count - 1)
    return {
        name: "val" if (place + 1) * num_val // count > place * num_val // count else "test"
        for place, name in enumerate(names)
    }


def _share(count: int, fraction: float, *, most: int) -> int:
    """`fraction` of `count`, at least one where the fraction is above zero, at most `most`."""
    wanted = max(1, round(count * fraction)) if fraction > 0 else 0
    return max(0, min(wanted, most))
