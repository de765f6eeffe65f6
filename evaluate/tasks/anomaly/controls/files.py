"""What is known of the files of samples without looking into them."""

import numpy as np
from numpy.typing import NDArray

from .....cache.status import Status
from .....cache.store import FeatureStore
from .....train.data.features import Rows
from .....train.recipes.recipe import Recipe
from ....scores import Attributes


def file_metadata(store: FeatureStore, rows: Rows, *, recipe: Recipe) -> Attributes:
    """Number of files, logarithm of their bytes, and lengths as far as the store has them, one value a row and modality
    that `recipe` looks at; 0 where a row lacks the modality.

    Bytes of compressed files say a little of what these show, too: a control that takes them is rather too good.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for modality, names in recipe.needs().modalities.items():
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
