"""Dinomaly and prototypes: attention against loops, errors by hand, whose gradient is turned down, and the contract."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from weldcache.errors import SettingsError
from weldcache.testing.recipes import RecipeContract
from weldcache.train.nn.token_decoder import AttentionToPrototypes, LinearAttention, TokenDecoder
from weldcache.train.recipes.token_decoder import (
    DinomalySettings,
    InpFormerSettings,
    TokenDecoderRecipe,
    with_gradient,
)
from weldcache.train.types import Batch, Shapes

SHALLOW, DEEP = "image/block_2/patch_tokens", "image/block_4/patch_tokens"
VIEWS = tuple(f"image/block_{block}/views_present" for block in (2, 4))
SHAPES: Shapes = {SHALLOW: (2, 9, 8), DEEP: (2, 9, 8), **dict.fromkeys(VIEWS, (2,))}
_SMALL = {"array": DEEP, "beside": (SHALLOW,), "depth": 2, "num_heads": 2}
_EASY = {"top_percent": 20.0, "dropout": 0.05, "standardise": False}  # to be learned in a few steps


def dinomaly(**changes: object) -> TokenDecoderRecipe:
    return TokenDecoderRecipe(DinomalySettings.model_validate(_SMALL | changes))


def inp_former(**changes: object) -> TokenDecoderRecipe:
    return TokenDecoderRecipe(InpFormerSettings.model_validate(_SMALL | changes))


def on_a_plane(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Pictures of one texture each, which lies in a plane, in both blocks; some patches of unusual rows lie off it."""
    rng = np.random.default_rng(seed)
    plane, beyond = np.split(np.linalg.qr(np.random.default_rng(7).normal(size=(8, 3)))[0].T, [2])
    tokens = rng.normal(size=(num, 2, 1, 2)) @ plane + 0.05 * rng.normal(size=(num, 2, 9, 8))
    if unusual:
        tokens[:, 0, :3] += 3 * beyond
    views = np.column_stack([np.ones(num), rng.integers(0, 2, size=num)]).astype(np.uint8)
    blocks = [tokens, 3 + 2 * tokens[..., ::-1]]
    for block in blocks:
        block[views == 0] = np.nan
    arrays = {name: torch.from_numpy(block).half() for name, block in zip((SHALLOW, DEEP), blocks, strict=True)}
    return Batch({**arrays, **dict.fromkeys(VIEWS, torch.from_numpy(views))})


class TestDinomaly(RecipeContract):
    shapes: ClassVar[Shapes] = SHAPES
    lr = 3e-3

    def recipe(self) -> TokenDecoderRecipe:
        return dinomaly(**_EASY)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return on_a_plane(num, seed=seed, unusual=unusual)


class TestInpFormer(TestDinomaly):
    def recipe(self) -> TokenDecoderRecipe:
        return inp_former(**_EASY)


class TestOneBlock(TestDinomaly):
    steps = 30

    def recipe(self) -> TokenDecoderRecipe:
        return dinomaly(beside=(), **_EASY)

    shapes: ClassVar[Shapes] = {DEEP: SHAPES[DEEP], VIEWS[1]: (2,)}

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return on_a_plane(num, seed=seed, unusual=unusual).only([DEEP, VIEWS[1]])


def test_linear_attention_is_that_of_plain_loops_without_padding() -> None:
    torch.manual_seed(0)
    attention, tokens = LinearAttention(6, num_heads=2).double(), torch.randn(2, 5, 6, dtype=torch.float64)
    real = torch.tensor([[True] * 5, [True, True, True, False, False]])
    found = attention(tokens, real=real)
    for row in range(2):
        parts = (tokens[row] @ attention.inputs.weight.T + attention.inputs.bias).reshape(5, 3, 2, 3)
        told = torch.zeros(5, 2, 3, dtype=torch.float64)
        for head in range(2):
            query, key, value = (parts[:, part, head] for part in range(3))
            query, key = (torch.nn.functional.elu(each) + 1 for each in (query, key))
            for place in range(5):
                weights = (key @ query[place]) * real[row]
                told[place, head] = weights @ value / weights.sum()
        expected = told.flatten(1) @ attention.output.weight.T + attention.output.bias
        torch.testing.assert_close(found[row], expected)


def test_attention_to_prototypes_takes_nothing_of_what_is_unlike() -> None:
    attention = AttentionToPrototypes(2, num_heads=1)
    for layer in (attention.query, attention.key, attention.value, attention.output):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    tokens = torch.tensor([[[3.0, 0.0], [-2.0, 0.0], [1.0, 1.0]]])
    prototypes = torch.tensor([[[5.0, 0.0], [0.0, 7.0]]])
    half = 0.5**0.5  # the cosine of 45 degrees
    expected = torch.tensor([[[5.0, 0.0], [0.0, 0.0], [5 * half, 7 * half]]])
    torch.testing.assert_close(attention(tokens, prototypes), expected)


