"""DINOv2 and DINOv3: the blocks asked for, counted from 1, patches alone, and nothing run beyond the deepest."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from transformers import Dinov2Model, DINOv3ViTModel
from transformers.models.dinov2.modeling_dinov2 import Dinov2Layer
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTLayer

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.preprocessing import PixelPreprocessing
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import Family
from weldcache.extract.backbones.vision_transformer import VisionTransformer
from weldcache.extract.features.settings import BackboneSettings

# family -> model class, block class, tokens before the patches
CLASSES = {"dinov2": (Dinov2Model, Dinov2Layer, 1), "dinov3": (DINOv3ViTModel, DINOv3ViTLayer, 5)}


@pytest.fixture(scope="module", params=["dinov2", "dinov3"])
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture(scope="module")
def folder(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_backbone_folder(tmp_path_factory.mktemp("models") / family, family=family, seed=4)


@pytest.fixture
def pictures(draw_pixels: Callable[..., Tensor]) -> Tensor:
    return draw_pixels(3, 3, 112, 112)


def _pictures(loader: BackboneLoader, folder: Path, *blocks: int, size: int | None = None) -> VisionTransformer:
    return loader.pictures(BackboneSettings(model=str(folder)), key="features.image", blocks=blocks, size=size)


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
    family: Family,
    folder: Path,
    blocks: tuple[int, ...],
    side: int,
    loader: BackboneLoader,
    draw_pixels: Callable[..., Tensor],
) -> None:
    model_class, _, num_prefix = CLASSES[family]
    pictures = draw_pixels(2, 3, side, side)
    with torch.no_grad():
        model = model_class.from_pretrained(folder).eval()
        states = model(PixelPreprocessing(side).normalise(pictures), output_hidden_states=True).hidden_states
    backbone = _pictures(loader, folder, *blocks, size=side)
    encoded = backbone(pictures)
    assert tuple(encoded) == backbone.blocks == blocks
    for block, features in encoded.items():
        patches = states[block][:, num_prefix:]
        assert patches.shape[1:] == (backbone.num_patches, backbone.dim)
        torch.testing.assert_close(features["patch_tokens"], patches)
        torch.testing.assert_close(features["mean"], patches.mean(dim=1))
        torch.testing.assert_close(features["cls"], states[block][:, 0])
        assert (features["cls"] - states[block - 1][:, 0]).abs().max() > 0.1


def test_the_last_block_is_before_the_final_norm(
    family: Family, folder: Path, loader: BackboneLoader, pictures: Tensor
) -> None:
    model = CLASSES[family][0].from_pretrained(folder).eval()
    depth = model.config.num_hidden_layers
    with torch.no_grad():
        output = model(PixelPreprocessing(112).normalise(pictures), output_hidden_states=True)
    cls = _pictures(loader, folder, depth)(pictures)[depth]["cls"]
    torch.testing.assert_close(cls, output.hidden_states[depth][:, 0])
    assert (cls - output.last_hidden_state[:, 0]).abs().max() > 0.1


@pytest.mark.parametrize("blocks", [(1,), (2, 3)])
def test_deeper_blocks_are_not_even_loaded(
    family: Family, folder: Path, blocks: tuple[int, ...], loader: BackboneLoader, pictures: Tensor
) -> None:
    backbone = _pictures(loader, folder, *blocks)
    with _count_calls(CLASSES[family][1]) as calls:
        backbone(pictures)
    assert len(calls) == max(blocks)
    assert len(backbone._trunk.get().blocks) == max(blocks)


@pytest.mark.parametrize("wanted", [(1,), (3,), (1, 3)])
def test_a_call_for_some_blocks_stops_at_the_deepest_of_them(
    wanted: tuple[int, ...], family: Family, folder: Path, loader: BackboneLoader, pictures: Tensor
) -> None:
    backbone = _pictures(loader, folder, 1, 3, 4)
    whole = backbone(pictures)
    with _count_calls(CLASSES[family][1]) as calls:
        some = backbone(pictures, blocks=wanted)
    assert len(calls) == max(wanted)
    assert tuple(some) == wanted
    for block, features in some.items():
        assert features.keys() == {"patch_tokens", "cls", "mean"}
        assert all(torch.equal(values, whole[block][name]) for name, values in features.items())
    assert backbone.flops(blocks=wanted) < backbone.flops() or 4 in wanted
    with pytest.raises(AssertionError, match="not among"):
        backbone(pictures, blocks=(2,))


def test_content_batch_and_determinism(folder: Path, loader: BackboneLoader, pictures: Tensor) -> None:
    backbone = _pictures(loader, folder, 2, 4)
    first, again, alone = backbone(pictures), backbone(pictures), backbone(pictures[1:2])
    for block, features in first.items():
        for name, values in features.items():
            assert torch.equal(values, again[block][name])
            torch.testing.assert_close(values[1:2], alone[block][name], atol=1e-4, rtol=1e-4)
            assert not values.requires_grad
            if name != "mean":  # of noise, which pictures share
                assert (values[0] - values[1]).abs().mean() > 0.1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 3e-2)])
def test_reduced_precision(
    dtype: torch.dtype,
    tolerance: float,
    folder: Path,
    loader: BackboneLoader,
    loader_of: Callable[[torch.dtype], BackboneLoader],
    pictures: Tensor,
) -> None:
    exact = _pictures(loader, folder, 2, 4)(pictures)
    backbone = _pictures(loader_of(dtype), folder, 2, 4)
    for block, features in backbone(pictures).items():
        assert {name: values.dtype for name, values in features.items()} == {
            "patch_tokens": dtype,
            "cls": dtype,
            "mean": torch.float32,
        }
        for name, values in features.items():
            expected = exact[block][name]
            error = (values.float() - expected).square().mean().sqrt() / expected.std()
            assert 0 < error < tolerance, (block, name)
        # Summed in float32: no further from the mean of the stored tokens than float32 itself.
        torch.testing.assert_close(features["mean"], features["patch_tokens"].double().mean(dim=1).float())
    assert {parameter.dtype for parameter in backbone._trunk.get().parameters()} == {dtype}


def test_rotary_frequencies_keep_their_precision(
    family: Family, folder: Path, loader_of: Callable[[torch.dtype], BackboneLoader]
) -> None:
    trunk = _pictures(loader_of(torch.bfloat16), folder, 1)._trunk.get()
    expected = {"dinov2": [], "dinov3": [torch.float32]}[family]
    assert [constant.dtype for constant in trunk.buffers()] == expected


def test_patches_run_by_rows(folder: Path, loader: BackboneLoader, pictures: Tensor) -> None:
    backbone = _pictures(loader, folder, 1)
    patch = 112 // round(backbone.num_patches**0.5)
    changed = pictures.clone()
    second_row_first_column = changed[:, :, patch : 2 * patch, :patch]
    second_row_first_column.copy_(255 - second_row_first_column)
    difference = backbone(pictures)[1]["patch_tokens"] - backbone(changed)[1]["patch_tokens"]
    assert difference.abs().mean(dim=(0, 2)).argmax() == round(backbone.num_patches**0.5)


def test_blocks_that_do_not_exist(family: Family, folder: Path, loader: BackboneLoader) -> None:
    depth = {"dinov2": 12, "dinov3": 32}[family]
    with pytest.raises(BackboneError, match=rf"has {depth} blocks, counted from 1, .*\[2, 33\]; choose among 1 to"):
        _pictures(loader, folder, 2, 33)


def test_size_must_fit_the_patches(folder: Path, loader: BackboneLoader) -> None:
    with pytest.raises(BackboneError, match="size = 100 is not a multiple of"):
        _pictures(loader, folder, 1, size=100)


def test_spec_tells_which_states(folder: Path, loader: BackboneLoader) -> None:
    spec = _pictures(loader, folder, 2, 4).spec
    assert spec.output["hidden_state"] == "output of the block, before the final norm"
    assert spec.random_weights
    assert (spec.model, spec.revision) == (folder.name, "local")
    assert spec.preprocessing["size"] == 112
    # Blocks are the business of those who name the features: another block is no other backbone. What is cut away is
    # in the hash all the same, which is that of the checkpoint.
    assert spec == _pictures(loader, folder, 1).spec
