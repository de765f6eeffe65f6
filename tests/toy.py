"""Small things that many tests are made of; what is slow to import is imported by what uses it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from weldcache.cache.index import Index, class_and_label, index_with
from weldcache.cache.records import Record
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.extract.decode.image import decode_photographs


def index_of(
    *,
    keys: Sequence[str],
    splits: Sequence[str],
    groups: Sequence[str],
    class_names: Sequence[str],
    labels: Sequence[int],
    attributes: Mapping[str, Sequence[float | str]],
) -> Index:
    """The index of samples whose targets are a class and a label."""
    return index_with(
        keys=keys,
        parts=splits,
        groups=groups,
        targets=class_and_label(np.asarray(class_names, dtype=np.str_), np.asarray(labels, dtype=np.int64)),
        attributes=attributes,
    )


def lose(store: FeatureStore, feature_sets: Iterable[str], rows: Iterable[int]) -> None:
    """Record rows as those of samples that have no such file."""
    rows = list(rows)
    StoreWriter(store).record(
        [Record(name, row, Status.ABSENT, "no file", ()) for name in feature_sets for row in rows]
    )


def undraw(patch: pytest.MonkeyPatch) -> None:
    """Leave a report's pictures out, and how maps agree with masks, which take most of an evaluation's time; the run
    `judged`, report/ and localise/ have them."""
    from weldcache.evaluate.localise.masks import MaskFiles
    from weldcache.evaluate.shown import Shown

    patch.setattr("weldcache.evaluate.report.drawing._drawn", lambda figure, form: b"")
    patch.setattr("weldcache.evaluate.pipeline.shown_of", lambda _, judgement, **__: Shown(judgement.sections))
    patch.setattr("weldcache.evaluate.localise.judged.find_masks", lambda _, **__: MaskFiles({}, "not looked for"))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as the photograph of a sample that has no other."""
    (picture,) = decode_photographs([path], num_views=1).views
    assert picture is not None
    return picture
