import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf, ledoit_wolf

from weldcache.train.nn import gaussian
from weldcache.train.nn.gaussian import Mahalanobis, ShrunkCovariance


def _vectors(count: int, *, width: int, offset: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(width, width)) * rng.uniform(0.1, 2, size=width)
    return torch.from_numpy(offset + rng.standard_t(5, size=(count, width)) @ mixing)


def _statistics(vectors: torch.Tensor, *, parts: int) -> ShrunkCovariance:
    statistics = ShrunkCovariance(vectors.shape[1])
    for part in vectors.split(parts):
        statistics.add(part)
    return statistics


@pytest.mark.parametrize(("count", "width"), [(200, 6), (30, 30), (12, 40), (2, 5)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_mean_covariance_and_shrinkage_are_those_of_scikit_learn(count: int, width: int, offset: float) -> None:
    vectors = _vectors(count, width=width, offset=offset)
    covariance, shrinkage = ledoit_wolf(vectors.numpy())
    statistics = _statistics(vectors, parts=7)
    assert statistics.shrinkage == pytest.approx(shrinkage, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(statistics.covariance, covariance, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(statistics.mean, vectors.mean(dim=0), rtol=1e-12)


def test_parts_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = _vectors(60, width=9, offset=50.0)
    whole = _statistics(vectors, parts=60)
    monkeypatch.setattr(gaussian, "_VALUES_AT_ONCE", 5 * 9)
    torch.testing.assert_close(_statistics(vectors, parts=13).covariance, whole.covariance, rtol=1e-10, atol=1e-10)


def test_distances_are_those_of_scikit_learn() -> None:
    vectors = _vectors(80, width=12)
    gaussian_ = Mahalanobis(12)
    gaussian_.use(_statistics(vectors, parts=80))
    squared = LedoitWolf().fit(vectors.numpy()).mahalanobis(2 * vectors.numpy())
    torch.testing.assert_close(
        gaussian_(2 * vectors).double(), torch.from_numpy(np.sqrt(squared)), rtol=1e-4, atol=1e-4
    )


def test_a_channel_that_never_changes_is_given_the_mean_variance() -> None:
    vectors = _vectors(40, width=5)
    vectors[:, 2] = 7.0
    gaussian_ = Mahalanobis(5)
    gaussian_.use(_statistics(vectors, parts=40))
    assert gaussian_(vectors).isfinite().all()


def test_equal_vectors_have_no_gaussian() -> None:
    with pytest.raises(ValueError, match="inverse"):
        Mahalanobis(4).use(_statistics(torch.ones(9, 4), parts=4))


def test_half_precision_around_it_changes_nothing() -> None:
    vectors = _vectors(40, width=5).float()
    gaussian_ = Mahalanobis(5)
    gaussian_.use(_statistics(vectors, parts=40))
    with torch.autocast("cpu", torch.bfloat16):
        inside = gaussian_(vectors)
    assert torch.equal(inside, gaussian_(vectors))
