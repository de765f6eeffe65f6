"""Greedy coreset: the slow textbook loop chooses the same, and rare vectors are kept."""

import numpy as np
import torch

from weldcache.train.nn.coreset import MergedCoreset, even_sample, greedy_coreset


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


def test_a_coreset_of_coresets_keeps_what_is_rare_in_a_stream_of_any_length() -> None:
    rng = np.random.default_rng(4)
    vectors = torch.from_numpy(rng.normal(size=(3000, 6))).float()
    vectors[700], vectors[2900] = 40.0, -40.0
    stream = MergedCoreset(6, size=50, generator=_drawn(5))
    for part in vectors.split(170):
        stream.add(part)
    kept = stream.coreset()
    assert len(kept) == 50 and stream.seen == 3000
    assert (torch.cdist(vectors[[700, 2900]], kept).amin(dim=1) == 0).all()
    furthest = torch.cdist(vectors, kept).amin(dim=1).max()
    at_once = vectors[greedy_coreset(vectors, size=50, generator=_drawn(5))]
    assert furthest < 2 * torch.cdist(vectors, at_once).amin(dim=1).max()
    short = MergedCoreset(6, size=50, generator=_drawn(5))
    short.add(vectors[:20])
    assert torch.equal(short.coreset(), vectors[:20])


def test_an_even_sample_takes_dense_and_sparse_regions_by_their_extent() -> None:
    """As many vectors in a square of side 1 as in one of side 10: their neighbours are ten times as near."""
    rng = np.random.default_rng(6)
    dense, sparse = rng.uniform(size=(2000, 2)), 100 + 10 * rng.uniform(size=(2000, 2))
    vectors = torch.from_numpy(np.concatenate([dense, sparse])).float()
    chosen = even_sample(vectors, size=400, generator=_drawn(7))
    assert len(chosen.unique()) == 400
    share = float((chosen >= 2000).double().mean())
    assert 0.85 < share < 0.95  # 10 / 11, a little less as sparse ones run out
    assert torch.equal(chosen, even_sample(vectors, size=400, generator=_drawn(7)))
