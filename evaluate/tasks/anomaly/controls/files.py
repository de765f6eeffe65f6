"""What is known of samples without looking into their files: which modalities they have, and how large these are."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from .....cache.status import SourceFile, Status
from .....cache.store import FeatureStore
from .....train.data.features import Rows
from .....train.recipes.recipe import Recipe
from ....scores import Attributes, ScoreTable
from .control import Control, Rival
from .nearest import nearest_train_distances

PRESENCE = Rival("presence control", "which modalities a sample has")


def presence_control(table: ScoreTable, *, present: Attributes, train_present: Attributes) -> Control:
    """How many modalities fewer or more a sample has than the training sample that is most like it in this; see
    `modalities_present`."""
    together = [np.concatenate([train_present[name], each]) for name, each in present.items()]
    if not together or all(np.ptp(each) == 0 for each in together):
        return PRESENCE.measured("all samples have the same modalities", table)
    return PRESENCE.measured(nearest_train_distances(present, train=train_present), table)


def modalities_present(store: FeatureStore, rows: Rows, *, recipe: Recipe) -> Attributes:
    """Which of the rows have each modality that `recipe` looks at, all of it: 1, or 0."""
    return {
        modality: np.all([store.status(name)[rows] == Status.COMPLETE for name in names], axis=0).astype(np.float64)
        for modality, names in recipe.needs().modalities.items()
    }


def file_metadata(store: FeatureStore, rows: Rows, *, recipe: Recipe) -> Attributes:
    """Number of files, logarithm of their bytes and of the largest one's, their endings, how much there is in them
    (pixels of width and height, frames, seconds; the mean of a row's files) and lengths as far as the store has them,
    one value a row and modality that `recipe` looks at; 0 or "" where a row lacks the modality.

    Bytes of compressed files say a little of what these show, too: a control that takes them is rather too good. What
    is not told of every row that has the modality, as of rows that a former version made, is left out: else it would
    tell when a row was made.
    """
    columns: dict[str, NDArray[np.float64] | NDArray[np.character]] = {}
    for modality, names in recipe.needs().modalities.items():
        name = names[0]  # sets of one modality are made from the same files
        complete = store.status(name)[rows] == Status.COMPLETE
        sources = store.sources(name, rows[complete])
        columns[f"{modality} files"] = _spread(np.array([len(files) for files in sources]), complete)
        num_bytes = np.array([sum(file.size for file in files) for files in sources])
        columns[f"{modality} bytes"] = _spread(np.log1p(num_bytes), complete)
        largest = np.array([max((file.size for file in files), default=0) for files in sources])
        columns[f"{modality} largest bytes"] = _spread(np.log1p(largest), complete)
        endings = iter([sorted({PurePosixPath(file.path).suffix.lower() for file in files}) for files in sources])
        named = ["+".join(next(endings)) if there else "" for there in complete]
        columns[f"{modality} endings"] = np.array(named, dtype=np.str_)
        for extent in _told_of_all(sources):
            means = [np.mean([file.extent[extent] for file in files if extent in file.extent]) for files in sources]
            columns[f"{modality} {extent}"] = _spread(np.array(means), complete)
        for array, lengths in _lengths(store, name, rows[complete]).items():
            columns[f"{modality} {array}"] = _spread(lengths, complete)
    return columns


def file_metadata_of_parts(store: FeatureStore, parts: Sequence[Rows], *, recipe: Recipe) -> list[Attributes]:
    """`file_metadata` of each of the parts, looked at together so that all have the same columns."""
    told = file_metadata(store, np.concatenate(parts), recipe=recipe)
    ends = np.cumsum([0, *map(len, parts)])
    return [{name: each[first:end] for name, each in told.items()} for first, end in pairwise(ends.tolist())]


def _told_of_all(sources: Sequence[Sequence[SourceFile]]) -> list[str]:
    """The extents that are known of a file of each row."""
    of_rows = [{name for file in files for name in file.extent} for files in sources]
    return sorted(set.intersection(*of_rows)) if of_rows else []


def _lengths(store: FeatureStore, feature_set: str, rows: Rows) -> dict[str, NDArray[np.generic]]:
    """Tokens that are not padding, and seconds from the first time stamp to the last."""
    found: dict[str, NDArray[np.generic]] = {}
    for name, spec in store.arrays(feature_set).items():
        if name.endswith("_length") and spec.shape == ():
            found[name] = store.read(f"{feature_set}/{name}", rows)
        elif name == "times":
            found[name] = np.ptp(store.read(f"{feature_set}/{name}", rows), axis=1)
    return found


def _spread(values: NDArray[np.generic], complete: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of the complete rows at their places among all."""
    column = np.zeros(len(complete))
    column[complete] = values
    return column
