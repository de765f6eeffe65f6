"""The Causal-FiLM recipe: train on normals to predict the result's encoding from the process; a miss is an anomaly."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...configs.schema import LossSettings, ModelSettings
from ..nn.anomaly_score import anomaly_score
from ..nn.causal_film import CausalFilm, CausalFilmDims, CausalFilmOutput
from ..nn.channel_statistics import ChannelStatistics
from ..nn.feature_mask import mask_tokens
from ..nn.gem import GeM
from ..nn.losses import cosine_loss, feature_gram_loss, gram_loss, l1_loss, smooth_l1_loss, top_l1_loss
from ..nn.standardise import Standardise
from .film_features import FilmFeatures
from .recipe import Batch, FeatureRequest, Shapes

_L1_KINDS = {"l1": l1_loss, "smooth_l1": smooth_l1_loss, "topk_l1": top_l1_loss}
_GRAM_AXES = {"batch": gram_loss, "features": feature_gram_loss}


class CalibratedCausalFilm(nn.Module):
    """Causal-FiLM on raw cached features, with what is measured on the training set as buffers.

    Sensors are always standardised, tokens where `standardises_tokens` says so; `text_anchor` is empty where the text
    loss is off.
    """

    text_anchor: Tensor

    def __init__(
        self,
        film: CausalFilm,
        *,
        features: FilmFeatures,
        shapes: Shapes,
        text_width: int,
        standardises_tokens: bool,
    ) -> None:
        super().__init__()
        self.film = film
        self.sensor = Standardise(shapes[features.sensor.name][-1])
        self.video = Standardise(shapes[features.video.name][-1])
        self.audio = Standardise(shapes[features.audio.name][-1])
        self.patches = nn.ModuleList(Standardise(shapes[block.name][-1]) for block in features.patches)
        self.register_buffer("text_anchor", torch.zeros(text_width))
        self._features = features
        self._standardises_tokens = standardises_tokens

    def standardisers(self) -> dict[str, Standardise]:
        """What standardises an array, by the array's name; tokens only where they are standardised."""
        features, modules = self._features, {self._features.sensor.name: self.sensor}
        if self._standardises_tokens:
            modules |= {features.video.name: self.video, features.audio.name: self.audio}
            for request, module in zip(features.patches, self.patches, strict=True):
                assert isinstance(module, Standardise)
                modules[request.name] = module
        return modules

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """What the film takes, by keyword; tokens that are not standardised stay in the cache's half precision."""
        features = self._features
        values = {**batch, **{name: module(batch[name]) for name, module in self.standardisers().items()}}
        num_tokens = batch[features.audio.name].shape[1]
        views = torch.stack([batch[request.name] for request in features.views])
        return {
            "video": values[features.video.name],
            "audio": values[features.audio.name],
            "audio_padding": ~_real_tokens(batch[features.audio_length.name], num_tokens=num_tokens),
            "sensor": values[features.sensor.name],
            "patches": [values[request.name] for request in features.patches],
            "view_mask": views.bool().all(dim=0),
        }

    def forward(self, batch: Batch) -> CausalFilmOutput:
        """Encode and predict."""
        output: CausalFilmOutput = self.film(**self.inputs(batch))
        return output


