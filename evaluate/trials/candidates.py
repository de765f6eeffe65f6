"""Detectors that a store can feed and that are fitted within seconds: what a new data set is first tried with."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ...cache.arrays import oracles_among
from ...cache.store import FeatureStore
from ...errors import NotFoundError
from ...settings import Settings
from ...train.data.features import chosen_for, require_features
from ...train.recipes.recipe import make_recipe
from ...train.recipes.vectors import POOLED
from ...train.settings import of_last_block
from .pseudo_defects import modality_of

ANOMALY = "anomaly"
_NEAREST, _GAUSSIAN = "nearest", "gaussian"
_PATCHES = "patch_tokens"
_WIDEST = 2_048  # numbers of a vector: a covariance of more takes minutes, for every fold of a joint score
_BANK = 2_000  # patches: a hundredth of the distances that the usual bank takes

_OF_VECTORS: Mapping[str, Mapping[str, Any]] = {
    _NEAREST: {"name": "nearest"},
    _GAUSSIAN: {"name": "gaussian", "standardise": True},
    "local_outlier_factor": {"name": "local_outlier_factor", "standardise": True},
}
_OF_PATCHES: Mapping[str, Mapping[str, Any]] = {
    "patch_memory": {"name": "patch_memory", "bank": _BANK},
    "subspace": {"name": "subspace"},
}


def candidates(store: FeatureStore, base: Settings) -> dict[str, Settings]:
    """Complete settings by the candidate's name: of each modality by itself, and of all together in one score."""
    vectors, patches = _evidence(store, POOLED), _evidence(store, (_PATCHES,))
    wide = {array for array in vectors if store.array_spec(array).shape[-1] > _WIDEST}
    told: dict[str, Mapping[str, Any]] = {
        f"{kind} on {array}": {**recipe, "array": array}
        for arrays, recipes in ((vectors, _OF_VECTORS), (patches, _OF_PATCHES))
        for array in arrays
        for kind, recipe in recipes.items()
        if kind != _GAUSSIAN or array not in wide
    }
    if len(vectors) > 1:
        told |= dict(_joint(vectors, wide=wide))
    found = {name: _with_recipe(base, recipe) for name, recipe in told.items()}
    return {name: chosen for name, settings in found.items() if (chosen := _fed(settings, store)) is not None}


def _joint(vectors: Sequence[str], *, wide: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All modalities in one score; and the same beside how far they match. What is too wide for a Gaussian has its
    nearest neighbours."""
    for kind in (_NEAREST, _GAUSSIAN):
        members = {
            array.replace("/", "_"): {**_OF_VECTORS[_NEAREST if array in wide else kind], "array": array}
            for array in vectors
        }
        yield f"{kind} of each modality", {"name": "match_fusion", "members": members}
        matched = {**members, "match": {"name": "match"}}
        yield f"{kind} of each modality and their match", {"name": "match_fusion", "members": matched}


def _evidence(store: FeatureStore, names: Sequence[str]) -> list[str]:
    """An array of each feature that tells something of a sample: the first of these names that it has, of its deepest
    block."""
    arrays = {f"{name}/{array}": spec for name in store.feature_sets for array, spec in store.arrays(name).items()}
    hidden = set(oracles_among(arrays)) | {name for name, spec in arrays.items() if spec.is_target or not spec.shape}
    held = [name for name in arrays if name not in hidden]
    found: dict[str, str] = {}
    for modality in dict.fromkeys(map(modality_of, held)):
        for name in names:
            plain, deepest = f"{modality}/{name}", of_last_block(f"{modality}/last/{name}", held)
            array = plain if plain in held else deepest
            if array in held:
                found.setdefault(modality, array)
    return list(found.values())


def _with_recipe(base: Settings, recipe: Mapping[str, Any]) -> Settings:
    told = base.model_dump(mode="json")
    return Settings.model_validate({**told, "recipe": recipe, "train": {**told["train"], "task": ANOMALY}})


def _fed(settings: Settings, store: FeatureStore) -> Settings | None:
    """The settings with what they leave open chosen for the store; None where it lacks what they need."""
    try:
        chosen = chosen_for(store, settings)
        require_features(store, make_recipe(chosen.recipe))
    except NotFoundError:
        return None
    return chosen
