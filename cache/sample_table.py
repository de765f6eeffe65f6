"""A store as a table of its samples and as tensors, for who looks at one by hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from ..errors import NotFoundError
from ..wording import count_of, nearest_hint
from .arrays import ArraySpec
from .splits import LEFT_OUT
from .status import Status
from .store import FeatureStore
from .targets import Target
from .tensors import read_tensor


@dataclass(frozen=True, eq=False)
class Store:
    """A store as a table of samples and as tensors; `held` is the store itself, with all that it knows."""

    held: FeatureStore

    def __repr__(self) -> str:
        samples = count_of(len(self.held.index), self.held.noun)
        features = ", ".join(self.held.feature_sets) or "no features"
        return f"{self.held.path}: {samples}; {features}; fingerprint {self.held.fingerprint[:12]}"

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One line a sample, by its key; the columns are those of `index`, `targets`, `attributes` and `status`.

        So `samples["targets"]` is a table too. A target with classes is categorical: its codes are those of the store,
        and unknown is missing. `status` is by feature set, such as `complete` or `absent`.
        """
        index = self.held.index
        parts = {
            "index": {"group": index.groups, "split": index.parts},
            "targets": {name: _column(target) for name, target in index.targets.items()},
            "attributes": dict(index.attributes),
            "status": {name: _statuses(self.held.status(name)) for name in self.held.feature_sets},
        }
        keys = pd.Index(index.keys.tolist(), name="key")
        return pd.concat({part: pd.DataFrame(columns, index=keys) for part, columns in parts.items()}, axis=1)

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """Every array with its shape and type, by the name that `tensor` takes."""
        return {
            f"{feature_set}/{name}": spec
            for feature_set in self.held.feature_sets
            for name, spec in self.held.arrays(feature_set).items()
        }

    def complete(self, *feature_sets: str) -> pd.DataFrame:
        """The samples that have all of these.

        Raises:
            StoreError: if the store has no such feature set.
        """
        has_all = np.ones(len(self.held.index), dtype=bool)
        for name in feature_sets:
            self.held.arrays(name)  # which refuses what the store does not have
            has_all &= self.held.status(name) == Status.COMPLETE
        return self.samples.iloc[np.flatnonzero(has_all)]

    def tensor(self, array: str, keys: Iterable[str] | None = None) -> Tensor:
        """An array such as `video/tokens` on the CPU, one row for each of `keys`, in their order.

        Without `keys`, of all samples that the data set still lists; those of its rows that are not complete are an
        error, so that no row stands for another sample: `tensor(array, complete(feature_set).index)` leaves them out.
        Where a sample lacks some of its views only, these are zeros, and `<feature set>/views_present` says so.

        Raises:
            NotFoundError: if there is no sample of a key.
            StoreError: if there is no such array, or a sample does not have it: see `complete`.
        """
        row_of = self.held.index.row_of()
        listed = self.held.index.keys[self.held.index.parts != LEFT_OUT].tolist()
        asked = list(listed if keys is None else keys)
        for key in asked:
            if key not in row_of:
                raise NotFoundError(f"{self.held.path} has no sample {key!r}.{nearest_hint(str(key), row_of)}")
        return read_tensor(self.held, array, np.array([row_of[key] for key in asked], dtype=np.int64))


def _column(target: Target) -> Any:
    """A target as a column; one array a sample where it is more than a number, and None where a list is not known."""
    if target.values.ndim > 1:
        return [target.real(row) for row in range(target.num_rows)]
    if target.spec.classes is None:
        return target.values
    return pd.Categorical.from_codes(target.values, categories=pd.Index(target.spec.classes))


def _statuses(codes: NDArray[np.uint8]) -> Any:
    return pd.Categorical.from_codes(codes, categories=pd.Index([status.name.lower() for status in sorted(Status)]))
