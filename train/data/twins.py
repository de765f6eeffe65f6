"""Rows of a store that were made from the same files under two names, by the hashes that the store keeps of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...cache.status import Status
from ...cache.store import FeatureStore
from ...wording import shortened
from ..recipes.recipe import Recipe
from .feature_reader import Rows

_NONE = -1
_FEW = 2  # rows; what more are all made from is no recording of any of them


@dataclass(frozen=True)
class Twins:
    """Of rows that were compared with others, those that share files with one of them: key by key.

    Attributes:
        same: most of the modalities that both have come from the same files: one recording under two names.
        sharing: fewer do. One file that stands for many, such as the silence of a failed microphone, is no recording
            that was seen before.
    """

    same: Mapping[str, str]
    sharing: Mapping[str, str]


def find_twins(store: FeatureStore, rows: Rows, others: Rows, *, recipe: Recipe) -> Twins:
    """Compare the files of `rows` with those of `others`, modality by modality as `recipe` looks at them."""
    codes = _file_codes(store, recipe, np.union1d(rows, others))
    known, same, sharing = codes[others], dict[str, str](), dict[str, str]()
    shared = np.zeros(codes.shape, dtype=bool)
    for place, column in enumerate(codes.T):
        shared[:, place] = np.isin(column, known[:, place]) & (column != _NONE)
    for row in rows[shared[rows].any(axis=1)]:  # nearly nobody
        both = (known != _NONE) & (codes[row] != _NONE)
        equal = (known == codes[row]) & both
        share = equal.sum(axis=1) / np.maximum(1, both.sum(axis=1))
        share[others == row] = 0
        nearest = int(share.argmax())
        if share[nearest] > 0:
            found = same if share[nearest] > 0.5 else sharing
            found[str(store.index.keys[row])] = str(store.index.keys[others[nearest]])
    return Twins(same, sharing)


def in_pairs(twins: Mapping[str, str]) -> str:
    """Who is whom, in words: the first few."""
    return shortened([f"{key} = {other}" for key, other in twins.items()], most=3)


def _file_codes(store: FeatureStore, recipe: Recipe, rows: Rows) -> NDArray[np.int64]:
    """For each row of the store and each modality a number that stands for the contents of its files; of other rows
    than `rows`, and where there are none, `_NONE`."""
    numbers: dict[frozenset[str], int] = {}
    needs = recipe.needs()
    modalities = list(needs.modalities.values())
    of_modalities = {name for names in modalities for name in names}
    modalities += [(name,) for name in needs.feature_sets if name not in of_modalities]
    codes = np.full((len(store.index), len(modalities)), _NONE, dtype=np.int64)
    for place, names in enumerate(modalities):
        for name in names:
            complete = rows[store.status(name)[rows] == Status.COMPLETE]
            for row, files in zip(complete.tolist(), store.sources(name, complete), strict=True):
                # Sets of one modality, such as the blocks of the photographs, are made from the same files.
                if files:
                    contents = frozenset(file.sha256 for file in files)
                    codes[row, place] = numbers.setdefault(contents, len(numbers))
        made = codes[:, place] != _NONE
        if made.sum() > _FEW and len(np.unique(codes[made, place])) == 1:
            codes[:, place] = _NONE  # of the one table that the numbers of all stand in
    return codes
