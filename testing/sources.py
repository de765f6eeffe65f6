"""What every source keeps to. A class of tests subclasses `SourceContract` and gives a source of a data set on disk."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ..cache.targets import check_values, target_of
from ..extract.sources.source import SPLITS, Sample, Source, series_told


class SourceContract(ABC):
    """Subclasses are collected; their data set has all three splits, and normal samples in train if it knows labels."""

    @abstractmethod
    def make(self, root: Path) -> Source:
        """A source of a data set that is written below `root`; called twice for one folder, it says the same."""

    def samples(self, root: Path) -> Sequence[Sample]:
        samples = self.make(root).samples()
        assert samples
        return samples

    def test_it_is_a_source_and_says_a_noun(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        assert isinstance(source, Source)
        assert source.noun.isprintable() and source.noun == source.noun.strip().lower() != ""

    def test_keys_are_unique_and_printable(self, tmp_path: Path) -> None:
        keys = [sample.key for sample in self.samples(tmp_path)]
        assert len(set(keys)) == len(keys)
        assert all(key and key.isprintable() for key in keys)

    def test_two_looks_are_the_same(self, tmp_path: Path) -> None:
        assert list(self.samples(tmp_path)) == list(self.samples(tmp_path))
        assert self.make(tmp_path).targets() == self.make(tmp_path).targets()

    def test_splits_are_known_and_a_group_is_in_one(self, tmp_path: Path) -> None:
        samples = self.samples(tmp_path)
        assert {sample.split for sample in samples} == set(SPLITS)
        splits = {(sample.group, sample.split) for sample in samples}
        assert len(splits) == len({group for group, _ in splits})

    def test_files_are_there_below_the_root_and_belong_to_one_stream(self, tmp_path: Path) -> None:
        for sample in self.samples(tmp_path):
            for stream, files in sample.files.items():
                assert files and all(path.is_file() and path.is_relative_to(tmp_path) for path in files)
                assert stream not in sample.absent

    def test_what_is_absent_has_a_reason(self, tmp_path: Path) -> None:
        for sample in self.samples(tmp_path):
            assert sample.unreadable <= sample.absent.keys()
            assert all(why.strip() for why in sample.absent.values())

    def test_targets_fit_their_declarations(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        samples, declared = source.samples(), {spec.name: spec for spec in source.targets()}
        assert {name for sample in samples for name in sample.targets} <= declared.keys()
        for name, spec in declared.items():
            values = [sample.targets.get(name) for sample in samples]
            target = target_of(spec, values, keys=[sample.key for sample in samples])
            check_values(spec, target.values, target.lengths)

    def test_no_defect_is_trained_on_as_normal(self, tmp_path: Path) -> None:
        labels = {sample.targets.get("label") for sample in self.samples(tmp_path) if sample.split == "train"}
        assert labels == {None} or 0 in labels  # classes alone, such as kinds of animals, are no defects

    def test_attributes_are_the_same_of_all(self, tmp_path: Path) -> None:
        assert len({frozenset(sample.attributes) for sample in self.samples(tmp_path)}) == 1

    def test_masks_are_of_its_pictures(self, tmp_path: Path) -> None:
        for sample in self.samples(tmp_path):
            pictures = {path for files in sample.files.values() for path in files}
            assert sample.masks.keys() <= pictures
            assert all(mask.is_file() for mask in sample.masks.values())

    def test_what_it_tells_of_measurements_fits_together(self, tmp_path: Path) -> None:
        for series in series_told(self.make(tmp_path)).values():
            assert len(set(series.channels)) == len(series.channels) == len(series.limits) > 0
            assert series.clock not in series.channels
            assert series.active is None or series.active[0] in series.channels
