"""`hf:`: models of transformers' own classes: what they give is what the class gives that is run by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    DeiTConfig,
    DeiTModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    LevitConfig,
    LevitModel,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    SamVisionConfig,
    SamVisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    SwinConfig,
    SwinModel,
    VideoMAEConfig,
    VideoMAEModel,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import ImageBackbone
from weldcache.extract.features.settings import BackboneSettings

SIZE = 64
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
STAGES = {"hidden_sizes": [6, 12, 18, 24], "depths": [1, 1, 1, 1]}
BLOCKS = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": 16,
}
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "resnet": lambda: ResNetModel(ResNetConfig(embedding_size=8, **STAGES)),
    "convnext": lambda: ConvNextModel(ConvNextConfig(**STAGES)),
    "swin": lambda: SwinModel(
        SwinConfig(image_size=SIZE, embed_dim=6, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4)
    ),
    "siglip_vision_model": lambda: SiglipVisionModel(SiglipVisionConfig(**BLOCKS)),
    "vit": lambda: ViTModel(ViTConfig(**BLOCKS)),
    "deit": lambda: DeiTModel(DeiTConfig(**BLOCKS)),
    "dinov2_with_registers": lambda: Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(**BLOCKS, num_register_tokens=4)
    ),
    "sam_vision_model": lambda: SamVisionModel(
        SamVisionConfig(**{**BLOCKS, "intermediate_size": None}, mlp_dim=40, global_attn_indexes=[2], window_size=2)
    ),
}
NUM_PREFIX = {"vit": 1, "deit": 2, "dinov2_with_registers": 5}


def saved(model: PreTrainedModel, folder: Path, **values: object) -> str:
    """A folder as the hub has it; `values` are of its preprocessor."""
    model.save_pretrained(folder)
    stated = {"image_mean": MEAN, "image_std": STD, "size": {"height": SIZE, "width": SIZE}, **values}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return f"hf:{folder}"


def drawn(name: str) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[name]().eval()


def backbone_of(
    loader: BackboneLoader, model: str, *blocks: int | str, size: int | None = None, revision: str | None = None
) -> ImageBackbone:
    settings = BackboneSettings(model=model, revision=revision)
    return loader.pictures(settings, key="features.image", blocks=blocks or None, size=size)


def by_rows(state: Tensor, *, num_prefix: int, channels_last: bool) -> Tensor:
    if state.ndim == 3:
        return state[:, num_prefix:]
    return state.flatten(1, 2) if channels_last else state.flatten(2).transpose(1, 2)


@torch.inference_mode()
@pytest.mark.parametrize("name", list(MODELS))
def test_tokens_are_those_of_the_model_run_by_hand(
    loader: BackboneLoader, tmp_path: Path, draw_pixels: Callable[..., Tensor], name: str
) -> None:
    model = drawn(name)
    pixels = draw_pixels(2, 3, SIZE, SIZE)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    output = model(pixel_values=(pixels / 255 - mean) / std, output_hidden_states=True)
    states = (getattr(output, "reshaped_hidden_states", None) or output.hidden_states)[1:]

    backbone = backbone_of(loader, saved(model, tmp_path), *range(1, len(states) + 1))
    assert isinstance(backbone, ImageBackbone)
    assert (backbone.spec.family, backbone.spec.random_weights, len(backbone.spec.weights_sha256)) == (name, False, 64)
    assert backbone.flops() > 0
    made = backbone(pixels)
    num_prefix = NUM_PREFIX.get(name, 0)
    for block, state in enumerate(states, start=1):
        tokens = by_rows(state, num_prefix=num_prefix, channels_last=name == "sam_vision_model")
        torch.testing.assert_close(made[block]["patch_tokens"], tokens, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made[block]["mean"], tokens.mean(dim=1), rtol=1e-4, atol=1e-4)
        if num_prefix:
            torch.testing.assert_close(made[block]["cls"], state[:, 0], rtol=1e-4, atol=1e-4)
        assert {array: tuple(values.shape[1:]) for array, values in made[block].items()} == backbone.shapes(block)
    assert list(backbone(pixels, blocks=(2,))) == [2]


def test_dinov2_is_equal_either_way(loader: BackboneLoader, tmp_path: Path, draw_pixels: Callable[..., Tensor]) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    exact, any_way = (backbone_of(loader, f"{way}{folder}", 2, 12, size=112) for way in ("", "hf:"))
    pixels = draw_pixels(1, 3, 112, 112)
    expected = exact(pixels)
    for block, arrays in any_way(pixels).items():
        assert arrays.keys() == expected[block].keys()
        for name, values in arrays.items():
            torch.testing.assert_close(values, expected[block][name])
    assert any_way.spec.weights_sha256 == exact.spec.weights_sha256
    assert any_way.spec.random_weights and any_way.spec.preprocessing == exact.spec.preprocessing
    assert any_way.spec != exact.spec  # neither passes for the other in a store


def test_stages_are_chosen_by_name(loader: BackboneLoader, tmp_path: Path) -> None:
    model = saved(drawn("resnet"), tmp_path)
    assert backbone_of(loader, model, "stage4", "stage2").blocks == (2, 4)
    assert backbone_of(loader, model).blocks == (4,)
    for wrong in (("stage9",), (5,), ("stage2", 2)):
        with pytest.raises(BackboneError, match=r"has 4 blocks, .* features\.image .*by name stage1, stage2"):
            backbone_of(loader, model, *wrong)


def test_the_tower_for_pictures_is_taken_of_a_model_with_two(loader: BackboneLoader, tmp_path: Path) -> None:
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = CLIPModel(CLIPConfig(vision_config=BLOCKS, text_config=text | {"vocab_size": 20}))
    backbone = backbone_of(loader, saved(model, tmp_path), 2)
    backbone.load()
    assert backbone.shapes(2) == {"patch_tokens": (16, 32), "mean": (32,), "cls": (32,)}
    assert backbone.spec.family == "clip_vision_model"


def test_another_size_interpolates_positions(
    loader: BackboneLoader, tmp_path: Path, draw_pixels: Callable[..., Tensor]
) -> None:
    backbone = backbone_of(loader, saved(drawn("vit"), tmp_path), 1, size=96)
    assert backbone(draw_pixels(1, 3, 96, 96))[1]["patch_tokens"].shape == (1, 36, 32)
    with pytest.raises(BackboneError, match=r"pictures of 8 pixels|no grid"):
        backbone_of(loader, saved(drawn("vit"), tmp_path), 1, size=8)


def test_tokens_that_are_no_grid_are_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    config = LevitConfig(
        image_size=SIZE, hidden_sizes=[8, 16, 24], num_attention_heads=[1, 2, 2], depths=[1, 1, 1], key_dim=[4, 4, 4]
    )
    with pytest.raises(BackboneError, match="LevitModel"):
        backbone_of(loader, saved(LevitModel(config), tmp_path), 1)


def test_what_the_library_cannot_make_or_run_is_told(loader: BackboneLoader, tmp_path: Path) -> None:
    """Of some kinds of models the library itself wants more than pictures, or hides most of a picture at random."""
    small = {**BLOCKS, "decoder_num_hidden_layers": 1, "decoder_hidden_size": 8, "decoder_num_attention_heads": 1}
    hides = saved(ViTMAEModel(ViTMAEConfig(**small)), tmp_path / "hides")
    with pytest.raises(BackboneError, match=r"hides: block_1 of ViTMAEModel: has \d+ tokens"):
        backbone_of(loader, hides, 1)
    films = saved(VideoMAEModel(VideoMAEConfig(**small, num_frames=2)), tmp_path / "films")
    with pytest.raises(BackboneError, match=r"films: does not take pictures of 64 pixels"):
        backbone_of(loader, films, 1)


def test_what_takes_no_pictures_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=10)
    model = saved(BertModel(config), tmp_path)
    with pytest.raises(BackboneError, match=r"features\.image\.model = hf:.*bert, which takes no pictures"):
        backbone_of(loader, model)
    (tmp_path / "preprocessor_config.json").unlink()  # which nobody has to bring in vain
    with pytest.raises(BackboneError, match="takes no pictures"):
        backbone_of(loader, model)
    with pytest.raises(BackboneError, match=r"features\.audio\.model.*photographs and frames"):
        loader.sound(BackboneSettings(model=model), key="features.audio")


def test_preprocessing_is_the_models_own_or_stated(loader: BackboneLoader, tmp_path: Path) -> None:
    model = saved(drawn("resnet"), tmp_path)
    assert backbone_of(loader, model).spec.preprocessing["std"] == list(STD)
    stated = loader.pictures(
        BackboneSettings(model=model), key="features.image", blocks=None, size=32, normalisation=(STD, MEAN)
    )
    assert stated.spec.preprocessing["mean"] == list(STD) and stated.spec.preprocessing["size"] == 32
    saved(drawn("resnet"), tmp_path, image_std=None)
    with pytest.raises(BackboneError, match=r"says no image_std.*features\.image\.mean"):
        backbone_of(loader, model)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(BackboneError, match=r"preprocessor_config\.json: missing"):
        backbone_of(loader, model, size=SIZE)
    with pytest.raises(BackboneError, match=r"features\.image\.mean"):
        loader.pictures(
            BackboneSettings(model="demo"), key="features.image", blocks=None, size=32, normalisation=(MEAN, STD)
        )


def test_weights_that_are_not_all_there_are_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    model = saved(drawn("vit"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for number, message in ((5, r"lacks .* weights of ViTModel"), (2, r"more blocks than .*layers\.2\.")):
        (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": number}))
        with pytest.raises(BackboneError, match=message):
            backbone_of(loader, model).load()
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(BackboneError, match="could run code"):
        backbone_of(loader, model)
    with pytest.raises(BackboneError, match=r"features\.image\.model = .*there is no such folder"):
        backbone_of(loader, "hf:/nowhere/at all")


def test_a_classifier_without_a_pooler_gives_its_hidden_states(
    loader: BackboneLoader, tmp_path: Path, draw_pixels: Callable[..., Tensor]
) -> None:
    """Most ViTs of the hub are classifiers: they have a head that is not used, and no pooler."""
    plain, classifier = drawn("vit"), ViTForImageClassification(ViTConfig(**BLOCKS, num_labels=3))
    classifier.vit.load_state_dict(plain.state_dict(), strict=False)
    expected, made = (
        backbone_of(loader, saved(model, tmp_path / name), 1, 3)(draw_pixels(1, 3, SIZE, SIZE))
        for name, model in (("plain", plain), ("classifier", classifier))
    )
    for block, arrays in made.items():
        torch.testing.assert_close(arrays["patch_tokens"], expected[block]["patch_tokens"])


def test_a_model_that_brings_code_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    model = saved(drawn("resnet"), tmp_path)
    brought = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine", "AutoModel": "code.MyModel"}}
    (tmp_path / "config.json").write_text(json.dumps(brought))
    (tmp_path / "code.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(BackboneError, match=r"config\.json"):
        backbone_of(loader, model)


@pytest.mark.parametrize(
    "part",
    [{"model_type": "timm_wrapper"}, {"backbone_config": {"model_type": "timm_backbone"}}, {"use_timm_backbone": True}],
)
def test_a_model_with_a_part_from_elsewhere_is_refused(
    loader: BackboneLoader, tmp_path: Path, part: dict[str, object]
) -> None:
    model = saved(drawn("resnet"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | part))
    with pytest.raises(BackboneError, match=r"config\.json: .*fetched from elsewhere"):
        backbone_of(loader, model)


def test_one_model_is_loaded_for_several_features(tmp_path: Path, loader: BackboneLoader) -> None:
    plain = BackboneLoader(placement=loader._models.placement, demo_folder=tmp_path, demo_seed=0)
    model = saved(drawn("resnet"), tmp_path / "model")
    first, second = (backbone_of(plain, model, block) for block in (1, 4))
    assert first._source is second._source


@pytest.mark.slow
def test_resnet_50_has_its_published_shape(loader: BackboneLoader, tmp_path: Path) -> None:
    model = ResNetModel(ResNetConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 23_508_032  # 25.56 M without the classifier
    backbone = backbone_of(loader, saved(model, tmp_path), *range(1, 5), size=224)
    assert [backbone.shapes(block)["patch_tokens"] for block in backbone.blocks] == [
        (56 * 56, 256),
        (28 * 28, 512),
        (14 * 14, 1024),
        (7 * 7, 2048),
    ]
    assert backbone.flops() == pytest.approx(8.2e9, rel=0.02)  # 4.1 G multiply-adds
