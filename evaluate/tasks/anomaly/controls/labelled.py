"""Controls that know the labels of training and validation, and of a judged sample its group or its attributes alone.

What they learn from are the samples of training and validation that are not judged themselves, so that a judged sample
never tells a control its own label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from .....wording import count_of, in_words, listed
from ....scores import Attributes, ScoreTable
from .control import Control, Found, Rival
from .nearest import NO_ATTRIBUTES

GROUP_ONLY = Rival("group-only control", "the group of a sample")
ATTRIBUTE_RULE = Rival("attribute-rule control", "one attribute of a sample")

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


@dataclass(frozen=True)
class AttributeRule:
    """Defects are above, or at most, a limit of a number; or they are, or are not, of one value of a text.

    Attributes:
        share_if: share of defects among the known samples of which the rule's sentence is true, each label weighing
            alike.
        share_else: the same of the others.
        is_perfect: whether it tells every known defect from every known normal.
    """

    attribute: str
    limit: float | str
    share_if: float
    share_else: float
    is_perfect: bool

    @property
    def words(self) -> str:
        """The side on which the defects are: `speed > 5.5`."""
        defects_first = self.share_if > self.share_else
        if isinstance(self.limit, str):
            return f"{in_words(self.attribute)} is {'' if defects_first else 'not '}{self.limit}"
        return f"{in_words(self.attribute)} {'<=' if defects_first else '>'} {self.limit:.4g}"

    def scores(self, attributes: Attributes) -> Float64[np.ndarray, " samples"]:
        """The share of defects on each sample's side."""
        values = attributes[self.attribute]
        if isinstance(self.limit, str):
            return np.where(values == self.limit, self.share_if, self.share_else)
        numbers = _as_tree_reads(values)
        shares = np.where(numbers <= self.limit, self.share_if, self.share_else)
        return np.where(np.isnan(numbers), 0.5, shares)  # as likely as not, each label weighing alike


def attribute_rule_control(table: ScoreTable, *, known: Known) -> Control:
    """The best rule of one attribute that tells the known defects from the known normals, put to the judged samples."""
    rules = attribute_rules({name: each for name, each in known.attributes.items() if name in table.attributes}, known)
    if not known.attributes:
        return ATTRIBUTE_RULE.measured(NO_ATTRIBUTES, table)
    if len(set(known.labels.tolist())) < 2:
        return ATTRIBUTE_RULE.measured("training and validation hold no defects to find a rule by", table)
    if not rules:
        return ATTRIBUTE_RULE.measured("no attribute differs between the samples of training and validation", table)
    return ATTRIBUTE_RULE.measured(rules[0].scores(table.attributes), table, told=f"defect where {rules[0].words}")


def attribute_rules(attributes: Attributes, known: Known) -> list[AttributeRule]:
    """The best rule of each attribute, the best of all first; none of attributes that are alike everywhere, or where
    the labels are."""
    if len(set(known.labels.tolist())) < 2:
        return []
    found = [_rule_of(name, values, known.labels) for name, values in attributes.items()]
    rules = [(purity, rule) for each in found if each is not None for purity, rule in [each]]
    return [rule for _, rule in sorted(rules, key=lambda pair: -pair[0])]


def _rule_of(
    name: str, values: NDArray[np.float64] | NDArray[np.character], labels: Int64[np.ndarray, " known"]
) -> tuple[float, AttributeRule] | None:
    """The rule of a tree of depth 1 over the samples of known value, and how much purer it leaves their labels, each of
    which weighs alike; None where it leaves them as they are."""
    from sklearn.tree import DecisionTreeClassifier  # half a second to import, for evaluations alone

    numeric = np.issubdtype(values.dtype, np.number)
    has_value = np.isfinite(_as_tree_reads(values)) if numeric else np.ones(len(values), dtype=bool)
    is_whole = bool(has_value.all())
    values, labels = values[has_value], labels[has_value]
    if len(set(labels.tolist())) < 2:
        return None
    choices = [] if numeric else np.unique(values).tolist()
    # 1 - is: so that the side up to the limit, as of numbers, is the one of which the sentence is true.
    columns = _as_tree_reads(values)[:, np.newaxis] if numeric else 1.0 - (values[:, np.newaxis] == choices)
    tree = DecisionTreeClassifier(max_depth=1, class_weight="balanced", random_state=0).fit(columns, labels).tree_
    if tree.node_count < 3:
        return None
    if_side, else_side = (float(tree.value[node, 0, 1] / tree.value[node, 0].sum()) for node in (1, 2))
    limit = float(tree.threshold[0]) if numeric else str(choices[int(tree.feature[0])])
    rule = AttributeRule(name, limit, if_side, else_side, is_perfect=is_whole and {if_side, else_side} == {0.0, 1.0})
    impure = [float(tree.impurity[node] * tree.weighted_n_node_samples[node]) for node in range(3)]
    gain = impure[0] - impure[1] - impure[2]
    return (gain, rule) if gain > 1e-9 else None


def _as_tree_reads(values: NDArray[np.float64] | NDArray[np.character]) -> NDArray[np.float32]:
    """Numbers in the precision in which the tree compares them; what is beyond that is not known."""
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    return np.where(np.isinf(numbers), np.nan, numbers)


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
    return {rule.attribute: rule.words for rule in attribute_rules(shared, together) if rule.is_perfect}


def separating_told(rules: Mapping[str, str]) -> str:
    """What to know where there are such rules."""
    return (
        f"One attribute alone tells every defect from every normal of training, validation and this split: "
        f"{listed(rules.values(), last='or')}. A model that guesses it needs to see no defect."
    )
