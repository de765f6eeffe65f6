"""DINOv2 and DINOv3: the blocks asked for, counted from 1, patches alone, and nothing run beyond the deepest."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from transformers import Dinov2Model, DINOv3ViTModel
from transformers.models.dinov2.modeling_dinov2 import Dinov2Layer
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTLayer

from weldcache.configs.schema import ImageSettings
from weldcache.errors import BackboneError
from weldcache.extract.backbones.families import Family
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder

# family -> model class, block class, tokens before the patches
CLASSES = {"dinov2": (Dinov2Model, Dinov2Layer, 1), "dinov3": (DINOv3ViTModel, DINOv3ViTLayer, 5)}


@pytest.fixture(scope="module", params=["dinov2", "dinov3"])
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture(scope="module")
def folder(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_backbone_folder(tmp_path_factory.mktemp("models") / family, family=family, seed=4)


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(0))


def _settings(folder: Path, *blocks: int, size: int | None = None) -> ImageSettings:
    return ImageSettings(model=str(folder), blocks=blocks, size=size)


@contextmanager
def _count_calls(kind: type[nn.Module]) -> Iterator[list[nn.Module]]:
    calls: list[nn.Module] = []

    def count(module: nn.Module, *_: object) -> None:
        if isinstance(module, kind):
            calls.append(module)

    handle = register_module_forward_hook(count)
    try:
        yield calls
    finally:
        handle.remove()


@pytest.mark.parametrize("blocks", [(1,), (2, 4), (1, 3, 4)])
@pytest.mark.parametrize("side", [112, 224])
def test_blocks_are_hidden_states_without_prefix(
    family: Family, folder: Path, blocks: tuple[int, ...], side: int, loader: BackboneLoader
) -> None:
    model_class, _, num_prefix = CLASSES[family]
    pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = model_class.from_pretrained(folder).eval()(pictures, output_hidden_states=True).hidden_states
    backbone = loader.image(_settings(folder, *blocks, size=side))
    encoded = backbone(pictures)
    assert encoded["patch_tokens"].shape == (2, len(blocks), backbone.num_patches, backbone.dim)
    assert encoded["cls"].shape == (2, len(blocks), backbone.dim)
    for index, block in enumerate(blocks):
        torch.testing.assert_close(encoded["patch_tokens"][:, index], states[block][:, num_prefix:])
        torch.testing.assert_close(encoded["cls"][:, index], states[block][:, 0])
        assert (encoded["cls"][:, index] - states[block - 1][:, 0]).abs().max() > 0.1


def test_the_last_block_is_before_the_final_norm(
    family: Family, folder: Path, loader: BackboneLoader, pictures: Tensor
) -> None:
    model = CLASSES[family][0].from_pretrained(folder).eval()
    depth = model.config.num_hidden_layers
    with torch.no_grad():
        output = model(pictures, output_hidden_states=True)
    cls = loader.image(_settings(folder, depth))(pictures)["cls"][:, 0]
    torch.testing.assert_close(cls, output.hidden_states[depth][:, 0])
    assert (cls - output.last_hidden_state[:, 0]).abs().max() > 0.1


@pytest.mark.parametrize("blocks", [(1,), (2, 3)])
def test_deeper_blocks_never_run(
    family: Family, folder: Path, blocks: tuple[int, ...], loader: BackboneLoader, pictures: Tensor
) -> None:
    backbone = loader.image(_settings(folder, *blocks))
    with _count_calls(CLASSES[family][1]) as calls:
        backbone(pictures)
    assert len(calls) == max(blocks)


def test_content_batch_and_determinism(folder: Path, loader: BackboneLoader, pictures: Tensor) -> None:
    backbone = loader.image(_settings(folder, 2, 4))
    encoded = backbone(pictures)
    for name, tokens in encoded.items():
        assert torch.equal(tokens, backbone(pictures)[name])
        torch.testing.assert_close(tokens[1:2], backbone(pictures[1:2])[name], atol=1e-4, rtol=1e-4)
        assert (tokens[0] - tokens[1]).abs().mean() > 0.1
        assert not tokens.requires_grad


def test_patches_run_by_rows(folder: Path, loader: BackboneLoader, pictures: Tensor) -> None:
    backbone = loader.image(_settings(folder, 1))
    patch = 112 // round(backbone.num_patches**0.5)
    changed = pictures.clone()
    changed[:, :, patch : 2 * patch, :patch] *= -1  # second row, first column
    difference = backbone(pictures)["patch_tokens"] - backbone(changed)["patch_tokens"]
    assert difference.abs().mean(dim=(0, 1, 3)).argmax() == round(backbone.num_patches**0.5)


def test_blocks_that_do_not_exist(family: Family, folder: Path, loader: BackboneLoader) -> None:
    depth = {"dinov2": 4, "dinov3": 6}[family]
    with pytest.raises(BackboneError, match=rf"has {depth} blocks, counted from 1, .*\[2, 32\]; choose among 1 to"):
        loader.image(_settings(folder, 2, 32))


def test_size_must_fit_the_patches(folder: Path, loader: BackboneLoader) -> None:
    with pytest.raises(BackboneError, match="size = 100 is not a multiple of"):
        loader.image(_settings(folder, 1, size=100))


def test_spec_tells_which_states(folder: Path, loader: BackboneLoader) -> None:
    spec = loader.image(_settings(folder, 2, 4)).spec
    assert spec.output["blocks"] == [2, 4]
    assert spec.output["hidden_state"] == "output of each block, before the final norm"
    assert spec.random_weights
    assert (spec.model, spec.revision) == (folder.name, "local")
    assert spec.preprocessing["size"] == 112
    # What is cut away is in the hash all the same: it is that of the checkpoint.
    assert spec.weights_sha256 == loader.image(_settings(folder, 1)).spec.weights_sha256
