"""Statistics in one pass, the same however the values come, and standardisation by them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from weldcache.train.nn import standardise
from weldcache.train.nn.standardise import ChannelStatistics, Standardise, standardise_each


def test_large_offsets_do_not_drown_small_deviations() -> None:
    statistics = ChannelStatistics(1)
    for sign in torch.tensor([-1.0, 1.0]).repeat(50):
        statistics.add((1e4 + sign).repeat(1, 100, 1))
    torch.testing.assert_close(statistics.std, torch.tensor([1.0], dtype=torch.float64), rtol=1e-12, atol=0)


def test_a_channel_that_never_changes_has_deviation_one() -> None:
    statistics = ChannelStatistics(2)
    for offset in (0.0, 1.0):
        statistics.add(torch.tensor([[0.1, offset]]).expand(30, 2))
    assert statistics.std.tolist() == [1.0, 0.5]


def test_padding_does_not_count() -> None:
    statistics = ChannelStatistics(1)
    statistics.add(torch.full((1, 3, 1), 99.0), keep=torch.zeros(1, 3, dtype=torch.bool))
    values = torch.tensor([[[1.0], [3.0], [99.0]], [[5.0], [99.0], [99.0]]])
    statistics.add(values, keep=torch.tensor([[True, True, False], [True, False, False]]))
    assert statistics.mean.tolist() == [3.0]
    assert statistics.std.item() == pytest.approx((8 / 3) ** 0.5)


def test_rows_that_have_nothing_do_not_count() -> None:
    statistics = ChannelStatistics(1)
    values = torch.tensor([[[1.0], [3.0]], [[99.0], [99.0]]])
    statistics.add(values, keep=torch.tensor([True, False]))
    assert (statistics.mean.item(), statistics.std.item()) == (2.0, 1.0)


def test_where_nothing_was_seen_values_stay_as_they_are() -> None:
    statistics = ChannelStatistics(2)
    statistics.add(torch.ones(3, 4, 2), keep=torch.zeros(3, dtype=torch.bool))
    assert statistics.mean.tolist() == [0.0, 0.0]
    assert statistics.std.tolist() == [1.0, 1.0]


@given(cuts=st.lists(st.integers(0, 40), max_size=5), at_once=st.sampled_from([1, 7, 10_000]), seed=st.integers(0, 9))
def test_parts_of_any_size_give_the_statistics_of_the_whole(cuts: list[int], at_once: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.normal(0, 1000, size=3), [1e-2, 1.0, 1e3], size=(40, 5, 3))
    statistics = ChannelStatistics(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standardise, "_VALUES_AT_ONCE", at_once)
        for part in np.split(values, sorted(cuts)):
            statistics.add(torch.from_numpy(part))
    np.testing.assert_allclose(statistics.mean, values.mean((0, 1)), rtol=1e-10)
    np.testing.assert_allclose(statistics.std, values.std((0, 1)), rtol=1e-9)


def standardise_by(values: Tensor) -> Standardise:
    statistics, module = ChannelStatistics(values.shape[-1]), Standardise(values.shape[-1])
    statistics.add(values)
    module.use(statistics)
    return module


def test_is_the_identity_until_it_is_given_statistics() -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Standardise(5)(values), values)


def test_statistics_are_those_of_all_entries_of_all_rows() -> None:
    """Channel 0: 1, 3, 5, 7 has mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; channel 1 never changes."""
    module = standardise_by(torch.tensor([[[1.0, 0.1], [3.0, 0.1]], [[5.0, 0.1], [7.0, 0.1]]]))
    torch.testing.assert_close(module.mean, torch.tensor([4.0, 0.1]))
    torch.testing.assert_close(module.std, torch.tensor([5**0.5, 1.0]))


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


def test_set_points_survive_the_statistics_of_the_training_set_and_not_those_of_each_recording() -> None:
    """The original standardised each recording by itself: one at 150 A and one at 250 A then look the same."""
    ripple = torch.randn(1, 128, 1, generator=torch.Generator().manual_seed(0))
    low, high = 150 + 5 * ripple, 250 + 5 * ripple
    by_train = standardise_by(torch.cat([low, high]))
    assert (by_train(high) - by_train(low)).mean() > 1.9  # in units of the training set's deviation
    torch.testing.assert_close(standardise_each(high), standardise_each(low), atol=1e-4, rtol=0)
