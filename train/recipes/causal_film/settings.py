"""What can be set of Causal-FiLM."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ....configs.section import Fraction, Like, NonNegative, Positive, Section, StoreName, Width
from ...settings import RecipeSettings

FeatureOrArray = Annotated[
    str,
    Like(r"[a-z][a-z0-9_]*(/[a-z0-9_]+)?", "video, a feature that has tokens, or video/embedding, one of its arrays"),
]

Pooling = Literal["gem", "mean", "max", "mean+gem", "mean+max"]


class LossSettings(Section):
    """Weights and kinds of the loss terms; a term of weight 0 is not computed."""

    cosine: NonNegative = Field(1.0, description="Weight of the cosine distance.")
    l1: NonNegative = Field(10.0, description="Weight of the absolute error.")
    gram: NonNegative = Field(1.0, description="Weight of the Gram-matrix distance.")
    text: NonNegative = Field(0.1, description="Weight of the cosine distance to the text vector.")
    variance: NonNegative = Field(
        0.0, description="Weight of the guard that keeps each dimension of the result's encoding spread over a batch."
    )
    variance_std: float = Field(0.1, gt=0, description="Standard deviation below which that guard pushes.")
    l1_kind: Literal["l1", "smooth_l1", "topk_l1"] = Field("l1", description="Form of the absolute error.")
    gram_over: Literal["batch", "features"] = Field("batch", description="Axis that the Gram matrix runs over.")
    target: Literal["joint", "stop_gradient", "ema"] = Field(
        "joint",
        description="What the prediction is drawn to: the result's encoding, trained along (the original); the same "
        "without a gradient; or the encoding by a moving average of the result encoder.",
    )
    target_decay: Fraction = Field(0.99, description="Decay of that moving average (target = ema only).")


class CausalFilmSettings(RecipeSettings):
    """Causal-FiLM: its features, its shape, what is done to its inputs while training, and its loss."""

    name: Literal["causal_film"] = Field("causal_film", description="What is learned, and how it predicts.")
    video: FeatureOrArray = Field(
        "video",
        description="Feature that the process is seen in: its tokens over time, or another array, such as "
        "video/embedding of frames.",
    )
    audio: StoreName = Field("audio", description="Feature that the process is heard in.")
    sensor: StoreName = Field("sensor", description="Feature that modulates both: measurements over time.")
    image: StoreName = Field("image", description="Feature that the result is seen in: photographs.")
    text: StoreName = Field("text", description="Feature that the prediction is drawn to: the vector of a text.")
    d_model: Width = Field(512, multiple_of=4, description="Width of the process and result encodings.")
    hidden_width: Width = Field(512, description="Width between the two layers of projectors and result head.")
    sensor_hidden: Width = Field(128, description="Width of the sensor encoder.")
    sensor_encoder: Literal["mamba", "gru"] = Field("mamba", description="What reads the sensors over time.")
    sensor_normalisation: Literal["train", "sample"] = Field(
        "train",
        description="Sensors are standardised by the statistics of the training set, or each sample by its own, which "
        "erases the set-points (the original).",
    )
    film: Literal["shared", "split", "off"] = Field(
        "shared", description="One modulation for video and audio, one for each, or none: sensors are then not used."
    )
    blocks: tuple[Positive, ...] = Field((10, 21), min_length=1, description="Cached image blocks that are used.")
    pooling: Pooling | tuple[Pooling, ...] = Field(
        "gem", description="Pooling over patch tokens: one for all blocks, or a list with one for each."
    )
    learnable_gem: bool = Field(True, description="Whether GeM's exponent is trained.")
    block_width: Width | None = Field(
        None, description="Width that each pooled block is reduced to before they are joined; null: as it is."
    )
    gate: bool = Field(True, description="Whether the joined blocks are gated by themselves.")
    views: Literal["max", "mean"] = Field("max", description="How the photographs of a sample become one encoding.")
    standardise: bool = Field(
        False, description="Standardise tokens with train statistics first; random-weight backbones need it."
    )
    missing: Literal["token", "leave_out"] = Field(
        "token",
        description="Samples that lack a modality: trained on and scored with a learned token in place of it, or left "
        "out.",
    )
    num_layers: Positive = Field(2, le=256, description="Layers of the process encoder.")
    num_heads: Positive = Field(4, description="Attention heads of the process encoder.")
    dropout: Fraction = Field(0.1, description="Dropout in the process encoder.")
    decoder_dropout: Fraction = Field(0.2, description="Dropout in the decoder.")
    decoder_bottleneck: Width | None = Field(None, description="Width inside the decoder; null: d_model.")
    text_head: bool = Field(
        False, description="A linear head between prediction and text vector even where their widths agree."
    )
    feature_mask: Fraction = Field(0.2, description="Share of video and audio tokens hidden at each step.")
    noise: NonNegative = Field(
        0.0,
        description="Deviation of the noise added to video and audio tokens, in units of each channel's own.",
    )
    mixup: NonNegative = Field(
        0.0, description="Alpha of mixup between samples of a batch, on their features; 0: none."
    )
    modality_dropout: Fraction = Field(
        0.0, description="Share of samples from which each modality is hidden at each step; never all of a sample's."
    )
    loss: LossSettings = LossSettings()

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "CausalFilmSettings":
        if self.d_model % self.num_heads:
            raise ValueError(f"d_model = {self.d_model} is not a multiple of num_heads = {self.num_heads}")
        return self

    @model_validator(mode="after")
    def _one_pooling_a_block(self) -> "CausalFilmSettings":
        if not isinstance(self.pooling, str) and len(self.pooling) != len(self.blocks):
            raise ValueError(
                f"pooling lists {len(self.pooling)} poolings for {len(self.blocks)} blocks; give one each, or "
                "one for all"
            )
        return self
