"""What a recipe asks of a store: whether the store has it, in which shapes, and where in the arrays."""

from collections.abc import Sequence
from typing import cast

import torch

from ..cache.store import FeatureStore
from ..errors import NotFoundError, SettingsError
from .recipes.recipe import Batch, FeatureRequest, Recipe, Shapes


def require_arrays(store: FeatureStore, requests: Sequence[FeatureRequest]) -> None:
    """Refuse a store that lacks an array, or entries of one.

    Raises:
        NotFoundError: if an array was never extracted.
        SettingsError: if an array lacks entries that are asked for, such as blocks; the message names those it has.
    """
    for request in requests:
        if request.array not in store.manifest.get(request.modality, {}).get("arrays", {}):
            raise NotFoundError(
                f"{store.path} has no features {request.name}. Run `weldcache extract` with {request.modality} among "
                "extract.modalities."
            )
        positions(store, request)


def positions(store: FeatureStore, request: FeatureRequest) -> tuple[int, ...] | None:
    """Where the selected entries stand on the array's first axis; None where all are asked for.

    Raises:
        SettingsError: if the array lacks one.
    """
    if request.take is None:
        return None
    attribute, wanted = request.take.attribute, request.take.values
    cached = list(cast(Sequence[int], store.array_attributes(request.name)[attribute]))
    missing = [value for value in wanted if value not in cached]
    if missing:
        raise SettingsError(
            f"{store.path}: {request.name} holds {attribute} {cached}, not {missing}. Choose among those with "
            f"--set model.{attribute}=[...], or extract into another cache with --set {request.modality}."
            f"{attribute}=[...]."
        )
    return tuple(cached.index(value) for value in wanted)


def row_shape(store: FeatureStore, request: FeatureRequest) -> tuple[int, ...]:
    """Shape of one row of what is asked for."""
    shape, taken = store.array_spec(request.name).shape, positions(store, request)
    return shape if taken is None else (len(taken), *shape[1:])


def load_constants(store: FeatureStore, recipe: Recipe) -> Batch:
    """The constants that a recipe asks for, by name."""
    return {name: torch.from_numpy(store.constant(name)) for name in recipe.constants()}


def shapes_for(store: FeatureStore, recipe: Recipe) -> Shapes:
    """Shapes of everything that a recipe asks for: what its module is built from."""
    arrays = {request.name: row_shape(store, request) for request in recipe.requires()}
    return {**arrays, **{name: tuple(value.shape) for name, value in load_constants(store, recipe).items()}}
