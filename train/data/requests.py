"""What a recipe asks of a store: whether the store has it, in which shapes, and what made it."""

import torch

from ...cache.store import FeatureStore
from ...errors import NotFoundError
from ..recipes.recipe import Batch, Recipe, Shapes


def used_names(recipe: Recipe) -> tuple[str, ...]:
    """The feature sets and constants that a recipe asks for; what else a store holds does not matter to it."""
    return (*dict.fromkeys(request.feature_set for request in recipe.requires()), *recipe.constants())


def require_features(store: FeatureStore, recipe: Recipe) -> None:
    """Refuse a store that lacks something that the recipe asks for.

    Raises:
        NotFoundError: the message names what is missing, what is there, and what to do.
    """
    held = (*store.feature_sets, *store.constants)
    missing = [name for name in used_names(recipe) if name not in held]
    if missing:
        raise NotFoundError(
            f"{store.path} has no features {', '.join(missing)}; it has {', '.join(held) or 'none yet'}. "
            f"{recipe.advice(missing, held=held)}"
        )
    for request in recipe.requires():
        arrays = store.arrays(request.feature_set)
        if request.array not in arrays:
            raise NotFoundError(
                f"{store.path} has no array {request.name}; {request.feature_set} has {', '.join(arrays)}. Run "
                "`weldcache extract` of this version into another --cache."
            )


def load_constants(store: FeatureStore, recipe: Recipe) -> Batch:
    """The constants that a recipe asks for, by name."""
    return {name: torch.from_numpy(store.constant(name)) for name in recipe.constants()}


def shapes_for(store: FeatureStore, recipe: Recipe) -> Shapes:
    """Shapes of everything that a recipe asks for: what its module is built from."""
    arrays = {request.name: store.array_spec(request.name).shape for request in recipe.requires()}
    return {**arrays, **{name: tuple(value.shape) for name, value in load_constants(store, recipe).items()}}
