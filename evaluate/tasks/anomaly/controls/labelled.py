"""Controls that know the labels of training and validation, and of a judged sample its group or its attributes alone.

What they learn from are the samples of training and validation that are not judged themselves, so that a judged sample
never tells a control its own label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .....wording import count_of, listed
from ....scores import Attributes, ScoreTable
from .control import Control, Found, Rival
from .nearest import NO_ATTRIBUTES, NO_FILES
from .rule import AttributeRule, best_rule

GROUP_ONLY = Rival("group-only control", "the group of a sample")
ATTRIBUTE_RULE = Rival("attribute-rule control", "one attribute of a sample")
FILE_RULE = Rival("file-rule control", "one property of a sample's files")

_FEWEST_TO_SEPARATE = 5  # of each label; a judgement: of one defect among ten normals chance makes a rule every time


@dataclass(frozen=True, eq=False)
class Known:
    """Samples whose labels a control may know; labels are 0 or 1."""

    labels: NDArray[np.int64]
    groups: Sequence[str]
    attributes: Attributes


def group_only_control(table: ScoreTable, *, known: Known) -> Control:
    """The share of defects among the known samples of the same group.

    A sample of no such group gets the share among all of them, as if there were one more normal and one more defect:
    so it is above the normals of training even where no defect is known.
    """
    return GROUP_ONLY.measured(_share_by_group(table.groups, known=known), table, told=_groups_told(table, known))


def _share_by_group(groups: Sequence[str], *, known: Known) -> Found:
    if not any(groups):
        return "no groups are recorded"
    base = (np.count_nonzero(known.labels) + 1) / (len(known.labels) + 2)
    named = np.asarray(known.groups)
    shares = {name: float(np.mean(known.labels[named == name])) for name in {*known.groups} & {*groups} if name}
    return np.array([shares.get(name, base) for name in groups], dtype=np.float64)


def _groups_told(table: ScoreTable, known: Known) -> str:
    num_seen = sum(group != "" and group in set(known.groups) for group in table.groups)
    return f"{num_seen} of {count_of(len(table), 'sample')} are of groups that training or validation saw"


def attribute_rule_control(table: ScoreTable, *, known: Known) -> Control:
    """The best rule of one attribute that tells the known defects from the known normals, put to the judged samples."""
    attributes = {name: each for name, each in known.attributes.items() if name in table.attributes}
    return _by_rule(ATTRIBUTE_RULE, table, table.attributes, known=replace(known, attributes=attributes))


def file_rule_control(table: ScoreTable, *, files: Attributes, known: Known) -> Control:
    """The same of what is told of files; `files` are of the judged samples, the attributes of `known` are those of
    theirs. What a recording weighs is left out: of compressed files it tells of what they show."""
    told = {name: each for name, each in known.attributes.items() if name in files and not name.endswith(" bytes")}
    return _by_rule(FILE_RULE, table, files, known=replace(known, attributes=told))


def _by_rule(rival: Rival, table: ScoreTable, attributes: Attributes, *, known: Known) -> Control:
    rules = attribute_rules(known.attributes, known)
    if not known.attributes:
        return rival.measured(NO_ATTRIBUTES if rival is ATTRIBUTE_RULE else NO_FILES, table)
    if len(set(known.labels.tolist())) < 2:
        return rival.measured("training and validation hold no defects to find a rule by", table)
    if not rules:
        return rival.measured(f"{rival.sees} is alike in all defects and normals of training and validation", table)
    return rival.measured(rules[0].scores(attributes), table, told=f"defect where {rules[0].words}")


def attribute_rules(attributes: Attributes, known: Known) -> list[AttributeRule]:
    """The best rule of each attribute, the best of all first; none of attributes that are alike everywhere, or where
    the labels are."""
    found = [best_rule(name, values, known.labels == 1) for name, values in attributes.items()]
    rules = [rule for rule in found if rule is not None]
    return sorted(rules, key=lambda rule: -rule.balanced_accuracy)


def separating_attributes(table: ScoreTable, *, known: Known) -> Mapping[str, str]:
    """The rules in words, by attribute, that tell every defect from every normal of all samples, judged and known;
    none where there are so few of either that chance may do it."""
    shared = {
        name: np.concatenate([values, table.attributes[name]])
        for name, values in known.attributes.items()
        if name in table.attributes
    }
    together = Known(np.concatenate([known.labels, table.labels]), (*known.groups, *table.groups), shared)
    if np.bincount(together.labels, minlength=2).min() < _FEWEST_TO_SEPARATE:
        return {}
    rules = attribute_rules(shared, together)
    return {rule.attribute: rule.words for rule in rules if rule.is_perfect and rule.names_few}


def separating_told(rules: Mapping[str, str]) -> str:
    """What to know where there are such rules."""
    return (
        f"One attribute alone tells every defect from every normal of training, validation and this split: "
        f"{listed(rules.values(), last='or')}. A model that guesses it needs to see no defect."
    )
