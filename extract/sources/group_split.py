"""Splits that a data set does not say: whole groups into train, validation and test, train holding normal ones alone.

`cache/splitting.py` deals groups of a store's rows otherwise, evenly by their sizes. What is drawn here hangs on a hash
of each group's own name, so what is added to a data set moves nothing that was there: shares hold on average, not
exactly. A part that would have nothing of a class is given one of its groups, and only that one moves back when more
come. Of rows that a store holds not even that: `extract/request.py` leaves them where they are.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from ...cache.targets import NORMAL
from ...configs.section import Fraction, Section
from ...errors import SettingsError
from .classes import GOOD
from .source import SPLITS, Sample, Split

SPLIT_WORDS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What splits are called, in small letters."""

_UNKNOWN = ""  # the class of what is not known


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
        is_normal, name = sample.targets.get("label") == NORMAL, sample.targets.get("class")
        held.setdefault(sample.group, set()).add(
            GOOD if is_normal else _UNKNOWN if name is None and "label" not in sample.targets else f"not {GOOD}: {name}"
        )
    classes_of = {group: frozenset(classes) for group, classes in held.items()}
    alike = [classes_of]
    if not any("label" in sample.targets for sample in samples):
        kinds = sorted(set(classes_of.values()), key=sorted)
        alike = [{group: frozenset({GOOD}) for group, kind in classes_of.items() if kind == of} for of in kinds]
    drawn = dict[str, Drawn]()
    for groups in alike:
        drawn |= split_groups(
            groups,
            normal=GOOD,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            seed=settings.split_seed,
        )
    return [replace(sample, split=drawn[sample.group].part, drawn_from=drawn[sample.group].parts) for sample in samples]


def draw_validation(samples: Sequence[Sample], settings: SplitSettings) -> list[Sample]:
    """The samples with validation drawn from the normal ones in train; its defects, which nobody trains on, stay there.

    Raises:
        SettingsError: if the fraction leaves nothing for train.
    """
    normal = [sample for sample in samples if sample.split == "train" and sample.targets.get("label", NORMAL) == NORMAL]
    drawn = draw_splits(normal, settings.model_copy(update={"test_fraction": 0.0}))
    drawn_of = {sample.key: sample for sample in drawn}
    return [drawn_of.get(sample.key, sample) for sample in samples]


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


@dataclass(frozen=True)
class Drawn:
    """What was drawn for a group."""

    part: Split
    parts: frozenset[Split]  # among which it was drawn


def split_groups(
    classes_of: Mapping[str, frozenset[str]], *, normal: str, val_fraction: float, test_fraction: float, seed: int
) -> dict[str, Drawn]:
    """What is drawn for each group, from its name and the classes that it holds.

    Groups of normal samples alone are in validation and in test with the probability of the two fractions, and else in
    train. Groups with a defect are in validation or test, in the ratio of the fractions. Wherever a fraction is above
    zero its part gets at least one group of each kind, as far as there are enough: of normal ones train comes first,
    then validation, then test; of each class of defects, and of all together, test comes first. What is not known is
    treated as a defect, and stands for none. At least one fraction must be above zero, and their sum below one.
    """
    shares: dict[Split, float] = {"val": val_fraction, "test": test_fraction}
    pure = sorted(name for name, classes in classes_of.items() if classes == {normal})
    defective = sorted(classes_of.keys() - set(pure))
    of_normal = _by_name(pure, shares | {"train": 1 - val_fraction - test_fraction}, seed=seed)
    _fill(of_normal, pure, [part for part in SPLITS if part == "train" or shares[part] > 0], seed=seed)
    of_defective = _by_name(defective, shares, seed=seed)
    needed = [part for part in reversed(SPLITS) if shares.get(part, 0) > 0]
    for classes in sorted(set(classes_of.values()), key=sorted):
        alike = [name for name in defective if classes_of[name] == classes]
        if len(alike) >= len(needed):
            _fill(of_defective, alike, needed, seed=seed)
    _fill(of_defective, [name for name in defective if classes_of[name] - {normal, _UNKNOWN}], needed, seed=seed)
    return {
        name: Drawn(part, frozenset(among))
        for parts, among in ((of_normal, {"train", *needed}), (of_defective, needed))
        for name, part in parts.items()
    }


def _by_name(groups: Sequence[str], shares: Mapping[Split, float], *, seed: int) -> dict[str, Split]:
    """The part of each group by its own number alone, which falls into one of the parts' shares of what there is."""
    total = sum(shares.values())
    part_of: dict[str, Split] = {}
    for group in groups:
        left = _number(seed, group) * total
        for part, share in shares.items():
            if share > 0:
                part_of[group] = part  # the last one's, where rounding leaves a rest
                if left < share:
                    break
            left -= share
    return part_of


def _fill(part_of: dict[str, Split], groups: Sequence[str], needed: Sequence[Split], *, seed: int) -> None:
    """Give each part that has none of `groups` one of them, the first of `needed` first, as far as there are enough."""
    needed = needed[: len(groups)]
    for part in needed:
        sizes = Counter(part_of[group] for group in groups)
        if not sizes[part]:
            spare = [group for group in groups if sizes[part_of[group]] > 1 or part_of[group] not in needed]
            part_of[min(spare, key=lambda group: _number(seed, f"{part}\0{group}"))] = part


def _number(seed: int, name: str) -> float:
    """A number from 0 to below 1 that is always the same for a name, and as good as drawn."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
