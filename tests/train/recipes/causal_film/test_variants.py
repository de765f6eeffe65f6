"""Every variant of Causal-FiLM: its encodings' shapes, its parameters counted from layer sizes, and that it learns."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.recipe import Recipe, Trained
from weldcache.train.types import Batch, Shapes

NUM_ROWS = 8
SMALL = {"d_model": 16, "hidden_width": 24, "sensor_hidden": 8, "blocks": [10, 21]}
SMALL_WIDTHS = {"video": 12, "audio": 10, "image": 20, "text": 16}
FULL_WIDTHS = {"video": 1024, "audio": 768, "image": 1280, "text": 512}

MODELS: dict[str, dict[str, object]] = {
    "v5": {},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "mean+gem": {"pooling": "mean+gem"},
    "mean+max": {"pooling": "mean+max"},
    "one pooling a block": {"pooling": ["mean+gem", "max"]},
    "fixed gem": {"learnable_gem": False},
    "one block": {"blocks": [21]},
    "three blocks": {"blocks": [10, 21, 32]},
    "no gate": {"gate": False},
    "reduced blocks": {"block_width": 10},
    "reduced blocks without gate": {"block_width": 10, "gate": False, "pooling": ["mean", "mean+max"]},
    "mean of views": {"views": "mean"},
    "split film": {"film": "split"},
    "no film": {"film": "off"},
    "gru": {"sensor_encoder": "gru"},
    "gru and split film": {"sensor_encoder": "gru", "film": "split"},
    "sensors by sample": {"sensor_normalisation": "sample"},
    "bottleneck": {"decoder_bottleneck": 6},
    "no dropout": {"dropout": 0.0, "decoder_dropout": 0.0},
    "text head": {"text_head": True},
    "widths": {"d_model": 8, "hidden_width": 32, "sensor_hidden": 20, "num_layers": 1, "num_heads": 2},
    "standardised": {"standardise": True},
    "incomplete left out": {"missing": "leave_out"},
}
LOSSES: dict[str, dict[str, object]] = {
    "smooth l1": {"l1_kind": "smooth_l1"},
    "top-k l1": {"l1_kind": "topk_l1"},
    "gram over features": {"gram_over": "features"},
    "no gram": {"gram": 0},
    "little text": {"text": 0.01},
    "no text": {"text": 0},
    "variance": {"variance": 1.0},
    "stop gradient": {"target": "stop_gradient", "variance": 1.0},
    "ema target": {"target": "ema"},
}
AUGMENTATIONS: dict[str, dict[str, object]] = {
    "no mask": {"feature_mask": 0.0},
    "noise": {"noise": 0.1},
    "mixup": {"mixup": 0.2},
    "modality dropout": {"modality_dropout": 0.2},
    "everything": {"feature_mask": 0.2, "noise": 0.1, "mixup": 0.2, "modality_dropout": 0.2},
}
VARIANTS = [
    *(pytest.param(model, id=name) for name, model in MODELS.items()),
    *(pytest.param({"loss": loss}, id=name) for name, loss in LOSSES.items()),
    *(pytest.param(augmentation, id=name) for name, augmentation in AUGMENTATIONS.items()),
]


def settings_for(variant: Mapping[str, object]) -> CausalFilmSettings:
    return CausalFilmSettings.model_validate(SMALL | dict(variant))


def shapes_of(recipe: Recipe, widths: Mapping[str, int]) -> Shapes:
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(recipe.needs().constants, (widths["text"],))
    by_array = {
        "tokens_length": (),
        "values": (20, 6),
        "patch_tokens": (3, 9, widths["image"]),
        "views_present": (3,),
    }
    for request in recipe.needs().features:
        own = (5, widths[request.feature_set]) if request.array == "tokens" else by_array[request.array]
        shapes[request.name] = own
    return shapes


def batch_for(recipe: Recipe, generator: torch.Generator) -> Batch:
    """Rows that follow one latent; with optional modalities, the last three rows lack one each."""
    latent, features = torch.randn(NUM_ROWS, generator=generator), dict[str, Tensor]()
    for name, shape in shapes_of(recipe, SMALL_WIDTHS).items():
        pattern = torch.randn(shape, generator=generator)
        values = pattern + latent.view(-1, *[1] * len(shape)) * pattern.flip(0) if shape else latent
        match name.rpartition("/")[2]:
            case "tokens_length":
                features[name] = torch.full((NUM_ROWS,), 4, dtype=torch.int32)
            case "views_present":
                features[name] = torch.ones(NUM_ROWS, *shape, dtype=torch.uint8)
            case "values":
                features[name] = values
            case "tokens" | "patch_tokens":
                features[name] = values.half()
    lacking = {"video": NUM_ROWS - 3, "audio": NUM_ROWS - 2, "image/block_21": NUM_ROWS - 1}
    present = {name: torch.arange(NUM_ROWS) != lacking.get(name, -1) for name in recipe.needs().optional}
    return Batch(features, present)


def built(settings: CausalFilmSettings, batch: Batch, generator: torch.Generator) -> tuple[Trained, nn.Module]:
    recipe = CausalFilmRecipe(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = recipe.build(shapes_of(recipe, SMALL_WIDTHS))
    text = torch.randn(SMALL_WIDTHS["text"], generator=generator)
    recipe.measure(model, [batch], dict.fromkeys(recipe.needs().constants, text))
    return recipe, model


@pytest.mark.parametrize("variant", VARIANTS)
def test_learns_and_gives_encodings_of_its_width(variant: Mapping[str, object], generator: torch.Generator) -> None:
    settings = settings_for(variant)
    batch = batch_for(CausalFilmRecipe(settings), generator)
    recipe, model = built(settings, batch, generator)

    def validation_loss() -> float:
        model.eval()
        with torch.no_grad():
            return float(recipe.loss(model, recipe.encode(model, batch, None), {}).total)

    before = validation_loss()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        for _ in range(10):
            optimizer.zero_grad()
            recipe.loss(model, recipe.encode(model, batch, generator), {}).total.backward()
            optimizer.step()
    assert validation_loss() < 0.85 * before
    encodings = recipe.encode(model, batch, None)
    for encoding in recipe.loss(model, encodings, {}).watched.values():
        assert encoding.shape[1] == settings.d_model
    scores = recipe.predict(model, encodings).score
    assert scores.shape == (NUM_ROWS,) and scores.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_are_those_of_the_layers(variant: Mapping[str, object]) -> None:
    settings = settings_for(variant)
    assert num_trained(settings, SMALL_WIDTHS) == expected_count(settings, SMALL_WIDTHS)


@pytest.mark.parametrize("missing", ["token", "leave_out"])
@pytest.mark.parametrize(("width", "sensor_hidden", "published"), [(512, 128, 13_508_864), (384, 96, 10_170_208)])
def test_published_counts(width: int, sensor_hidden: int, published: int, missing: str) -> None:
    model = {"d_model": width, "sensor_hidden": sensor_hidden, "pooling": ["mean", "max"], "missing": missing}
    settings = CausalFilmSettings.model_validate(model)
    apart = (3 * width if missing == "token" else 0) + (0 if width == 512 else linear(width, 512))
    assert num_trained(settings, FULL_WIDTHS) == published + apart == expected_count(settings, FULL_WIDTHS)


def num_trained(settings: CausalFilmSettings, widths: Mapping[str, int]) -> int:
    recipe = CausalFilmRecipe(settings)
    with torch.device("meta"):
        model = recipe.build(shapes_of(recipe, widths))
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def expected_count(model: CausalFilmSettings, widths: Mapping[str, int]) -> int:
    d = model.d_model
    projectors = sum(linear(widths[name], model.hidden_width) + norm(model.hidden_width) for name in ("video", "audio"))
    projectors += 2 * linear(model.hidden_width, d)
    process = model.num_layers * (8 * linear(d, d) + linear(d, 2 * d) + linear(2 * d, d) + 3 * norm(d)) + norm(d)
    inner = model.decoder_bottleneck or d
    decoder = linear(d, inner) + norm(inner) + linear(inner, d)
    has_text_head = model.loss.text > 0 and (model.text_head or d != widths["text"])
    text_head = linear(d, widths["text"]) if has_text_head else 0
    tokens = 3 * d if model.missing == "token" else 0
    return projectors + _sensors(model) + process + _result(model, widths["image"]) + decoder + text_head + tokens


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def norm(width: int) -> int:
    return 2 * width


def _sensors(model: CausalFilmSettings) -> int:
    if model.film == "off":
        return 0
    h = model.sensor_hidden
    head = linear(h, (4 if model.film == "split" else 2) * model.d_model)
    if model.sensor_encoder == "gru":
        return linear(6, h) + 2 * 3 * 2 * linear(h, h) + head
    inner, rank = 2 * h, -(-h // 16)
    mamba = h * 2 * inner + (4 * inner + inner) + inner * (rank + 32) + linear(rank, inner) + 16 * inner + inner
    return linear(6, h) + 2 * (norm(h) + mamba + inner * h) + norm(h) + head


def _result(model: CausalFilmSettings, width: int) -> int:
    poolings = [model.pooling] * len(model.blocks) if isinstance(model.pooling, str) else list(model.pooling)
    parts = [pooling.split("+") for pooling in poolings]
    pooling = sum(len(kinds) * norm(width) + model.learnable_gem * kinds.count("gem") for kinds in parts)
    joined = sum(model.block_width or len(kinds) * width for kinds in parts)
    reductions = sum(linear(len(kinds) * width, model.block_width) for kinds in parts) if model.block_width else 0
    gate = linear(joined, joined // 4) + linear(joined // 4, joined) if model.gate else 0
    head = linear(joined, model.hidden_width) + norm(model.hidden_width) + linear(model.hidden_width, model.d_model)
    return pooling + reductions + gate + head
