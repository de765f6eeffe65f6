"""The most memory that a piece of work held at a time, beside what the process held before.

Of a GPU it is what torch's allocator handed out. On the CPU of Linux it is the kernel's own count of resident memory,
whose highest mark can be set back; what earlier work freed is given back to the system first, as a process that takes
the same memory again does not grow. Elsewhere nobody says, and it is not known.
"""

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # what the kernel takes in clear_refs for it


@dataclass(frozen=True)
class PeakMemory:
    """What was held before; None where the machine does not say."""

    device: torch.device
    before: int | None

    @classmethod
    def from_now(cls, device: torch.device) -> Self:
        """Begin to look; one at a time in a process."""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return cls(device, torch.cuda.memory_allocated(device))
        with suppress(OSError, AttributeError):  # not Linux, or not its usual library
            ctypes.CDLL(None).malloc_trim(0)
            (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
            return cls(device, _kilobytes("VmRSS") * 1024)
        return cls(device, None)

    def num_bytes(self) -> int | None:
        """The most that was held since then beside what was before."""
        if self.before is None:
            return None
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self.before
        return max(0, _kilobytes("VmHWM") * 1024 - self.before)


def _kilobytes(name: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
