"""The order of samples in an epoch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from weldcache.train.data.batches import (
    balanced_batches,
    batches_in_order,
    num_shuffled_batches,
    paired_batches,
    shuffled_batches,
)


@given(num_samples=st.integers(2, 70), batch_size=st.integers(2, 40), seed=st.integers(0, 5))
def test_every_sample_once_and_never_alone(num_samples: int, batch_size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(num_samples, batch_size=batch_size, generator=generator)
    seen = torch.cat(list(batches)).tolist()
    assert len(batches) == num_shuffled_batches(num_samples, batch_size=batch_size)
    assert all(2 <= len(batch) <= batch_size for batch in batches)
    assert len(set(seen)) == len(seen) == num_samples - (num_samples % batch_size == 1)


def test_balanced_batches_have_each_label_as_often_and_as_many_samples() -> None:
    labels, generator = torch.tensor([0] * 950 + [1] * 50), torch.Generator().manual_seed(0)
    batches = balanced_batches(labels, batch_size=64, generator=generator)
    drawn = labels[torch.cat(list(batches))]
    assert len(batches) == num_shuffled_batches(1000, batch_size=64) and len(drawn) == 1000
    assert 0.44 < drawn.double().mean() < 0.56


@given(num_labels=st.integers(1, 9), batch_size=st.integers(2, 40), seed=st.integers(0, 5))
def test_paired_batches_have_two_of_each_label_that_they_have(num_labels: int, batch_size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(num_labels), torch.zeros(40, dtype=torch.long)])  # one is rare, one is not
    batches = paired_batches(labels, batch_size=batch_size, generator=generator)
    assert [len(batch) for batch in batches] == [
        len(batch) for batch in shuffled_batches(len(labels), batch_size=batch_size, generator=generator)
    ]
    for batch in batches:
        counts = labels[batch].bincount()
        assert (counts[counts > 0] >= 2).all()
    counts = labels[torch.cat(list(batches))].bincount(minlength=num_labels)
    if batch_size >= 2 * num_labels:
        assert counts.max() - counts.min() <= len(batches) * 2
    common = torch.cat([batch[labels[batch] == 0] for batch in batches])
    assert common.bincount(minlength=len(labels)).max() - common.bincount(minlength=len(labels))[num_labels:].min() <= 1


def test_the_order_follows_the_generator() -> None:
    first, again, other = (
        torch.cat(list(shuffled_batches(50, batch_size=8, generator=torch.Generator().manual_seed(seed))))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, first.sort().values)


@given(num_samples=st.integers(0, 70), batch_size=st.integers(1, 40))
def test_in_order_nobody_is_left_out(num_samples: int, batch_size: int) -> None:
    batches = batches_in_order(num_samples, batch_size=batch_size)
    assert [int(sample) for batch in batches for sample in batch] == list(range(num_samples))
    assert all(0 < len(batch) <= batch_size for batch in batches)
