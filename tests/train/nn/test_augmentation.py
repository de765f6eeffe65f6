"""Augmentations: at the rate and of the size asked for, from the generator passed in."""

import pytest
import torch
from scipy import stats

from weldcache.train.nn.augmentation import add_noise, drop_modalities, mask_tokens, symmetric_beta


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


def test_noise_is_in_units_of_each_channels_spread(generator: torch.Generator) -> None:
    tokens = torch.full((100, 50, 3), 4.0, dtype=torch.float16)
    spread = torch.tensor([1.0, 10.0, 0.0])
    noisy = add_noise(tokens, share=0.1, spread=spread, generator=generator)
    assert noisy.dtype == torch.float32
    torch.testing.assert_close(noisy.mean(dim=(0, 1)), torch.full((3,), 4.0), atol=0.05, rtol=0)
    torch.testing.assert_close(noisy.std(dim=(0, 1)), 0.1 * spread, atol=0, rtol=0.04)


def test_same_generator_state_same_noise(generator: torch.Generator) -> None:
    tokens, spread, state = torch.zeros(2, 3, 4), torch.ones(4), generator.get_state()
    first = add_noise(tokens, share=1.0, spread=spread, generator=generator)
    second = add_noise(tokens, share=1.0, spread=spread, generator=generator)
    repeated = add_noise(tokens, share=1.0, spread=spread, generator=generator.set_state(state))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, second)


def test_masks_whole_tokens_and_leaves_the_others_as_they_are(generator: torch.Generator) -> None:
    tokens = torch.randn(200, 50, 4, generator=generator)
    masked = mask_tokens(tokens, probability=0.2, generator=generator)
    dropped = (masked == 0).all(dim=-1)
    assert torch.equal(masked, tokens * ~dropped.unsqueeze(-1))
    assert abs(dropped.float().mean().item() - 0.2) < 0.016  # four standard deviations of 10,000 draws


def test_masks_none_or_all_at_the_ends(generator: torch.Generator) -> None:
    tokens = torch.randn(3, 5, 4, generator=generator)
    assert torch.equal(mask_tokens(tokens, probability=0.0, generator=generator), tokens)
    assert (mask_tokens(tokens, probability=1.0, generator=generator) == 0).all()


def test_same_generator_state_same_mask(generator: torch.Generator) -> None:
    tokens = torch.ones(10, 20, 2, dtype=torch.float16)
    state = generator.get_state()
    first = mask_tokens(tokens, probability=0.5, generator=generator)
    second = mask_tokens(tokens, probability=0.5, generator=generator)
    repeated = mask_tokens(tokens, probability=0.5, generator=generator.set_state(state))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, second)
    assert first.dtype == torch.float16


def test_hides_at_the_rate_what_is_there(generator: torch.Generator) -> None:
    present = {"video": torch.ones(20_000, dtype=torch.bool), "audio": torch.rand(20_000, generator=generator) < 0.5}
    left = drop_modalities(present, probability=0.3, generator=generator)
    assert left.keys() == present.keys()
    assert not (left["audio"] & ~present["audio"]).any()
    both = present["audio"]
    # Of two modalities the first is hidden unless both draws are below 0.3 and its own is the higher: 0.3 - 0.09 / 2.
    assert abs((~left["video"][both]).float().mean().item() - 0.255) < 0.02
    assert left["video"][~both].all()


def test_never_hides_all_that_a_row_has(generator: torch.Generator) -> None:
    present = {name: torch.rand(500, generator=generator) < 0.6 for name in ("video", "audio", "image", "sensor")}
    left = drop_modalities(present, probability=0.99, generator=generator)
    had, has = (torch.stack(list(masks.values())).any(dim=0) for masks in (present, left))
    assert torch.equal(had, has)
    assert torch.stack(list(left.values())).sum(dim=0).float().mean() < 1.1


def test_of_none_nothing_is_hidden(generator: torch.Generator) -> None:
    present = {"video": torch.tensor([True, False]), "audio": torch.tensor([False, False])}
    left = drop_modalities(present, probability=0.0, generator=generator)
    assert {name: mask.tolist() for name, mask in left.items()} == {"video": [True, False], "audio": [False, False]}
