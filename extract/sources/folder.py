"""Pictures in folders named by their classes: good/ and defects/, or train/, test/ and ground_truth/ as in MVTec AD.

good/a.png                       a picture is a sample
good/part_1/{left,right}.png     a folder beside it is one too, and its pictures are views
defects/scratch/b.png            folders in defects/ are classes, and so is any other beside good/
train/good/c.png                 the same in train/, val/ and test/, where the data set is split already
ground_truth/scratch/b_mask.png  where b.png is defective
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ...errors import NotFoundError
from ...progress import say
from ...wording import count_of, shortened
from ..settings import SOURCE
from .classes import ClassSettings, ClassSource, is_any_defect, targets_of_classes, tell_if_none_is_normal
from .group_split import SPLIT_WORDS, SplitSettings, draw_splits, draw_validation
from .listing import PICTURE_FORMATS, PictureTree
from .source import Sample, Split

_MASKS = "ground_truth"
_SHOWN = 5  # names in a message


class FolderSettings(SplitSettings, ClassSettings):
    """Pictures in folders: good/ and defects/, or train/, test/ and ground_truth/ as in MVTec AD."""

    source: str = Field("folder", description=SOURCE)


@dataclass(frozen=True)
class _Found:
    """The pictures of one sample, as views, and where each lies below the folder of its split, without suffix."""

    key: str
    pictures: Mapping[Path, Path]  # picture -> place
    class_name: str
    split: Split | None


@dataclass(frozen=True)
class FolderSource(ClassSource):
    """One sample a picture, or a folder of views, in the order of keys.

    What no folder says is drawn by `split_seed`: validation from train, or all splits where none is there.
    """

    noun: ClassVar[str] = "picture"
    settings: FolderSettings
    written: frozenset[Path] = frozenset()  # by weldcache itself; resolved

    def without(self, paths: frozenset[Path]) -> "FolderSource":
        return replace(self, written=paths)

    def list_samples(self) -> Sequence[Sample]:
        root, tree = self.settings.root, PictureTree(self.settings.root, written=self.written)
        found, masks = sorted(_find(tree), key=lambda each: each.key), tree.masks(root / _MASKS)
        if not found:
            raise NotFoundError(f"{root} has no pictures ({', '.join(PICTURE_FORMATS)}) in folders of classes.")
        places = {place for each in found for place in each.pictures.values()}
        stray = [f"{tree.key(mask)} is a mask of no picture" for place, mask in masks.items() if place not in places]
        if passed_over := [*tree.passed_over, *stray]:
            say(f"{root}: not read: {shortened(passed_over, most=_SHOWN)}.")
        targets = targets_of_classes([each.class_name for each in found], normal=self.settings.normal_classes)
        tell_if_none_is_normal(root, targets)
        samples = [
            Sample(
                key=each.key,
                split=each.split or "train",
                group=each.key,
                files={"image": tuple(each.pictures)},
                targets=known,
                masks={picture: masks[place] for picture, place in each.pictures.items() if place in masks},
            )
            for each, known in zip(found, targets, strict=True)
        ]
        return self._drawn(samples, told={each.split for each in found})

    def _drawn(self, samples: Sequence[Sample], *, told: set[Split | None]) -> Sequence[Sample]:
        """The samples with splits drawn as far as folders leave it open."""
        settings, seed = self.settings, f"with data.split_seed = {self.settings.split_seed}"
        if told == {None}:
            say(f"{settings.root} has no folders of splits: they are drawn, {seed}.")
            return draw_splits(samples, settings)
        if "val" in told or not settings.val_fraction:
            return samples
        drawn = draw_validation(samples, settings)
        taken = count_of(sum(sample.split == "val" for sample in drawn), self.noun)
        of = sum(sample.split == "train" for sample in samples)
        say(f"{settings.root} has no folder of validation: {taken} of {of:,} in train are drawn for it, {seed}.")
        return drawn


def _find(tree: PictureTree) -> Iterator[_Found]:
    splits = {tree.root / name: SPLIT_WORDS.get(name.lower()) for name in tree.folders(tree.root)}
    for top in [top for top, split in splits.items() if split] or [tree.root]:
        classes = {name: top / name for name in tree.folders(top) if name != _MASKS}
        for name in filter(is_any_defect, list(classes)):
            classes |= {inner: classes[name] / inner for inner in tree.folders(classes[name])}
        for class_name, folder in classes.items():
            found = [(picture, [picture]) for picture in tree.pictures(folder)]
            if not is_any_defect(class_name):  # whose folders are classes
                found += [(folder / name, tree.pictures(folder / name)) for name in tree.folders(folder)]
            for path, pictures in found:
                if pictures:
                    places = {picture: picture.relative_to(top).with_suffix("") for picture in pictures}
                    yield _Found(tree.key(path), places, class_name, splits.get(top))
