"""What a store consists of: its groups and arrays in the order in which they are copied, and its complete rows."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from .arrays import ArraySpec
from .nodes import METADATA_FILE, inside, read_array_metadata, read_group_metadata
from .row_tables import TABLES, has_former_tables, table_arrays
from .status import Status
from .store import FeatureStore
from .verification.outcome import VERIFICATION

_GROUPS = ("index/attributes", "constants", "features")  # there even where they hold nothing, as those of records are


def feature_arrays(store: FeatureStore) -> Mapping[str, ArraySpec]:
    """The arrays of features, by their names in the store."""
    return {
        f"features/{name}/{array}": spec for name in store.feature_sets for array, spec in store.arrays(name).items()
    }


def nodes_of(store: FeatureStore) -> dict[str, bool]:
    """Every group and array that is a store's, in the order in which they are copied, and whether it is an array."""
    arrays = [*table_arrays(store.folder), *(f"constants/{name}" for name in store.constants)]
    arrays += [f"{group}/{name}" for group in store.records.layout.groups for name in store.feature_sets]
    arrays += feature_arrays(store)
    above = {str(folder) for name in arrays for folder in PurePosixPath(name).parents}
    verified = [VERIFICATION] if (store.folder / VERIFICATION).is_dir() else []
    tables = () if has_former_tables(store.folder) else TABLES
    groups = (*_GROUPS, *tables, *store.records.layout.groups)
    return {name: name in arrays for name in sorted({".", *groups, *above, *arrays, *verified})}


def complete_rows(store: FeatureStore) -> dict[str, NDArray[np.int64]]:
    """The complete rows, by array of features."""
    rows: dict[str, NDArray[np.int64]] = {}
    for feature_set in store.feature_sets:
        complete = np.flatnonzero(store.status(feature_set) == Status.COMPLETE)
        rows |= {f"features/{feature_set}/{name}": complete for name in store.arrays(feature_set)}
    return rows


def read_node(root: Path, name: str, *, is_array: bool) -> tuple[Path, bytes]:
    """The folder of a group or an array of the store at `root`, and its metadata byte for byte.

    Raises:
        StoreError: if the metadata is gone, or is not that of such a node.
    """
    path = root if name == "." else inside(root, name)
    try:
        (read_array_metadata if is_array else read_group_metadata)(path)
        return path, (path / METADATA_FILE).read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path / METADATA_FILE} is gone: the store is damaged and was not copied.") from None
