"""Standardisation by measured statistics."""

import torch

from weldcache.train.nn.standardise import Standardise


def test_is_the_identity_until_it_is_measured() -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Standardise(5)(values), values)


def test_statistics_are_those_of_all_entries_of_all_rows() -> None:
    """Channel 0: 1, 3, 5, 7 has mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; channel 1 never changes."""
    standardise = Standardise(2)
    standardise.measure(torch.tensor([[[1.0, 0.1], [3.0, 0.1]], [[5.0, 0.1], [7.0, 0.1]]]))
    torch.testing.assert_close(standardise.mean, torch.tensor([4.0, 0.1]))
    torch.testing.assert_close(standardise.std, torch.tensor([5**0.5, 1.0]))


def test_large_offsets_do_not_drown_small_deviations() -> None:
    standardise = Standardise(1)
    standardise.measure(1e4 + torch.tensor([-1.0, 1.0]).repeat(5000).reshape(100, 100, 1))
    torch.testing.assert_close(standardise.std, torch.tensor([1.0]), rtol=1e-6, atol=0)


def test_padding_does_not_count() -> None:
    standardise = Standardise(1)
    values = torch.tensor([[[1.0], [3.0], [99.0]], [[5.0], [99.0], [99.0]]])
    keep = torch.tensor([[True, True, False], [True, False, False]])
    standardise.measure(values, keep=keep)
    torch.testing.assert_close(standardise.mean, torch.tensor([3.0]))


def test_groups_have_statistics_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(150, 2, 3, 4, generator=generator).half() * torch.tensor([1.0, 7.0]).reshape(1, 2, 1, 1)
    values[:, 1] += 50
    standardise = Standardise(4, groups=2)
    standardise.measure(values)
    standardised = standardise(values)
    assert standardised.dtype == torch.float32 and standardised.shape == values.shape
    torch.testing.assert_close(standardised.mean(dim=(0, 2)), torch.zeros(2, 4), atol=1e-3, rtol=0)
    torch.testing.assert_close(standardised.std(dim=(0, 2), correction=0), torch.ones(2, 4), atol=1e-3, rtol=0)
