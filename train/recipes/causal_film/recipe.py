"""The Causal-FiLM recipe: train on normals to predict the result's encoding from the process; a miss is an anomaly."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ....errors import NotFoundError, SettingsError
from ...nn.pooling import GeM
from ...types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from ..published import Reference, published
from .augmentation import augment
from .loss import anomaly_score, film_losses
from .module import StandardisedCausalFilm, film_features, numbers_of
from .network import CausalFilm, CausalFilmDims, CausalFilmOutput
from .settings import CausalFilmSettings


class CausalFilmRecipe:
    """Settings of Causal-FiLM turned into a module, a loss and a score.

    Raises:
        SettingsError: if settings contradict one another.
    """

    def __init__(self, settings: CausalFilmSettings) -> None:
        _require_sense(settings)
        self._features = film_features(settings)
        self._settings = settings

    @property
    def references(self) -> Sequence[Reference]:
        return published("causal_film")

    def needs(self) -> Needs:
        """Tokens of the modalities that the model looks at, which of them are real, and the text vector, where the loss
        looks at it. What is measured goes with what says how much of it is real."""
        features, settings = self._features, self._settings
        measured = features.measured(settings)
        real = [request for request in map(features.what_is_real, measured) if request is not None]
        return Needs(
            features.requests(),
            modalities=features.modalities(),
            hidden=tuple(features.modalities()) if settings.modality_dropout > 0 else (),
            constants=(features.text,) if settings.loss.text > 0 else (),
            measures=tuple(request.name for request in (*measured, *real)),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return self._features.advice(missing, held=held)

    def limits(self, modalities: Collection[str]) -> str:
        """It predicts photographs from the rest, so it needs two modalities at least, and photographs to have sense.

        Raises:
            NotFoundError: if there are fewer than two.
        """
        if len(modalities) < 2:
            raise NotFoundError(
                f"All samples to train on have {' and '.join(modalities) or 'nothing'} alone: Causal-FiLM predicts "
                "photographs from the process, so there is nothing to predict from one modality. Add files of another "
                "one, and extract them."
            )
        if "image" not in modalities:
            return (
                "Causal-FiLM then has no photographs to predict: its scores say how unusual the process is, not what "
                "came of it."
            )
        return ""

    def build(self, shapes: Shapes) -> StandardisedCausalFilm:
        """Causal-FiLM as wide as the features."""
        film = CausalFilm(self._dims(shapes))
        for module in film.result_encoder.modules():
            if isinstance(module, GeM):
                module.requires_grad_(self._settings.learnable_gem)
        return StandardisedCausalFilm(film, features=self._features, shapes=shapes, settings=self._settings)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Statistics over all training rows, and the text vector."""
        assert isinstance(model, StandardisedCausalFilm)
        model.measure(train)
        if self._features.text in constants:
            model.text_anchor.copy_(constants[self._features.text])

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Z_pred and Z_result, in float32, and where they matter `z_target` and `result_present` (1 or 0).

        With a generator, as in training, the inputs are augmented and a moving target moves on by a step. Rows of one
        batch may then be mixed with one another; without they do not touch.
        """
        assert isinstance(model, StandardisedCausalFilm)
        inputs = model.inputs(batch)
        if generator is not None:
            inputs = augment(
                inputs, settings=self._settings, numbers=model.numbers, spreads=model.spreads(), generator=generator
            )
            if self._settings.loss.target == "ema":
                model.film.move_target(decay=self._settings.loss.target_decay)
        output: CausalFilmOutput = model(inputs)
        encodings = {"z_pred": output.z_pred, "z_result": output.z_result}
        if output.z_target is not None:
            encodings["z_target"] = output.z_target
        if inputs.present:
            encodings["result_present"] = inputs.present["image"]
        return {name: encoding.float() for name, encoding in encodings.items()}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The weighted sum and the terms that have a weight; Z_result and Z_pred are watched: either may become a
        constant."""
        assert isinstance(model, StandardisedCausalFilm)
        return film_losses(encodings, model=model, settings=self._settings.loss)

    @property
    def varied(self) -> Collection[str] | None:
        if self._settings.loss.target == "ema":  # its target moves in place, step by step
            return None
        return (*numbers_of(self._settings), "dropout", "decoder_dropout")

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """How badly the process predicts the result; without photographs, how unusual the prediction is."""
        return Prediction(anomaly_score(encodings["z_pred"], encodings["z_result"]))

    def _dims(self, shapes: Shapes) -> CausalFilmDims:
        settings, features = self._settings, self._features
        pooling = settings.pooling
        return CausalFilmDims(
            video_width=shapes[features.video.name][-1],
            audio_width=shapes[features.audio.name][-1],
            image_width=shapes[features.patches[0].name][-1],
            sensor_channels=0 if features.sensor is None else shapes[features.sensor.name][-1],
            width=settings.d_model,
            hidden_width=settings.hidden_width,
            sensor_hidden=settings.sensor_hidden,
            sensor_encoding=settings.sensor_encoder,
            film=settings.film,
            poolings=(pooling,) * len(settings.blocks) if isinstance(pooling, str) else pooling,
            block_width=settings.block_width,
            gate=settings.gate,
            views=settings.views,
            num_layers=settings.num_layers,
            num_heads=settings.num_heads,
            process_dropout=settings.dropout,
            decoder_dropout=settings.decoder_dropout,
            decoder_bottleneck=settings.decoder_bottleneck,
            text_width=self._text_head_width(shapes),
            absent_tokens=features.optional,
            moving_target=self._settings.loss.target == "ema",
        )

    def _text_head_width(self, shapes: Shapes) -> int | None:
        """None where Z_pred meets the text vector as it is, or not at all."""
        if self._features.text not in shapes:
            return None
        width = shapes[self._features.text][0]
        return width if self._settings.text_head or width != self._settings.d_model else None


def _require_sense(settings: CausalFilmSettings) -> None:
    if settings.modality_dropout > 0 and settings.missing == "leave_out":
        raise SettingsError(
            f"recipe.modality_dropout = {settings.modality_dropout} hides modalities, which takes tokens to stand for "
            "them. Set recipe.missing=token, or recipe.modality_dropout=0."
        )
    loss = settings.loss
    if not any((loss.cosine, loss.l1, loss.gram, loss.text, loss.variance)):
        raise SettingsError(
            "All weights of section recipe.loss are 0, so there is nothing to train on. Give one of them some."
        )
