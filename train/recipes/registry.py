"""Recipes by name."""

from collections.abc import Callable, Mapping

from ...configs.schema import Settings
from ...errors import SettingsError
from .causal_film import CausalFilmRecipe
from .film_features import film_features
from .recipe import Recipe


def _causal_film(settings: Settings) -> Recipe:
    return CausalFilmRecipe(
        film_features(settings), model=settings.model, loss=settings.loss, feature_mask=settings.train.feature_mask
    )


_RECIPES: Mapping[str, Callable[[Settings], Recipe]] = {"causal_film": _causal_film}


def make_recipe(name: str, settings: Settings) -> Recipe:
    """The recipe called `name`, set up by `settings`.

    Raises:
        SettingsError: if there is none; the message lists those there are.
    """
    if name not in _RECIPES:
        raise SettingsError(f"There is no recipe {name!r}; there are {', '.join(_RECIPES)}.")
    return _RECIPES[name](settings)
