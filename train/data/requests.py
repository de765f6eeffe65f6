"""What a recipe needs of a store: whether the store has it, and in which shapes; and the targets that a store has."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.store import FeatureStore
from ...cache.targets import LABEL
from ...errors import NotFoundError
from ..recipes.recipe import Recipe
from ..types import FeatureRequest, Shapes


def require_features(store: FeatureStore, recipe: Recipe) -> None:
    """Refuse a store that lacks something that the recipe needs.

    Raises:
        NotFoundError: the message names what is missing, what is there, and what to do.
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
    targets = targets_of(store)
    if unknown := [name for name in needs.targets if name not in targets]:
        raise NotFoundError(
            f"{store.path} has no target {', '.join(unknown)}, from which the recipe learns; it has "
            f"{', '.join(targets)}. Choose one of these, or a data set that tells it."
        )


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


def classes_of(store: FeatureStore, recipe: Recipe) -> Mapping[str, tuple[str, ...]]:
    """Names of the classes, in the order of their codes, of each target that a recipe learns from and that has some."""
    specs = {name: store.index.targets[name].spec for name in recipe.needs().targets if name in store.index.targets}
    return {name: spec.classes for name, spec in specs.items() if spec.classes is not None}


def held_requests(store: FeatureStore, requests: Iterable[FeatureRequest]) -> tuple[FeatureRequest, ...]:
    """Those arrays that batches have: all but what is asked for where it is held, and is not."""
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
    return {**arrays, **constants, **classes}
