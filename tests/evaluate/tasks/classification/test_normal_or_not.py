"""The ranking of normals and all others by a classifier's chances, and what its modalities have a part in."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from weldcache.evaluate.tasks.classification.attention import attention_section
from weldcache.evaluate.tasks.classification.normal_or_not import normal_or_not, normal_or_not_section
from weldcache.metrics.classes import class_figures

NORMAL = np.array([False, True, False])


def drawn(num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, size=num)
    shares = generator.dirichlet([1, 1, 1], size=num)
    shares[labels == 0, 1] += 0.3
    return shares / shares.sum(axis=1, keepdims=True), labels


def test_it_ranks_by_all_classes_that_are_not_normal() -> None:
    shares, labels = drawn()
    unknown = np.append(labels, -1)
    found = normal_or_not(np.vstack([shares, [[0, 0, 1]]]), unknown, normal=NORMAL, groups=[""] * len(unknown))
    assert found is not None
    assert found.auroc.value == pytest.approx(roc_auc_score(labels, 1 - shares[:, 1]))
    assert found.ap == pytest.approx(average_precision_score(labels, 1 - shares[:, 1]))
    assert found.num_normal + found.num_other == len(labels) and found.chance_ap == np.mean(labels)
    assert [fact.id for fact in normal_or_not_section(found).facts] == ["auroc", "ap"]


@pytest.mark.parametrize("normal", [[False] * 3, [True] * 3])
def test_where_there_are_no_two_kinds_nothing_is_told(normal: list[bool]) -> None:
    shares, labels = drawn()
    groups = [""] * len(labels)
    assert normal_or_not(shares, labels, normal=np.array(normal), groups=groups) is None
    assert normal_or_not(shares, np.zeros_like(labels), normal=NORMAL, groups=groups) is None


def test_shares_of_modalities_are_told_over_all_and_by_class() -> None:
    shares, true = np.array([[0.2, 0.8], [0.4, 0.6], [1.0, 0.0]]), np.array([0, 0, 2])
    names, figures = ["a", "b", "c"], class_figures(true, np.array([0, 1, 2]))
    section = attention_section(
        shares,
        true,
        modalities=["film", "sound"],
        by_class={names[each]: found for each, found in figures.items()},
        names=names,
    )
    over_all, by_class = section.rows
    assert [row[0] for row in over_all.values] == ["film", "sound"]
    assert [row[1] for row in over_all.values] == pytest.approx([1.6 / 3, 1.4 / 3])
    assert [row[0] for row in by_class.values] == ["a", "c"]
    assert by_class.values[0][1:] == pytest.approx((0.3, 0.7))
