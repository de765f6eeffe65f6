"""All settings: what they are, and where they come from.

Each stage's sections stand beside its code (`extract/settings.py`, `train/settings.py`, `evaluate/settings.py`), and
the text of each field is what `weldcache config explain` prints. Checking settings does no I/O and fills in nothing
behind the user's back: what `weldcache config show` prints is what runs.

They come from a preset, the folder's weldcache.yaml, --config and overrides, in that order; the later one wins.
A preset may build on another one, which it names as a file does, with a top-level `preset:`.

A preset that --config names is laid over all that the folder says, and leaves the rest as it is. So `--config stage1`
in a demo's folder trains stage 1, and nothing else, on the demo's features. Where a later layer chooses another kind or
recipe, what earlier ones said of the former does not count.

Files are read strictly: an unknown name is an error that says where it stands and what the nearest known name is, and
a value is what YAML 1.2 makes of it, neither `true` nor "3" a number. Relative paths in a file are meant from that
file's folder, those of an override from the current one; `~` is the home folder in both.
"""

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from . import configs
from .configs.layers import Layer, described_faults, laid_over, override_layer, user_path, validated
from .configs.moved import upgraded
from .configs.place import BucketUrl, StorePlace
from .configs.plain_yaml import dump_yaml, parse_yaml, read_text, text_of
from .configs.section import Section, with_paths
from .errors import NotFoundError, SettingsError
from .evaluate.settings import EvaluateSettings
from .extract.settings import AnyFeatures, AnySource, ExtractSettings, usual_features, usual_source
from .train.settings import AnyRecipe, TrainSettings, usual_recipe
from .wording import brief, nearest_hint

FOLDER_FILE = "weldcache.yaml"
DEFAULT_PRESET = "v5"


class CacheSettings(Section):
    """The feature store."""

    path: StorePlace = Field(
        Path("features.zarr"), description="Folder of the feature store; one in a bucket (s3://, gs://, az://) is read."
    )
    dtype: Literal["float16", "bfloat16", "float32"] = Field(
        "float16", description="Storage type of backbone features; every cast is checked, an overflow is an error."
    )


class RunsSettings(Section):
    """Where runs are kept."""

    folder: Path = Field(Path("runs"), description="Folder of all runs, one sub-folder each.")


class Settings(Section):
    """All settings of weldcache."""

    data: AnySource = Field(default_factory=usual_source, description="What data set there is, and where.")
    cache: CacheSettings = CacheSettings()
    features: AnyFeatures = Field(default_factory=usual_features, description="What is made of it, by name.")
    extract: ExtractSettings = ExtractSettings()
    recipe: AnyRecipe = Field(default_factory=usual_recipe, description="What is learned, and how it predicts.")
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    runs: RunsSettings = RunsSettings()

    @model_validator(mode="after")
    def _asked_features_are_named(self) -> "Settings":
        for name in self.extract.features or ():
            if name not in self.features:
                hint = nearest_hint(name, self.features)
                raise ValueError(f"extract.features names {name}, and there is no features.{name}.{hint}")
        return self

    @property
    def project(self) -> Path:
        """The folder in which the store lies, and demo backbones beside it; that of the data, if the store is in a
        bucket."""
        return self.data.root if isinstance(self.cache.path, BucketUrl) else self.cache.path.parent

    @property
    def asked_features(self) -> tuple[str, ...]:
        """Names of the features that `extract` makes."""
        by_default = (name for name, feature in self.features.items() if feature.by_default)
        return tuple(by_default) if self.extract.features is None else self.extract.features


def preset_names() -> list[str]:
    """Names that `--config` knows without a file."""
    return sorted(
        path.name.removesuffix(".yaml") for path in resources.files(configs).iterdir() if path.name.endswith(".yaml")
    )


