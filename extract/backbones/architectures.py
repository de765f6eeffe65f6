"""Configurations of the known models at two scales: the published one, and a small one for the demo and tests."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from transformers import (
    ASTConfig,
    ASTModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedConfig,
    PreTrainedModel,
    VJEPA2Config,
    VJEPA2Model,
)

from .families import Family

Scale = Literal["demo", "full"]

MODEL_CLASSES: Mapping[Family, Callable[[Any], PreTrainedModel]] = {
    "vjepa2": VJEPA2Model,
    "ast": ASTModel,
    "dinov3": DINOv3ViTModel,
    "dinov2": Dinov2Model,
    "clip_text": CLIPTextModelWithProjection,
}


def architecture(family: Family, *, scale: Scale, end_token: int) -> PreTrainedConfig:
    """A model's configuration; `end_token` is the id at which CLIP reads a text's vector, for the others unused."""
    if family == "clip_text":
        return _clip_text(scale, end_token=end_token)
    return _ARCHITECTURES[family, scale]()


def _clip_text(scale: Scale, *, end_token: int) -> CLIPTextConfig:
    config = partial(CLIPTextConfig, bos_token_id=end_token - 1, eos_token_id=end_token, pad_token_id=end_token)
    if scale == "full":
        return config()
    return config(
        vocab_size=end_token + 1,
        hidden_size=64,
        intermediate_size=128,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
    )


_dinov3 = partial(DINOv3ViTConfig, hidden_act="silu", use_gated_mlp=True, num_register_tokens=4)

_ARCHITECTURES: Mapping[tuple[Family, Scale], Callable[[], PreTrainedConfig]] = {
    ("vjepa2", "full"): VJEPA2Config,  # transformers' defaults are facebook/vjepa2-vitl-fpc64-256
    ("vjepa2", "demo"): partial(
        VJEPA2Config,
        crop_size=64,
        frames_per_clip=32,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        pred_hidden_size=24,
        pred_num_attention_heads=1,
        pred_num_hidden_layers=1,
        pred_num_mask_tokens=1,
    ),
    ("ast", "full"): partial(ASTConfig, frequency_stride=14, time_stride=14),
    ("ast", "demo"): partial(
        ASTConfig,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        frequency_stride=16,  # patches side by side: fewer tokens, quicker on a laptop
        time_stride=16,
    ),
    ("dinov3", "full"): partial(
        _dinov3, hidden_size=1280, num_hidden_layers=32, num_attention_heads=20, intermediate_size=5120
    ),
    # As deep as the published ones, so that settings name the same blocks; beyond the deepest asked for none runs.
    ("dinov3", "demo"): partial(
        _dinov3, image_size=112, hidden_size=96, num_hidden_layers=32, num_attention_heads=4, intermediate_size=192
    ),
    ("dinov2", "full"): partial(Dinov2Config, image_size=518),
    ("dinov2", "demo"): partial(
        Dinov2Config, image_size=112, hidden_size=96, num_hidden_layers=12, num_attention_heads=4, mlp_ratio=2
    ),
}
