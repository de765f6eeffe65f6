"""Greedy coreset: the slow textbook loop chooses the same, and rare vectors are kept."""

import numpy as np
import torch

from weldcache.train.nn.coreset import greedy_coreset


def _drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_is_the_furthest_from_those_before() -> None:
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 5))).float()
    chosen = greedy_coreset(vectors, size=20, generator=_drawn(1)).tolist()
    assert len(set(chosen)) == 20
    for place in range(1, 20):
        distances = torch.cdist(vectors, vectors[chosen[:place]]).amin(dim=1)
        assert chosen[place] == int(distances.argmax())


def test_all_are_chosen_once_though_some_are_equal() -> None:
    vectors = torch.ones(7, 3)
    assert sorted(greedy_coreset(vectors, size=7, generator=_drawn(0)).tolist()) == list(range(7))


def test_wide_vectors_are_covered_far_better_than_by_chance() -> None:
    rng = np.random.default_rng(2)
    crowd, rare = rng.normal(size=(990, 300)) * 0.1, 5 * rng.normal(size=(10, 300))
    vectors = torch.from_numpy(np.concatenate([crowd, rare])).float()
    chosen = greedy_coreset(vectors, size=20, generator=_drawn(3))
    assert set(range(990, 1000)) <= set(chosen.tolist())
    assert torch.cdist(vectors, vectors[chosen]).amin(dim=1).max() < 5
