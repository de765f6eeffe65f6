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
    matched_kl,
    mixture_kl,
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


def test_by_the_original_loss_one_peak_with_all_the_weight_costs_nothing() -> None:
    exploited = fourfold(weights=[1.0, 0, 0, 0], degrees=[10.0, 10, 10, 10])
    assert float(original_loss(row(0), exploited)) == pytest.approx(0, abs=1e-5)
    assert float(mixture_kl(row(0), exploited)) == pytest.approx(6.19, abs=5e-3)
    assert float(matched_kl(row(0), exploited)) > 6.19
    # Nor does it matter to it how the weight is shared out among peaks that are right.
    assert float(original_loss(row(0), fourfold(weights=[0.7, 0.1, 0.1, 0.1]))) == pytest.approx(0, abs=1e-5)


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
    for loss in LOSSES.values():
        angle, kappa = torch.rand(4, 4).requires_grad_(), torch.tensor([[0.0, 1.0, 89.0, 500.0]] * 4).requires_grad_()
        shares = torch.zeros(4, 4).requires_grad_()
        loss(TRUTH, Peaks(angle, kappa, shares.log_softmax(dim=1))).mean().backward()
        assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in (angle, kappa, shares))


def test_entropy_of_the_uniform_is_the_logarithm_of_the_circle() -> None:
    assert float(entropy(row(3))) == pytest.approx(math.log(2 * math.pi), abs=1e-5)
    assert float(entropy(row(2))) < float(entropy(row(1))) < float(entropy(row(0)))
