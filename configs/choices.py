"""What can be chosen by name: sources of data, kinds of features, recipes, judges.

Where the settings of each are, and what is made of them. Nothing is imported here: neither is before it is chosen.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

from pydantic import Field

from .section import ChosenFrom, Named, Registered, Registry, Section, StoreName

_SOURCES, _FEATURES, _RECIPES = "weldcache.extract.sources", "weldcache.extract.features", "weldcache.train.recipes"
_JUDGES = "weldcache.evaluate.tasks"


class DataSettings(Section):
    """What is said of every data set; each source has its own settings beside these."""

    source: str
    root: Path = Field(Path("data"), description="Folder of the data set.")


class FeatureSettings(Section):
    """What is said of every feature; each kind has its own settings beside these."""

    kind: str
    by_default: bool = Field(True, description="Whether `extract` makes it where extract.features does not say which.")


class RecipeSettings(Section):
    """What is said of every recipe; each has a section of its own beside its code."""

    name: str


SOURCES = Registry(
    "source",
    key="source",
    group="weldcache.sources",
    base=DataSettings,
    kept=("root",),
    shipped={
        "auto": Registered(f"{_SOURCES}.open:AutoSettings", f"{_SOURCES}.open:open_auto"),
        "welds": Registered(f"{_SOURCES}.welds.settings:WeldsSettings", f"{_SOURCES}.welds.open:open_welds"),
        "folder": Registered(f"{_SOURCES}.folder:FolderSettings", f"{_SOURCES}.folder:FolderSource"),
        "table": Registered(f"{_SOURCES}.table:TableSettings", f"{_SOURCES}.table:TableSource"),
    },
)

AnySource = Annotated[DataSettings, ChosenFrom(SOURCES)]
"""The settings of any source, chosen by `source`."""

_KINDS = {
    "photographs": "PhotographsSettings",
    "film": "FilmSettings",
    "frames": "FramesSettings",
    "sound": "SoundSettings",
    "series": "SeriesSettings",
    "vector": "VectorSettings",
    "text": "TextSettings",
}

KINDS = Registry(
    "kind of feature",
    key="kind",
    group="weldcache.features",
    base=FeatureSettings,
    shipped={
        kind: Registered(f"{_FEATURES}.settings:{section}", f"{_FEATURES}.{kind}:make")
        for kind, section in _KINDS.items()
    },
)

AnyFeatures = Mapping[StoreName, Annotated[FeatureSettings, ChosenFrom(KINDS)]]
"""The settings of features by their names, each chosen by `kind`."""

RECIPES = Registry(
    "recipe",
    key="name",
    group="weldcache.recipes",
    base=RecipeSettings,
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
        "linear_probe": Registered(
            f"{_RECIPES}.linear_probe:LinearProbeSettings", f"{_RECIPES}.linear_probe:LinearProbeRecipe"
        ),
    },
)

AnyRecipe = Annotated[RecipeSettings, ChosenFrom(RECIPES)]
"""The settings of any recipe, chosen by `name`."""

JUDGES = Named(
    "judge",
    group="weldcache.judges",
    shipped={
        "anomaly": f"{_JUDGES}.anomaly:AnomalyJudge",
        "classification": f"{_JUDGES}.classification:ClassificationJudge",
    },
)


# The features that are there without being named.
_USUAL = {
    "video": "film",
    "audio": "sound",
    "image": "photographs",
    "sensor": "series",
    "text": "text",
    "frames": "frames",
}


def usual_source() -> DataSettings:
    """Whatever lies in the folder."""
    return cast(DataSettings, SOURCES.section("auto")())


def usual_features() -> dict[str, FeatureSettings]:
    """The features that are there without being named."""
    usual = {name: cast(FeatureSettings, KINDS.section(kind)()) for name, kind in _USUAL.items()}
    return {**usual, "frames": usual["frames"].model_copy(update={"by_default": False})}


def usual_recipe() -> RecipeSettings:
    """What is trained where nothing else is asked for."""
    usual = RECIPES.section("causal_film")()
    assert isinstance(usual, RecipeSettings)
    return usual
