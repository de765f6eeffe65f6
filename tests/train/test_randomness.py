"""Seeds that depend on everything they should, and global generators that are left alone."""

import itertools

import pytest
import torch

from weldcache.train.randomness import Purpose, derived_generator, derived_seed, seeded_global_rng

CPU = torch.device("cpu")


def test_every_seed_purpose_and_epoch_draws_for_itself() -> None:
    seeds = [
        derived_seed(seed, purpose, epoch=epoch)
        for seed, purpose, epoch in itertools.product(range(5), Purpose, range(20))
    ]
    assert len(set(seeds)) == len(seeds)


def test_a_seed_does_not_change_between_versions() -> None:
    """Runs that are resumed with a later version have to draw what they would have drawn."""
    assert derived_seed(0, Purpose.ORDER, epoch=1) == 3108398236813484367


def test_generators_repeat() -> None:
    first, second = (torch.rand(3, generator=derived_generator(4, Purpose.LOSS, epoch=2, device=CPU)) for _ in range(2))
    assert torch.equal(first, second)


def test_the_block_is_seeded_and_the_caller_is_not_disturbed() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded_global_rng(3, device=CPU):
            draws.append(torch.rand(4))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_caller_is_not_disturbed_by_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), seeded_global_rng(3, device=CPU):
        torch.rand(4)
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)
