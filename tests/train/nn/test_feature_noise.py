"""Feature noise: as large as asked for in each channel, from the generator passed in."""

import torch

from weldcache.train.nn.feature_noise import add_noise


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
