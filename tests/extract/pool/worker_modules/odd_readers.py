"""Readers that misbehave, in a module that decode processes can import. A weld's file says what its reader does.

The file holds one word a modality, as in `first=fine second=segfault`; a file beside it remembers what happened.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from weldcache.errors import DecodeError
from weldcache.extract.features.kind import Prepared
from weldcache.extract.sources.source import Sample


class OddError(Exception):
    """Cannot be built from its own `args`, so it does not survive the way between processes."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{what} in {where}")


@dataclass(frozen=True)
class OddReader:
    """Obeys the word that the sample's file has for `name`."""

    name: str
    values: int = 1000

    @property
    def stream(self) -> str:
        return self.name

    def files(self, sample: Sample) -> tuple[Path, ...]:
        return sample.files[self.name]

    def __call__(self, sample: Sample) -> Prepared:
        (path,) = self.files(sample)
        words = dict(word.split("=") for word in path.read_text().split())
        self._obey(words[self.name], path)
        number = float(words.get("number", "0"))
        tensors = {
            "values": torch.full((self.values,), number),
            "frames": torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4).transpose(0, 2),
            "count": torch.tensor(7),
            "nothing": torch.empty(0, 5),
            "half": torch.tensor([number, float("nan")], dtype=torch.bfloat16),
        }
        return Prepared(tensors, notes=(f"read by {os.getpid()}",))

    def _obey(self, word: str, path: Path) -> None:
        match word:
            case "damaged":
                raise DecodeError(f"{path.name} is no film.")
            case "bug":
                raise ZeroDivisionError(path.name)
            case "oddbug":
                raise OddError(path.name, "all is odd")
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(5)
            case "segfault_twice" if len(list(path.parent.glob(f"{path.stem}.died*"))) < 2:
                (path.parent / f"{path.stem}.died{os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGSEGV)
            case "greedy":
                raise MemoryError
            case "huge":
                torch.empty(1 << 50)
            case "bloated":
                self._hoard(path)
            case "greedy_once" if not path.with_suffix(".pid").exists():
                path.with_suffix(".pid").touch()
                raise MemoryError
            case "grows":
                path.write_text(path.read_text() + " ")
            case "mark":
                (path.parent / f"{path.stem}.pid").touch()
            case "slow":
                (path.parent / f"{path.stem}.pid").write_text(str(os.getpid()))
                time.sleep(0.3)
            case "spin":
                for _ in range(60_000):
                    time.sleep(0.01)
            case "hang":
                (path.parent / f"{path.stem}.pid").write_text(str(os.getpid()))
                time.sleep(600)

    def _hoard(self, path: Path) -> None:
        """Take a little more memory all the time, for as long as nobody minds."""
        held = []
        for _ in range(100):
            held.append(bytearray(os.urandom(1 << 20) * 30))
            path.with_suffix(".pid").write_text(str(os.getpid()))
            time.sleep(0.05)


@dataclass(frozen=True)
class Unstartable:
    """Ends every process that it is sent to, before that is ready."""

    name: str

    def __setstate__(self, state: dict[str, str]) -> None:
        if "weldcache.extract.pool.decode_process" in sys.modules:
            os._exit(9)

    stream = "video"

    def files(self, sample: Sample) -> tuple[Path, ...]:
        return ()

    def __call__(self, sample: Sample) -> Prepared:
        raise AssertionError
