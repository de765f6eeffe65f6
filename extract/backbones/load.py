"""From the name of a model to its frozen backbone: hub model, local folder or demo, all through one path.

What it gives is described but not in memory yet; see `Backbone.load`. A family's code is imported when a model of it is
asked for: transformers takes two seconds, which decode processes and extractions without a network need not wait for.
"""

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...configs.section import MODEL_WAY
from ...errors import BackboneError
from ...wording import listed
from ..features.settings import BackboneSettings
from ..weights.catalogue import PREFIX
from .checkpoint import Checkpoint, open_checkpoint
from .spec import FAMILY_OF_MODEL_TYPE, TITLES, AudioBackbone, Family, ImageBackbone, Placement
from .token_maps import Asked, Normalisation

if TYPE_CHECKING:
    from .clip_text import TextEncoder
    from .pretrained import Models
    from .vjepa2 import VJepa2

DEMO = "demo"

# How a model of any kind is read, by what its name begins with: a module beside this one and its function.
_WAYS = {
    "hf": ("hidden_states", "load_hidden_states"),
    "timm": ("timm_model", "load_timm"),
    "onnx": ("onnx_model", "load_onnx"),
    "torch": ("torch_model", "load_installed"),
}


class BackboneLoader:
    """Loads backbones to one place; `demo` models are kept under `demo_folder` and drawn with `demo_seed`.

    Features that look through one model share its weights. `key` is where the settings are, such as features.image, for
    messages. Every method raises BackboneError where the model cannot be had, or does not offer what is asked.
    """

    def __init__(self, *, placement: Placement, demo_folder: Path, demo_seed: int) -> None:
        self._placement = placement
        self._demo_folder = demo_folder
        self._demo_seed = demo_seed

    @cached_property
    def _models(self) -> "Models":
        from .pretrained import Models

        return Models(self._placement)

    def clips(self, settings: BackboneSettings, *, key: str, num_frames: int, size: int | None) -> "VJepa2":
        """A backbone for clips of `num_frames` pictures of `size` pixels; None: the model's own size.

        Raises:
            BackboneError: if the model cannot be had, or takes no such clips.
        """
        from .vjepa2 import load_vjepa2

        checkpoint = self._find(settings, key=key, families=("vjepa2",))
        return load_vjepa2(checkpoint, num_frames=num_frames, size=size, models=self._models)

    def sound(self, settings: BackboneSettings, *, key: str, block: int | None = None) -> AudioBackbone:
        """A backbone for windows of sound, with the output of `block`; None: the last, which alone AST offers.

        Raises:
            BackboneError: if the model cannot be had, or has no such block.
        """
        checkpoint = self._find(settings, key=key, families=("ast", "yamnet"))
        if FAMILY_OF_MODEL_TYPE[checkpoint.model_type] == "yamnet":
            from .yamnet import load_yamnet

            return load_yamnet(checkpoint, key=key, block=block, models=self._models)
        if block is not None:
            raise BackboneError(
                f"{key}.block = {block}: the {TITLES['ast']} gives its last block alone; leave it out, or choose "
                f"another {key}.model, such as weights:yamnet."
            )
        from .audio_spectrogram import load_ast

        return load_ast(checkpoint, models=self._models)

    def pictures(
        self,
        settings: BackboneSettings,
        *,
        key: str,
        blocks: tuple[int | str, ...] | None,
        size: int | None,
        normalisation: Normalisation | None = None,
    ) -> ImageBackbone:
        """A backbone for pictures of `size` pixels, with the outputs of `blocks`; None: the last, the model's own.

        `normalisation` is for a model that does not say its own.

        Raises:
            BackboneError: if the model cannot be had, has no such blocks, or says its normalisation itself.
        """
        way = MODEL_WAY.match(settings.model)
        if way is not None:
            name = settings.model.removeprefix(way[0])
            asked = Asked(key, name, settings.revision, blocks=blocks, size=size, normalisation=normalisation)
            module, function = _WAYS[way[1]]
            load: Callable[..., ImageBackbone] = getattr(import_module(f".{module}", __package__), function)
            return load(asked, models=self._models)
        if normalisation is not None:
            raise BackboneError(
                f"{key}.mean and {key}.std are for models whose names begin with {_ways_told()}; {settings.model} has "
                "its own: leave them out."
            )
        checkpoint = self._find(settings, key=key, families=("dinov3", "dinov2", "efficientnet_lite"))
        if FAMILY_OF_MODEL_TYPE[checkpoint.model_type] == "efficientnet_lite":
            from .efficientnet_lite import load_efficientnet_lite

            return load_efficientnet_lite(checkpoint, key=key, blocks=blocks, size=size, models=self._models)
        from .vision_transformer import load_vision_transformer

        return load_vision_transformer(checkpoint, key=key, blocks=blocks, size=size, models=self._models)

    def text(self, settings: BackboneSettings, *, key: str) -> "TextEncoder":
        """An encoder of texts."""
        from .clip_text import load_clip_text

        return load_clip_text(self._find(settings, key=key, families=("clip_text",)), models=self._models)

    def _find(self, settings: BackboneSettings, *, key: str, families: tuple[Family, ...]) -> Checkpoint:
        """The checkpoint, known to be of one of `families`; `demo` is of the first, `demo-<family>` of any of them."""
        setting = f"{key}.model"
        if way := MODEL_WAY.match(settings.model):
            raise BackboneError(
                f"{setting} = {settings.model}: {way[0]} is for photographs and frames; name the model without it."
            )
        demos = {DEMO: families[0], **{f"{DEMO}-{family}": family for family in families}}
        model = settings.model
        if model in demos:
            from .random_backbone import demo_backbone_folder

            folder = self._demo_folder / f"{DEMO}-{demos[model]}-seed{self._demo_seed}"
            model = str(demo_backbone_folder(folder, family=demos[model], seed=self._demo_seed))
        checkpoint = open_checkpoint(model, revision=settings.revision, setting=setting)
        family = FAMILY_OF_MODEL_TYPE.get(checkpoint.model_type)
        if family not in families:
            known = listed([TITLES[family] for family in families], last="or")
            own = "dinov2" not in families or settings.model.startswith(PREFIX)
            other = "" if own else f" Its hidden states are had by {setting}=hf:{settings.model}."
            raise BackboneError(
                f"{setting} = {settings.model}: is a model of type {checkpoint.model_type}, and {key} needs {known}; "
                f"choose one, or `--set {setting}={DEMO}`.{other}"
            )
        return checkpoint


def _ways_told() -> str:
    return listed([f"{way}:" for way in _WAYS], last="or")
