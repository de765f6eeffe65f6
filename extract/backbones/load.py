"""From a modality's settings to its frozen backbone: hub model, local folder or demo, all through one path.

What it gives is described but not in memory yet; see `Backbone.load`.
"""

from pathlib import Path

from ...configs.schema import (
    AudioSettings,
    BackboneSettings,
    FramesSettings,
    ImageSettings,
    TextSettings,
    VideoSettings,
)
from ...errors import BackboneError
from .audio_spectrogram import AudioSpectrogramTransformer, load_ast
from .checkpoint import Checkpoint, open_checkpoint
from .clip_text import TextEncoder, load_clip_text
from .families import FAMILY_OF_MODEL_TYPE, TITLES, Family
from .pretrained import Placement
from .random_backbone import demo_backbone_folder
from .vision_transformer import Look, VisionTransformer, load_vision_transformers
from .vjepa2 import VJepa2, load_vjepa2

DEMO = "demo"

_PICTURES: tuple[Family, ...] = ("dinov3", "dinov2")


class BackboneLoader:
    """Loads backbones to one place; `demo` models are kept under `demo_folder` and drawn with `demo_seed`."""

    def __init__(self, *, placement: Placement, demo_folder: Path, demo_seed: int) -> None:
        self._placement = placement
        self._demo_folder = demo_folder
        self._demo_seed = demo_seed

    def video(self, settings: VideoSettings) -> VJepa2:
        """The backbone of `video.model`; raises BackboneError where it cannot be had."""
        checkpoint = self._find(settings, section="video", families=("vjepa2",))
        return load_vjepa2(checkpoint, num_frames=settings.num_frames, size=settings.size, placement=self._placement)

    def audio(self, settings: AudioSettings) -> AudioSpectrogramTransformer:
        """The backbone of `audio.model`; raises BackboneError where it cannot be had."""
        checkpoint = self._find(settings, section="audio", families=("ast",))
        return load_ast(checkpoint, placement=self._placement)

    def image(self, settings: ImageSettings) -> VisionTransformer:
        """The backbone of `image.model`; raises BackboneError where it cannot be had."""
        checkpoint = self._find(settings, section="image", families=_PICTURES)
        (backbone,) = load_vision_transformers(checkpoint, [_look_at_views(settings)], placement=self._placement)
        return backbone

    def frames(self, settings: FramesSettings) -> VisionTransformer:
        """The backbone of `frames.model`; raises BackboneError where it cannot be had."""
        checkpoint = self._find(settings, section="frames", families=_PICTURES)
        (backbone,) = load_vision_transformers(checkpoint, [_look_at_frames(settings)], placement=self._placement)
        return backbone

    def image_and_frames(
        self, image: ImageSettings, frames: FramesSettings
    ) -> tuple[VisionTransformer, VisionTransformer]:
        """The backbones of `image.model` and `frames.model`, on one set of weights where the two are the same model.

        Raises BackboneError where one cannot be had.
        """
        if (image.model, image.revision) != (frames.model, frames.revision):
            return self.image(image), self.frames(frames)
        checkpoint = self._find(image, section="image", families=_PICTURES)
        looks = [_look_at_views(image), _look_at_frames(frames)]
        of_image, of_frames = load_vision_transformers(checkpoint, looks, placement=self._placement)
        return of_image, of_frames

    def text(self, settings: TextSettings) -> TextEncoder:
        """The encoder of `text.model`; raises BackboneError where it cannot be had."""
        checkpoint = self._find(settings, section="text", families=("clip_text",))
        return load_clip_text(checkpoint, placement=self._placement)

    def _find(self, settings: BackboneSettings, *, section: str, families: tuple[Family, ...]) -> Checkpoint:
        """The checkpoint, known to be of one of `families`; `demo` is of the first, `demo-<family>` of any of them."""
        setting = f"{section}.model"
        demos = {DEMO: families[0], **{f"{DEMO}-{family}": family for family in families}}
        model = settings.model
        if model in demos:
            folder = self._demo_folder / f"{DEMO}-{demos[model]}-seed{self._demo_seed}"
            model = str(demo_backbone_folder(folder, family=demos[model], seed=self._demo_seed))
        checkpoint = open_checkpoint(model, revision=settings.revision, setting=setting)
        family = FAMILY_OF_MODEL_TYPE.get(checkpoint.model_type)
        if family not in families:
            known = " or ".join(TITLES[family] for family in families)
            raise BackboneError(
                f"{setting} = {settings.model}: is a model of type {checkpoint.model_type}, and {section} needs "
                f"{known}; choose one, or `--set {setting}={DEMO}`."
            )
        return checkpoint


def _look_at_views(settings: ImageSettings) -> Look:
    return Look("image.blocks", settings.blocks, settings.size)


def _look_at_frames(settings: FramesSettings) -> Look:
    return Look("frames.block", None if settings.block is None else (settings.block,), settings.size)
