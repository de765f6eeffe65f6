"""Pictures in folders named by their classes: good/ and defects/, or train/, test/ and ground_truth/ as in MVTec AD.

good/a.png                       a picture is a sample
good/part_1/{left,right}.png     a folder beside it is one too, and its pictures are views
defects/scratch/b.png            folders in defects/ are classes, and so is any other beside good/
train/good/c.png                 the same in train/, val/ and test/, where the data set is split already
ground_truth/scratch/b_mask.png  where b.png is defective
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ...cache.targets import NORMAL, TargetSpec
from ...errors import NotFoundError, SourceError, reason_of
from ...progress import say
from ...wording import count_of, shortened, visible
from ..settings import SOURCE
from .classes import GOOD, ClassSettings, is_one_of, target_specs, targets_of_classes
from .group_split import SplitSettings, draw_splits
from .listing import PICTURE_FORMATS, Listing, composed, list_folder, of_formats
from .source import Sample, Split

SPLIT_FOLDERS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_MASKS = "ground_truth"
_DEFECTS = ("defect", "defects", "defective", "bad", "anomaly", "anomalies", "anomalous", "abnormal", "ng", "nok")
_SHOWN = 5  # names in a message


class FolderSettings(SplitSettings, ClassSettings):
    """Pictures in folders: good/ and defects/, or train/, test/ and ground_truth/ as in MVTec AD."""

    source: str = Field("folder", description=SOURCE)


@dataclass(frozen=True)
class _Found:
    """The pictures of one sample, as views; `top` is the data set's folder, or that of their split."""

    pictures: tuple[Path, ...]
    key: str
    class_name: str
    top: Path
    split: Split | None


@dataclass(frozen=True)
class FolderSource:
    """What no folder says is drawn by `split_seed`: validation from train, or all splits where none is there."""

    noun: ClassVar[str] = "picture"

    settings: FolderSettings

    def targets(self) -> Sequence[TargetSpec]:
        return target_specs(self._samples)

    def samples(self) -> Sequence[Sample]:
        """One sample a picture, or a folder of views, in the order of keys.

        Raises:
            NotFoundError: if there is no picture.
            SourceError: if a folder cannot be listed.
            SettingsError: if the fractions leave nothing for train, or nothing for the defects.
        """
        return self._samples

    @cached_property
    def _samples(self) -> Sequence[Sample]:
        root, passed_over = self.settings.root, list[str]()
        try:
            found = sorted(_find(root, passed_over), key=lambda each: each.key)
            masks = _masks(root)
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be listed ({reason_of(error)}).") from error
        if not found:
            raise NotFoundError(f"{root} has no pictures ({', '.join(PICTURE_FORMATS)}) in folders of classes.")
        if passed_over:
            say(f"{root}: not read: {shortened(passed_over, most=_SHOWN)}.")
        targets = targets_of_classes([each.class_name for each in found], normal=self.settings.normal_classes)
        if not any("label" in known for known in targets):
            names = sorted({each.class_name for each in found})
            say(f"{root}: no class is normal of {shortened(names, most=_SHOWN)}; name it in data.normal_classes.")
        samples = [
            Sample(
                key=each.key,
                split=each.split or "train",
                group=each.key,
                files={"image": each.pictures},
                targets=known,
                masks={
                    picture: masks[place]
                    for picture in each.pictures
                    if (place := picture.relative_to(each.top).with_suffix("")) in masks
                },
            )
            for each, known in zip(found, targets, strict=True)
        ]
        return self._drawn(samples, is_split=any(each.split for each in found))

    def _drawn(self, samples: Sequence[Sample], *, is_split: bool) -> Sequence[Sample]:
        """The samples with splits drawn as far as folders leave it open."""
        if is_split and (not self.settings.val_fraction or any(sample.split == "val" for sample in samples)):
            return samples
        # Of a train folder normal samples alone, if there are any: its defects, which nobody trains on, stay there.
        settings = self.settings
        splits = draw_splits(
            [
                sample
                for sample in samples
                if not is_split or (sample.split == "train" and sample.targets.get("label", NORMAL) == NORMAL)
            ],
            val_fraction=settings.val_fraction,
            test_fraction=0.0 if is_split else settings.test_fraction,
            seed=settings.split_seed,
        )
        what = "no folder of validation" if is_split else "no folders of splits"
        taken = f"{count_of(list(splits.values()).count('val'), self.noun)} of {len(splits):,}"
        say(f"{settings.root} has {what}: {taken} are drawn for it, with data.split_seed = {settings.split_seed}.")
        return [replace(sample, split=splits.get(sample.key, sample.split)) for sample in samples]


def tells_folders(names: Iterable[str], *, normal: Iterable[str]) -> str | None:
    """The first name in a data set's folder that tells of pictures in folders: that of a split or of a normal class."""
    known = (name for name in sorted(names) if name.lower() in SPLIT_FOLDERS or is_one_of(name, (GOOD, *normal)))
    return next(known, None)


def _find(root: Path, passed_over: list[str]) -> Iterator[_Found]:
    def listed(folder: Path) -> Listing:
        listing = list_folder(folder)
        passed_over.extend(f"{_key(folder, root)}/{visible(name)} is {kind}" for name, kind in listing.others.items())
        return listing

    def pictures(listing: Listing) -> list[Path]:
        found = of_formats(listing.files, PICTURE_FORMATS)
        others = [name for name in listing.files if name not in found]
        passed_over.extend(f"{_key(listing.folder / name, root)} is no picture" for name in others)
        return [listing.folder / name for name in found]

    folders = listed(root).folders
    tops: list[tuple[Path, Split | None]] = [
        (root / name, SPLIT_FOLDERS[name.lower()]) for name in folders if name.lower() in SPLIT_FOLDERS
    ]
    for top, split in tops or [(root, None)]:
        classes = {name: top / name for name in listed(top).folders if name != _MASKS}
        for name in [name for name in classes if is_one_of(name, _DEFECTS)]:
            classes |= {inner: classes[name] / inner for inner in listed(classes[name]).folders}
        for class_name, folder in classes.items():
            listing = listed(folder)
            for picture in pictures(listing):
                yield _Found((picture,), _key(picture, root), class_name, top, split)
            for name in () if is_one_of(class_name, _DEFECTS) else listing.folders:
                if views := pictures(listed(folder / name)):
                    yield _Found(tuple(views), _key(folder / name, root), class_name, top, split)


def _key(path: Path, root: Path) -> str:
    return composed(path.relative_to(root).as_posix())


def _masks(root: Path) -> dict[Path, Path]:
    """Masks by the path of the picture below its split, without suffix; they bear its name, or `_mask` behind it."""
    if not (root / _MASKS).is_dir():
        return {}
    paths = [path for path in sorted((root / _MASKS).rglob("*")) if of_formats([path.name], PICTURE_FORMATS)]
    return {path.relative_to(root / _MASKS).with_name(path.stem.removesuffix("_mask")): path for path in paths}
