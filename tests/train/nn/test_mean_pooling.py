"""The mean over tokens, and its gradient, against torch's own."""

import pytest
import torch

from weldcache.train.nn.mean_pooling import MeanPooling


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 50, 7), (19, 5), (2, 4, 2100)])
def test_values_and_gradients(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> None:
    tokens = (100 * torch.randn(shape, generator=generator)).to(dtype).requires_grad_()
    pooled = MeanPooling()(tokens)
    assert pooled.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(pooled.double(), tokens.double().mean(dim=-2), rtol=1e-5, atol=1e-5)
    weights = torch.randn(pooled.shape, generator=generator)
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), tokens)
    assert gradient.dtype == dtype
    expected = (weights.double() / shape[-2]).unsqueeze(-2).expand(shape).to(dtype)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_hidden(dtype: torch.dtype, value: float) -> None:
    tokens = torch.ones(2, 6, 5, dtype=dtype)
    tokens[1, 3, 2] = value
    pooled = MeanPooling()(tokens)
    assert pooled[1, 2].equal(torch.tensor(value)) or (pooled[1, 2].isnan() and value != value)
    assert pooled.isfinite().sum() == 9


def test_half_precision_does_not_lose_digits() -> None:
    tokens = torch.full((1, 5000, 3), 1.001, dtype=torch.float16)
    torch.testing.assert_close(MeanPooling()(tokens), tokens[:, 0].float(), rtol=1e-6, atol=0)
