"""What can be set of stage one: the data set and where it lies, what is made of it, and how.

Sources and kinds of features are chosen by name. Neither a section nor what is made of it is imported before that.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field

from ..configs.section import ChosenFrom, Device, Positive, Registered, Registry, Section, StoreName

SOURCE = "What the data set is; auto goes by the names in its folder."

_SOURCES, _FEATURES = "weldcache.extract.sources", "weldcache.extract.features"


class DataSettings(Section):
    """What is said of every data set; each source has its own settings beside these."""

    # What lists samples that no data set has (see `sources/new.py`), as `module:function`, for which neither need be
    # imported before; nothing: a folder of them is opened as a data set.
    lists_new: ClassVar[str] = ""

    source: str
    root: Path = Field(Path("data"), description="Folder of the data set.")


class FeatureSettings(Section):
    """What is said of every feature; each kind has its own settings beside these."""

    kind: str
    by_default: bool = Field(True, description="Whether `extract` makes it where extract.features does not say which.")


SOURCES = Registry(
    "source",
    key="source",
    group="weldcache.sources",
    base=DataSettings,
    kept=("root",),
    shipped={
        "auto": Registered(f"{_SOURCES}.open:AutoSettings", f"{_SOURCES}.open:open_auto"),
        "welds": Registered(f"{_SOURCES}.welds.classes:WeldsSettings", f"{_SOURCES}.welds.open:open_welds"),
        "folder": Registered(f"{_SOURCES}.folder:FolderSettings", f"{_SOURCES}.folder:FolderSource"),
        "cub": Registered(f"{_SOURCES}.cub.source:CubSettings", f"{_SOURCES}.cub.source:CubSource"),
        "table": Registered(f"{_SOURCES}.table:TableSettings", f"{_SOURCES}.table:TableSource"),
        "anovox": Registered(f"{_SOURCES}.anovox.settings:AnoVoxSettings", f"{_SOURCES}.anovox.source:AnoVoxSource"),
        "modelnet": Registered(
            f"{_SOURCES}.modelnet.source:ModelnetSettings", f"{_SOURCES}.modelnet.source:ModelnetSource"
        ),
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
    "pixels": "PixelsSettings",
    "sound_statistics": "SoundStatisticsSettings",
    "series_statistics": "SeriesStatisticsSettings",
    "vector": "VectorSettings",
    "cloud": "CloudSettings",
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


class ExtractSettings(Section):
    """How stage one runs. `precision` and `demo_seed` change what is stored, `batch_size` at most its last bits."""

    features: tuple[StoreName, ...] | None = Field(
        None,
        min_length=1,
        description="Names of the features to make; null: all of `features` but those whose by_default is false.",
    )
    device: Device = Field("auto", description="auto, cpu, mps, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Arithmetic of the backbones; auto: bfloat16 on CUDA, float32 elsewhere."
    )
    batch_size: Positive | Literal["auto"] = Field(
        "auto",
        description="Samples that go through the backbones together; auto: 8 on a CPU, on a GPU what its memory and "
        "speed ask for. A store remembers it.",
    )
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Decode processes; 0 decodes in the main process; auto: all cores but one beside a GPU, else half.",
    )
    decode_seconds: float = Field(
        600.0,
        gt=0,
        description="Longest that decoding one feature of a sample may take; then its decoder is ended and the feature "
        "unreadable. A sample is named after 30 s.",
    )
    decode_gigabytes: float = Field(
        8.0,
        gt=0,
        description="Most memory that a decode process may take for one feature of a sample; then the same. The main "
        "process (workers = 0) cannot be held to it.",
    )
    span_seconds: float = Field(
        3600.0,
        gt=0,
        description="Longest that one of several workers may be at a span of at most 8 batches; then it is ended, and "
        "the span tried again.",
    )
    demo_seed: int = Field(0, ge=0, description="Seed of the weights of `demo` backbones.")
