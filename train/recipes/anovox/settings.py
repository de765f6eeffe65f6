"""What can be set of the recipes of AnoVox."""

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field, model_validator

from ....configs.section import Fraction, NonNegative, Positive, StoreName, Width
from ...settings import RecipeSettings, StoredArray, of_last_block


class BinarySettings(RecipeSettings):
    """How two kinds of unequal number are learned from."""

    points: StoreName = Field("points", description="Feature of the kind cloud: the lidar's points.")
    pos_weight: Literal["measured", "none"] = Field(
        "measured",
        description="What a positive counts in the loss: measured: as many negatives as there are of each positive in "
        "training; none: as much as a negative.",
    )
    focal: NonNegative = Field(
        0.0, description="Exponent of the focal loss, by which what is told easily counts less; 0: cross-entropy."
    )


class AnoVoxSceneSettings(BinarySettings):
    """Whether something in a scene does not belong, from image tokens and points; for train.task=detection."""

    name: Literal["anovox_scene"] = Field("anovox_scene", description="What is learned, and how it predicts.")
    network: Literal["repaired", "original"] = Field(
        "repaired",
        description="repaired: tokens of a frozen backbone, and attention that padding does not reach; original: a "
        "network of 792,321 parameters on small pictures, which takes padding for points.",
    )
    looks_at: Literal["both", "image", "points"] = Field("both", description="Modalities that it looks at.")
    attention: bool = Field(True, description="Whether points ask image tokens; else both are pooled by themselves.")
    image: StoredArray = Field(
        "image/last/patch_tokens",
        description="Image tokens, such as image/block_10/patch_tokens; image/last/patch_tokens: those of the deepest "
        "block that the store holds.",
    )
    pixels: StoreName = Field("pixels", description="Feature of the kind pixels (network = original only).")
    width: Width = Field(128, multiple_of=4, description="Width of tokens, points and attention (repaired only).")
    num_heads: Positive = Field(4, le=64, description="Heads of the attention (repaired only).")
    dropout: Fraction = Field(0.1, description="Dropout before the last layer (repaired only).")

    @model_validator(mode="after")
    def _original_is_whole(self) -> Self:
        if self.network == "original" and (self.looks_at != "both" or not self.attention):
            raise ValueError("the original looks at both and has attention; leave these out of network = repaired")
        if self.width % self.num_heads:
            raise ValueError(f"width = {self.width} is no multiple of num_heads = {self.num_heads}")
        return self

    def for_store(self, arrays: Collection[str]) -> Self:
        """With the deepest block that the store holds."""
        return self.model_copy(update={"image": of_last_block(self.image, arrays)})


class PointwiseSettings(BinarySettings):
    """What is said of every recipe that scores each point."""

    width: Width = Field(128, description="Width of the points' features.")
    dropout: Fraction = Field(0.1, description="Dropout before the last layer.")


class AnoVoxPointSettings(PointwiseSettings):
    """Which points of a scene do not belong, learned from a label of each; for train.task=points."""

    name: Literal["anovox_point"] = Field("anovox_point", description="What is learned, and how it predicts.")


class AnoVoxMilSettings(PointwiseSettings):
    """Which points of a scene do not belong, learned from labels of scenes; for train.task=points or detection."""

    name: Literal["anovox_mil"] = Field("anovox_mil", description="What is learned, and how it predicts.")
    pooling: Literal["max", "attention"] = Field(
        "attention",
        description="max: a scene's score is the largest of its points', and all points of negative scenes are held "
        "down, which may hang on the wrong points for good; attention: it is a mean of the points' by learned weights.",
    )
