"""Pictures in folders named by their classes: good/ and defects/, or train/, test/ and ground_truth/ as in MVTec AD.

good/a.png                       a picture is a sample
good/part_1/{left,right}.png     a folder beside it is one too, and its pictures are views
defects/scratch/b.png            folders in defects/ are classes, and so is any other beside good/
train/good/c.png                 the same in train/, val/ and test/, where the data set is split already
ground_truth/scratch/b_mask.png  where b.png is defective
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ...errors import NotFoundError, SourceError
from ...progress import say
from ...wording import count_of, shortened
from ..settings import SOURCE
from .classes import (
    GOOD,
    ClassSettings,
    ClassSource,
    is_any_defect,
    is_one_of,
    targets_of_classes,
    tell_if_none_is_normal,
)
from .group_split import SPLIT_WORDS, SplitSettings, draw_splits, draw_validation
from .listing import PICTURE_FORMATS, PictureTree, of_formats
from .new import NewSamples
from .source import Sample, Split

_MASKS = "ground_truth"
_SHOWN = 5  # names in a message


class FolderSettings(SplitSettings, ClassSettings):
    """Pictures in folders: good/ and defects/, or train/, test/ and ground_truth/ as in MVTec AD."""

    lists_new: ClassVar[str] = "weldcache.extract.sources.folder:new_pictures"

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


def name_that_tells(names: Iterable[str], *, normal: Iterable[str]) -> str | None:
    """The first name in a data set's folder that tells of pictures in folders: that of a split or of a normal class."""
    known = (name for name in sorted(names) if name.lower() in SPLIT_WORDS or is_one_of(name, (GOOD, *normal)))
    return next(known, None)


def new_pictures(settings: FolderSettings, path: Path, *, num_views: int) -> NewSamples:
    """Pictures that nobody has judged yet, of a file or of a folder.

    A folder of this layout is listed as a data set is. In any other each picture is a sample; but where `num_views`
    are looked at, a folder of no more pictures than that is one, and these are its views.

    Raises:
        SourceError: if the file is no picture, or a folder cannot be listed.
    """
    if not path.is_dir():
        if not of_formats([path.name], PICTURE_FORMATS):
            raise SourceError(f"{path} is no picture ({', '.join(PICTURE_FORMATS)}).")
        return NewSamples(FolderSource.noun, path.parent, [_new(path.name, [path])])
    tree = PictureTree(path)
    if name_that_tells(tree.folders(path), normal=settings.normal_classes) is not None:
        found = [_new(each.key, list(each.pictures)) for each in _find(tree)]
    else:
        found = list(_new_below(tree, path, num_views=num_views))
    told = [f"{path}: not read: {shortened(tree.passed_over, most=_SHOWN)}."] if tree.passed_over else []
    return NewSamples(FolderSource.noun, path, sorted(found, key=lambda sample: sample.key), told=told)


def _new_below(tree: PictureTree, folder: Path, *, num_views: int) -> Iterator[Sample]:
    pictures = tree.pictures(folder)
    if num_views > 1 and 0 < len(pictures) <= num_views:
        yield _new(folder.name if folder == tree.root else tree.key(folder), pictures)
    else:
        yield from (_new(tree.key(picture), [picture]) for picture in pictures)
    for name in tree.folders(folder):
        yield from _new_below(tree, folder / name, num_views=num_views)


def _new(key: str, pictures: Sequence[Path]) -> Sample:
    return Sample(key=key, split="test", group=key, files={"image": tuple(pictures)})
