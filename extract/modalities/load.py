"""Settings to encoders: loads the backbones that the settings name."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Float32

from ...cache.provenance import Json
from ...configs.device import resolve_device
from ...configs.schema import ExtractSettings, Modality, Settings
from ..backbones.load import BackboneLoader
from ..backbones.pretrained import Placement
from .audio import AudioEncoder
from .image import ImageEncoder
from .made_by import made_by
from .modality import Encoder
from .sensor import SensorEncoder
from .video import VideoEncoder

DEMO_FOLDER = "demo_backbones"  # beside the cache


@dataclass(frozen=True)
class TextVector:
    """The text anchor and what made it."""

    vector: Float32[np.ndarray, " dim"]
    made_by: dict[str, Json]


def backbone_loader(settings: Settings) -> BackboneLoader:
    """The loader for these settings' device, arithmetic and demo models."""
    return BackboneLoader(
        placement=_placement(settings.extract),
        demo_folder=settings.cache.path.parent / DEMO_FOLDER,
        demo_seed=settings.extract.demo_seed,
    )


def load_encoders(settings: Settings) -> dict[str, Encoder]:
    """An encoder for each of `extract.modalities`.

    Raises:
        BackboneError: if a backbone cannot be loaded or does not offer what is asked.
    """
    loader = backbone_loader(settings)
    return {modality: _load_encoder(modality, loader, settings) for modality in settings.extract.modalities}


def load_text_vector(settings: Settings) -> TextVector:
    """Encode `text.prompt`.

    Raises:
        BackboneError: if the text model cannot be loaded.
    """
    encoder = backbone_loader(settings).text(settings.text)
    vector = encoder(settings.text.prompt).float().cpu().numpy()
    return TextVector(vector=vector, made_by=made_by(encoder.spec, decoding={"prompt": settings.text.prompt}))


def _load_encoder(modality: Modality, loader: BackboneLoader, settings: Settings) -> Encoder:
    match modality:
        case "video":
            return VideoEncoder(loader.video(settings.video), settings=settings.video, cache=settings.cache)
        case "audio":
            return AudioEncoder(loader.audio(settings.audio), settings=settings.audio, cache=settings.cache)
        case "image":
            return ImageEncoder(loader.image(settings.image), settings=settings.image, cache=settings.cache)
        case "sensor":
            return SensorEncoder(settings.sensor)
    assert_never(modality)


def _placement(settings: ExtractSettings) -> Placement:
    device = resolve_device(settings.device, setting="extract.device")
    reduced = settings.precision == "bfloat16" or (settings.precision == "auto" and device.type == "cuda")
    return Placement(device=device, dtype=torch.bfloat16 if reduced else torch.float32)
