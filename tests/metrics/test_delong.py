"""DeLong's variance against the definition written as a double loop, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

from weldcache.errors import MetricError
from weldcache.metrics.auroc import auroc
from weldcache.metrics.delong import delong_covariance, delong_variance, structural_components


def _wins(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Every pair of one defect (row) and one normal (column)."""
    return np.array(
        [
            [float(defect > normal) + 0.5 * float(defect == normal) for normal in scores[labels == 0]]
            for defect in scores[labels == 1]
        ]
    )


def _slow_covariance(scores: np.ndarray, others: np.ndarray, labels: np.ndarray) -> float:
    """As in the paper of 1988, equations 4 to 6."""
    first, second = _wins(scores, labels), _wins(others, labels)
    values, (num_defect, num_normal) = (first.mean(), second.mean()), first.shape
    of_defects = sum((a.mean() - values[0]) * (b.mean() - values[1]) for a, b in zip(first, second, strict=True))
    of_normals = sum((a.mean() - values[0]) * (b.mean() - values[1]) for a, b in zip(first.T, second.T, strict=True))
    return float(of_defects / (num_defect - 1) / num_defect + of_normals / (num_normal - 1) / num_normal)


def test_equals_the_slow_definition(scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]]) -> None:
    @given(scored_samples)
    @settings(max_examples=150, deadline=None)
    def check(sample: tuple[np.ndarray, np.ndarray]) -> None:
        # The variance needs two samples of each class.
        scores, labels = np.append(sample[0], [24.0, 25.0, 22.0, 23.0]), np.append(sample[1], [1, 1, 0, 0])
        assert delong_variance(scores, labels) == pytest.approx(_slow_covariance(scores, scores, labels), abs=1e-12)

    check()


def test_covariance_equals_the_slow_definition() -> None:
    generator, labels = np.random.default_rng(4), np.repeat([0, 1, 0, 1], [9, 5, 2, 7])
    scores = generator.integers(20, 26, (4, len(labels))).astype(np.float64) + generator.integers(0, 3, len(labels))
    expected = [[_slow_covariance(row, column, labels) for column in scores] for row in scores]
    np.testing.assert_allclose(delong_covariance(scores, labels), expected, atol=1e-14)
    assert np.linalg.eigvalsh(delong_covariance(scores, labels)).min() > -1e-15


def test_by_hand() -> None:
    # Defects 2 and 4 against normals 1 and 3: wins [[1, 0], [1, 1]], AUROC 3/4. Row means 1/2 and 1, column means
    # 1 and 1/2: each set has variance 1/8, so 1/16 + 1/16.
    scores, labels = np.array([2.0, 4.0, 1.0, 3.0]), np.array([1, 1, 0, 0])
    of_defects, of_normals = structural_components(scores, labels)
    assert of_defects.tolist() == [0.5, 1.0]
    assert of_normals.tolist() == [1.0, 0.5]
    assert delong_variance(scores, labels) == pytest.approx(1 / 8)


def test_covariance_by_hand() -> None:
    # The second model swaps the defects of the first: its row means are 1 and 1/2, its column means the same 1 and 1/2.
    # Covariances of rows -1/8, of columns 1/8: -1/16 + 1/16. A model that gets everything right errs with nobody.
    scores, labels = (
        np.array([[2.0, 4.0, 1.0, 3.0], [4.0, 2.0, 1.0, 3.0], [9.0, 8.0, 1.0, 3.0]]),
        np.array([1, 1, 0, 0]),
    )
    expected = [[1 / 8, 0, 0], [0, 1 / 8, 0], [0, 0, 0]]
    np.testing.assert_allclose(delong_covariance(scores, labels), expected, atol=1e-16)


def test_both_sets_of_components_average_to_the_auroc() -> None:
    generator = np.random.default_rng(0)
    scores, labels = generator.integers(0, 9, 80).astype(np.float64), np.repeat([0, 1], [30, 50])
    of_defects, of_normals = structural_components(scores, labels)
    assert (of_defects.size, of_normals.size) == (50, 30)
    assert of_defects.mean() == pytest.approx(auroc(scores, labels))
    assert of_normals.mean() == pytest.approx(auroc(scores, labels))


def test_standard_error_agrees_with_the_spread_over_many_samples() -> None:
    generator, labels = np.random.default_rng(1), np.repeat([0, 1], [50, 80])
    draws = [generator.normal(labels, 1) for _ in range(400)]
    spread = np.var([auroc(draw, labels) for draw in draws])
    assert np.mean([delong_variance(draw, labels) for draw in draws]) == pytest.approx(spread, rel=0.15)


def test_a_class_of_one_is_an_error() -> None:
    with pytest.raises(MetricError, match="two samples of each class"):
        delong_variance(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))
