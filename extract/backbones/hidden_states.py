"""`hf:ID_OR_FOLDER`: any model of transformers that takes pictures, by the hidden states that it gives itself.

Block k is `hidden_states[k]` of its output, counted from 1, index 0 being the embedding: a block of a transformer, a
stage of a convolutional network. The last is as the model gives it: with some, after the final norm. Of a model that
knows texts, too, the tower for pictures is taken. No class comes from the checkpoint: it names one of the library's.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel

from ...documents import Json
from ...errors import BackboneError
from .checkpoint import Checkpoint, open_checkpoint, read_json_object
from .preprocessing import IMAGE_FILES, stated_pixel_preprocessing
from .pretrained import LazyModel, Models, attention, patch_side, quiet_transformers
from .spec import checked_blocks
from .token_maps import ARRAYS, Asked, Outline, TokenMap, TokenMapBackbone, outline_without_weights, token_map

_DISTILLED = {"deit"}  # model types with a token of distillation beside CLS
# Behind all hidden states; many checkpoints of a classifier, such as google/vit-base-patch16-224, have none.
_NOT_LOOKED_AT = ("pooler.",)


class HiddenStates(nn.Module):
    """A model of transformers, run for its hidden states."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._takes_any_size = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        config = model.config
        self._patch = getattr(config, "patch_size", None)
        registers = getattr(config, "num_register_tokens", 0) or 0
        self._prefixes = {0, 1 + registers + (config.model_type in _DISTILLED)}

    def forward(self, pictures: Float[Tensor, "pictures 3 size size"]) -> dict[str, TokenMap]:
        """A map for each block, by the name of a stage where it has one."""
        size = pictures.shape[-1]
        options = {}
        if self._takes_any_size and getattr(self.model.config, "image_size", size) not in (size, [size] * 2):
            options["interpolate_pos_encoding"] = True
        output = self.model(pixel_values=pictures, output_hidden_states=True, return_dict=True, **options)
        # Swin and its kind give their tokens by rows and columns as well, which tells where each is.
        states = getattr(output, "reshaped_hidden_states", None) or getattr(output, "hidden_states", None)
        if not states:
            raise BackboneError(f"{type(self.model).__name__}: gives no hidden states; choose another model.")
        side = None if self._patch is None else size // patch_side(self._patch)
        stages = list(getattr(self.model.config, "stage_names", None) or [])
        named = stages if len(stages) == len(states) else [f"block_{block}" for block in range(len(states))]
        return {
            name: token_map(state, name=f"{name} of {type(self.model).__name__}", side=side, prefixes=self._prefixes)
            for name, state in list(zip(named, states, strict=True))[1:]
        }


class HiddenStatesSource:
    """`MapSource` of a model of transformers."""

    def __init__(self, model: LazyModel[HiddenStates], *, checkpoint: Checkpoint) -> None:
        self.placement = model.placement
        self.model = model
        self._checkpoint = checkpoint

    def load(self) -> None:
        self.model.get()

    def maps(self, pictures: Float[Tensor, "pictures 3 size size"]) -> Mapping[str, TokenMap]:
        made: Mapping[str, TokenMap] = self.model.get()(pictures)
        return made

    def outline(self, size: int) -> Outline:
        with quiet_transformers():
            return outline_without_weights(
                self.model.outline, size=size, dtype=self.placement.dtype, model=self._checkpoint.model
            )


def load_hidden_states(asked: Asked, *, models: Models) -> TokenMapBackbone:
    """The model, described; raises BackboneError where it cannot be had or does not offer what is asked."""
    checkpoint = open_checkpoint(asked.name, revision=asked.revision, setting=asked.setting)
    config, model_class = _class_of(checkpoint, setting=asked.setting)
    pixels = stated_pixel_preprocessing(
        checkpoint.folder, files=IMAGE_FILES, key=asked.key, size=asked.size, normalisation=asked.normalisation
    )
    source = models.once(
        (HiddenStates, checkpoint.folder),
        lambda: HiddenStatesSource(
            LazyModel(
                model_class,
                part=HiddenStates,
                checkpoint=checkpoint,
                config=config,
                placement=models.placement,
                may_miss=_NOT_LOOKED_AT,
                all_blocks=True,
            ),
            checkpoint=checkpoint,
        ),
    )
    outline = source.outline(pixels.size)
    blocks = checked_blocks(
        asked.blocks, num_blocks=len(outline.shapes), model=checkpoint.model, key=asked.key, names=outline.names
    )
    output: dict[str, Json] = {"hidden_state": "as the model gives it, counted from 1", **ARRAYS}
    spec = source.model.describe(
        preprocessing=pixels.to_manifest(),
        output={"model_class": model_class.__name__, **output},
        family=config.model_type,
    )
    return TokenMapBackbone(source, outline=outline, blocks=blocks, pixels=pixels, spec=spec)


def _class_of(checkpoint: Checkpoint, *, setting: str) -> tuple[PreTrainedConfig, type[PreTrainedModel]]:
    """Configuration and class of the model, or of its tower for pictures."""
    path = checkpoint.folder / "config.json"
    if _fetches(read_json_object(path)):
        raise BackboneError(
            f"{path}: has a part that is fetched from elsewhere, by timm or the hub; choose another model."
        )
    try:
        found: Any = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        config: PreTrainedConfig = getattr(found, "vision_config", None) or found
        model_class = MODEL_MAPPING.get(type(config), None)
        takes_pictures = getattr(model_class, "main_input_name", "") == "pixel_values"
    except (StrictDataclassError, OSError, ValueError, TypeError, KeyError, ImportError) as error:
        reason = " ".join(str(error).partition("\n\n")[0].split())  # what may follow is advice on other libraries
        raise BackboneError(f"{path}: {reason} Choose another model, or fetch this one again.") from error
    if not (isinstance(model_class, type) and takes_pictures):
        raise BackboneError(
            f"{setting} = hf:{checkpoint.model}: is a model of type {checkpoint.model_type}, which takes no pictures; "
            "choose one that does."
        )
    config._attn_implementation = attention(model_class)
    return config, model_class


def _fetches(config: Json) -> bool:
    """Whether a model, or a part of it, is made by timm or brings weights of its own, neither of which is looked at."""
    if isinstance(config, list):
        return any(map(_fetches, config))
    if not isinstance(config, dict):
        return False
    is_timm = str(config.get("model_type", "")).startswith("timm")
    brings = any(config.get(name) for name in ("use_timm_backbone", "use_pretrained_backbone"))
    return is_timm or brings or any(map(_fetches, config.values()))
