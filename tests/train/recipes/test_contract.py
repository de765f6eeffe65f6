"""The recipes that learn by gradient against the contract of recipes, and the fusion of some."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from weldcache.testing.recipes import RecipeContract
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.gaussian import GaussianRecipe, GaussianSettings
from weldcache.train.recipes.late_fusion import FusionMember, LateFusionRecipe, fused_recipe
from weldcache.train.recipes.recipe import Fitted, Measured, Recipe, Trained
from weldcache.train.recipes.reconstruction import VideoAutoencoderRecipe, VideoAutoencoderSettings
from weldcache.train.types import Batch, Shapes


class TestCausalFilm(RecipeContract):
    shapes: ClassVar[Shapes] = {
        "video/tokens": (4, 16),
        "audio/tokens": (6, 12),
        "audio/tokens_length": (),
        "image/block_2/patch_tokens": (2, 5, 16),
        "image/block_2/views_present": (2,),
        "sensor/values": (10, 6),
        "text/prompt": (24,),
    }
    constants: ClassVar[dict[str, Tensor]] = {"text/prompt": torch.linspace(-1, 1, 24)}

    def recipe(self) -> CausalFilmRecipe:
        small = {"d_model": 16, "hidden_width": 24, "sensor_hidden": 8, "blocks": (2,), "standardise": True}
        return CausalFilmRecipe(CausalFilmSettings.model_validate(small))

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        """One number drives the process and the result; in unusual rows each follows a number of its own."""
        rng, direction = np.random.default_rng(seed), np.random.default_rng(7)
        process = rng.uniform(-1, 1, size=num)
        result = process - 2 * np.sign(process) if unusual else process

        def driven(latent: np.ndarray, *shape: int) -> Tensor:
            pattern = direction.normal(size=(2, shape[-1]))
            one, two = (power.reshape(num, *[1] * len(shape)) for power in (latent, latent**2))
            return torch.from_numpy(one * pattern[0] + two * pattern[1] + 0.1 * rng.normal(size=(num, *shape)))

        views = np.column_stack([np.ones(num), rng.integers(0, 2, size=num)]).astype(np.uint8)
        sets = {
            "video/tokens": driven(process, 4, 16).half(),
            "audio/tokens": driven(process, 6, 12).bfloat16(),
            "audio/tokens_length": torch.from_numpy(rng.integers(3, 7, size=num)).int(),
            "image/block_2/patch_tokens": driven(result, 2, 5, 16).half(),
            "image/block_2/views_present": torch.from_numpy(views),
            "sensor/values": driven(process, 10, 6).float(),
        }
        names = dict.fromkeys(name.rpartition("/")[0] for name in sets)
        return Batch(sets, {name: torch.ones(num, dtype=torch.bool) for name in names})


class TestVideoAutoencoder(RecipeContract):
    shapes: ClassVar[Shapes] = {"frames/embedding": (4, 12)}

    def recipe(self) -> VideoAutoencoderRecipe:
        return VideoAutoencoderRecipe(VideoAutoencoderSettings(hidden=16, bottleneck=3, standardise=True))

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        """Frames near a plane; unusual ones lie off it."""
        rng, plane = np.random.default_rng(seed), np.random.default_rng(7).normal(size=(2, 12))
        values = rng.normal(size=(num, 1, 2)) @ plane + 0.1 * rng.normal(size=(num, 4, 12))
        if unusual:
            values = values + rng.normal(size=(num, 1, 12))
        return Batch({"frames/embedding": torch.from_numpy(values).half()})


class TestLateFusion(TestVideoAutoencoder):
    def recipe(self) -> LateFusionRecipe:
        """One that was trained and one that was fitted."""
        detector = GaussianRecipe(GaussianSettings(array="frames/embedding"))
        return fused_recipe(
            [FusionMember("autoencoder", super().recipe(), "float32"), FusionMember("gaussian", detector, "float32")]
        )

    def test_it_learns_by_gradient_or_is_fitted(self) -> None:
        """It does neither: its members have. It has a loss where some of them have one."""
        recipe = self.recipe()
        assert isinstance(recipe, Measured) and not isinstance(recipe, Trained | Fitted)
        assert not isinstance(fused_recipe([replace(recipe.members[1], name=name) for name in ("a", "b")]), Measured)

    def learned(self, recipe: Recipe) -> nn.Module:
        assert isinstance(recipe, LateFusionRecipe)
        model = recipe.build(self.shapes)
        for member, module in zip(recipe.members, model.members, strict=True):
            module.load_state_dict(super().learned(member.recipe).state_dict())
        return model.eval()
