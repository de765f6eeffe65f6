"""The video autoencoder: a recording's mean frame embedding, rebuilt through a bottleneck; what is lost is the score.

The published audio+video approach to these welds scores reconstruction errors of each modality and fuses them late.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...configs.schema import AutoencoderSettings
from ..nn.autoencoder import Autoencoder, AutoencoderOutput, reconstruction_error
from ..nn.standardise import ChannelStatistics
from .recipe import Batch, Encodings, FeatureRequest, Shapes


class VideoAutoencoderRecipe:
    """Settings of the autoencoder turned into a module, a loss and a score."""

    def __init__(self, *, feature_set: str, autoencoder: AutoencoderSettings, standardise: bool) -> None:
        self._frames = FeatureRequest(feature_set, "embedding")
        self._settings = autoencoder
        self._standardise = standardise

    def requires(self) -> Sequence[FeatureRequest]:
        """The embeddings of the frames."""
        return (self._frames,)

    def modalities(self) -> Mapping[str, Sequence[str]]:
        """The film, by its frames."""
        return {"video": (self._frames.feature_set,)}

    def constants(self) -> Sequence[str]:
        """None."""
        return ()

    def measures(self) -> Sequence[str]:
        """The embeddings, where they are standardised."""
        return (self._frames.name,) if self._standardise else ()

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """How to have the frames."""
        return (
            "Add them to the same store, beside what it holds: `weldcache extract --config video_ae`, or with frames "
            "among extract.modalities; if they are there under another name, say so with --set frames.store_as=<name>."
        )

    def build(self, shapes: Shapes) -> Autoencoder:
        """As wide as the embeddings."""
        width = shapes[self._frames.name][-1]
        return Autoencoder(width, hidden=self._settings.hidden, bottleneck=self._settings.bottleneck)

    def calibrate(self, model: nn.Module, train: Iterable[Batch], constants: Batch) -> None:
        """Statistics of the vectors that the autoencoder gets, over all training rows."""
        assert isinstance(model, Autoencoder)
        if not self._standardise:
            return
        statistics = ChannelStatistics(len(model.standardise.mean))
        for batch in train:
            statistics.add(self._vectors(batch))
        model.standardise.use(statistics)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The vectors, their codes and what is rebuilt from these; nothing is drawn from the generator."""
        output: AutoencoderOutput = model(self._vectors(batch))
        return {"target": output.target.float(), "code": output.code.float(), "rebuilt": output.rebuilt.float()}

    def loss(self, model: nn.Module, encodings: Encodings) -> dict[str, Tensor]:
        """Mean squared error, the only term."""
        return {"total": self.score(model, encodings).mean()}

    def score(self, model: nn.Module, encodings: Encodings) -> Float[Tensor, " batch"]:
        """Mean squared error of each row."""
        return reconstruction_error(encodings["rebuilt"], encodings["target"])

    def embeddings(self, encodings: Encodings) -> Mapping[str, Float[Tensor, "batch dim"]]:
        """The code."""
        return {"code": encodings["code"]}

    def _vectors(self, batch: Batch) -> Float[Tensor, "batch width"]:
        """Mean over frames, in float32 whatever the cache holds."""
        return batch[self._frames.name].float().mean(dim=1)
