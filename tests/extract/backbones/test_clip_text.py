"""CLIP's text tower: from a whole CLIP model or its text half, with a tokenizer from the folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.features.settings import BackboneSettings, TextSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return demo_backbone_folder(tmp_path / "clip", family="clip_text", seed=4)


def test_vector_is_the_projected_embedding(folder: Path, loader: BackboneLoader) -> None:
    encoder = loader.text(BackboneSettings(model=str(folder)), key="features.text")
    vector = encoder("a normal weld")
    assert vector.shape == (encoder.dim,) == (64,)
    ids = CLIPTokenizer.from_pretrained(folder)("a normal weld", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = CLIPTextModelWithProjection.from_pretrained(folder).eval()(ids).text_embeds[0]
    torch.testing.assert_close(vector, expected)
    assert torch.equal(vector, encoder("A  normal weld"))  # CLIP's vocabulary knows neither case nor runs of spaces
    assert torch.cosine_similarity(vector, encoder("a burnt hole"), dim=0) < 0.9


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 3e-2)])
def test_reduced_precision(
    dtype: torch.dtype,
    tolerance: float,
    folder: Path,
    loader: BackboneLoader,
    loader_of: Callable[[torch.dtype], BackboneLoader],
) -> None:
    settings = TextSettings(model=str(folder))
    exact, rounded = (
        loader.text(settings, key="features.text")("a normal weld"),
        loader_of(dtype).text(settings, key="features.text")("a normal weld"),
    )
    assert rounded.dtype == dtype
    assert 0 < (rounded.float() - exact).square().mean().sqrt() / exact.std() < tolerance


def test_tokens_are_clips_own(folder: Path) -> None:
    # The first 514 entries of CLIP's published vocabulary are these bytes, in this order.
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    assert tokenizer("a weld é").input_ids == [512, 320, 86, 68, 75, 323, 127, 358, 513]


def test_a_whole_clip_model(folder: Path, loader: BackboneLoader, tmp_path: Path) -> None:
    text = CLIPTextModelWithProjection.from_pretrained(folder).config.to_dict()
    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=tiny, projection_dim=64)).eval()
    model.save_pretrained(tmp_path / "whole")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path / "whole" / name)
    ids = CLIPTokenizer.from_pretrained(folder)("a normal weld", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model.get_text_features(ids).pooler_output[0]
    encoder = loader.text(BackboneSettings(model=str(tmp_path / "whole")), key="features.text")
    torch.testing.assert_close(encoder("a normal weld"), expected)


def test_a_tower_without_projection_is_refused(folder: Path, loader: BackboneLoader) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = loader.text(BackboneSettings(model=str(folder)), key="features.text")
    with pytest.raises(BackboneError, match=r"lacks 1 weights .*text_projection\.weight"):
        encoder.load()
    with pytest.raises(BackboneError, match=r"lacks 1 weights"):
        encoder("a normal weld")


def test_long_text_and_missing_tokenizer(folder: Path, loader: BackboneLoader) -> None:
    encoder = loader.text(BackboneSettings(model=str(folder)), key="features.text")
    assert encoder("a" * 75).shape == (64,)
    with pytest.raises(BackboneError, match=r"takes 77 tokens, and the text has 78; shorten prompt"):
        encoder("a" * 76)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BackboneError, match=r"neither tokenizer\.json nor vocab\.json"):
        loader.text(BackboneSettings(model=str(folder)), key="features.text")
