"""Settings to encoders: the features that are asked for, described, with their backbones not loaded yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...configs.device import resolve_device
from ...settings import Settings
from ..backbones.load import BackboneLoader
from ..backbones.pretrained import Placement
from ..settings import KINDS, ExtractSettings
from ..sides import num_cores
from .kind import Constant, Encoder, Tools

DEMO_FOLDER = "demo_backbones"  # beside the cache

_MOST_WORKERS = 32
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedFeatures:
    """What makes the features asked for, by name: encoders go over samples, constants belong to the whole store."""

    encoders: dict[str, Encoder]
    constants: dict[str, Constant]


def load_features(settings: Settings, names: Sequence[str]) -> LoadedFeatures:
    """What makes each of the features `names`.

    Raises:
        BackboneError: if a backbone cannot be had or does not offer what is asked.
    """
    tools = Tools(backbone_loader(settings), settings.cache.dtype)
    made = {}
    for name in names:
        section = settings.features[name]
        made[name] = KINDS.code(section.kind)(name, section, tools)
    return LoadedFeatures(
        encoders={name: one for name, one in made.items() if isinstance(one, Encoder)},
        constants={name: one for name, one in made.items() if isinstance(one, Constant)},
    )


def backbone_loader(settings: Settings) -> BackboneLoader:
    """The loader for these settings' device, arithmetic and demo models."""
    device = resolve_device(settings.extract.device, setting="extract.device")
    automatic = torch.bfloat16 if device.type == "cuda" else torch.float32
    return BackboneLoader(
        placement=Placement(device=device, dtype=_PRECISIONS.get(settings.extract.precision, automatic)),
        demo_folder=settings.cache.path.parent / DEMO_FOLDER,
        demo_seed=settings.extract.demo_seed,
    )


def num_workers(settings: ExtractSettings) -> int:
    """Decode processes: as set, or by the cores that this process may use."""
    if settings.workers != "auto":
        return settings.workers
    cores = num_cores()
    beside_gpu = resolve_device(settings.device, setting="extract.device").type == "cuda"
    return max(1, min(_MOST_WORKERS, cores - 1 if beside_gpu else cores // 2))
