"""Reconstruction: vectors rebuilt through a bottleneck, learned on normal samples; what is lost is the score.

Of one array it is a model of one modality; of several, which share the bottleneck, it is their mid fusion. A published
approach to sound and film scores such an error of each and fuses them late; its model of film is the recipe `video_ae`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Fraction, StoreName, Width
from ...errors import SettingsError
from ..nn.augmentation import drop_modalities
from ..nn.standardise import Standardise
from ..settings import NamedArray, RecipeSettings, of_last_block
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .joined_arrays import JoinedArrays
from .published import Reference, published
from .vectors import VectorSettings

_PUBLISHED = {"audio": "audio_ae", "frames": "video_ae", "video": "video_ae"}
"""By the feature that is rebuilt, whose figures are those of a model like it."""


class ReconstructionSettings(VectorSettings):
    """An autoencoder of vectors: those of one array, or of several side by side."""

    name: Literal["reconstruction"] = Field("reconstruction", description="What is learned, and how it predicts.")
    beside: tuple[NamedArray, ...] = Field(
        (),
        description="Further arrays, such as sound_statistics/values beside video/embedding: all go through one "
        "bottleneck, and the error of each counts alike. Samples that lack some are scored by those they have.",
    )
    vectors: Literal["mean", "all"] = Field(
        "mean",
        description="Where an array has many vectors a sample, such as views, patches or steps: mean: one, their mean; "
        "all: one after another, as of a series that is to be rebuilt step by step.",
    )
    hidden: Width = Field(128, description="Width of the outer hidden layers.")
    bottleneck: Width = Field(64, description="Width of the code.")
    standardise: bool = Field(True, description="Take each number in units of its spread over the training samples.")
    modality_dropout: Fraction = Field(
        0.0,
        description="Share of samples of which each array is hidden at each step, never all of them, and rebuilt from "
        "the others (where several are looked at).",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        beside = tuple(of_last_block(array, arrays) for array in self.beside)
        return super().for_store(arrays).model_copy(update={"beside": beside})


class VideoAutoencoderSettings(RecipeSettings):
    """The published autoencoder of a film: its feature and its shape."""

    name: Literal["video_ae"] = Field("video_ae", description="What is learned, and how it predicts.")
    frames: StoreName = Field("frames", description="Feature that is rebuilt: a film frame by frame.")
    hidden: Width = Field(128, description="Width of the outer hidden layers.")
    bottleneck: Width = Field(64, description="Width of the code.")
    standardise: bool = Field(
        False, description="Standardise the frames with train statistics first; random-weight backbones need it."
    )


@dataclass(frozen=True)
class AutoencoderOutput:
    """The vectors as the autoencoder sees them, what it makes of them on the way, and at the end."""

    target: Float[Tensor, "batch width"]
    code: Float[Tensor, "batch bottleneck"]
    rebuilt: Float[Tensor, "batch width"]


class Autoencoder(nn.Module):
    """Linear layers width - hidden - bottleneck - hidden - width with ReLU between them, on standardised vectors.

    `widths` are those of the arrays that a vector is made of.
    """

    def __init__(self, widths: Sequence[int], *, hidden: int, bottleneck: int) -> None:
        super().__init__()
        width = sum(widths)
        self.widths = list(widths)
        self.standardise = Standardise(width)  # the identity until it is given statistics
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, bottleneck), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(bottleneck, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(
        self,
        vectors: Float[Tensor, "batch width"],
        known: Bool[Tensor, "batch width"],
        shown: Bool[Tensor, "batch width"] | None = None,
    ) -> AutoencoderOutput:
        """Encode and rebuild; what is not known, or is not `shown`, is as the mean of the training samples."""
        target = torch.where(known, self.standardise(vectors), 0.0)
        code = self.encoder(target if shown is None else torch.where(shown, target, 0.0))
        return AutoencoderOutput(target=target, code=code, rebuilt=self.decoder(code))


def reconstruction_error(
    output: AutoencoderOutput, known: Bool[Tensor, "batch width"], *, widths: Sequence[int]
) -> Float[Tensor, " batch"]:
    """Mean squared error of each array over what is known of it, and their mean; NaN of a row of which nothing is."""
    squares = torch.where(known, output.rebuilt.float() - output.target, 0.0).square()
    counts = torch.stack([part.sum(dim=1) for part in torch.split(known, list(widths), dim=1)], dim=1)
    sums = torch.stack([part.sum(dim=1) for part in torch.split(squares, list(widths), dim=1)], dim=1)
    errors = sums / counts.clamp(min=1)
    return errors.sum(dim=1) / (counts > 0).sum(dim=1)


class ReconstructionRecipe:
    """Settings of the autoencoder turned into a module, a loss and a score.

    `setting` is the one that names the array, for messages.
    """

    setting = "recipe.array"

    def __init__(self, settings: ReconstructionSettings) -> None:
        # Of an array that is still to be chosen, the usual one: a recipe is asked for its task before there is a store.
        self._settings = settings.for_store(())
        self._joined = JoinedArrays(
            (self._settings.array, *settings.beside),
            recipe=settings.name,
            setting=self.setting,
            vectors=settings.vectors,
            measured=settings.standardise,
            optional=True,
        )

    @property
    def references(self) -> Sequence[Reference]:
        feature = self._settings.array.partition("/")[0]
        return published(_PUBLISHED[feature]) if feature in _PUBLISHED and not self._settings.beside else ()

    def needs(self) -> Needs:
        needs = self._joined.needs()
        return replace(needs, hidden=tuple(needs.dispensable) if self._settings.modality_dropout > 0 else ())

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return self._joined.advice()

    def build(self, shapes: Shapes) -> Autoencoder:
        """An autoencoder as wide as all arrays together."""
        settings = self._settings
        return Autoencoder(self._joined.widths(shapes), hidden=settings.hidden, bottleneck=settings.bottleneck)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Statistics of the vectors that the autoencoder gets, over all training rows."""
        assert isinstance(model, Autoencoder)
        if self._settings.standardise:
            self._joined.measure(model.standardise, train)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The codes and the error of what is rebuilt from them; a generator, as in training, draws what is hidden."""
        assert isinstance(model, Autoencoder)
        vectors, known = self._joined.read(batch)
        shown, dropout = None, self._settings.modality_dropout
        if generator is not None and dropout > 0 and batch.present:
            present = drop_modalities(batch.present, probability=dropout, generator=generator)
            shown = self._joined.read(replace(batch, present=present))[1]
        output: AutoencoderOutput = model(vectors, known, shown)
        return {"code": output.code.float(), "error": reconstruction_error(output, known, widths=model.widths)}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Mean squared error, the only term; the code is watched."""
        return Losses(encodings["error"].mean(), watched={"code": encodings["code"]})

    @property
    def varied(self) -> Collection[str] | None:
        return ()

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["error"])


