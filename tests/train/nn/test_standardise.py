"""Standardisation by measured statistics."""

import torch
from torch import Tensor

from weldcache.train.nn.channel_statistics import ChannelStatistics
from weldcache.train.nn.standardise import Standardise, standardise_each


def standardise_by(values: Tensor) -> Standardise:
    statistics, standardise = ChannelStatistics(values.shape[-1]), Standardise(values.shape[-1])
    statistics.add(values)
    standardise.use(statistics)
    return standardise


def test_is_the_identity_until_it_is_given_statistics() -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Standardise(5)(values), values)


def test_statistics_are_those_of_all_entries_of_all_rows() -> None:
    """Channel 0: 1, 3, 5, 7 has mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; channel 1 never changes."""
    standardise = standardise_by(torch.tensor([[[1.0, 0.1], [3.0, 0.1]], [[5.0, 0.1], [7.0, 0.1]]]))
    torch.testing.assert_close(standardise.mean, torch.tensor([4.0, 0.1]))
    torch.testing.assert_close(standardise.std, torch.tensor([5**0.5, 1.0]))


def test_half_precision_values_are_standardised_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    values = 50 + 7 * torch.randn(150, 3, 4, generator=generator).half()
    standardised = standardise_by(values)(values)
    assert standardised.dtype == torch.float32 and standardised.shape == values.shape
    torch.testing.assert_close(standardised.mean(dim=(0, 1)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(standardised.std(dim=(0, 1), correction=0), torch.ones(4), atol=1e-3, rtol=0)


def test_each_recording_by_itself() -> None:
    """1, 3, 5, 7 has mean 4 and deviation 5^0.5; a channel that does not change within a recording becomes 0."""
    recording = torch.tensor([[1.0, 0.1], [3.0, 0.1], [5.0, 0.1], [7.0, 0.1]])
    standardised = standardise_each(torch.stack([recording, 3 * recording + 11]))
    expected = torch.tensor([-3.0, -1.0, 1.0, 3.0]) / 5**0.5
    for row in standardised:
        torch.testing.assert_close(row[:, 0], expected)
        assert (row[:, 1] == 0).all()


def test_set_points_survive_the_statistics_of_the_training_set_and_not_those_of_each_weld() -> None:
    """The original standardised each weld by itself: a weld at 150 A and one at 250 A then look the same."""
    ripple = torch.randn(1, 128, 1, generator=torch.Generator().manual_seed(0))
    low, high = 150 + 5 * ripple, 250 + 5 * ripple
    by_train = standardise_by(torch.cat([low, high]))
    assert (by_train(high) - by_train(low)).mean() > 1.9  # in units of the training set's deviation
    torch.testing.assert_close(standardise_each(high), standardise_each(low), atol=1e-4, rtol=0)
