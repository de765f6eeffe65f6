"""What is known of each sample's files without what they show: how many, how large, how long."""

import numpy as np
from numpy.typing import NDArray

from ..cache.status import Status
from ..cache.store import FeatureStore
from ..train.data.feature_reader import Rows
from ..train.recipes.recipe import Recipe
from .scores import Attributes


def file_metadata(store: FeatureStore, rows: Rows, *, recipe: Recipe) -> Attributes:
    """Of each row and each modality that `recipe` looks at the number of files, their bytes on a logarithmic scale, and
    how long they are, as far as the store has it; 0 of what a row lacks.

    Bytes of compressed files say a little of what these show, too: a control that takes them is rather too good.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for modality, names in recipe.modalities().items():
        name = names[0]  # sets of one modality are made from the same files
        complete = store.status(name)[rows] == Status.COMPLETE
        sources = store.sources(name, rows[complete])
        columns[f"{modality} files"] = _spread(np.array([len(files) for files in sources]), complete)
        num_bytes = np.array([sum(file.size for file in files) for files in sources])
        columns[f"{modality} bytes"] = _spread(np.log1p(num_bytes), complete)
        for array, lengths in _lengths(store, name, rows[complete]).items():
            columns[f"{modality} {array}"] = _spread(lengths, complete)
    return columns


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
