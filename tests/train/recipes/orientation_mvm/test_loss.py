"""The losses: equal to the reference in NumPy, bounds of one another, and what each lets pass."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.metrics.von_mises import kl_divergence, symmetric_mixtures
from weldcache.train.recipes.orientation_mvm.loss import (
    LOSSES,
    Peaks,
    entropy,
    kl_of_peaks,
    log_bessel,
    matched_kl,
    mean_length,
    mixture_kl,
    of_symmetry,
    original_loss,
    true_peaks,
)

ORIENTATION, SYMMETRY, KAPPA = (
    torch.tensor([10.0, 350.0, 77.0, 200.0]),
    torch.tensor([4, 2, 1, 0]),
    torch.full((4,), 8.0),
)
TRUTH = true_peaks(ORIENTATION, SYMMETRY, KAPPA)


def drawn(num: int, *, seed: int = 0) -> Peaks:
    generator = torch.Generator().manual_seed(seed)
    angle, kappa, weight = (torch.rand(num, 5, generator=generator) for _ in range(3))
    return Peaks(6.3 * angle, 80 * kappa, (3 * weight).log_softmax(dim=1))


def row(row: int, peaks: Peaks = TRUTH) -> Peaks:
    return Peaks(*(values[row : row + 1] for values in (peaks.angle, peaks.kappa, peaks.log_weight)))


def fourfold(*, weights: list[float], degrees: list[float] | None = None, kappa: float = 8.0) -> Peaks:
    angles = torch.deg2rad(torch.tensor([degrees or [10.0, 100, 190, 280]]))
    return Peaks(angles, torch.full_like(angles, kappa), torch.tensor([weights]).clamp(min=1e-30).log())


def test_the_truth_and_the_divergence_are_those_of_the_reference() -> None:
    expected = symmetric_mixtures(ORIENTATION.numpy(), SYMMETRY.numpy(), KAPPA.numpy())
    np.testing.assert_allclose(TRUTH.stacked().numpy(), expected * [1, 1, 1], atol=1e-5)
    predicted = drawn(4)
    reference = kl_divergence(expected, predicted.stacked().numpy())
    np.testing.assert_allclose(mixture_kl(TRUTH, predicted).numpy(), reference, rtol=1e-4, atol=1e-5)


def test_the_matched_loss_bounds_the_divergence_and_no_order_of_peaks_matters() -> None:
    predicted = drawn(4)
    assert (matched_kl(TRUTH, predicted) >= mixture_kl(TRUTH, predicted) - 1e-5).all()
    order = torch.tensor([3, 1, 4, 0, 2])
    shuffled = Peaks(predicted.angle[:, order], predicted.kappa[:, order], predicted.log_weight[:, order])
    for loss in LOSSES.values():
        torch.testing.assert_close(loss(TRUTH, shuffled), loss(TRUTH, predicted), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", [mixture_kl, matched_kl])
def test_the_truth_itself_costs_nothing(loss: Callable[[Peaks, Peaks], Tensor]) -> None:
    for which in range(3):
        truth = row(which)
        assert float(loss(truth, truth)) == pytest.approx(0, abs=1e-4)


def test_the_peaks_of_the_true_symmetry_alone_bound_the_divergence_by_what_their_weight_lacks() -> None:
    of_peaks = torch.tensor([0, 1, 2, 2, 4, 4, 4, 4])
    angle = torch.deg2rad(torch.tensor([[0.0, 70, 340, 160, 12, 102, 192, 282]])).expand(4, -1)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    weights = (shares / torch.tensor([1, 1, 2, 4]))[[0, 1, 2, 2, 3, 3, 3, 3]].log().expand(4, -1)
    predicted = Peaks(angle, torch.tensor([0.0] + 7 * [6]).expand(4, -1), weights)
    left = of_symmetry(predicted, SYMMETRY, of_peaks=of_peaks)
    assert [int(row.isfinite().sum()) for row in left.log_weight] == [4, 2, 1, 1]
    found = mixture_kl(TRUTH, left)
    assert (found > mixture_kl(TRUTH, predicted)).all()
    for which, share in enumerate([0.4, 0.3, 0.2, 0.1]):
        there = left.log_weight[which].isfinite()
        alone = Peaks(
            angle[which : which + 1, there],
            predicted.kappa[which : which + 1, there],
            weights[which : which + 1, there] - math.log(share),
        )
        assert float(found[which]) == pytest.approx(float(mixture_kl(row(which), alone)) - math.log(share), abs=1e-5)
    # Where no peak has the true symmetry, nothing is taken away: the loss stays finite.
    assert torch.equal(of_symmetry(predicted, torch.tensor([3] * 4), of_peaks=of_peaks).log_weight, weights)


def test_by_the_original_loss_one_peak_with_all_the_weight_costs_nothing() -> None:
    exploited = fourfold(weights=[1.0, 0, 0, 0], degrees=[10.0, 10, 10, 10])
    assert float(original_loss(row(0), exploited)) == pytest.approx(0, abs=1e-5)
    assert float(mixture_kl(row(0), exploited)) == pytest.approx(6.19, abs=5e-3)
    assert float(matched_kl(row(0), exploited)) > 6.19
    # Nor does it matter to it how the weight is shared out among peaks that are right.
    assert float(original_loss(row(0), fourfold(weights=[0.7, 0.1, 0.1, 0.1]))) == pytest.approx(0, abs=1e-5)


def test_closed_forms_of_the_published_experiment() -> None:
    """Peaks of kappa 8 at four right angles."""
    eight = torch.tensor(8.0, dtype=torch.float64)
    gap = 8 * float(mean_length(eight))
    assert gap == pytest.approx(7.4819, abs=5e-5)
    # All predicted peaks in one place: the mean over four true ones of 1 - cos is 1.
    quarters = torch.deg2rad(torch.tensor([0.0, 90, 180, 270], dtype=torch.float64))
    assert float(kl_of_peaks(eight, eight, quarters).mean()) == pytest.approx(gap, abs=1e-12)
    # One fixed peak against the nearest of four that are turned evenly.
    turns = torch.deg2rad(torch.linspace(-45, 45, 20_001, dtype=torch.float64))
    share = 2 * math.sqrt(2) / math.pi

    def mean_over_turns(kappa: float) -> float:
        found = kl_of_peaks(torch.tensor(kappa, dtype=torch.float64), eight, turns)
        return float(torch.trapezoid(found, turns)) / (math.pi / 2)

    assert mean_over_turns(8.0) == pytest.approx(gap * (1 - share), abs=1e-6)
    assert gap * (1 - share) == pytest.approx(0.7458, abs=5e-5)
    # The same with the kappa that is best there, 8 times the mean cosine.
    assert 8 * share == pytest.approx(7.20, abs=5e-3)
    assert mean_over_turns(8 * share) == pytest.approx(0.7429, abs=5e-5)


def test_closed_forms_of_the_original_loss() -> None:
    quarter = [0.25] * 4
    assert float(original_loss(row(0), fourfold(weights=quarter, degrees=[10.0] * 4))) == pytest.approx(
        7.4819, abs=5e-4
    )
    turns = torch.linspace(-45, 45, 901)
    truth = true_peaks(turns, torch.full((901,), 4), torch.full((901,), 8.0))

    def fixed(kappa: float) -> float:
        peaks = Peaks(
            torch.zeros(901, 4), torch.full((901, 4), kappa), torch.tensor([[1.0, 0, 0, 0]]).expand(901, 4).log()
        )
        finite = Peaks(peaks.angle, peaks.kappa, peaks.log_weight.clamp(min=-80))
        # The other three are matched too and cost nothing: let them lie where the first does not take them in.
        finite.angle[:, 1:] = math.pi
        return float(original_loss(truth, finite).mean())

    assert fixed(8.0) == pytest.approx(0.7458, abs=2e-3)
    assert fixed(7.2025) == pytest.approx(0.7429, abs=2e-3)


def test_gradients_are_finite_up_to_the_largest_concentration() -> None:
    assert float(log_bessel(torch.tensor(500.0))) == pytest.approx(495.974, abs=1e-3)
    for loss in LOSSES.values():
        angle, kappa = torch.rand(4, 4).requires_grad_(), torch.tensor([[0.0, 1.0, 89.0, 500.0]] * 4).requires_grad_()
        shares = torch.zeros(4, 4).requires_grad_()
        loss(TRUTH, Peaks(angle, kappa, shares.log_softmax(dim=1))).mean().backward()
        assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in (angle, kappa, shares))


def test_entropy_of_the_uniform_is_the_logarithm_of_the_circle() -> None:
    assert float(entropy(row(3))) == pytest.approx(math.log(2 * math.pi), abs=1e-5)
    assert float(entropy(row(2))) < float(entropy(row(1))) < float(entropy(row(0)))
