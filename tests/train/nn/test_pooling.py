"""Pooling: GeM against its formula and at its two ends, the mean against torch's own."""

import pytest
import torch
from torch.func import functional_call, vmap

from weldcache.train.nn.pooling import GeM, MeanPooling


def test_hand_worked_values() -> None:
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 2.0]]])
    assert GeM(exponent=2.0)(tokens).flatten().tolist() == pytest.approx([5**0.5, 2.0])
    assert GeM()(tokens).flatten().tolist() == pytest.approx([14 ** (1 / 3), 2.0])


def test_exponent_one_is_the_mean(generator: torch.Generator) -> None:
    tokens = torch.rand(3, 2, 50, 7, generator=generator) + 0.1
    torch.testing.assert_close(GeM(exponent=1.0)(tokens), tokens.mean(dim=-2))


@pytest.mark.parametrize("exponent", [200.0, 1e4])
def test_large_exponents_approach_the_maximum_and_do_not_overflow(exponent: float, generator: torch.Generator) -> None:
    tokens = 1000 * torch.rand(3, 20, 7, generator=generator)
    assert tokens.max() ** 15 == torch.inf  # the plain formula would fail long before
    torch.testing.assert_close(GeM(exponent=exponent)(tokens), tokens.amax(dim=-2), rtol=3 / exponent, atol=0)


def test_negative_values_count_as_the_smallest_positive_one() -> None:
    assert GeM()(torch.full((1, 4, 2), -5.0)).flatten().tolist() == pytest.approx([1e-6, 1e-6])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tokens_are_pooled_in_single(dtype: torch.dtype, generator: torch.Generator) -> None:
    tokens = (300 * torch.rand(2, 196, 8, generator=generator)).to(dtype)  # 300 ** 3 overflows float16
    pooled = GeM()(tokens)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, tokens.double().pow(3).mean(dim=-2).pow(1 / 3).float())


def test_rows_are_pooled_one_by_one_whatever_their_number(generator: torch.Generator) -> None:
    """And whatever the number of threads that share them, to the bit."""
    tokens = torch.rand(2, 5, 40, 300, generator=generator)
    pooled = GeM()(tokens)
    assert pooled.shape == (2, 5, 300)
    for row in range(2):
        for view in range(5):
            assert torch.equal(GeM()(tokens[row, view]), pooled[row, view])


def test_gradients_are_those_of_the_values(generator: torch.Generator) -> None:
    pool = GeM().double()
    tokens = torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64) + 0.05
    tokens[0, 0, :2] = -1.0  # clamped: no gradient there

    def pool_with(tokens: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = torch.func.functional_call(pool, {"p": p}, (tokens,))
        return pooled

    exponent = torch.tensor(2.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pool_with, (tokens.requires_grad_(), exponent))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("exponent", [1.0, 3.0, 7.3, 200.0])
def test_fused_kernel_is_the_formula(dtype: torch.dtype, exponent: float, generator: torch.Generator) -> None:
    """Every magnitude that the type holds, very small numbers, negative ones and zero among them."""
    signs = torch.randint(0, 5, (3, 50, 70), generator=generator).sub(1).clamp(max=1)
    tokens = (signs * torch.exp2(torch.rand(3, 50, 70, generator=generator) * 36 - 22)).clamp(max=60_000).to(dtype)
    pool, reference = GeM(exponent=exponent), GeM(exponent=exponent).double()
    weights = torch.randn(3, 70, generator=generator)
    pooled, expected = pool(tokens), reference(tokens.double())
    torch.testing.assert_close(pooled, expected.float(), rtol=2e-6, atol=0)
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    assert pool.p.grad is not None and reference.p.grad is not None
    scale = (pooled * weights).abs().sum().item() / exponent**2
    torch.testing.assert_close(pool.p.grad.double(), reference.p.grad, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("value", [float("nan"), -float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(dtype: torch.dtype, value: float) -> None:
    tokens = torch.ones(2, 6, 5, dtype=dtype)
    tokens[1, 3, 2] = value
    finite = GeM()(tokens).isfinite()
    assert not finite[1, 2]
    assert finite.sum() == 9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_to_half_precision_tokens_come_in_their_precision(
    dtype: torch.dtype, generator: torch.Generator
) -> None:
    tokens = (torch.rand(2, 9, 4, generator=generator) + 0.1).to(dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(GeM()(tokens).sum(), tokens)
    single = tokens.detach().float().requires_grad_()
    (expected,) = torch.autograd.grad(GeM()(single).sum(), single)
    torch.testing.assert_close(gradient, expected.to(dtype))


def test_tokens_that_are_not_contiguous(generator: torch.Generator) -> None:
    tokens = torch.rand(3, 4, 6, 8, generator=generator).half()
    strided = tokens.transpose(0, 1)
    assert torch.equal(GeM()(strided), GeM()(tokens).transpose(0, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 50, 7), (19, 5), (2, 4, 2100)])
def test_mean_has_torchs_values_and_gradients(
    shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> None:
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
def test_a_mean_hides_nothing_that_is_not_finite(dtype: torch.dtype, value: float) -> None:
    tokens = torch.ones(2, 6, 5, dtype=dtype)
    tokens[1, 3, 2] = value
    pooled = MeanPooling()(tokens)
    assert pooled[1, 2].equal(torch.tensor(value)) or (pooled[1, 2].isnan() and value != value)
    assert pooled.isfinite().sum() == 9


def test_half_precision_does_not_lose_digits() -> None:
    tokens = torch.full((1, 5000, 3), 1.001, dtype=torch.float16)
    torch.testing.assert_close(MeanPooling()(tokens), tokens[:, 0].float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_stacked_poolings_compute_what_each_computes(shared: bool, generator: torch.Generator) -> None:
    pools = [GeM(exponent=exponent) for exponent in (1.5, 3.0)]
    exponents = torch.stack([pool.p.detach() for pool in pools]).requires_grad_()
    tokens = torch.rand(2, 3, 4, 6, 5, generator=generator)
    given = tokens[0] if shared else tokens

    def pooled(p: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
        return functional_call(pools[0], {"p": p}, (one,)) + MeanPooling()(one)

    outputs = vmap(pooled, in_dims=(0, None if shared else 0))(exponents, given)
    (gradient,) = torch.autograd.grad(outputs.sum(), exponents)
    for place, pool in enumerate(pools):
        one = given if shared else given[place]
        torch.testing.assert_close(outputs[place], pool(one) + MeanPooling()(one))
        (expected,) = torch.autograd.grad(pool(one).sum(), pool.p)
        torch.testing.assert_close(gradient[place], expected)
