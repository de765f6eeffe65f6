"""The Causal-FiLM recipe: train on normals to predict the result's encoding from the process; a miss is an anomaly."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...configs.schema import LossSettings, ModelSettings
from ..nn.anomaly_score import anomaly_score
from ..nn.causal_film import CausalFilm, CausalFilmDims, CausalFilmOutput
from ..nn.feature_mask import mask_tokens
from ..nn.gem import GeM
from ..nn.losses import cosine_loss, feature_gram_loss, gram_loss, l1_loss, smooth_l1_loss, top_l1_loss
from ..nn.standardise import Standardise
from .recipe import Batch, FeatureRequest, Selection, Shapes

VIDEO = "video/tokens"
AUDIO = "audio/tokens"
AUDIO_LENGTH = "audio/tokens_length"
PATCHES = "image/patch_tokens"
VIEWS = "image/views_present"
SENSOR = "sensor/values"
TEXT = "text/prompt"

_L1_KINDS = {"l1": l1_loss, "smooth_l1": smooth_l1_loss, "topk_l1": top_l1_loss}
_GRAM_AXES = {"batch": gram_loss, "features": feature_gram_loss}


class CalibratedCausalFilm(nn.Module):
    """Causal-FiLM on raw cached features, with what is measured on the training set as buffers.

    Sensors are always standardised, tokens where the settings ask for it; `text_anchor` is empty where the text loss
    is off.
    """

    text_anchor: Tensor

    def __init__(self, film: CausalFilm, *, shapes: Shapes, text_width: int) -> None:
        super().__init__()
        self.film = film
        self.sensor = Standardise(shapes[SENSOR][-1])
        self.video = Standardise(shapes[VIDEO][-1])
        self.audio = Standardise(shapes[AUDIO][-1])
        self.patches = Standardise(shapes[PATCHES][-1], groups=shapes[PATCHES][0])
        self.register_buffer("text_anchor", torch.zeros(text_width))

    def inputs(self, batch: Batch) -> dict[str, Tensor]:
        """What the film takes, by keyword; tokens may come in half precision."""
        return {
            "video": self.video(batch[VIDEO]),
            "audio": self.audio(batch[AUDIO]),
            "audio_padding": ~_real_tokens(batch[AUDIO_LENGTH], num_tokens=batch[AUDIO].shape[1]),
            "sensor": self.sensor(batch[SENSOR]),
            "patches": self.patches(batch[PATCHES]),
            "view_mask": batch[VIEWS].bool(),
        }

    def forward(self, batch: Batch) -> CausalFilmOutput:
        """Encode and predict."""
        output: CausalFilmOutput = self.film(**self.inputs(batch))
        return output


class CausalFilmRecipe:
    """Settings of Causal-FiLM turned into a module, a loss and a score."""

    def __init__(self, *, model: ModelSettings, loss: LossSettings, feature_mask: float) -> None:
        self._model = model
        self._loss = loss
        self._feature_mask = feature_mask

    def requires(self) -> Sequence[FeatureRequest]:
        """Tokens of the four modalities, and which of them are real."""
        return (
            FeatureRequest("video", "tokens"),
            FeatureRequest("audio", "tokens"),
            FeatureRequest("audio", "tokens_length"),
            FeatureRequest("image", "patch_tokens", take=Selection("blocks", self._model.blocks)),
            FeatureRequest("image", "views_present"),
            FeatureRequest("sensor", "values"),
        )

    def constants(self) -> Sequence[str]:
        """The text vector, where the loss looks at it."""
        return (TEXT,) if self._loss.text > 0 else ()

    def build(self, shapes: Shapes) -> CalibratedCausalFilm:
        """Causal-FiLM as wide as the features; with a text head where the text vector is not as wide as the model."""
        settings = self._model
        text_width = shapes[TEXT][0] if TEXT in shapes else 0
        dims = CausalFilmDims(
            video_width=shapes[VIDEO][-1],
            audio_width=shapes[AUDIO][-1],
            image_width=shapes[PATCHES][-1],
            sensor_channels=shapes[SENSOR][-1],
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
        return CalibratedCausalFilm(film, shapes=shapes, text_width=text_width)

    def calibrate(self, model: nn.Module, train: Batch, constants: Batch) -> None:
        """Statistics over all training rows, and the text vector."""
        assert isinstance(model, CalibratedCausalFilm)
        model.sensor.measure(train[SENSOR])
        if self._model.standardise:
            real = _real_tokens(train[AUDIO_LENGTH], num_tokens=train[AUDIO].shape[1])
            model.video.measure(train[VIDEO])
            model.audio.measure(train[AUDIO], keep=real)
            model.patches.measure(train[PATCHES])
        if TEXT in constants:
            model.text_anchor.copy_(constants[TEXT])

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

    def _masked(self, inputs: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        # After standardisation, where zero is the mean and so says least.
        hidden = {
            name: mask_tokens(inputs[name], probability=self._feature_mask, generator=generator)
            for name in ("video", "audio")
        }
        return {**inputs, **hidden}


def _real_tokens(lengths: Tensor, *, num_tokens: int) -> Bool[Tensor, "batch tokens"]:
    return torch.arange(num_tokens, device=lengths.device) < lengths.unsqueeze(1)
