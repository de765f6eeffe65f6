"""What can be set of a feature, by its kind.

A feature is named by the user (`features: {cells: {kind: photographs}}`) and stored under that name. The sections stand
apart from the kinds' readers and encoders because they are asked for without any of these: for them alone,
`weldcache config show` needs neither torch nor a decoder.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...configs.section import Block, Limit, ModelName, Positive, Rectangle, Section, StoreName, Triple
from ...wording import brief, listed
from ..settings import FeatureSettings

_KIND = "What makes the feature, and from what."
_STREAM = "Files of a sample that it is made from."

TimeUnit = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]
Delimiter = Literal["comma", "semicolon", "tab"]
Column = Annotated[str, Field(min_length=1)]
Spread = Annotated[float, Field(gt=0)]


class StreamSettings(FeatureSettings):
    """What is said of a feature that every sample has of its own."""

    stream: StoreName


class BackboneSettings(Section):
    """Which frozen model makes a feature."""

    model: ModelName
    revision: str | None = Field(None, description="Commit, tag or branch on the hub; pin it for repeatable features.")


class PictureBackboneSettings(BackboneSettings):
    """Which frozen model makes a feature of pictures, and what it takes them to be."""

    mean: Triple | None = Field(
        None,
        description="What is taken off red, green and blue, each from 0 to 1, for a model that does not say it itself; "
        "null: the model's own.",
    )
    std: tuple[Spread, Spread, Spread] | None = Field(
        None, description="What red, green and blue are divided by after that; null: the model's own."
    )

    @model_validator(mode="after")
    def _mean_has_std(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are stated together, or neither is")
        return self

    @property
    def normalisation(self) -> tuple[Triple, Triple] | None:
        """Mean and standard deviation where they are set."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)


class FilmLimits(Section):
    """What a film may cost that frames are taken from."""

    max_megapixels: float = Field(
        10.0, gt=0, description="Largest frame that is decoded; a larger film is reported as unreadable."
    )
    max_gigapixels: float = Field(
        200.0,
        gt=0,
        description="Most pixels of all frames of a film together; 200 are 50 minutes of 1920x1080 at 30 frames a "
        "second.",
    )


class FilmSettings(FilmLimits, BackboneSettings, StreamSettings):
    """A film through V-JEPA 2: a token for each stretch of time."""

    kind: Literal["film"] = Field("film", description=_KIND)
    stream: StoreName = Field("video", description=_STREAM)
    model: ModelName = "facebook/vjepa2-vitl-fpc64-256"
    num_frames: Positive = Field(32, multiple_of=2, le=10_000, description="Frames a clip, sampled uniformly.")
    size: Positive | None = Field(None, description="Side in pixels fed to the model; null: the model's own.")
    sampling: Literal["uniform", "active", "clips"] = Field(
        "uniform",
        description="uniform: one clip over the whole recording; active: one over the time in which something goes on, "
        "by the film's own light or, where it does not tell, by the measurements that the data set's source names for "
        "it, whose clock is another; clips: num_clips, one after another.",
    )
    num_clips: Positive = Field(4, le=1000, description="Clips that the recording is cut into (sampling = clips only).")
    sensor_limits: tuple[Limit, ...] | None = Field(
        None,
        min_length=1,
        description="As the limits of a series, where measurements tell when something goes on (sampling = active "
        "only); null: as the data set's source says.",
    )

    @field_validator("sampling", mode="before")
    @classmethod
    def _former_name(cls, value: object) -> object:
        return "active" if value == "arc_on" else value


class FramesSettings(FilmLimits, PictureBackboneSettings, StreamSettings):
    """A film frame by frame through an image backbone: what the video autoencoder is trained on."""

    kind: Literal["frames"] = Field("frames", description=_KIND)
    stream: StoreName = Field("video", description=_STREAM)
    model: ModelName = "facebook/dinov3-vith16plus-pretrain-lvd1689m"
    block: Block | None = Field(
        None, description="Block whose patch tokens are averaged, by number or by name; null: the last."
    )
    num_frames: Positive = Field(32, le=10_000, description="Frames a recording, spread evenly over all of it.")
    size: Positive | None = Field(224, description="Side in pixels fed to the model; null: the model's own.")


class RecordingSettings(StreamSettings):
    """Which recordings of sound are believed."""

    stream: StoreName = Field("audio", description=_STREAM)
    max_seconds: float = Field(
        40.96, gt=0, description="Longest recording that the store has room for; a longer one is reported, never cut."
    )
    rates: tuple[Positive, Positive] = Field(
        (4_000, 384_000),
        description="Lowest and highest rate in samples a second that a file is believed; all are resampled to 16,000.",
    )
    max_channels: Positive = Field(8, description="Most channels that a file is believed.")


class SoundSettings(BackboneSettings, RecordingSettings):
    """Sound through the Audio Spectrogram Transformer (AST) or YAMNet."""

    kind: Literal["sound"] = Field("sound", description=_KIND)
    model: ModelName = "MIT/ast-finetuned-audioset-14-14-0.443"
    block: Positive | None = Field(
        None, description="Layer of YAMNet whose tokens are cached, 1 to 14; null: the last, which alone AST gives."
    )


