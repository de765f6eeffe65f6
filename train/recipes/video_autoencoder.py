"""The video autoencoder: a film's mean frame embedding, rebuilt through a bottleneck; what is lost is the score.

A published approach to such audio and video scores reconstruction errors of each modality and fuses them late.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import StoreName, Width
from ...errors import SettingsError
from ..nn.standardise import ChannelStatistics, Standardise
from ..settings import RecipeSettings
from ..types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes
from .published import Reference, published


class VideoAutoencoderSettings(RecipeSettings):
    """The video autoencoder: its feature and its shape."""

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
    """Linear layers width - hidden - bottleneck - hidden - width with ReLU between them, on standardised vectors."""

    def __init__(self, width: int, *, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.standardise = Standardise(width)  # the identity until it is given statistics
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, bottleneck), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(bottleneck, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, vectors: Float[Tensor, "batch width"]) -> AutoencoderOutput:
        """Encode and rebuild."""
        target = self.standardise(vectors)
        code = self.encoder(target)
        return AutoencoderOutput(target=target, code=code, rebuilt=self.decoder(code))


def reconstruction_error(
    rebuilt: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"]
) -> Float[Tensor, " batch"]:
    """Mean squared error of each row."""
    return (rebuilt - target).square().mean(dim=1)


class VideoAutoencoderRecipe:
    """Settings of the autoencoder turned into a module, a loss and a score."""

    def __init__(self, settings: VideoAutoencoderSettings) -> None:
        self._frames = FeatureRequest(settings.frames, "embedding")
        self._settings = settings

    @property
    def references(self) -> Sequence[Reference]:
        return published("video_ae")

    def needs(self) -> Needs:
        """The embeddings of the frames, and their statistics where they are standardised."""
        return Needs(
            (self._frames,),
            modalities={"video": (self._frames.feature_set,)},
            measures=(self._frames.name,) if self._settings.standardise else (),
        )

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
        shape = shapes[self._frames.name]
        if len(shape) != 2:
            raise SettingsError(
                f"{self._frames.name} is no row of frames: it has the shape {list(shape)} a sample. Choose a feature "
                "of the kind frames with --set recipe.frames=<name>."
            )
        width = shape[-1]
        return Autoencoder(width, hidden=self._settings.hidden, bottleneck=self._settings.bottleneck)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Statistics of the vectors that the autoencoder gets, over all training rows."""
        assert isinstance(model, Autoencoder)
        if not self._settings.standardise:
            return
        statistics = ChannelStatistics(len(model.standardise.mean))
        for batch in train:
            statistics.add(self._vectors(batch))
        model.standardise.use(statistics)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The vectors, their codes and what is rebuilt from these; nothing is drawn from the generator."""
        output: AutoencoderOutput = model(self._vectors(batch))
        return {"target": output.target.float(), "code": output.code.float(), "rebuilt": output.rebuilt.float()}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Mean squared error, the only term; the code is watched."""
        return Losses(self.predict(model, encodings).score.mean(), watched={"code": encodings["code"]})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(reconstruction_error(encodings["rebuilt"], encodings["target"]))

    def _vectors(self, batch: Batch) -> Float[Tensor, "batch width"]:
        """Mean over frames, in float32 whatever the cache holds."""
        return batch.features[self._frames.name].float().mean(dim=1)
