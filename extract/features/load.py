"""Settings to encoders: the backbones that the settings name, described but not loaded."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Float32

from ...configs.device import resolve_device
from ...configs.schema import ExtractSettings, Modality, Settings
from ...documents import Json
from ..backbones.clip_text import TextEncoder
from ..backbones.load import BackboneLoader
from ..backbones.pretrained import Placement
from ..backbones.spec import ImageBackbone
from ..cores import num_cores
from .audio import AudioEncoder
from .frames import FramesEncoder
from .image import ImageEncoder
from .made_by import made_by
from .modality import Encoder
from .sensor import SensorEncoder
from .video import VideoEncoder, film_limits

DEMO_FOLDER = "demo_backbones"  # beside the cache

_MOST_WORKERS = 32
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LazyText:
    """The text anchor: what makes it, and the model that does when it is asked for."""

    name: str  # of the constant in the store
    prompt: str
    encoder: TextEncoder

    @property
    def made_by(self) -> dict[str, Json]:
        """Model and prompt."""
        return made_by(self.encoder.spec, decoding={"prompt": self.prompt})

    def vector(self) -> Float32[np.ndarray, " dim"]:
        """Encode the prompt."""
        return np.asarray(self.encoder(self.prompt).float().cpu().numpy(), dtype=np.float32)


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
        BackboneError: if a backbone cannot be had or does not offer what is asked.
    """
    loader, asked = backbone_loader(settings), settings.extract.modalities
    together = _load_image_and_frames(loader, settings) if {"image", "frames"} <= set(asked) else {}
    return {modality: together.get(modality) or _load_encoder(modality, loader, settings) for modality in asked}


def load_text(settings: Settings) -> LazyText:
    """The text anchor `text.prompt`.

    Raises:
        BackboneError: if the text model cannot be had.
    """
    encoder = backbone_loader(settings).text(settings.text)
    return LazyText(name=f"{settings.text.store_as}/prompt", prompt=settings.text.prompt, encoder=encoder)


def num_workers(settings: ExtractSettings) -> int:
    """Decode processes: as set, or by the cores that this process may use."""
    if settings.workers != "auto":
        return settings.workers
    cores = num_cores()
    beside_gpu = resolve_device(settings.device, setting="extract.device").type == "cuda"
    return max(1, min(_MOST_WORKERS, cores - 1 if beside_gpu else cores // 2))


def _load_encoder(modality: Modality, loader: BackboneLoader, settings: Settings) -> Encoder:
    match modality:
        case "video":
            return VideoEncoder(
                loader.video(settings.video),
                settings=settings.video,
                cache=settings.cache,
                sensor_limits=settings.sensor.limits,
            )
        case "audio":
            return AudioEncoder(loader.audio(settings.audio), settings=settings.audio, cache=settings.cache)
        case "image":
            return ImageEncoder(loader.image(settings.image), settings=settings.image, cache=settings.cache)
        case "sensor":
            return SensorEncoder(settings.sensor)
        case "frames":
            return _frames_encoder(loader.frames(settings.frames), settings)
    assert_never(modality)


def _load_image_and_frames(loader: BackboneLoader, settings: Settings) -> dict[Modality, Encoder]:
    """Both together, because they may share one model's weights."""
    of_image, of_frames = loader.image_and_frames(settings.image, settings.frames)
    return {
        "image": ImageEncoder(of_image, settings=settings.image, cache=settings.cache),
        "frames": _frames_encoder(of_frames, settings),
    }


def _frames_encoder(backbone: ImageBackbone, settings: Settings) -> FramesEncoder:
    limits = film_limits(settings.video)  # one film, whichever of the two reads it
    return FramesEncoder(backbone, settings=settings.frames, cache=settings.cache, limits=limits)


def _placement(settings: ExtractSettings) -> Placement:
    device = resolve_device(settings.device, setting="extract.device")
    automatic = torch.bfloat16 if device.type == "cuda" else torch.float32
    return Placement(device=device, dtype=_PRECISIONS.get(settings.precision, automatic))