class SoundStatisticsSettings(RecordingSettings):
    """Statistics of a sound's level in bands of frequency (log-mel), through no backbone."""

    kind: Literal["sound_statistics"] = Field("sound_statistics", description=_KIND)
    num_bands: Annotated[int, Field(ge=1, le=128)] = Field(
        64, description="Bands from 50 to 8,000 hertz, of equal width on the mel scale."
    )
    token_seconds: float | None = Field(
        None,
        ge=0.016,
        le=10.0,
        description="Time that a token stands for, for recipes that listen over time: the mean level of each band over "
        "it; null: statistics alone.",
    )


class PicturesSettings(StreamSettings):
    """Which pictures of a sample are used, and what of them."""

    stream: StoreName = Field("image", description=_STREAM)
    num_views: Positive = Field(5, le=100, description="Photographs a sample.")
    max_megapixels: float = Field(
        100.0, gt=0, description="Largest photograph that is decoded; a larger one is reported as unreadable."
    )
    crop: Rectangle | None = Field(None, description="Part of each photograph that is used; null: all of it.")
    masks: tuple[Rectangle, ...] = Field(
        (), description="Parts of each uncropped photograph painted over, such as a sticker with a code."
    )

    @model_validator(mode="after")
    def _rectangles_have_an_area(self) -> Self:
        for name, rectangle in [("crop", self.crop), *(("masks", mask) for mask in self.masks)]:
            if rectangle is not None and not (rectangle[0] < rectangle[2] and rectangle[1] < rectangle[3]):
                raise ValueError(f"{name}: {list(rectangle)} must be left < right and top < bottom")
        return self


class PhotographsSettings(PictureBackboneSettings, PicturesSettings):
    """Photographs through a backbone of pictures, such as DINOv3 or DINOv2."""

    kind: Literal["photographs"] = Field("photographs", description=_KIND)
    model: ModelName = "facebook/dinov3-vith16plus-pretrain-lvd1689m"
    blocks: tuple[Block, ...] = Field(
        (10, 21, 32),
        min_length=1,
        description="Blocks whose outputs are cached, from 1, or by the names that a model gives its stages; of the "
        "families that weldcache knows itself, deeper ones never run.",
    )
    size: Positive | None = Field(224, description="Side in pixels fed to the model; null: the model's own.")

    @model_validator(mode="after")
    def _blocks_ascend(self) -> Self:
        numbers = [block for block in self.blocks if isinstance(block, int)]
        if numbers != sorted(numbers) or len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"blocks must ascend without repeats, got {brief(list(self.blocks))}")
        return self


class PixelsSettings(PicturesSettings):
    """Photographs shrunken to a few pixels, through no backbone: what these tell, no backbone is needed for."""

    kind: Literal["pixels"] = Field("pixels", description=_KIND)
    width: Annotated[int, Field(ge=1, le=64)] = Field(16, description="Pixels from left to right.")
    height: Annotated[int, Field(ge=1, le=64)] = Field(8, description="Pixels from top to bottom.")


class MeasurementsSettings(StreamSettings):
    """Which measurements of a file are used, and what of them is believed."""

    stream: StoreName = Field("sensor", description=_STREAM)
    channels: Annotated[tuple[Column, ...] | dict[Column, Column], Field(min_length=1)] | None = Field(
        None,
        description="Columns that are stored, or names to store them under and the column of each, such as "
        "{pressure: P1}; null: those that the data set's source names, or else all columns of numbers.",
    )
    limits: tuple[Limit, ...] | None = Field(
        None,
        min_length=1,
        description="Largest magnitude of each channel, in the file's units; a value beyond is no measurement: it is "
        "reported and taken as empty. null: as the data set's source says, or else none.",
    )
    clock: Column | None = Field(
        None,
        description="Column of times, such as 10:00:00.000 or 2026-01-31T10:00:00.000Z; null: that which the data "
        "set's source names, or else Time.",
    )
    times: TimeUnit | None = Field(
        None,
        description="Unit of a clock that is a number, counted from 1970, from the recording's start or from "
        "anywhere; null: it is no number, or has the size of Unix time.",
    )
    rate: float | None = Field(
        None, gt=0, le=1e9, description="Rows a second of files without a clock; null: they have one."
    )
    max_seconds: float = Field(
        3600.0, gt=0, le=1e9, description="Longest recording whose times are believed; a longer one is reported."
    )
    delimiter: Delimiter = Field("comma", description="What stands between the fields of a line.")
    decimal: Literal["point", "comma"] = Field(
        "point", description="What stands before a number's decimals; thousands are never parted."
    )

    @model_validator(mode="after")
    def _one_limit_a_channel(self) -> Self:
        if self.channels is not None and self.limits is not None and len(self.limits) != len(self.channels):
            raise ValueError(limits_told(len(self.limits), tuple(self.channels)))
        return self

    @model_validator(mode="after")
    def _written_in_one_way(self) -> Self:
        if self.rate is not None and (self.clock is not None or self.times is not None):
            raise ValueError("rate is of files without a clock: leave out clock and times, or rate")
        if self.decimal == "comma" == self.delimiter:
            raise ValueError("a comma cannot stand between fields and in numbers: set delimiter, such as semicolon")
        return self