@pytest.mark.parametrize("make", [dinomaly, inp_former])
def test_errors_are_those_of_plain_loops(make: type) -> None:
    torch.manual_seed(0)
    recipe, rows = make(top_percent=100.0, views="mean"), on_a_plane(4, seed=1)
    model = recipe.build(SHAPES).eval()
    recipe.measure(model, [rows], {})
    encodings = recipe.encode(model, rows, None)
    real = rows.features[VIEWS[0]].bool()
    joined = torch.cat([rows.features[SHALLOW], rows.features[DEEP]], dim=-1).float().nan_to_num(0)
    places = real.unsqueeze(-1).expand(4, 2, 9)
    targets, rebuilt, _ = model(joined.reshape(8, 9, 16), real=places.reshape(8, 9))
    assert len(targets) == len(rebuilt) == 2  # a shallow and a deep group
    torch.testing.assert_close(targets[0], model.standardise(joined.reshape(8, 9, 16))[..., :8])
    for row in range(4):
        for view in range(2):
            if not real[row, view]:
                continue
            number = 2 * row + view
            both = [(target[number], found[number]) for target, found in zip(targets, rebuilt, strict=True)]
            cosine = [torch.cosine_similarity(found, target, dim=1) for target, found in both]
            torch.testing.assert_close(encodings["distance"][row, view], 1 - sum(cosine) / 2, rtol=1e-4, atol=1e-5)
            whole = [torch.cosine_similarity(found.flatten(), target.flatten(), dim=0) for target, found in both]
            assert encodings["picture"][row, view].item() == pytest.approx(1 - sum(whole).item() / 2, abs=1e-5)
    expected = torch.where(real, encodings["distance"].mean(dim=-1), 0).sum(dim=1) / real.sum(dim=1)
    torch.testing.assert_close(recipe.predict(model, encodings).score, expected, rtol=1e-4, atol=1e-5)
    total = encodings["picture"][real].mean()
    if make is inp_former:
        total = total + 0.2 * encodings["coherence"][real].mean()
    torch.testing.assert_close(recipe.loss(model, encodings, {}).total, total)


def test_the_gradient_of_easy_places_is_a_tenth_and_values_stay() -> None:
    errors = torch.arange(20.0).reshape(2, 10)
    real = torch.ones(2, 10, dtype=torch.bool)
    shares = dinomaly().shares(errors, real)
    assert (shares[1, 8:] == 1).all() and (shares.flatten()[:18] == 0.1).all()
    real[1, 8:] = False
    shares = dinomaly().shares(errors, real)
    assert (shares.flatten()[:16] == 0.1).all() and (shares[1, 6:] == 1).all()  # the hardest tenth of 18, rounded
    values = torch.ones(2, 10, 3, requires_grad=True)
    scaled = with_gradient(values, shares)
    assert torch.allclose(scaled, values)
    scaled.sum().backward()
    assert values.grad is not None and torch.equal(values.grad, shares.unsqueeze(-1).expand(2, 10, 3))


def test_prototypes_turn_to_places_by_the_power_of_their_error() -> None:
    errors, real = torch.tensor([[1.0, 3.0, 7.0]]), torch.tensor([[True, True, False]])
    assert inp_former().shares(errors, real).tolist() == [[0.5**3, 1.5**3, 3.5**3]]
    assert inp_former(focus=0).shares(errors, real).tolist() == [[1, 1, 1]]


def test_parameters_are_those_of_the_layers() -> None:
    width = 16
    block = 3 * width * width + 3 * width + width * width + width + 8 * width * width + 5 * width + 4 * width
    bottleneck = 8 * width * width + 5 * width
    decoder = TokenDecoder(width, num_blocks=3, depth=8, num_heads=4, dropout=0.2, prototypes=0)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 8 * block + bottleneck
    prototypes = TokenDecoder(width, num_blocks=3, depth=8, num_heads=4, dropout=0.2, prototypes=6)
    heads = 8 * 4  # a scale each
    assert sum(p.numel() for p in prototypes.parameters()) == 9 * block + heads + bottleneck + 6 * width


def test_what_cannot_be_rebuilt_together_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"widths \[6, 8\]"):
        dinomaly().build({**SHAPES, SHALLOW: (2, 9, 6)})
    with pytest.raises(SettingsError, match=r"recipe\.num_heads = 3"):
        dinomaly(num_heads=3).build(SHAPES)
    with pytest.raises(SettingsError, match="no places"):
        dinomaly(beside=()).build({DEEP: (8,)})
