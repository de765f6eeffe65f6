"""What can be set of the supervised-contrastive classifier."""

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field, model_validator

from ....configs.section import Fraction, NonNegative, Positive, Width
from ...settings import AUTO, RecipeSettings, StoredArray, of_last_block

MODALITIES = ("video", "image", "audio", "sensor")
"""In the order in which the fusion asks them."""

_USUAL = {
    "video": ("video/tokens", "video/embedding"),
    "image": ("image/last/mean",),
    "audio": ("audio/tokens", "sound_statistics/tokens"),
    "sensor": ("sensor/values",),
}


class SupConSettings(RecipeSettings):
    """Classes from up to four modalities, by supervised contrast; for train.task=classification."""

    name: Literal["supcon"] = Field("supcon", description="What is learned, and how it predicts.")
    video: StoredArray | None = Field(
        AUTO,
        description="Array of the film, such as video/tokens. auto: video/tokens, or else video/embedding; null: the "
        "model does without.",
    )
    image: StoredArray | None = Field(
        AUTO,
        description="Array of the photographs, such as image/block_10/mean. auto: image/last/mean; null: as above.",
    )
    audio: StoredArray | None = Field(
        AUTO, description="Array of the sound. auto: audio/tokens, or else sound_statistics/tokens; null: as above."
    )
    sensor: StoredArray | None = Field(
        AUTO, description="Array of a series, which a transformer reads. auto: sensor/values; null: as above."
    )
    views: Literal["each", "mean", "max", "concat"] = Field(
        "each",
        description="How the photographs of a sample are looked at: each by itself, as one vector that is their mean "
        "or their maximum, or one behind the other.",
    )
    width: Width = Field(512, description="Width of the fusion's tokens and of a sample's embedding.")
    fusion_tokens: Positive = Field(4, le=256, description="Learned tokens that ask each modality in turn.")
    num_heads: Positive = Field(8, le=256, description="Attention heads of the fusion.")
    sensor_width: Width = Field(256, multiple_of=2, description="Width of the transformer of the series.")
    sensor_layers: Positive = Field(4, le=256, description="Its layers, whose hidden width is four times the width.")
    sensor_heads: Positive = Field(8, le=256, description="Its attention heads.")
    sensor_stride: Positive = Field(1, le=4096, description="Steps of a series whose mean is one token of it.")
    dropout: Fraction = Field(0.1, description="Dropout in the transformer and in the fusion's attention.")
    projection: Width = Field(128, description="Width of the vectors that the contrast compares.")
    temperature: float = Field(0.07, gt=0, description="Temperature of the contrast.")
    class_weight: NonNegative = Field(0.1, description="Weight of the cross-entropy beside the contrast.")
    hard_negatives: NonNegative = Field(
        0.0,
        description="How much more samples of other classes count the more alike they are, the exponent beta of "
        "Robinson et al. 2021; 0: all alike.",
    )
    mixup: NonNegative = Field(0.2, description="Alpha of mixup between samples of a batch; 0: none.")
    modality_dropout: Fraction = Field(
        0.0, description="Share of samples from which each modality is hidden at each step; never all of a sample's."
    )
    answer: Literal["neighbours", "head"] = Field(
        "neighbours", description="Who tells the class: the nearest training samples, or the cross-entropy's head."
    )
    neighbours: Positive = Field(5, le=1000, description="Training samples, the nearest by cosine, that vote.")

    @property
    def arrays(self) -> dict[str, str]:
        """The arrays that are looked at, by modality."""
        given: dict[str, str | None] = {name: getattr(self, name) for name in MODALITIES}
        return {name: array for name, array in given.items() if array is not None}

    def for_store(self, arrays: Collection[str]) -> Self:
        chosen = {name: _chosen(name, array, arrays) for name, array in self.arrays.items()}
        return self.model_copy(update=chosen)

    @model_validator(mode="after")
    def _fits_together(self) -> "SupConSettings":
        if not self.arrays:
            raise ValueError("all modalities are null; name an array of one")
        for width, heads in (("width", "num_heads"), ("sensor_width", "sensor_heads")):
            if getattr(self, width) % getattr(self, heads):
                raise ValueError(
                    f"{width} = {getattr(self, width)} is not a multiple of {heads} = {getattr(self, heads)}"
                )
        return self


def _chosen(modality: str, array: str, arrays: Collection[str]) -> str:
    """An array that the store holds in place of `auto`; where it holds none that will do, the usual one."""
    usual = [of_last_block(each, arrays) for each in _USUAL[modality]] if array == AUTO else []
    held = [each for each in usual if each in arrays]
    return (held or usual or [of_last_block(array, arrays)])[0]
