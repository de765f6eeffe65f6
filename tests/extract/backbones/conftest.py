"""Fixtures for backbone tests: demo backbones in a folder of the session, and a network that must not be touched."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.extract.backbones.checkpoint import Checkpoint
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.pretrained import Models
from weldcache.extract.backbones.spec import ImageBackbone, Placement


class AnewEachTime(BackboneLoader):
    """Describes a model anew whenever it is asked for, as another run would: a test may change its files meanwhile."""

    def _find(self, *arguments: Any, **options: Any) -> Checkpoint:
        self._models = Models(self._models.placement)
        return super()._find(*arguments, **options)

    def pictures(self, *arguments: Any, **options: Any) -> ImageBackbone:
        self._models = Models(self._models.placement)
        return super().pictures(*arguments, **options)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that asks for a name or a connection, even where the library swallows the refusal."""
    attempts: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        attempts.append(arguments)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not attempts


@pytest.fixture(scope="session")
def placement() -> Placement:
    return Placement(device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo_backbones")


@pytest.fixture(scope="session")
def loader(placement: Placement, demo_folder: Path) -> BackboneLoader:
    return AnewEachTime(placement=placement, demo_folder=demo_folder, demo_seed=0)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def loader_of(demo_folder: Path) -> Callable[[torch.dtype], BackboneLoader]:
    """Loaders of the same models in another arithmetic."""

    def loader_of(dtype: torch.dtype) -> BackboneLoader:
        placement = Placement(device=torch.device("cpu"), dtype=dtype)
        return AnewEachTime(placement=placement, demo_folder=demo_folder, demo_seed=0)

    return loader_of


@pytest.fixture(scope="session")
def draw_pixels() -> Callable[..., Tensor]:
    """Noise as it arrives from the decode workers: uint8 of the shape that the arguments give."""

    def draw_pixels(*shape: int) -> Tensor:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    return draw_pixels
