"""Where in a store the features of Causal-FiLM are."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...configs.schema import Settings
from .recipe import FeatureRequest


@dataclass(frozen=True, kw_only=True)
class FilmFeatures:
    """The arrays of the four modalities by what they are, and the name of the text vector.

    `patches` and `views` have one entry a block; a view counts as present where it is in every block.
    """

    video: FeatureRequest
    audio: FeatureRequest
    audio_length: FeatureRequest
    sensor: FeatureRequest
    patches: tuple[FeatureRequest, ...]
    views: tuple[FeatureRequest, ...]
    text: str
    blocks_prefix: str  # of the feature sets that hold one image block each

    def requests(self) -> tuple[FeatureRequest, ...]:
        """All arrays."""
        return (self.video, self.audio, self.audio_length, *self.patches, *self.views, self.sensor)

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What to do about feature sets and constants that a store lacks, given those it has."""
        wanted, cached = (self._blocks(names) for names in (missing, held))
        if wanted and cached:
            both = sorted({*wanted, *cached})
            return (
                f"Train on the blocks that are there with --set model.blocks={_listed(cached)}, or add the others to "
                f"the same store, which computes nothing twice: `weldcache extract --set image.blocks={_listed(both)}`."
            )
        return (
            "Run `weldcache extract` with their modalities among extract.modalities; if they are there under another "
            "name, say so with --set <modality>.store_as=<name>."
        )

    def _blocks(self, names: Sequence[str]) -> list[int]:
        numbers = [name.removeprefix(self.blocks_prefix) for name in names if name.startswith(self.blocks_prefix)]
        return sorted(int(number) for number in numbers)


def film_features(settings: Settings) -> FilmFeatures:
    """The features under the names that the settings store them as, of the blocks that the model uses."""
    audio, prefix = settings.audio.store_as, f"{settings.image.store_as}/block_"
    sets = [f"{prefix}{block}" for block in settings.model.blocks]
    return FilmFeatures(
        video=FeatureRequest(settings.video.store_as, "tokens"),
        audio=FeatureRequest(audio, "tokens"),
        audio_length=FeatureRequest(audio, "tokens_length"),
        sensor=FeatureRequest(settings.sensor.store_as, "values"),
        patches=tuple(FeatureRequest(name, "patch_tokens") for name in sets),
        views=tuple(FeatureRequest(name, "views_present") for name in sets),
        text=f"{settings.text.store_as}/prompt",
        blocks_prefix=prefix,
    )


def _listed(blocks: Sequence[int]) -> str:
    return f"[{','.join(str(block) for block in blocks)}]"