class SeriesSettings(MeasurementsSettings):
    """Measurements over time: resampled, stored raw."""

    kind: Literal["series"] = Field("series", description=_KIND)
    num_steps: Annotated[int, Field(gt=1)] = Field(128, description="Steps that a recording is resampled to.")


class SeriesStatisticsSettings(MeasurementsSettings):
    """Statistics of each channel of measurements over time."""

    kind: Literal["series_statistics"] = Field("series_statistics", description=_KIND)


def limits_told(number: int, channels: Sequence[str]) -> str:
    """What is wrong with so many limits for these channels, and what to write."""
    example = [1000.0] * len(channels)
    return (
        f"limits are {number} for {len(channels)} channels ({listed(channels)}); give each channel one in this order, "
        f"such as `limits: {example}`, the largest magnitude that is a measurement, or write `limits: null` for none"
    )


class VectorSettings(StreamSettings):
    """Numbers that the data set gives of a sample itself, such as columns of a table: stored as they are."""

    kind: Literal["vector"] = Field("vector", description=_KIND)
    stream: StoreName = Field("vector", description="Numbers of a sample that it is made from.")
    size: Annotated[int, Field(gt=0, le=1_000_000)] | None = Field(
        1, description="How many numbers there are of each sample; null: as many as the data set has of its first one."
    )


class CloudSettings(StreamSettings):
    """Points in space, such as those on the surface of a shape, and which of them lie together."""

    kind: Literal["cloud"] = Field("cloud", description=_KIND)
    stream: StoreName = Field("points", description=_STREAM)
    num_points: Positive = Field(1024, le=10_000_000, description="Points of a sample that there is room for.")
    sampling: Literal["all", "random", "farthest"] = Field(
        "farthest",
        description="Which points of a file are taken. all: each, and a file with more than num_points is reported; "
        "random: drawn by seed and key; farthest: each the farthest from those before it. Files with fewer points are "
        "padded, and say so.",
    )
    seed: int = Field(0, ge=0, description="Seed of what is drawn, beside each sample's key.")
    surface_points: Positive = Field(
        4096,
        le=10_000_000,
        description="Points that are drawn on the surface of a mesh, evenly by area, for sampling = farthest to choose "
        "from; the others draw num_points.",
    )
    normalise: Literal["none", "unit_sphere"] = Field(
        "unit_sphere",
        description="unit_sphere: the mean of the points that are taken in the origin, the farthest at 1.",
    )
    channels: tuple[Column, ...] = Field(
        ("x", "y", "z"), min_length=3, description="Columns of a point that are kept: x, y, z, and then any others."
    )
    columns: tuple[Column, ...] | None = Field(
        None,
        min_length=1,
        description="Columns of files that do not name them; null: x, y, z, then intensity where there is one more, or "
        "nx, ny, nz where there are three.",
    )
    labels: StoreName | None = Field(
        None,
        description="Files with a whole number for each point, which is a target and shown to no model: the last "
        "column of as many rows as the cloud has points, or the column `label` of the cloud's own stream; or as the "
        "data set's source reads them.",
    )
    positive: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="Labels that are stored as 1, every other one that is known as 0; null: as the files have them.",
    )
    centres: tuple[Positive, ...] = Field(
        (),
        description="How many points are centres of neighbourhoods, level by level; those of a level are the farthest "
        "points among those of the level before it.",
    )
    radii: tuple[Annotated[float, Field(gt=0)], ...] = Field((), description="Radius of the neighbourhoods, by level.")
    neighbours: tuple[Positive, ...] = Field((), description="Points that a neighbourhood has, by level.")

    @model_validator(mode="after")
    def _first_come_places(self) -> Self:
        if self.channels[:3] != ("x", "y", "z") or len(set(self.channels)) < len(self.channels):
            raise ValueError("channels begin with x, y and z, and no two are the same")
        return self

    @model_validator(mode="after")
    def _levels_fit_together(self) -> Self:
        if not len(self.centres) == len(self.radii) == len(self.neighbours):
            raise ValueError("centres, radii and neighbours have one number for each level")
        if list(self.centres) != sorted(self.centres, reverse=True):
            raise ValueError("centres become fewer from level to level")
        return self


class TextSettings(BackboneSettings, FeatureSettings):
    """A text through CLIP's text tower: one vector for the whole store."""

    kind: Literal["text"] = Field("text", description=_KIND)
    model: ModelName = "openai/clip-vit-base-patch32"
    prompt: str = Field("a normal sample", min_length=1, description="Text whose vector the prediction is drawn to.")
