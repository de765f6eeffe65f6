"""Recipes by name: where the settings of each are, and the class that is made of them. Nothing is imported here."""

from typing import Annotated

from .section import ChosenFrom, Registered, Registry, Section

_RECIPES = "weldcache.train.recipes"


class RecipeSettings(Section):
    """What is said of every recipe; each has a section of its own beside its code."""

    name: str


RECIPES = Registry(
    "recipe",
    key="name",
    group="weldcache.recipes",
    shipped={
        "causal_film": Registered(
            f"{_RECIPES}.causal_film.settings:CausalFilmSettings", f"{_RECIPES}.causal_film.recipe:CausalFilmRecipe"
        ),
        "video_ae": Registered(
            f"{_RECIPES}.video_autoencoder:VideoAutoencoderSettings",
            f"{_RECIPES}.video_autoencoder:VideoAutoencoderRecipe",
        ),
        "nearest": Registered(f"{_RECIPES}.nearest:NearestSettings", f"{_RECIPES}.nearest:NearestRecipe"),
        "late_fusion": Registered(f"{_RECIPES}.late_fusion:LateFusionSettings", f"{_RECIPES}.late_fusion:late_fusion"),
        "gaussian": Registered(f"{_RECIPES}.gaussian:GaussianSettings", f"{_RECIPES}.gaussian:GaussianRecipe"),
    },
)

AnyRecipe = Annotated[RecipeSettings, ChosenFrom(RECIPES)]
"""The settings of any recipe, chosen by `name`."""


def usual_recipe() -> RecipeSettings:
    """What is trained where nothing else is asked for."""
    usual = RECIPES.section("causal_film")()
    assert isinstance(usual, RecipeSettings)
    return usual
