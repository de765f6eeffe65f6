"""Causal-FiLM on cached features: where in a store they are, and what is measured on the training set as buffers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...nn.stack import Numbers
from ...nn.standardise import ChannelStatistics, Standardise, standardise_each
from ...types import Batch, FeatureRequest, Shapes
from .network import CausalFilm, CausalFilmOutput, FilmInputs
from .settings import CausalFilmSettings


@dataclass(frozen=True, kw_only=True)
class FilmFeatures:
    """The arrays of the modalities by what they are, and the name of the text vector.

    `patches` and `views` have one entry a block; a view counts as present where it is in every block. `sensor` is None
    for a model without FiLM. `optional` means that rows may lack modalities.
    """

    video: FeatureRequest
    audio: FeatureRequest
    audio_length: FeatureRequest
    patches: tuple[FeatureRequest, ...]
    views: tuple[FeatureRequest, ...]
    sensor: FeatureRequest | None
    text: str
    image: str  # the feature whose sets hold one block each
    optional: bool

    def requests(self) -> tuple[FeatureRequest, ...]:
        """The arrays of all modalities, and those that say how much of them is real."""
        sensors = () if self.sensor is None else (self.sensor,)
        return (self.video, self.audio, self.audio_length, *self.patches, *self.views, *sensors)

    def modalities(self) -> Mapping[str, tuple[str, ...]]:
        """Feature sets by modality; a row has a modality where it has all of its sets."""
        sensors = {} if self.sensor is None else {"sensor": (self.sensor.feature_set,)}
        blocks = tuple(block.feature_set for block in self.patches)
        return {"video": (self.video.feature_set,), "audio": (self.audio.feature_set,), "image": blocks, **sensors}

    def measured(self, settings: CausalFilmSettings) -> tuple[FeatureRequest, ...]:
        """The arrays whose statistics over the training set are wanted: sensors, and tokens where they are standardised
        or get noise in units of their spread."""
        sensors = (self.sensor,) if self.sensor is not None and settings.sensor_normalisation == "train" else ()
        tokens = (self.video, self.audio) if settings.standardise or settings.noise > 0 else ()
        return (*sensors, *tokens, *(self.patches if settings.standardise else ()))

    def what_is_real(self, request: FeatureRequest) -> FeatureRequest | None:
        """The array that says which entries of another are no padding; None where it has no padding."""
        return {self.audio: self.audio_length, **dict(zip(self.patches, self.views, strict=True))}.get(request)

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What to do about feature sets and constants that a store lacks, given those it has."""
        wanted, cached = (self._blocks(names) for names in (missing, held))
        if wanted and cached:
            both = sorted({*wanted, *cached})
            return (
                f"Train on the blocks that are there with --set recipe.blocks={_listed(cached)}, or add the others to "
                "the same store, which computes nothing twice: `weldcache extract --set "
                f"features.{self.image}.blocks={_listed(both)}`."
            )
        advice = (
            "Run `weldcache extract` with their features among extract.features; if they are there under another name, "
            "say so, such as with --set recipe.image=<name>."
        )
        if self.sensor is not None and self.sensor.feature_set in missing:
            advice += " To train without sensors: --set recipe.film=off."
        return advice

    def _blocks(self, names: Sequence[str]) -> list[int]:
        prefix = f"{self.image}/block_"
        numbers = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return sorted(int(number) for number in numbers)


def numbers_of(settings: CausalFilmSettings) -> dict[str, float]:
    """Settings that the loss and the augmentation take from the module, in which stacked modules may differ."""
    weights = ("cosine", "l1", "gram", "text", "variance", "variance_std")
    return {
        **{name: getattr(settings, name) for name in ("feature_mask", "noise", "modality_dropout")},
        **{f"loss.{name}": getattr(settings.loss, name) for name in weights},
    }


def film_features(settings: CausalFilmSettings) -> FilmFeatures:
    """The features that the model looks at."""
    sets = [f"{settings.image}/block_{block}" for block in settings.blocks]
    optional = settings.missing == "token"

    def request(feature_set: str, array: str) -> FeatureRequest:
        return FeatureRequest(feature_set, array, optional=optional)

    video, _, array = settings.video.partition("/")
    return FilmFeatures(
        video=request(video, array or "tokens"),
        audio=request(settings.audio, "tokens"),
        audio_length=request(settings.audio, "tokens_length"),
        patches=tuple(request(name, "patch_tokens") for name in sets),
        views=tuple(request(name, "views_present") for name in sets),
        sensor=None if settings.film == "off" else request(settings.sensor, "values"),
        text=f"{settings.text}/prompt",
        image=settings.image,
        optional=optional,
    )


def _listed(blocks: Sequence[int]) -> str:
    return f"[{','.join(str(block) for block in blocks)}]"


