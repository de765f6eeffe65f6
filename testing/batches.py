"""What every source of batches keeps to: subclass `BatchSourceContract` and make yours of rows of a store."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest
import torch

from ..cache.store import FeatureStore
from ..train.data.batches import BatchSource, Order, batches_in_order, shuffled_batches
from ..train.data.features import FeatureReader, Rows
from ..train.types import Batch, Needs


class BatchSourceContract(ABC):
    """The tests; a subclass has a fixture `store`: a feature store that holds what `needs` names.

    All sources give the same batches for the same order: those that are read row by row.
    """

    needs: ClassVar[Needs]  # two arrays at least, one of them of a feature set that rows may lack

    @abstractmethod
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        """A source of these rows with what `needs` says."""

    @pytest.fixture
    def rows(self, store: FeatureStore) -> Rows:
        required = set(self.needs.feature_sets) - set(self.needs.optional)
        return store.rows("val", feature_sets=sorted(required))[::-1].copy()

    @pytest.fixture
    def source(self, store: FeatureStore, rows: Rows) -> BatchSource:
        return self.make(store, rows)

    def test_it_is_a_source_of_its_rows(self, source: BatchSource, rows: Rows) -> None:
        assert isinstance(source, BatchSource) and len(source) == len(rows)
        assert isinstance(source.device, torch.device)

    @pytest.mark.parametrize("shuffled", [False, True])
    def test_batches_are_what_the_store_holds(
        self, source: BatchSource, rows: Rows, store: FeatureStore, shuffled: bool
    ) -> None:
        generator = torch.Generator().manual_seed(3)
        order: Order = (
            shuffled_batches(len(rows), batch_size=5, generator=generator)
            if shuffled
            else batches_in_order(len(rows), batch_size=5)
        )
        reader = FeatureReader(store, self.needs.features, self.needs.targets)
        num = 0
        for places, batch in zip(order, source.batches(order), strict=True):
            assert batch.device.type == source.device.type
            _assert_same(batch, reader.read(rows[places.numpy()]))
            num += 1
        assert num == len(order)

    def test_some_arrays_come_without_the_others_and_without_targets(
        self, source: BatchSource, rows: Rows, store: FeatureStore
    ) -> None:
        some = [next(request.name for request in self.needs.features if request.optional)]
        (batch,) = source.batches([torch.tensor([2, 0])], arrays=some)
        reader = FeatureReader(store, self.needs.features).only(some)
        _assert_same(batch, reader.read(rows[[2, 0]]))

    def test_a_row_may_be_asked_for_again_and_nothing_is_left_over(self, source: BatchSource) -> None:
        first, second = (_copied(next(iter(source.batches([torch.tensor([1, 1])])))) for _ in range(2))
        _assert_same(first, second)
        assert list(source.batches([])) == []

    def test_whoever_stops_early_can_start_again(self, source: BatchSource) -> None:
        order = batches_in_order(len(source), batch_size=2)
        begun = iter(source.batches(order))
        first = _copied(next(begun))
        del begun
        _assert_same(next(iter(source.batches(order))), first)


def _copied(batch: Batch) -> Batch:
    """A copy, for a batch holds until the next is asked for."""
    return Batch(
        *(
            {name: tensor.clone() for name, tensor in of.items()}
            for of in (batch.features, batch.present, batch.targets)
        )
    )


def _assert_same(batch: Batch, expected: Batch) -> None:
    for found, wanted in zip(
        (batch.features, batch.present, batch.targets),
        (expected.features, expected.present, expected.targets),
        strict=True,
    ):
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert found[name].dtype == tensor.dtype
            np.testing.assert_array_equal(found[name].cpu().float().numpy(), tensor.float().numpy())
