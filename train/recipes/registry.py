"""Recipes by name, and the recipe of a run."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from ...configs.load import settings_from_record
from ...configs.schema import Settings
from ...documents import faults_told
from ...errors import SettingsError
from .causal_film.module import film_features
from .causal_film.recipe import CausalFilmRecipe
from .gaussian import GaussianRecipe, GaussianSettings
from .late_fusion import LATE_FUSION, FusionMember, LateFusionRecipe
from .nearest import NearestRecipe, NearestSettings
from .recipe import Fitted, Recipe, Trained
from .video_autoencoder import VideoAutoencoderRecipe


def _causal_film(settings: Settings) -> Trained:
    return CausalFilmRecipe(film_features(settings), model=settings.model, loss=settings.loss, train=settings.train)


def _video_ae(settings: Settings) -> Trained:
    return VideoAutoencoderRecipe(
        feature_set=settings.autoencoder.frames,
        autoencoder=settings.autoencoder,
        standardise=settings.model.standardise,
    )


_RECIPES: Mapping[str, Callable[[Settings], Trained | Fitted]] = {
    "causal_film": _causal_film,
    "video_ae": _video_ae,
    "nearest": lambda settings: NearestRecipe(NearestSettings()),
    "gaussian": lambda settings: GaussianRecipe(GaussianSettings()),
}


def make_recipe(name: str, settings: Settings) -> Trained | Fitted:
    """The recipe called `name`, set up by `settings`.

    Raises:
        SettingsError: if there is none; the message lists those there are.
    """
    if name not in _RECIPES:
        raise SettingsError(f"There is no recipe {name!r}; there are {', '.join(_RECIPES)}.")
    return _RECIPES[name](settings)


def recipe_of(manifest: Mapping[str, Any], settings: Settings) -> Trained | Fitted:
    """The recipe that a run's manifest names; a fused run's holds the members' recipes and settings.

    Raises:
        SettingsError: as `make_recipe`, and if a member is of a version with other settings.
    """
    if manifest["recipe"] != LATE_FUSION:
        return make_recipe(manifest["recipe"], settings)
    if "members" not in manifest:
        raise SettingsError("The manifest of a fused run does not tell what was fused; restore it.")
    return LateFusionRecipe([_fusion_member(member) for member in manifest["members"]])


def _fusion_member(told: Mapping[str, Any]) -> FusionMember:
    try:
        settings = settings_from_record(told["settings"])
    except ValidationError as error:
        raise SettingsError(
            f"The fused run {told['name']} is of a version with other settings ({faults_told(error)})."
        ) from None
    recipe = recipe_of(told, settings)
    return FusionMember(told["name"], recipe, settings.train.precision, untrained_modalities(told, recipe))


def untrained_modalities(manifest: Mapping[str, Any], recipe: Recipe) -> frozenset[str]:
    """The modalities that no sample had that a run with this manifest was trained on; of a fused run, that no member
    knows."""
    if isinstance(recipe, LateFusionRecipe):
        return recipe.untrained()
    counts = manifest.get("counts", {})  # which fused runs of earlier versions do not tell of their members
    lacked = counts.get("train_normals_without", {})
    never = {modality for modality, num in lacked.items() if num == counts.get("train_normals")}
    return frozenset(never & recipe.needs().dispensable.keys())
