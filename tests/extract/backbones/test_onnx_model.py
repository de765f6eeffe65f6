"""`onnx:FILE`: maps that a file declares as outputs, and files that do not stand alone. The files are made here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.spec import ImageBackbone
from weldcache.extract.features.settings import BackboneSettings

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
SIZE = 16
FLOAT = 1
EXTERNAL = bytes([14 << 3, 1])  # of a tensor: data_location is another file


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: Tensor) -> bytes:
    dims = b"".join(field(1, size) for size in values.shape)
    return dims + field(2, FLOAT) + field(8, name) + field(9, values.numpy().tobytes())


def declared(name: str, *dims: int | str) -> bytes:
    shape = b"".join(field(1, field(1 if isinstance(dim, int) else 2, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def strided(inputs: str, weight: str, output: str, *, domain: str = "") -> bytes:
    strides = field(1, "strides") + field(8, 2) + field(8, 2) + field(20, 7)
    return (
        field(1, inputs)
        + field(1, weight)
        + field(2, output)
        + field(4, "Conv")
        + field(5, strides)
        + (field(7, domain) if domain else b"")
    )


def onnx_file(
    path: Path,
    *weights: Tensor,
    batch: int | str = "batch",
    domain: str = "",
    beside: bytes = b"",
    rest: bytes = b"",
) -> str:
    """A model of convolutions with a stride of 2, one after another, each of whose outputs is declared."""
    names = ["pictures", *(f"stage{index}" for index in range(1, len(weights) + 1))]
    graph = field(2, "stages") + field(11, declared("pictures", batch, 3, SIZE, SIZE))
    side = SIZE
    for index, weight in enumerate(weights):
        side //= 2
        graph += field(1, strided(names[index], f"weight{index}", names[index + 1], domain=domain))
        graph += field(5, tensor(f"weight{index}", weight) + beside)
        graph += field(12, declared(names[index + 1], batch, len(weight), side, side))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)) + rest)
    return f"onnx:{path}"


@pytest.fixture
def weights() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 3, 2, 2, generator=generator), torch.randn(6, 5, 2, 2, generator=generator)


def backbone_of(
    loader: BackboneLoader, model: str, *blocks: int | str, size: int | None = SIZE, stated: bool = True
) -> ImageBackbone:
    return loader.pictures(
        BackboneSettings(model=model),
        key="features.image",
        blocks=blocks or None,
        size=size,
        normalisation=(MEAN, STD) if stated else None,
    )


@pytest.mark.parametrize("batch", ["batch", 1])
def test_outputs_are_maps(
    loader: BackboneLoader,
    tmp_path: Path,
    weights: tuple[Tensor, Tensor],
    draw_pixels: Callable[..., Tensor],
    batch: int | str,
) -> None:
    backbone = backbone_of(loader, onnx_file(tmp_path / "net.onnx", *weights, batch=batch), "stage2", 1)
    pixels = draw_pixels(2, 3, SIZE, SIZE)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    expected = (pixels / 255 - mean) / std
    made = backbone(pixels)
    for block, weight in enumerate(weights, start=1):
        expected = functional.conv2d(expected, weight, stride=2)
        tokens = expected.flatten(2).transpose(1, 2)
        torch.testing.assert_close(made[block]["patch_tokens"], tokens, rtol=1e-4, atol=1e-5)
        assert {name: tuple(values.shape[1:]) for name, values in made[block].items()} == backbone.shapes(block)
    assert backbone.flops() == 2 * (8 * 8 * weights[0].numel() + 4 * 4 * weights[1].numel())
    spec = backbone.spec
    assert (spec.family, spec.model, spec.arithmetic) == ("onnx", "onnx:net.onnx", "float32")
    assert "onnxruntime" in spec.output and len(spec.weights_sha256) == 64


def test_a_block_or_size_that_the_file_has_not_is_told(
    loader: BackboneLoader, tmp_path: Path, weights: tuple[Tensor, Tensor]
) -> None:
    model = onnx_file(tmp_path / "net.onnx", *weights)
    with pytest.raises(BackboneError, match=r"has 2 blocks, .* by name stage1, stage2"):
        backbone_of(loader, model, "stage3")
    with pytest.raises(BackboneError, match=r"net\.onnx: does not take pictures of the shape \[1, 3, 24, 24\]"):
        backbone_of(loader, model, size=24)


def test_the_settings_say_what_the_file_does_not(
    loader: BackboneLoader, tmp_path: Path, weights: tuple[Tensor, Tensor]
) -> None:
    model = onnx_file(tmp_path / "net.onnx", *weights)
    for size, stated in ((SIZE, False), (None, True)):
        with pytest.raises(BackboneError, match=r"state features\.image\.size, features\.image\.mean and"):
            backbone_of(loader, model, size=size, stated=stated)


def test_a_file_that_does_not_stand_alone_is_refused(
    loader: BackboneLoader, tmp_path: Path, weights: tuple[Tensor, Tensor]
) -> None:
    path = tmp_path / "net.onnx"
    elsewhere = field(13, field(1, "location") + field(2, "/etc/numbers"))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"beside": EXTERNAL}, "another file.*external_data=False"),
        ({"beside": elsewhere}, "another file"),
        ({"domain": "mine"}, "mine"),
        ({"rest": field(25, field(1, "f"))}, "functions"),
    ]
    for options, message in refused:
        with pytest.raises(BackboneError, match=rf"features\.image\.model = onnx:.*{message}"):
            backbone_of(loader, onnx_file(path, *weights, **options))
    path.write_bytes(b"no file of ONNX")
    for name, message in ((path, "no ONNX file"), (tmp_path / "none.onnx", "cannot be read"), (tmp_path, "directory")):
        with pytest.raises(BackboneError, match=rf"features\.image\.model = onnx:.*{message}"):
            backbone_of(loader, f"onnx:{name}")


def test_numbers_within_an_operation_are_looked_at(
    loader: BackboneLoader, tmp_path: Path, weights: tuple[Tensor, Tensor]
) -> None:
    """A constant holds its numbers itself, and the branches of a condition are graphs of their own."""
    constant = field(4, "Constant") + field(5, field(1, "value") + field(5, tensor("c", weights[0]) + EXTERNAL))
    branch = field(4, "If") + field(5, field(1, "then_branch") + field(6, field(1, constant)))
    for node in (constant, branch):
        path = tmp_path / "net.onnx"
        path.write_bytes(field(7, field(1, node)))
        with pytest.raises(BackboneError, match="another file"):
            backbone_of(loader, f"onnx:{path}")