class VideoAutoencoderRecipe(ReconstructionRecipe):
    """An autoencoder of a film's mean frame embedding, as it was published."""

    setting = "recipe.frames"

    def __init__(self, settings: VideoAutoencoderSettings) -> None:
        super().__init__(
            ReconstructionSettings(
                array=f"{settings.frames}/embedding",
                hidden=settings.hidden,
                bottleneck=settings.bottleneck,
                standardise=settings.standardise,
            )
        )

    @property
    def references(self) -> Sequence[Reference]:
        return published("video_ae")

    def needs(self) -> Needs:
        needs = super().needs()
        return replace(needs, modalities={"video": needs.feature_sets})

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            "Add them to the same store, beside what it holds: `weldcache extract --config video_ae`, or with frames "
            "among extract.features; if they are there under another name: --set recipe.frames=<name>."
        )

    def build(self, shapes: Shapes) -> Autoencoder:
        """An autoencoder as wide as a frame's embedding.

        Raises:
            SettingsError: if the feature has one vector a sample, and not one a frame.
        """
        shape = shapes[self._settings.array]
        if len(shape) != 2:
            raise SettingsError(
                f"{self._settings.array} is no row of frames: it has the shape {list(shape)} a sample. Choose a "
                "feature of the kind frames with --set recipe.frames=<name>."
            )
        return super().build(shapes)
