"""What every kind of feature keeps to: subclass `FeatureKindContract` and give an encoder and samples that it reads."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ..cache.tensors import to_storage
from ..extract.features.kind import Encoder, Features, Prepared, Reader
from ..extract.sources.source import Sample


class FeatureKindContract(ABC):
    """The tests; `root` is a fixture to override where the data set is there already."""

    @abstractmethod
    def encoder(self, root: Path) -> Encoder:
        """The encoder, always with the same settings, its weights not loaded."""

    @abstractmethod
    def samples(self, root: Path) -> Sequence[Sample]:
        """Two samples at least that can be read."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def loaded(self, root: Path) -> Encoder:
        encoder = self.encoder(root)
        encoder.load()
        return encoder

    def test_it_is_described_before_its_weights_are_there(self, root: Path, loaded: Encoder) -> None:
        encoder = self.encoder(root)
        assert isinstance(encoder, Encoder) and isinstance(encoder.reader, Reader)
        assert list(encoder.specs) == list(loaded.specs) == list(self.encoder(root).specs)
        names = [spec.name for spec in encoder.specs]
        assert len(set(names)) == len(names) > 0
        assert encoder.reader.stream

    def test_what_is_read_is_the_same_in_every_worker(self, root: Path, loaded: Encoder) -> None:
        sample = self.samples(root)[0]
        assert all(path.is_file() for path in loaded.reader.files(sample))
        here, there = loaded.reader(sample), copy.deepcopy(loaded.reader)(sample)
        assert here.notes == there.notes
        _assert_close({"": here.tensors}, {"": there.tensors}, exactly=True)

    def test_what_is_encoded_fits_the_store(self, root: Path, loaded: Encoder) -> None:
        samples = self.samples(root)[:2]
        found = _encoded(loaded, [loaded.reader(sample) for sample in samples])
        assert found.keys() == {spec.name for spec in loaded.specs}
        for spec in loaded.specs:
            assert found[spec.name].keys() == {array.name for array in spec.arrays}
            for array in spec.arrays:
                to_storage(found[spec.name][array.name], array, owners=[sample.key for sample in samples])

    def test_a_sample_is_encoded_alike_whoever_is_beside_it(self, root: Path, loaded: Encoder) -> None:
        prepared = [loaded.reader(sample) for sample in self.samples(root)[:2]]
        together, alone = _encoded(loaded, prepared), _encoded(loaded, prepared[1:])
        second = {name: {key: values[1:] for key, values in arrays.items()} for name, arrays in together.items()}
        _assert_close(second, alone)

    def test_only_what_is_asked_for_is_made_and_counted(self, root: Path, loaded: Encoder) -> None:
        prepared, first = loaded.reader(self.samples(root)[0]), loaded.specs[0].name
        everything = frozenset(spec.name for spec in loaded.specs)
        assert _encoded(loaded, [prepared], feature_sets=frozenset({first})).keys() == {first}
        cost = loaded.flops(prepared, feature_sets=frozenset({first}))
        assert 0 <= cost <= loaded.flops(prepared, feature_sets=everything)


def _encoded(encoder: Encoder, prepared: Sequence[Prepared], *, feature_sets: frozenset[str] | None = None) -> Features:
    asked = frozenset(spec.name for spec in encoder.specs) if feature_sets is None else feature_sets
    return encoder.encode(prepared, feature_sets=asked)


def _assert_close(
    one: Mapping[str, Mapping[str, Tensor]], other: Mapping[str, Mapping[str, Tensor]], *, exactly: bool = False
) -> None:
    tolerance = 0.0 if exactly else 1e-4
    assert one.keys() == other.keys()
    for name, tensors in one.items():
        assert tensors.keys() == other[name].keys()
        for key, values in tensors.items():
            torch.testing.assert_close(
                values.cpu(), other[name][key].cpu(), rtol=tolerance, atol=tolerance, equal_nan=True
            )
