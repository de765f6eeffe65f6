"""Loss terms against numbers worked by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from weldcache.train.recipes.causal_film.loss import (
    cosine_distance,
    cosine_loss,
    feature_gram_loss,
    gram_loss,
    l1_loss,
    smooth_l1_loss,
    top_absolute_error,
    top_l1_loss,
    variance_loss,
)

PREDICTED = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
TARGET = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])


def test_cosine_distance_of_perpendicular_equal_and_opposite_directions() -> None:
    assert cosine_distance(PREDICTED, TARGET).tolist() == [1.0, 0.0]
    assert cosine_distance(PREDICTED, -PREDICTED).tolist() == [2.0, 2.0]
    assert cosine_loss(PREDICTED, TARGET).item() == 0.5


def test_cosine_loss_to_one_text_vector() -> None:
    text = torch.tensor([[5.0, 0.0, 0.0, 0.0]])
    assert cosine_loss(PREDICTED, text).item() == 0.5


def test_absolute_errors() -> None:
    """Errors are 1 3 0 0 and 0 1 0 0."""
    assert l1_loss(PREDICTED, TARGET).item() == pytest.approx(5 / 8)
    assert smooth_l1_loss(PREDICTED, TARGET).item() == pytest.approx((0.95 + 2.95 + 0.95) / 8)
    assert smooth_l1_loss(torch.tensor([[0.05]]), torch.tensor([[0.0]])).item() == pytest.approx(0.0125)
    assert top_absolute_error(PREDICTED, TARGET, fraction=0.5).tolist() == [2.0, 0.5]
    assert top_l1_loss(PREDICTED, TARGET, fraction=0.25).item() == 2.0


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 6 / 2), (0.01, 4.0), (1.0, 7 / 3)])
def test_top_fraction_is_rounded_up(fraction: float, expected: float) -> None:
    errors = torch.tensor([[1.0, -4.0, 2.0]])
    assert top_absolute_error(errors, torch.zeros(1, 3), fraction=fraction).item() == pytest.approx(expected)


def test_gram_loss() -> None:
    """Gram matrices over the batch: [[1, 0], [0, 4]] / 4 and [[9, 3], [3, 1]] / 4."""
    assert gram_loss(PREDICTED, TARGET).item() == pytest.approx((64 + 9 + 9 + 9) ** 0.5 / 4)


def test_gram_loss_over_features() -> None:
    """Gram matrices over the features: diagonal (1, 4) / 2 and (0, 10) / 2, zero elsewhere."""
    assert feature_gram_loss(PREDICTED, TARGET).item() == pytest.approx((1 + 36) ** 0.5 / 2)


@pytest.mark.parametrize("loss", [gram_loss, feature_gram_loss])
def test_gram_loss_of_equal_inputs_has_a_finite_gradient(loss: object) -> None:
    assert callable(loss)
    predicted = PREDICTED.clone().requires_grad_()
    value: Tensor = loss(predicted, PREDICTED)
    value.backward()
    assert value.item() == 0.0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


LOSSES = [cosine_loss, l1_loss, smooth_l1_loss, top_l1_loss, gram_loss, feature_gram_loss]


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_no_weight_are_as_if_they_were_not_there(
    loss: Callable[..., Tensor], generator: torch.Generator
) -> None:
    predicted, target = torch.randn(2, 6, 4, generator=generator)
    kept = torch.tensor([True, False, True, True, False, True])
    torch.testing.assert_close(loss(predicted, target, weights=kept.float()), loss(predicted[kept], target[kept]))
    torch.testing.assert_close(loss(predicted, target, weights=torch.ones(6)), loss(predicted, target))
    predicted.requires_grad_()
    loss(predicted, target, weights=kept.float()).backward()
    assert predicted.grad is not None
    assert torch.equal(predicted.grad.abs().sum(dim=-1) > 0, kept)


@pytest.mark.parametrize("loss", LOSSES)
def test_without_any_row_a_loss_and_its_gradient_are_zero(
    loss: Callable[..., Tensor], generator: torch.Generator
) -> None:
    predicted, target = torch.randn(2, 6, 4, generator=generator)
    value = loss(predicted.requires_grad_(), target, weights=torch.zeros(6))
    value.backward()
    assert value.item() == 0.0
    assert predicted.grad is not None and (predicted.grad == 0).all()


def test_variance_below_the_floor() -> None:
    """Deviations (unbiased) are 1, 3^0.5 / 3 and 0 and the floor is 0.8: the first dimension asks for nothing."""
    encodings = torch.tensor([[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [2.0, 1.0, 5.0]])
    near = 0.8 - (1 / 3 + 1e-4 * 0.64) ** 0.5
    constant = 0.8 - (1e-4 * 0.64) ** 0.5
    value = variance_loss(encodings, floor=0.8).item()
    assert value == pytest.approx((0 + near + constant) / 3, rel=1e-5)
    more = torch.cat([encodings, torch.full((2, 3), 70.0)])
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    assert variance_loss(more, floor=0.8, weights=weights).item() == pytest.approx(value, rel=1e-5)


def test_the_variance_term_drives_rows_apart_up_to_the_floor(generator: torch.Generator) -> None:
    encodings = (1e-3 * torch.randn(16, 5, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([encodings], lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        variance_loss(encodings, floor=0.1).backward()
        optimizer.step()
    assert encodings.std(dim=0).min() > 0.098


def test_variance_of_equal_rows_has_a_finite_gradient() -> None:
    encodings = torch.ones(4, 3, requires_grad=True)
    variance_loss(encodings, floor=0.1).backward()
    assert encodings.grad is not None and encodings.grad.isfinite().all()