class CausalFilmRecipe:
    """Settings of Causal-FiLM turned into a module, a loss and a score."""

    def __init__(
        self, features: FilmFeatures, *, model: ModelSettings, loss: LossSettings, feature_mask: float
    ) -> None:
        self._features = features
        self._model = model
        self._loss = loss
        self._feature_mask = feature_mask

    def requires(self) -> Sequence[FeatureRequest]:
        """Tokens of the four modalities, and which of them are real."""
        return self._features.requests()

    def constants(self) -> Sequence[str]:
        """The text vector, where the loss looks at it."""
        return (self._features.text,) if self._loss.text > 0 else ()

    def measures(self) -> Sequence[str]:
        """Sensors, and tokens where they are standardised."""
        features = self._features
        if not self._model.standardise:
            return (features.sensor.name,)
        tokens = (features.video, features.audio, features.audio_length, *features.patches)
        return (features.sensor.name, *(request.name for request in tokens))

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """Which blocks there are and how to have others, or where the other modalities come from."""
        return self._features.advice(missing, held=held)

    def build(self, shapes: Shapes) -> CalibratedCausalFilm:
        """Causal-FiLM as wide as the features; with a text head where the text vector is not as wide as the model."""
        settings, features = self._model, self._features
        text_width = shapes[features.text][0] if features.text in shapes else 0
        dims = CausalFilmDims(
            video_width=shapes[features.video.name][-1],
            audio_width=shapes[features.audio.name][-1],
            image_width=shapes[features.patches[0].name][-1],
            sensor_channels=shapes[features.sensor.name][-1],
            width=settings.d_model,
            sensor_hidden=settings.sensor_hidden,
            poolings=(settings.pooling,) * len(settings.blocks),
            num_layers=settings.num_layers,
            num_heads=settings.num_heads,
            process_dropout=settings.dropout,
            decoder_dropout=settings.decoder_dropout,
            text_width=text_width if text_width not in (0, settings.d_model) else None,
        )
        film = CausalFilm(dims)
        for module in film.modules():
            if isinstance(module, GeM):
                module.requires_grad_(settings.learnable_gem)
        return CalibratedCausalFilm(
            film, features=features, shapes=shapes, text_width=text_width, standardises_tokens=settings.standardise
        )

    def calibrate(self, model: nn.Module, train: Iterable[Batch], constants: Batch) -> None:
        """Statistics over all training rows, and the text vector."""
        assert isinstance(model, CalibratedCausalFilm)
        standardisers = model.standardisers()
        measured = {name: ChannelStatistics(len(module.mean)) for name, module in standardisers.items()}
        audio, lengths = self._features.audio.name, self._features.audio_length.name
        for batch in train:
            for name, statistics in measured.items():
                values = batch[name]
                keep = _real_tokens(batch[lengths], num_tokens=values.shape[1]) if name == audio else None
                statistics.add(values, keep=keep)
        for name, module in standardisers.items():
            module.use(measured[name])
        if self._features.text in constants:
            model.text_anchor.copy_(constants[self._features.text])

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Weighted sum and terms. The generator hides video and audio tokens, each with the feature mask's share."""
        assert isinstance(model, CalibratedCausalFilm)
        inputs = model.inputs(batch)
        output: CausalFilmOutput = model.film(**(inputs if generator is None else self._masked(inputs, generator)))
        terms = {
            "cosine": cosine_loss(output.z_pred, output.z_result),
            "l1": _L1_KINDS[self._loss.l1_kind](output.z_pred, output.z_result),
            "gram": _GRAM_AXES[self._loss.gram_over](output.z_pred, output.z_result),
        }
        if self._loss.text > 0:
            terms["text"] = cosine_loss(model.film.text_head(output.z_pred), model.text_anchor.unsqueeze(0))
        total = torch.stack([getattr(self._loss, name) * term for name, term in terms.items()]).sum()
        return {"total": total, **terms}

    def score(self, model: nn.Module, batch: Batch) -> Float[Tensor, " batch"]:
        """How badly the process predicts the result."""
        output: CausalFilmOutput = model(batch)
        return anomaly_score(output.z_pred, output.z_result)

    def embed(self, model: nn.Module, batch: Batch) -> Float[Tensor, "batch dim"]:
        """Z_result, which nothing in the loss keeps from becoming a constant."""
        output: CausalFilmOutput = model(batch)
        return output.z_result

    def _masked(self, inputs: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        # After standardisation, where zero is the mean and so says least.
        hidden = {
            name: mask_tokens(inputs[name], probability=self._feature_mask, generator=generator)
            for name in ("video", "audio")
        }
        return {**inputs, **hidden}


def _real_tokens(lengths: Tensor, *, num_tokens: int) -> Bool[Tensor, "batch tokens"]:
    return torch.arange(num_tokens, device=lengths.device) < lengths.unsqueeze(1)
