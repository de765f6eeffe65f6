"""Which torch device a setting names."""

import torch

from ..errors import SettingsError


def resolve_device(name: str, *, setting: str) -> torch.device:
    """`auto`: CUDA, then Apple's MPS, then the CPU, whichever is there first; other names as they are.

    Raises:
        SettingsError: if the device that is asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    device = torch.device(name)
    if not available[device.type] or (device.index or 0) >= max(torch.cuda.device_count(), 1):
        raise SettingsError(f"{setting} = {name} is not there; use auto, or --set {setting}=cpu.")
    return device
