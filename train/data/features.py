"""What a recipe needs of a store: whether the store has it and in which shapes; and reading it as batches.

Arrays, which rows have those that rows may lack, and targets.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.targets import LABEL, UNKNOWN
from ...cache.tensors import read_tensor
from ...errors import NotFoundError, SettingsError
from ...settings import Settings
from ...wording import shortened
from ..recipes.recipe import Recipe
from ..types import Batch, FeatureRequest, Shapes, mapped

Rows = NDArray[np.int64]
"""Row numbers in a store."""

_ARRAYS_SHOWN = 8  # in a message


def chosen_for(store: FeatureStore, settings: Settings) -> Settings:
    """The settings with what their recipe leaves open chosen for this store.

    Raises:
        NotFoundError: if it holds nothing that could be chosen.
    """
    arrays = [f"{name}/{array}" for name in store.feature_sets for array in store.arrays(name)]
    return settings.model_copy(update={"recipe": settings.recipe.for_store(arrays)})


def require_features(store: FeatureStore, recipe: Recipe) -> None:
    """Refuse a store that lacks something that the recipe needs.

    Raises:
        NotFoundError: the message names what is missing, what is there, and what to do.
        SettingsError: if what it is to compare tells of other arrays alone; the message names some that will do.
    """
    needs, held = recipe.needs(), (*store.feature_sets, *store.constants)
    missing = [name for name in needs.names if name not in held]
    if missing:
        raise NotFoundError(
            f"{store.path} has no features {', '.join(missing)}; it has {', '.join(held) or 'none yet'}. "
            f"{recipe.advice(missing, held=held)}"
        )
    for request in needs.features:
        arrays = store.arrays(request.feature_set)
        if request.array not in arrays and not request.where_held:
            raise NotFoundError(
                f"{store.path} has no array {request.name}; {request.feature_set} has {', '.join(arrays)}. Choose one "
                "of these, if the recipe lets you, or run `weldcache extract` of this version into another --cache."
            )
        if request.array in arrays and arrays[request.array].is_target:
            raise SettingsError(
                f"{request.name} is to be predicted or judged, and no model may look at it; choose another array."
            )
        if request.compared and arrays[request.array].tells_of_others:
            raise SettingsError(
                f"{request.name} is a mask, a length or times, which only say of other arrays what of them is real, or "
                f"when; have the recipe look at {_that_can_be_compared(store, request.feature_set)}."
            )
    targets = [*targets_of(store), *target_arrays(store)]
    if unknown := [name for name in needs.targets if name not in targets]:
        raise NotFoundError(
            f"{store.path} has no target {', '.join(unknown)}, from which the recipe learns; it has "
            f"{', '.join(targets)}. Choose one of these, or a data set that tells it."
        )


def _that_can_be_compared(store: FeatureStore, feature_set: str) -> str:
    """The arrays that hold evidence, those of this feature set first."""
    sets = sorted(store.feature_sets, key=lambda name: name != feature_set)
    arrays = [
        f"{name}/{array}" for name in sets for array, spec in store.arrays(name).items() if not spec.tells_of_others
    ]
    return shortened(arrays, most=_ARRAYS_SHOWN)


def targets_of(store: FeatureStore) -> Mapping[str, NDArray[np.generic]]:
    """What is to be predicted, one entry a row of the store, by name; -1 or NaN where it is not known."""
    labels = {LABEL.name: store.index.labels}
    others = {name: target for name, target in store.index.targets.items() if name not in labels}
    return labels | {
        # Codes of classes index tensors, which takes 64 bits.
        name: target.values.astype(np.int64) if target.spec.is_integer else target.values
        for name, target in others.items()
        if not target.spec.is_ragged
    }


def target_arrays(store: FeatureStore) -> Sequence[str]:
    """The arrays that are targets, such as a label of each point, by `<feature set>/<array>`; they stay in the store
    until they are asked for, and -1 is what is not known."""
    return [
        f"{name}/{array}" for name in store.feature_sets for array, spec in store.arrays(name).items() if spec.is_target
    ]


def classes_of(store: FeatureStore, recipe: Recipe) -> Mapping[str, tuple[str, ...]]:
    """Names of the classes, in the order of their codes, of each target that a recipe learns from and that has some."""
    specs = {name: store.index.targets[name].spec for name in recipe.needs().targets if name in store.index.targets}
    return {name: spec.classes for name, spec in specs.items() if spec.classes is not None}


def held_requests(store: FeatureStore, requests: Iterable[FeatureRequest]) -> tuple[FeatureRequest, ...]:
    """The requests without those that are made only where an array is held, and it is not."""
    return tuple(
        request for request in requests if not request.where_held or request.array in store.arrays(request.feature_set)
    )


def load_constants(store: FeatureStore, recipe: Recipe) -> Mapping[str, Tensor]:
    """The constants that a recipe needs, by name."""
    return {name: torch.from_numpy(store.constant(name)) for name in recipe.needs().constants}


def shapes_for(store: FeatureStore, recipe: Recipe) -> Shapes:
    """Shapes of everything that a recipe needs: what its module is built from."""
    requests = held_requests(store, recipe.needs().features)
    arrays = {request.name: store.array_spec(request.name).shape for request in requests}
    constants = {name: tuple(value.shape) for name, value in load_constants(store, recipe).items()}
    classes = {f"classes/{target}": (len(names),) for target, names in classes_of(store, recipe).items()}
    known = targets_of(store)  # a target that is an array of the store has its shape in that
    learned = {f"targets/{name}": known[name].shape[1:] for name in recipe.needs().targets if name in known}
    return {**arrays, **constants, **classes, **{name: shape for name, shape in learned.items() if shape}}


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Reads rows as batches on the CPU."""

    store: FeatureStore
    requests: Sequence[FeatureRequest]
    targets: Sequence[str] = ()

    def only(self, arrays: Collection[str] | None) -> "FeatureReader":
        """A reader of the arrays and targets of these names; None: of everything."""
        if arrays is None:
            return self
        requests = [request for request in self.requests if request.name in arrays]
        return FeatureReader(self.store, requests, [name for name in self.targets if name in arrays])

    def num_bytes(self, num_rows: int) -> int:
        """Memory that so many rows take, without reading any."""
        return num_rows * sum(like.element_size() * like.shape[1:].numel() for like in self._no_rows.tensors())

    def empty(self, num_rows: int, *, device: torch.device, pinned: bool = False) -> Batch:
        """Memory for so many rows, not filled; `pinned`: such as the host's that a GPU copies from."""

        def empty(like: Tensor) -> Tensor:
            return torch.empty((num_rows, *like.shape[1:]), dtype=like.dtype, device=device, pin_memory=pinned)

        return mapped(empty, self._no_rows)

    def read(self, rows: Rows, *, out: Batch | None = None) -> Batch:
        """Read these rows, into the memory of `out` where given.

        Raises:
            StoreError: if a row that should be complete is not, or its chunk is missing or damaged.
        """
        read = Batch(
            {
                request.name: self._array(request, rows, out=None if out is None else out.features[request.name])
                for request in held_requests(self.store, self.requests)
            },
            {name: torch.from_numpy(held[rows]) for name, held in self._present.items()},
            {name: self._target(name, rows) for name in self.targets},
        )
        if out is None:
            return read
        # Little beside the features: the detour through memory of their own costs nothing.
        for values, memory in ((read.present, out.present), (read.targets, out.targets)):
            for name, tensor in values.items():
                memory[name].copy_(tensor)
        return out

    def _array(self, request: FeatureRequest, rows: Rows, *, out: Tensor | None) -> Tensor:
        """One array; zeros for rows that lack an optional feature set."""
        held = self._present[request.feature_set][rows] if request.feature_set in self._present else None
        if held is None or held.all():
            return read_tensor(self.store, request.name, rows, out=out)
        values = read_tensor(self.store, request.name, rows[held])
        filled = values.new_empty((len(rows), *values.shape[1:])) if out is None else out
        filled.zero_()
        filled[torch.from_numpy(held)] = values
        return filled

    def _target(self, name: str, rows: Rows) -> Tensor:
        """A target of the index; or one that is an array, which is not known of rows without its feature set."""
        if name in self._targets:
            return torch.from_numpy(self._targets[name][rows])
        complete = self.store.status(name.rpartition("/")[0])[rows] == Status.COMPLETE
        held = read_tensor(self.store, name, rows[complete])
        if complete.all():
            return held
        values = held.new_full((len(rows), *held.shape[1:]), UNKNOWN)
        values[torch.from_numpy(complete)] = held
        return values

    @cached_property
    def _no_rows(self) -> Batch:
        """A batch without rows, which tells types and shapes."""
        return self.read(np.empty(0, np.int64))

    @cached_property
    def _present(self) -> Mapping[str, NDArray[np.bool_]]:
        """For each optional feature set, whether each row of the store has it."""
        optional = dict.fromkeys(request.feature_set for request in self.requests if request.optional)
        return {name: self.store.status(name) == Status.COMPLETE for name in optional}

    @cached_property
    def _targets(self) -> Mapping[str, NDArray[np.generic]]:
        """The targets of the index that are asked for, one entry a row of the store."""
        known = targets_of(self.store)
        return {name: known[name] for name in self.targets if name in known}
