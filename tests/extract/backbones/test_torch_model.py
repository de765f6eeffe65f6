"""`torch:NAME`: a module of an installed package as a backbone, by its entry point."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from weldcache.configs.section import installed
from weldcache.errors import BackboneError, SettingsError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.spec import ImageBackbone
from weldcache.extract.features.settings import BackboneSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "extending.md"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, with one that brings the backbone of the page on extending."""
    shown = PAGE.read_text().partition("\n## A backbone\n")[2].partition("```python\n")[2].partition("```")[0]
    (tmp_path / "stages.py").write_text(shown)
    folder = tmp_path / "stages-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stages\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[weldcache.backbones]\nstages = stages:stages\n")
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "first.weight": (5, 3, 2, 2),
        "first.bias": (5,),
        "second.weight": (6, 5, 2, 2),
        "second.bias": (6,),
    }
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(state, tmp_path / "stages.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    yield tmp_path
    installed.cache_clear()
    sys.modules.pop("stages", None)


def backbone_of(loader: BackboneLoader, *blocks: int | str, name: str = "stages") -> ImageBackbone:
    return loader.pictures(BackboneSettings(model=f"torch:{name}"), key="features.image", blocks=blocks, size=None)


@pytest.mark.usefixtures("site")
def test_maps_are_those_of_the_module(loader: BackboneLoader, draw_pixels: Callable[..., Tensor]) -> None:
    random_state = torch.random.get_rng_state()
    backbone = backbone_of(loader, "coarse", "fine")
    assert isinstance(backbone, ImageBackbone) and backbone.blocks == (1, 2)
    pixels = draw_pixels(2, 3, 16, 16)
    made = backbone(pixels)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)))
    loaded = backbone._source._loaded
    assert isinstance(loaded, nn.Module)
    by_hand = loaded((pixels / 255 - mean) / std)
    torch.testing.assert_close(made[1]["patch_tokens"], by_hand["fine"].flatten(2).transpose(1, 2))
    torch.testing.assert_close(made[2]["patch_tokens"], by_hand["coarse"])
    for block, arrays in made.items():
        assert {name: tuple(values.shape[1:]) for name, values in arrays.items()} == backbone.shapes(block)
    assert backbone.flops() == 2 * (8 * 8 * 5 * 12 + 4 * 4 * 6 * 20)
    spec = backbone.spec
    assert (spec.family, spec.model, spec.random_weights) == ("torch", "torch:stages", True)


def test_weights_that_are_not_the_modules_are_refused(loader: BackboneLoader, site: Path) -> None:
    save_file({"first.weight": torch.zeros(5, 3, 2, 2)}, site / "stages.safetensors")
    with pytest.raises(BackboneError, match=r"torch:stages: .*second\.weight"):
        backbone_of(loader, 1).load()


def test_only_what_is_installed_is_a_backbone(loader: BackboneLoader, site: Path) -> None:
    with pytest.raises(SettingsError, match=r"no backbone 'stagse'. Did you mean stages"):
        backbone_of(loader, 1, name="stagse")
    with pytest.raises(SettingsError, match=r"no backbone 'os:system'"):
        backbone_of(loader, 1, name="os:system")
    (site / "stages-1.dist-info" / "entry_points.txt").write_text("")
    installed.cache_clear()
    with pytest.raises(BackboneError, match=r"features\.image\.model = torch:stages: no package"):
        backbone_of(loader, 1)
