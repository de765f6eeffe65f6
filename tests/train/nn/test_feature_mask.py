"""The feature mask: whole tokens, at the rate asked for, from the generator passed in."""

import torch

from weldcache.train.nn.feature_mask import mask_tokens


def test_masks_whole_tokens_and_leaves_the_others_as_they_are(generator: torch.Generator) -> None:
    tokens = torch.randn(200, 50, 4, generator=generator)
    masked = mask_tokens(tokens, probability=0.2, generator=generator)
    dropped = (masked == 0).all(dim=-1)
    assert torch.equal(masked, tokens * ~dropped.unsqueeze(-1))
    assert abs(dropped.float().mean().item() - 0.2) < 0.016  # four standard deviations of 10,000 draws


def test_ends(generator: torch.Generator) -> None:
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