def load_settings(
    config: str | None = None,
    *,
    layers: Sequence[Layer] = (),
    overrides: Sequence[str] = (),
    folder: Path | None = None,
    base: Settings | None = None,
) -> Settings:
    """Resolve settings: preset < `weldcache.yaml` in `folder` (default: here) < `config` < `layers` < `overrides`.

    Paths that nobody sets are in `folder`. With a `base`, that stands for all below `config`.

    `config` is the name of a preset or the path of a YAML file. A file may name the preset that everything builds on
    with a top-level `preset:`. Overrides are written `section.key=value`: text and paths as they are, unless they are
    quoted, and other values as YAML.

    Raises:
        SettingsError: if a name is unknown, a value is out of range, or a file is not YAML.
        NotFoundError: if `config` is neither a preset nor a file.
    """
    files = _file_layers(config, (folder or Path()) if base is None else None)
    named = [layer.values.pop("preset") for layer in files if "preset" in layer.values]
    beneath = [_preset_layers(name) for name in named[-1:] or ([DEFAULT_PRESET] if base is None else [])]
    over_folder = _preset_layers(config) if config in preset_names() else []
    above = [*chain.from_iterable(beneath), *files, *over_folder, *layers, override_layer(overrides)]
    start = with_paths(Settings(), (folder or Path()).absolute().joinpath) if base is None else base
    merged: dict[str, Any] = start.model_dump(mode="json")
    for layer in above:
        merged = laid_over(merged, layer, Settings)
    return _checked(merged, above)


def settings_from_saved(content: bytes, *, origin: str) -> Settings:
    """Settings saved with an artefact, in the file `origin`: complete, so no preset is involved.

    Raises:
        SettingsError: if they were not written by this version of the schema.
    """
    layer = Layer(origin=origin, values=upgraded(_parsed(text_of(content, origin=origin), origin=origin)))
    return _checked(laid_over({}, layer, Settings), [layer])


def settings_from_record(told: Mapping[str, Any]) -> Settings:
    """Settings saved in a document of a run, as JSON values; an earlier version's are read as they were meant.

    Raises:
        ValidationError: if they are not settings.
    """
    return Settings.model_validate(upgraded(told))


def defaults_told(folder: Path | None = None) -> str:
    """That a folder (default: here) says no settings, so that the usual ones hold; empty where it does."""
    if os.path.lexists((folder or Path()) / FOLDER_FILE):
        return ""
    return f"There is no {FOLDER_FILE} in this folder, so the defaults hold (preset {DEFAULT_PRESET})."


def checked_preset(name: Any) -> str:
    """The name, if it is that of a preset; raises SettingsError, which lists those there are."""
    if name not in preset_names():
        hint = nearest_hint(str(name), preset_names())
        raise SettingsError(f"There is no preset {brief(name)}.{hint} There are {', '.join(preset_names())}.")
    return str(name)


def preset_summary(name: str) -> str:
    """The comment that a preset's file begins with."""
    text = resources.files(configs).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ")


def to_yaml(settings: Settings) -> str:
    """The settings as YAML that loads back equal, where no preset below it has features that these took out."""
    return dump_yaml(settings.model_dump(mode="json"))


def _preset_layers(name: Any, *, above: tuple[str, ...] = ()) -> list[Layer]:
    """What a preset says, after what those say that it builds on; `above` are the presets that build on it.

    Raises:
        SettingsError: if there is no such preset, or one builds on itself.
    """
    name = checked_preset(name)
    if name in above:
        raise SettingsError(f"Presets build on each other in a circle: {' on '.join([*above, name])}.")
    origin = f"preset {name}"
    text = resources.files(configs).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    layer = Layer(origin=origin, values=_parsed(text, origin=origin))
    bases = _preset_layers(layer.values.pop("preset"), above=(*above, name)) if "preset" in layer.values else []
    return [*bases, layer]


def _file_layers(config: str | None, folder: Path | None) -> list[Layer]:
    # What is called so and cannot be read is an error there, and not as if there were no such file.
    paths = [folder / FOLDER_FILE] if folder is not None and os.path.lexists(folder / FOLDER_FILE) else []
    if config is not None and config not in preset_names():
        path = user_path(config, origin="--config")
        if not path.exists() or path.is_dir():
            raise NotFoundError(
                f"--config {config} is neither a file nor a preset.{nearest_hint(config, preset_names())} "
                f"The presets are {', '.join(preset_names())}."
            )
        paths += [] if paths and os.path.realpath(path) == os.path.realpath(paths[0]) else [path]
    return [
        Layer(origin=str(path), values=_parsed(read_text(path), origin=str(path)), folder=path.absolute().parent)
        for path in paths
    ]


def _parsed(text: str, *, origin: str) -> dict[str, Any]:
    values = parse_yaml(text, origin=origin)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(
            f"{origin} must hold `section:` and indented `key: value` lines, not a {type(values).__name__}."
        )
    return values


def _checked(values: Mapping[str, Any], layers: Sequence[Layer]) -> Settings:
    try:
        return validated(Settings, values)
    except ValidationError as error:
        raise SettingsError(described_faults(error, layers)) from None
