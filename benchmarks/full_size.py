"""Preset v5 at full size on random features: what several scripts in this folder train on.

Shapes are those that `weldcache extract` stores with the preset; an audio track is as long as in the data set's
median weld (about 30 s: three windows, the last of them not full), with the store's room for 41 s behind it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from weldcache.settings import Settings, load_settings
from weldcache.train.data.resident import ResidentFeatures
from weldcache.train.randomness import Purpose, derived_seed, seeded_global_rng
from weldcache.train.recipes.recipe import Trained, make_recipe
from weldcache.train.state import TrainingState, new_state
from weldcache.train.types import Batch

ROW_SHAPES: Mapping[str, tuple[int, ...]] = {
    "video/tokens": (16, 1024),
    "audio/tokens": (292, 768),
    "audio/tokens_length": (),
    "image/block_10/patch_tokens": (5, 196, 1280),
    "image/block_21/patch_tokens": (5, 196, 1280),
    "image/block_10/views_present": (5,),
    "image/block_21/views_present": (5,),
    "sensor/values": (128, 6),
}
TEXT, TEXT_WIDTH = "text/prompt", 512
AUDIO_TOKENS = 214  # real ones of 292
_ROWS_AT_ONCE = 64


def v5_settings(*overrides: str) -> Settings:
    """The preset with `section.key=value` laid over it; a weldcache.yaml in the current folder counts too."""
    return load_settings("v5", overrides=overrides)


def random_features(num_rows: int, *, device: torch.device, seed: int) -> ResidentFeatures:
    """Features of `num_rows` welds that have everything, made on the device."""
    generator = torch.Generator(device).manual_seed(seed)
    features = {name: _random(name, num_rows, generator) for name in ROW_SHAPES}
    sets = {name.rpartition("/")[0] for name in ROW_SHAPES}
    present = torch.ones(num_rows, dtype=torch.bool, device=device)
    return ResidentFeatures(Batch(features, dict.fromkeys(sets, present)))


def _random(name: str, num_rows: int, generator: torch.Generator) -> Tensor:
    shape, device = (num_rows, *ROW_SHAPES[name]), generator.device
    if name.endswith("tokens_length"):
        return torch.full(shape, AUDIO_TOKENS, dtype=torch.int32, device=device)
    if name.endswith("views_present"):
        return torch.ones(shape, dtype=torch.uint8, device=device)
    if name == "sensor/values":
        return torch.randn(shape, generator=generator, device=device)
    values = torch.empty(shape, dtype=torch.float16, device=device)
    for rows in torch.split(values, _ROWS_AT_ONCE):  # drawn in single precision, which takes more room than they do
        rows.copy_(torch.randn(rows.shape, generator=generator, device=device))
    return values


def v5_state(settings: Settings, features: ResidentFeatures) -> tuple[Trained, TrainingState]:
    """The recipe, and its state before the first step."""
    recipe = make_recipe(settings.recipe)
    assert isinstance(recipe, Trained)
    with seeded_global_rng(derived_seed(settings.train.seed, Purpose.WEIGHTS), device=torch.device("cpu")):
        model = recipe.build({**ROW_SHAPES, TEXT: (TEXT_WIDTH,)})
    model.to(features.device)
    text = torch.ones(TEXT_WIDTH, device=features.device)
    recipe.measure(model, features.part(0, 64).batches([torch.arange(min(64, len(features)))]), {TEXT: text})
    return recipe, new_state(model, settings=settings.train)