class StandardisedCausalFilm(nn.Module):
    """Turns batches of the cache into the film's inputs, and puts those through the film.

    Sensors are standardised by the training set or each sample by its own, tokens where the settings ask for it.
    `text_anchor` is empty where the text loss is off.
    """

    text_anchor: Tensor

    def __init__(
        self,
        film: CausalFilm,
        *,
        features: FilmFeatures,
        shapes: Shapes,
        settings: CausalFilmSettings,
    ) -> None:
        super().__init__()
        self.film = film
        self.video = Standardise(shapes[features.video.name][-1])
        self.audio = Standardise(shapes[features.audio.name][-1])
        self.patches = nn.ModuleList(Standardise(shapes[block.name][-1]) for block in features.patches)
        measured = features.measured(settings)
        self.sensor = None
        if features.sensor is not None and features.sensor in measured:
            self.sensor = Standardise(shapes[features.sensor.name][-1])
        self.register_buffer("text_anchor", torch.zeros(shapes.get(features.text, (0,))))
        self.numbers = Numbers(numbers_of(settings))
        self._features = features
        self._measured = measured
        self._standardises_tokens = settings.standardise

    def measured(self) -> dict[FeatureRequest, Standardise]:
        """The arrays whose statistics over the training set are wanted, and what holds them."""
        features = self._features
        holders: dict[FeatureRequest | None, nn.Module | None] = {
            features.video: self.video,
            features.audio: self.audio,
            features.sensor: self.sensor,
            **dict(zip(features.patches, self.patches, strict=True)),
        }
        return {request: cast(Standardise, holders[request]) for request in self._measured}

    def measure(self, train: Iterable[Batch]) -> None:
        """Take the statistics of `train`, of what is really there; it is not gone through where nothing is wanted."""
        modules = self.measured()
        statistics = {request: ChannelStatistics(len(module.mean)) for request, module in modules.items()}
        if not modules:
            return
        for batch in train:
            for request, seen in statistics.items():
                seen.add(batch.features[request.name], keep=self._really_there(request, batch=batch))
        for request, module in modules.items():
            module.use(statistics[request])

    def inputs(self, batch: Batch) -> FilmInputs:
        """What the film takes; tokens that are not standardised stay in the cache's half precision."""
        features = self._features
        normalise = standardise_each if self.sensor is None else self.sensor
        view_mask = torch.stack([batch.features[request.name] for request in features.views]).bool().all(dim=0)
        return FilmInputs(
            video=self._tokens(self.video, batch.features[features.video.name]),
            audio=self._tokens(self.audio, batch.features[features.audio.name]),
            audio_padding=~_real_tokens(batch, audio=features.audio, length=features.audio_length),
            patches=tuple(
                self._tokens(module, batch.features[request.name])
                for module, request in zip(self.patches, features.patches, strict=True)
            ),
            view_mask=view_mask,
            sensor=None if features.sensor is None else normalise(batch.features[features.sensor.name]),
            present=self._presence(batch, view_mask=view_mask) if features.optional else {},
        )

    def spreads(self) -> tuple[Float[Tensor, " video_width"], Float[Tensor, " audio_width"]]:
        """Standard deviations of the film's video and audio tokens over the training set."""
        if self._standardises_tokens:
            return torch.ones_like(self.video.std), torch.ones_like(self.audio.std)
        return self.video.std, self.audio.std

    def forward(self, inputs: FilmInputs) -> CausalFilmOutput:
        """Encode and predict what `inputs` made of a batch."""
        output: CausalFilmOutput = self.film(inputs)
        return output

    def _tokens(self, standardise: nn.Module, tokens: Tensor) -> Tensor:
        standardised: Tensor = standardise(tokens) if self._standardises_tokens else tokens
        return standardised

    def _presence(
        self, batch: Batch, *, view_mask: Bool[Tensor, "batch views"]
    ) -> Mapping[str, Bool[Tensor, " batch"]]:
        """Which rows have each modality; blocks that have no photograph in common count as no photographs."""
        present = {
            modality: torch.stack([batch.present[name] for name in sets]).all(dim=0)
            for modality, sets in self._features.modalities().items()
        }
        return present | {"image": present["image"] & view_mask.any(dim=1)}

    def _really_there(self, request: FeatureRequest, *, batch: Batch) -> Bool[Tensor, " batch *entries"] | None:
        """Which rows, or which of their tokens or views, are not padding; None: all."""
        real = self._features.what_is_real(request)
        if real is not None and real == self._features.audio_length:
            return _real_tokens(batch, audio=request, length=real)
        if real is not None:
            return batch.features[real.name].bool()
        return batch.present[request.feature_set] if request.optional else None


def _real_tokens(batch: Batch, *, audio: FeatureRequest, length: FeatureRequest) -> Bool[Tensor, "batch tokens"]:
    """Where audio is not padding; nowhere in rows that have none, as their length is 0."""
    lengths = batch.features[length.name]
    return torch.arange(batch.features[audio.name].shape[1], device=lengths.device) < lengths.unsqueeze(1)
