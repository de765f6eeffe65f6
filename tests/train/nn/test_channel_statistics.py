"""Statistics in one pass: the same as over everything at once, however the values come."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weldcache.train.nn import channel_statistics
from weldcache.train.nn.channel_statistics import ChannelStatistics


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
        patch.setattr(channel_statistics, "_VALUES_AT_ONCE", at_once)
        for part in np.split(values, sorted(cuts)):
            statistics.add(torch.from_numpy(part))
    np.testing.assert_allclose(statistics.mean, values.mean((0, 1)), rtol=1e-10)
    np.testing.assert_allclose(statistics.std, values.std((0, 1)), rtol=1e-9)
