"""The model families that are known, and how a checkpoint's config.json names them."""

from collections.abc import Mapping
from typing import Literal

Family = Literal["vjepa2", "ast", "dinov3", "dinov2", "clip_text"]

FAMILY_OF_MODEL_TYPE: Mapping[str, Family] = {
    "vjepa2": "vjepa2",
    "audio-spectrogram-transformer": "ast",
    "dinov3_vit": "dinov3",
    "dinov2": "dinov2",
    "clip": "clip_text",
    "clip_text_model": "clip_text",
}

# How a person knows them.
TITLES: Mapping[Family, str] = {
    "vjepa2": "V-JEPA 2",
    "ast": "Audio Spectrogram Transformer",
    "dinov3": "DINOv3 ViT",
    "dinov2": "DINOv2",
    "clip_text": "CLIP",
}
