"""Configurations of the known models at two scales: the published one, and a small one for the demo and tests."""

from collections.abc import Callable, Mapping
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
        return _clip_text_base(end_token) if scale == "full" else _clip_text_demo(end_token)
    return _ARCHITECTURES[family, scale]()


def _vjepa2_vit_large() -> VJEPA2Config:
    return VJEPA2Config()  # transformers' defaults are facebook/vjepa2-vitl-fpc64-256


def _vjepa2_demo() -> VJEPA2Config:
    return VJEPA2Config(
        crop_size=64,
        frames_per_clip=32,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        pred_hidden_size=24,
        pred_num_attention_heads=1,
        pred_num_hidden_layers=1,
        pred_num_mask_tokens=1,
    )


def _ast_14_14() -> ASTConfig:
    return ASTConfig(frequency_stride=14, time_stride=14)


def _ast_demo() -> ASTConfig:
    return ASTConfig(
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        frequency_stride=16,  # patches side by side: fewer tokens, quicker on a laptop
        time_stride=16,
    )


def _dinov3_vit_huge_plus() -> DINOv3ViTConfig:
    return DINOv3ViTConfig(
        hidden_size=1280,
        num_hidden_layers=32,
        num_attention_heads=20,
        intermediate_size=5120,
        hidden_act="silu",
        use_gated_mlp=True,
        num_register_tokens=4,
    )


def _dinov3_demo() -> DINOv3ViTConfig:
    return DINOv3ViTConfig(
        image_size=112,
        hidden_size=96,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=192,
        hidden_act="silu",
        use_gated_mlp=True,
        num_register_tokens=4,
    )


def _dinov2_base() -> Dinov2Config:
    return Dinov2Config(image_size=518)


def _dinov2_demo() -> Dinov2Config:
    return Dinov2Config(image_size=112, hidden_size=96, num_hidden_layers=4, num_attention_heads=4, mlp_ratio=2)


def _clip_text_base(end_token: int) -> CLIPTextConfig:
    return CLIPTextConfig(bos_token_id=end_token - 1, eos_token_id=end_token, pad_token_id=end_token)


def _clip_text_demo(end_token: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=end_token + 1,
        hidden_size=64,
        intermediate_size=128,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=end_token - 1,
        eos_token_id=end_token,
        pad_token_id=end_token,
    )


_ARCHITECTURES: Mapping[tuple[Family, Scale], Callable[[], PreTrainedConfig]] = {
    ("vjepa2", "full"): _vjepa2_vit_large,
    ("vjepa2", "demo"): _vjepa2_demo,
    ("ast", "full"): _ast_14_14,
    ("ast", "demo"): _ast_demo,
    ("dinov3", "full"): _dinov3_vit_huge_plus,
    ("dinov3", "demo"): _dinov3_demo,
    ("dinov2", "full"): _dinov2_base,
    ("dinov2", "demo"): _dinov2_demo,
}
