"""Mixup: shares from a beta distribution, rows mixed alike in all modalities, the incomplete ones left alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy import stats

from weldcache.train.nn.film_inputs import FilmInputs
from weldcache.train.nn.mixup import mix, symmetric_beta

MakeBatch = Callable[..., FilmInputs]


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha: float, generator: torch.Generator) -> None:
    shares = symmetric_beta(20_000, alpha=alpha, generator=generator).double()
    assert shares.isfinite().all() and shares.min() >= 0 and shares.max() <= 1
    inner = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)  # beyond, float32 has no numbers close enough to 1
    below = (shares.unsqueeze(1) <= inner).double().mean(dim=0).numpy()
    assert abs(below - stats.beta(alpha, alpha).cdf(inner.numpy())).max() < 0.014  # 2 / sqrt(20,000)


@pytest.mark.parametrize("alpha", [1e-3, 1e3])
def test_extreme_alphas_stay_finite(alpha: float, generator: torch.Generator) -> None:
    shares = symmetric_beta(1000, alpha=alpha, generator=generator)
    assert shares.isfinite().all() and shares.min() >= 0 and shares.max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_share_of_one_is_the_identity(make_batch: MakeBatch, dtype: torch.dtype) -> None:
    inputs = make_batch()
    inputs = replace(inputs, video=inputs.video.to(dtype), patches=tuple(block.to(dtype) for block in inputs.patches))
    mixed = mix(inputs, shares=torch.ones(4))
    for name in ("video", "audio", "sensor"):
        assert torch.equal(getattr(mixed, name), getattr(inputs, name))
    assert all(map(torch.equal, mixed.patches, inputs.patches))
    assert mixed.video.dtype == dtype


def test_rows_are_mixed_alike_in_all_modalities_with_the_row_before(make_batch: MakeBatch) -> None:
    inputs = make_batch()
    assert inputs.sensor is not None
    mixed = mix(inputs, shares=torch.tensor([1.0, 0.25, 0.5, 0.0]))
    assert mixed.sensor is not None
    before = (inputs.video, inputs.sensor, *inputs.patches, inputs.audio[:, :5])
    after = (mixed.video, mixed.sensor, *mixed.patches, mixed.audio[:, :5])
    for values, blend in zip(before, after, strict=True):
        torch.testing.assert_close(blend[0], values[0])
        torch.testing.assert_close(blend[1], 0.25 * values[1] + 0.75 * values[0])
        torch.testing.assert_close(blend[2], 0.5 * values[2] + 0.5 * values[1])
        torch.testing.assert_close(blend[3], values[2])


def test_large_half_precision_values_do_not_overflow(make_batch: MakeBatch) -> None:
    inputs = make_batch()
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None]
    inputs = replace(inputs, video=(60_000 * signs * torch.ones_like(inputs.video)).half())
    mixed = mix(inputs, shares=torch.full((4,), 0.75)).video
    torch.testing.assert_close(mixed.float(), 30_000 * signs.expand_as(mixed))


def test_what_the_partner_lacks_is_not_mixed_in(make_batch: MakeBatch) -> None:
    inputs = make_batch()
    inputs.audio_padding[1] = torch.arange(7) > 1  # the partner of row 2 has two tokens
    inputs.view_mask[1, 2] = False
    mixed = mix(inputs, shares=torch.zeros(4))
    assert torch.equal(mixed.audio[2, :2], inputs.audio[1, :2])
    assert torch.equal(mixed.audio[2, 2:], inputs.audio[2, 2:])
    for block, blend in zip(inputs.patches, mixed.patches, strict=True):
        assert torch.equal(blend[2, :2], block[1, :2])
        assert torch.equal(blend[2, 2], block[2, 2])
    assert mixed.audio_padding is inputs.audio_padding and mixed.view_mask is inputs.view_mask


def test_incomplete_rows_and_those_with_an_incomplete_partner_stay(make_batch: MakeBatch) -> None:
    present = {"video": torch.ones(4).bool(), "image": torch.tensor([True, False, True, True])}
    inputs = replace(make_batch(), present=present)
    mixed = mix(inputs, shares=torch.zeros(4))
    assert torch.equal(mixed.video[1:3], inputs.video[1:3])
    assert torch.equal(mixed.video[3], inputs.video[2])
    assert torch.equal(mixed.video[0], inputs.video[3])
