"""Random weights: deterministic, apart from the global generators, and not blind."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from weldcache.extract.backbones.random_weights import draw_weights


def _module() -> nn.Module:
    return nn.ModuleDict({"linear": nn.Linear(400, 300), "norm": nn.LayerNorm(8), "patch": nn.Conv2d(3, 64, 16)})


def test_same_seed_same_weights_whatever_the_global_state() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = draw_weights(_module(), seed=0)
    torch.manual_seed(2)
    np.random.seed(2)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    with torch.device("meta"):
        module = _module()
    second = draw_weights(module, seed=0)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert not torch.equal(first["linear.weight"], draw_weights(module, seed=1)["linear.weight"])


def test_scales() -> None:
    weights = draw_weights(_module(), seed=0)
    assert abs(weights["linear.weight"].std() * 400**0.5 - 1) < 0.02
    assert (weights["linear.bias"] == 0).all()
    assert (weights["norm.weight"] == 1).all()


def test_picture_filters_answer_to_contrast_before_brightness() -> None:
    filters = draw_weights(_module(), seed=0)["patch.weight"]
    flat = torch.ones(3, 16, 16)
    texture = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    texture -= texture.mean(dim=(1, 2), keepdim=True)
    to_flat = (filters * flat).sum(dim=(1, 2, 3)).square().mean().sqrt()
    to_texture = (filters * texture).sum(dim=(1, 2, 3)).square().mean().sqrt()
    assert 0.2 < to_flat < 1
    assert to_texture > 8 * to_flat


def test_branches_shrink_with_depth_from_the_fifth_block_on() -> None:
    with torch.device("meta"):
        model = Dinov2Model(Dinov2Config(hidden_size=4, num_hidden_layers=16, num_attention_heads=1))
    weights = draw_weights(model, seed=0)
    scales = [weights[f"encoder.layer.{position}.layer_scale2.lambda1"] for position in range(16)]
    assert all((scale == scale[0]).all() for scale in scales)
    assert [float(scales[block - 1][0]) for block in (1, 4, 16)] == [1, 1, 0.5]
    assert float(scales[8][0]) == pytest.approx(2 / 3)
