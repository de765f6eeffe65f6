"""Groups: equal to DeLong where there are none, to Obuchowski's formula where there are, and never a point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from weldcache.metrics.clustered import group_numbers, group_parts, grouped_auroc
from weldcache.metrics.ranking import auroc_interval, delong_covariance
from weldcache.metrics.repeats import mean_auroc, mean_auroc_difference

from .conftest import Scored


def slow_covariance(scores: NDArray[np.float64], labels: NDArray[np.int64], groups: list[str]) -> NDArray[np.float64]:
    """Obuchowski (1997), equations for two correlated ROC curves, with loops over pairs."""
    num = len(scores)
    components = []
    for row in scores:
        of_each = np.empty(len(labels))
        for i, label in enumerate(labels):
            others = row[labels != label]
            wins = (row[i] > others).mean() if label else (row[i] < others).mean()
            of_each[i] = wins + 0.5 * (row[i] == others).mean()
        components.append(of_each)
    names = sorted(set(groups))
    sums: dict[tuple[int, int, str], float] = {}
    for model, of_each in enumerate(components):
        for label in (0, 1):
            for name in names:
                inside = np.array([g == name for g in groups]) & (labels == label)
                sums[model, label, name] = float((of_each[inside] - of_each[labels == label].mean()).sum())
    sizes = {label: int((labels == label).sum()) for label in (0, 1)}
    holding = {label: len({g for g, its in zip(groups, labels, strict=True) if its == label}) for label in (0, 1)}
    found = np.zeros((num, num))
    for r in range(num):
        for s in range(num):
            for label in (0, 1):
                total = sum(sums[r, label, name] * sums[s, label, name] for name in names)
                found[r, s] += holding[label] / (holding[label] - 1) * total / sizes[label] ** 2
            crossed = sum(sums[r, 1, n] * sums[s, 0, n] + sums[s, 1, n] * sums[r, 0, n] for n in names)
            found[r, s] += len(names) / (len(names) - 1) * crossed / (sizes[0] * sizes[1])
    return found


@pytest.fixture(scope="module")
def grouped_samples() -> SearchStrategy[tuple[NDArray[np.float64], NDArray[np.int64], list[str]]]:
    """Scores of two models with many ties; at least two groups of each class, some of them of both."""
    row = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1), st.sampled_from("abcdefg"))
    least = [(1, 2, 0, "a"), (3, 1, 0, "b"), (2, 4, 1, "a"), (5, 5, 1, "c")]

    def arrays(
        rows: list[tuple[int, int, int, str]],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
        first, second, labels, groups = zip(*least, *rows, strict=True)
        return np.array([first, second], dtype=np.float64), np.array(labels, dtype=np.int64), list(groups)

    return st.lists(row, max_size=30).map(arrays)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_covariance_is_that_of_the_paper(
    data: st.DataObject,
    grouped_samples: SearchStrategy[tuple[NDArray[np.float64], NDArray[np.int64], list[str]]],
) -> None:
    scores, labels, groups = data.draw(grouped_samples)
    found = group_parts(scores, labels, groups=groups).covariance
    np.testing.assert_allclose(found, slow_covariance(scores, labels, groups), atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    parts = group_parts(scores, labels, groups=groups)
    assert parts.inflated_covariance[0, 0] >= found[0, 0] - 1e-12 or (parts.num_defects * parts.num_normals).any()


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_without_groups_it_is_delong_to_the_last_bit(
    data: st.DataObject, scored_samples: SearchStrategy[Scored]
) -> None:
    scores, labels = data.draw(scored_samples)
    apart = [str(row) for row in range(len(labels))] if data.draw(st.booleans()) else [""] * len(labels)
    found, known = grouped_auroc(scores, labels, groups=apart), auroc_interval(scores, labels)
    assert (found.value, found.low, found.high) == (known.value, known.low, known.high)
    assert found.independent == known
    assert (found.num_defect_groups, found.num_normal_groups) == (labels.sum(), (1 - labels).sum())
    if min(labels.sum(), (1 - labels).sum()) >= 2:
        both = np.stack([scores, scores[::-1]])
        np.testing.assert_allclose(
            group_parts(both, labels, groups=apart).covariance, delong_covariance(both, labels), atol=1e-15
        )
        assert mean_auroc(both, labels, groups=apart) == mean_auroc(both, labels)


def test_unknown_groups_are_each_their_own() -> None:
    numbers = group_numbers(["b", "", "a", "b", "", "a"])
    assert numbers[0] == numbers[3] and numbers[2] == numbers[5] and len(set(numbers.tolist())) == 4


def test_degrees_are_the_known_ones_of_groups_of_one_size() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [24, 40])
    scores = generator.normal(labels, 1)[np.newaxis]
    apart = [f"n{row // 4}" for row in range(24)] + [f"d{row // 4}" for row in range(40)]
    parts = group_parts(scores, labels, groups=apart)
    of_defects = 10 / 9 * float(np.sum(parts.of_defects**2))
    of_normals = 6 / 5 * float(np.sum(parts.of_normals**2))
    degrees = (of_defects + of_normals) ** 2 / (of_defects**2 / 9 + of_normals**2 / 5)
    # The factors G/(G - 1) of the variance cancel in the paper's form up to their ratio.
    assert parts.degrees(np.ones(1)) == pytest.approx(degrees, rel=0.05)
    together = [str(row % 8) for row in range(64)]
    assert group_parts(scores, labels, groups=together).degrees(np.ones(1)) == pytest.approx(7)


def test_one_large_group_makes_the_interval_wider_than_the_formula_for_equal_ones() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], [80, 100])
    scores = generator.normal(labels, 1)
    groups = ["big"] * 60 + [f"n{row}" for row in range(20)] + [f"d{row // 5}" for row in range(100)]
    parts = group_parts(scores[np.newaxis], labels, groups=groups)
    assert parts.inflated_covariance[0, 0] > parts.covariance[0, 0]
    found = grouped_auroc(scores, labels, groups=groups)
    assert found.high - found.low > found.independent.high - found.independent.low


def test_resembling_samples_make_it_wider_and_equal_covariances_cancel() -> None:
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1], [60, 120])
    groups = [f"n{row // 10}" for row in range(60)] + [f"d{row // 10}" for row in range(120)]
    shift = generator.normal(0, 1, 18)[np.arange(180) // 10]
    first = shift + labels + generator.normal(0, 0.5, 180)
    second = first + generator.normal(0, 0.05, 180)
    found = grouped_auroc(first, labels, groups=groups)
    assert found.low < found.independent.low and found.high > found.independent.high
    one = mean_auroc(first[np.newaxis], labels, groups=groups)
    assert (one.low, one.high, one.method) == (found.low, found.high, "clustered")
    difference = mean_auroc_difference(first[np.newaxis], second[np.newaxis], labels, groups=groups)
    assert difference.method == "clustered" and difference.high - difference.low < (found.high - found.low) / 3
    back = mean_auroc_difference(second[np.newaxis], first[np.newaxis], labels, groups=groups)
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low))


@pytest.mark.parametrize("num_groups", [1, 2, 4, 8])
def test_perfect_separation_and_few_groups_are_never_a_point(num_groups: int) -> None:
    labels = np.repeat([0, 1], 40)
    groups = [f"{label}-{row % num_groups}" for row, label in enumerate(labels)]
    for scores in (labels.astype(float), -labels.astype(float), np.zeros(80), np.arange(80.0) % 7):
        found = grouped_auroc(scores, labels, groups=groups)
        assert 0 <= found.low <= found.value <= found.high <= 1 and found.high - found.low > 0.05
        assert found.of_too_few == (num_groups < 5)
        change = mean_auroc_difference(scores[None], labels[None].astype(float), labels, groups=groups)
        same = num_groups >= 5 and np.array_equal(scores, labels)
        assert (change.high - change.low > 0.01) != (same and change.method == "equal")


def test_seeds_and_groups_widen_together() -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1], [60, 120])
    groups = [str(row // 6) for row in range(180)]
    shift = generator.normal(0, 1, 30)[np.arange(180) // 6]
    scores = shift + labels + generator.normal(0, 0.5, (3, 180))
    one, three = mean_auroc(scores[:1], labels, groups=groups), mean_auroc(scores, labels, groups=groups)
    assert three.method == "clustered" and three.contains(one.value)
    without = mean_auroc(scores, labels)
    assert three.high - three.low > without.high - without.low
