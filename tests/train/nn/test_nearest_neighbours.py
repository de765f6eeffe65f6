import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from weldcache.train.nn import nearest_neighbours
from weldcache.train.nn.nearest_neighbours import NearestNeighbours, Reservoir, nearest_others


def _vectors(count: int, *, width: int = 24, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def _filled(
    bank: torch.Tensor, *, num_neighbours: int = 1, metric: nearest_neighbours.Metric = "l2"
) -> NearestNeighbours:
    search = NearestNeighbours(bank.shape[1], num_neighbours=num_neighbours, metric=metric)
    search.fill(bank)
    return search


def _by_scikit_learn(bank: torch.Tensor, queries: torch.Tensor, *, num_neighbours: int, metric: str) -> torch.Tensor:
    finder = NearestNeighbors(n_neighbors=num_neighbours, metric=metric, algorithm="brute").fit(bank.double().numpy())
    return torch.from_numpy(finder.kneighbors(queries.double().numpy())[0].mean(axis=1)).float()


@pytest.mark.parametrize("num_neighbours", [1, 4])
@pytest.mark.parametrize(("metric", "theirs"), [("cosine", "cosine"), ("l2", "euclidean")])
def test_distances_are_those_of_scikit_learn(
    metric: nearest_neighbours.Metric, theirs: str, num_neighbours: int
) -> None:
    bank, queries = _vectors(90), _vectors(37, seed=1)
    distances = _filled(bank, num_neighbours=num_neighbours, metric=metric)(queries)
    expected = _by_scikit_learn(bank, queries, num_neighbours=num_neighbours, metric=theirs)
    torch.testing.assert_close(distances, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_blocks_of_bank_and_queries_change_nothing(
    metric: nearest_neighbours.Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, queries = _filled(_vectors(90), num_neighbours=5, metric=metric), _vectors(37, seed=1)
    whole = search(queries)
    monkeypatch.setattr(nearest_neighbours, "_BANK_AT_ONCE", 4)  # fewer than are asked for
    monkeypatch.setattr(nearest_neighbours, "_VALUES_AT_ONCE", 7 * 5 * 24)
    torch.testing.assert_close(search(queries), whole, rtol=1e-5, atol=1e-6)


def test_a_large_offset_costs_no_digits() -> None:
    bank, queries = _vectors(90), _vectors(37, seed=1)
    moved = 1000 + bank, 1000 + queries
    expected = _by_scikit_learn(*moved, num_neighbours=3, metric="euclidean")
    torch.testing.assert_close(_filled(moved[0], num_neighbours=3)(moved[1]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_vector_of_the_bank_is_at_distance_zero(metric: nearest_neighbours.Metric) -> None:
    bank = _vectors(90)
    assert (_filled(bank, metric=metric)(bank) == 0).all()


def test_half_precision_around_it_changes_nothing() -> None:
    search, queries = _filled(_vectors(90)), _vectors(37, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(search(queries), search(queries.float()))
        inside = search(queries)
    assert torch.equal(inside, search(queries))


@pytest.mark.parametrize("twice", [False, True])
def test_the_nearest_others_of_a_bank_leave_each_itself_out(twice: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = _vectors(40).repeat(2, 1) if twice else _vectors(80)
    monkeypatch.setattr(nearest_neighbours, "_BANK_AT_ONCE", 16)
    monkeypatch.setattr(nearest_neighbours, "_VALUES_AT_ONCE", 7 * 4 * 24)
    squared, places = nearest_others(bank, num=3)
    finder = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(bank.double().numpy())
    expected = torch.from_numpy(finder.kneighbors()[0]).float()
    torch.testing.assert_close(squared.sqrt(), expected, rtol=1e-5, atol=1e-4)
    assert (places != torch.arange(80).unsqueeze(1)).all()


def test_a_reservoir_within_its_limit_is_everything_in_order() -> None:
    reservoir = Reservoir(3, limit=10, generator=torch.Generator())
    vectors = _vectors(10, width=3)
    for part in vectors.split(4):
        reservoir.add(part)
    assert torch.equal(reservoir.vectors, vectors)
    assert reservoir.seen == 10


def test_a_reservoir_keeps_distinct_vectors_and_no_more_than_its_limit() -> None:
    reservoir = Reservoir(1, limit=16, generator=torch.Generator())
    for part in torch.arange(100.0).unsqueeze(1).split(7):
        reservoir.add(part.half())
        assert len(reservoir.vectors) <= 16
    assert len(reservoir.vectors.unique()) == 16
    assert reservoir.vectors.dtype == torch.float32
    assert reservoir.seen == 100


def test_a_reservoir_holds_copies_as_a_stream_may_use_its_memory_again() -> None:
    reservoir, memory = Reservoir(1, limit=6, generator=torch.Generator()), torch.empty(2, 1)
    for start in (0.0, 2.0, 4.0):
        torch.arange(start, start + 2, out=memory.squeeze(1))
        reservoir.add(memory)
    assert reservoir.vectors.squeeze(1).tolist() == [0, 1, 2, 3, 4, 5]


def test_every_vector_of_the_stream_has_the_same_chance() -> None:
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(20)
    for _ in range(2000):
        reservoir = Reservoir(1, limit=5, generator=generator)
        for part in torch.arange(20.0).unsqueeze(1).split([3, 9, 8]):
            reservoir.add(part)
        counts[reservoir.vectors.long().squeeze(1)] += 1
    # 500 each on average, with a standard deviation of 19
    assert (counts - 500).abs().max() < 80


def test_the_seed_decides_the_sample() -> None:
    def sample(seed: int) -> torch.Tensor:
        reservoir = Reservoir(1, limit=5, generator=torch.Generator().manual_seed(seed))
        for part in torch.arange(50.0).unsqueeze(1).split(8):
            reservoir.add(part)
        return reservoir.vectors

    assert torch.equal(sample(1), sample(1))
    assert not torch.equal(sample(1), sample(2))
