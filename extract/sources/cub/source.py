"""CUB-200-2011 as a source: a picture is a sample, of which its class and its attributes are targets.

The official test is taken as it is; validation is drawn from the official train, class by class. What people said of
the attributes in a picture is not known of a new one: it is a target like the class, and an input only of features
that are named as an oracle's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
from jaxtyping import Int8
from pydantic import Field

from ....cache.targets import UNKNOWN, TargetSpec
from ....configs.section import Fraction
from ....documents import read_document
from ....errors import NotFoundError, SourceError
from ....progress import say
from ....wording import count_of
from ...settings import SOURCE, DataSettings
from ..folder import FolderSettings, new_pictures
from ..new import NewSamples
from ..source import Sample, Split
from ..synth import DONE_FILE
from .tables import DEFINITELY, IMAGES, PICTURES, PUBLISHED, CubTables, read_tables

FOLDER = "CUB_200_2011"
OFFICIAL = {"train": 5_994, "test": 5_794}
_BOX = ("box_left", "box_top", "box_width", "box_height")
_UNSEEN = 0.5  # in an oracle's numbers, of an attribute that nobody is sure of: halfway between absent and present


class CubSettings(DataSettings):
    """CUB-200-2011: which of its attributes are believed, and how validation is drawn."""

    lists_new: ClassVar[str] = "weldcache.extract.sources.cub.source:new_birds"

    source: str = Field("cub", description=SOURCE)
    counts: Literal["published", "any"] = Field(
        "published",
        description="published: 11,788 pictures, 200 classes and 312 attributes have to be there, or in a folder that "
        "`weldcache synth` made as many as it made; any: whatever is there, as of a part of the data set.",
    )
    min_certainty: Annotated[int, Field(ge=2, le=DEFINITELY)] = Field(
        3,
        description="How certain somebody has to have been of an attribute, from 2 (guessing) over 3 (probably) to 4 "
        "(definitely); of what is less certain or not visible it is not known whether it is there.",
    )
    val_fraction: Fraction = Field(0.2, description="Share of each class's pictures in train that validation is of.")
    split_seed: int = Field(0, ge=0, description="Seed of the validation that is drawn.")


@dataclass(frozen=True)
class CubSource:
    """One sample a picture, in the order of their ids."""

    noun: ClassVar[str] = "bird"
    settings: CubSettings

    def targets(self) -> Sequence[TargetSpec]:
        names = tuple(self._tables.attribute_names)
        return (
            TargetSpec("class", "int16", classes=tuple(self._tables.class_names)),
            TargetSpec("attributes", "int8", shape=(len(names),), value_names=names),
            TargetSpec("class_attributes", "float32", shape=(len(names),), value_names=names),
        )

    def samples(self) -> Sequence[Sample]:
        return self._listed

    @cached_property
    def _folder(self) -> Path:
        """Where the tables lie: the data set's folder, or what the archive has in it.

        Raises:
            NotFoundError: if there are none.
        """
        root = self.settings.root
        for folder in (root, root / FOLDER):
            if (folder / IMAGES).is_file():
                return folder
        raise NotFoundError(
            f"There is no {IMAGES} in {root} or {root / FOLDER}: name the folder of CUB-200-2011 with --data, or make "
            "a synthetic one with `weldcache synth PATH --field cub`."
        )

    @cached_property
    def _tables(self) -> CubTables:
        return read_tables(self._folder, expected={} if self.settings.counts == "any" else self._expected())

    def _expected(self) -> Mapping[str, int]:
        path = self.settings.root / DONE_FILE
        if not path.exists():
            return PUBLISHED
        try:
            told = read_document(path)
            return {what: int(told[what]) for what in PUBLISHED}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SourceError(f"{path} does not say what `weldcache synth` made there ({error}).") from None

    @cached_property
    def _listed(self) -> Sequence[Sample]:
        tables, settings = self._tables, self.settings
        self._require_official(tables)
        attributes = known_attributes(tables, min_certainty=settings.min_certainty).tolist()
        # Read as an oracle's numbers, of which there are three, so that all pictures share them.
        number = {1: 1.0, 0: 0.0, UNKNOWN: _UNSEEN}
        of_classes = [tuple(each) for each in tables.class_attributes.tolist()]
        samples = [
            Sample(
                key=str(Path(picture).with_suffix("")),
                split="train" if is_train else "test",
                group=str(Path(picture).with_suffix("")),
                files={"image": (self._folder / PICTURES / picture,)},
                targets={"class": code, "attributes": present, "class_attributes": of_classes[code]},
                attributes=dict(zip(_BOX, box.tolist(), strict=True)),
                vectors={
                    "oracle_attributes": tuple(number[each] for each in present),
                    "oracle_class_attributes": of_classes[code],
                },
            )
            for picture, code, is_train, box, present in zip(
                tables.pictures, tables.classes.tolist(), tables.is_train, tables.boxes, attributes, strict=True
            )
        ]
        if tables.num_irregular:
            say(
                f"{self._folder}: {count_of(tables.num_irregular, 'line')} of image attributes with more fields than "
                "there should be; the first four were taken."
            )
        return self._with_validation(samples)

    def _require_official(self, tables: CubTables) -> None:
        """The published data set has to be split as it was published."""
        found = {"train": int(tables.is_train.sum()), "test": int((~tables.is_train).sum())}
        if len(tables.pictures) == PUBLISHED["pictures"] and found != OFFICIAL and self.settings.counts == "published":
            raise SourceError(
                f"{self._folder}: train_test_split.txt has {found['train']:,} pictures in train and {found['test']:,} "
                f"in test, and the official split {OFFICIAL['train']:,} and {OFFICIAL['test']:,}."
            )

    def _with_validation(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Validation out of train, as large a share of each class, and one picture at the least; test as it is."""
        settings = self.settings
        if not settings.val_fraction:
            return samples
        of_class: dict[object, list[int]] = {}
        for place, sample in enumerate(samples):
            if sample.split == "train":
                of_class.setdefault(sample.targets["class"], []).append(place)
        taken = set[int]()
        for number, places in of_class.items():
            order = np.random.default_rng([settings.split_seed, cast(int, number)]).permutation(places)
            taken.update(order[: max(1, round(settings.val_fraction * len(places)))].tolist())
        say(
            f"{self._folder}: {count_of(len(taken), self.noun)} of {sum(map(len, of_class.values())):,} in the "
            f"official train are drawn for validation, with data.split_seed = {settings.split_seed}; the official test "
            "is left as it is."
        )
        drawn_from = frozenset[Split](("train", "val"))
        return [
            sample
            if sample.split == "test"
            else replace(sample, split="val" if place in taken else "train", drawn_from=drawn_from)
            for place, sample in enumerate(samples)
        ]


def known_attributes(tables: CubTables, *, min_certainty: int) -> Int8[np.ndarray, "picture attribute"]:
    """1 present, 0 absent; UNKNOWN where nobody is as certain as that, as of what cannot be seen."""
    return np.where(tables.certainty >= min_certainty, tables.present, np.int8(UNKNOWN))


def new_birds(settings: CubSettings, path: Path, *, num_views: int) -> NewSamples:
    """Photographs that nobody has looked at yet, of a file or of a folder; raises as `new_pictures`."""
    found = new_pictures(FolderSettings(root=settings.root), path, num_views=num_views)
    return replace(found, noun=CubSource.noun)
