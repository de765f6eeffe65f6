"""Where in a store the features of Causal-FiLM are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....configs.schema import Settings
from ...types import FeatureRequest


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
    blocks_prefix: str  # of the feature sets that hold one image block each
    optional: bool

    def requests(self) -> tuple[FeatureRequest, ...]:
        """All arrays."""
        sensors = () if self.sensor is None else (self.sensor,)
        return (self.video, self.audio, self.audio_length, *self.patches, *self.views, *sensors)

    def modalities(self) -> Mapping[str, tuple[str, ...]]:
        """Feature sets by modality; a row has a modality where it has all of its sets."""
        sensors = {} if self.sensor is None else {"sensor": (self.sensor.feature_set,)}
        blocks = tuple(block.feature_set for block in self.patches)
        return {"video": (self.video.feature_set,), "audio": (self.audio.feature_set,), "image": blocks, **sensors}

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What to do about feature sets and constants that a store lacks, given those it has."""
        wanted, cached = (self._blocks(names) for names in (missing, held))
        if wanted and cached:
            both = sorted({*wanted, *cached})
            return (
                f"Train on the blocks that are there with --set model.blocks={_listed(cached)}, or add the others to "
                f"the same store, which computes nothing twice: `weldcache extract --set image.blocks={_listed(both)}`."
            )
        advice = (
            "Run `weldcache extract` with their modalities among extract.modalities; if they are there under another "
            "name, say so with --set <modality>.store_as=<name>."
        )
        if self.sensor is not None and self.sensor.feature_set in missing:
            advice += " To train without sensors: --set model.film=off."
        return advice

    def _blocks(self, names: Sequence[str]) -> list[int]:
        numbers = [name.removeprefix(self.blocks_prefix) for name in names if name.startswith(self.blocks_prefix)]
        return sorted(int(number) for number in numbers)


def film_features(settings: Settings) -> FilmFeatures:
    """The features that the model looks at, under the names that the settings store them as."""
    prefix = f"{settings.image.store_as}/block_"
    sets = [f"{prefix}{block}" for block in settings.model.blocks]
    optional = settings.model.missing == "token"

    def request(feature_set: str, array: str) -> FeatureRequest:
        return FeatureRequest(feature_set, array, optional=optional)

    return FilmFeatures(
        video=request(settings.video.store_as, "tokens"),
        audio=request(settings.audio.store_as, "tokens"),
        audio_length=request(settings.audio.store_as, "tokens_length"),
        patches=tuple(request(name, "patch_tokens") for name in sets),
        views=tuple(request(name, "views_present") for name in sets),
        sensor=None if settings.model.film == "off" else request(settings.sensor.store_as, "values"),
        text=f"{settings.text.store_as}/prompt",
        blocks_prefix=prefix,
        optional=optional,
    )


def _listed(blocks: Sequence[int]) -> str:
    return f"[{','.join(str(block) for block in blocks)}]"
