"""The result encoder and its moving target: what views decide, and how the target follows."""

import pytest
import torch
from torch import Tensor

from weldcache.train.recipes.causal_film.result import BlockPooling, Pooling, ResultEncoder, TargetEncoder


@pytest.fixture
def encoder() -> ResultEncoder:
    return ResultEncoder(20, poolings=("gem", "max"), hidden_width=12, width=8)


@pytest.fixture
def patches(generator: torch.Generator) -> Tensor:
    """Two blocks of three samples with five views each."""
    return torch.randn(2, 3, 5, 9, 20, generator=generator)


def test_order_of_views_does_not_matter(encoder: ResultEncoder, patches: Tensor) -> None:
    order = torch.tensor([3, 0, 4, 2, 1])
    mask = torch.tensor([[True, True, False, True, True]]).expand(3, 5)
    expected = encoder(list(patches), view_mask=mask)
    torch.testing.assert_close(encoder(list(patches[:, :, order]), view_mask=mask[:, order]), expected)


def test_absent_views_are_ignored(encoder: ResultEncoder, patches: Tensor) -> None:
    mask = torch.tensor([[True, False, True, True, False]]).expand(3, 5)
    expected = encoder(list(patches[:, :, mask[0]]), view_mask=torch.ones(3, 3, dtype=torch.bool))
    torch.testing.assert_close(encoder(list(patches), view_mask=mask), expected)
    changed = patches.clone()
    changed[:, :, ~mask[0]] = 50.0
    assert torch.equal(encoder(list(changed), view_mask=mask), encoder(list(patches), view_mask=mask))


def test_absent_views_give_no_gradient(encoder: ResultEncoder, patches: Tensor) -> None:
    mask = torch.tensor([[True, False, True, True, False]]).expand(3, 5)
    patches.requires_grad_()
    encoder(list(patches), view_mask=mask).sum().backward()
    assert patches.grad is not None
    assert (patches.grad[:, :, ~mask[0]] == 0).all()
    assert (patches.grad[:, :, mask[0]] != 0).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_patches(encoder: ResultEncoder, patches: Tensor, dtype: torch.dtype) -> None:
    mask = torch.ones(3, 5, dtype=torch.bool)
    halved = patches.to(dtype)
    encoded = encoder(list(halved), view_mask=mask)
    assert encoded.dtype == torch.float32
    torch.testing.assert_close(encoded, encoder(list(halved.float()), view_mask=mask))


def test_wrong_number_of_blocks_is_an_error(encoder: ResultEncoder, patches: Tensor) -> None:
    with pytest.raises(ValueError, match="argument 2"):
        encoder(list(patches[:1]), view_mask=torch.ones(3, 5, dtype=torch.bool))


@pytest.mark.parametrize(("pooling", "num_parts"), [("mean", 1), ("max", 1), ("mean+gem", 2), ("mean+max", 2)])
def test_parts_are_pooled_normalised_and_joined(pooling: Pooling, num_parts: int, generator: torch.Generator) -> None:
    patches = torch.rand(4, 9, 20, generator=generator)
    pooled = {"mean": patches.mean(1), "max": patches.amax(1), "gem": patches.pow(3).mean(1).pow(1 / 3)}
    expected = [torch.nn.functional.layer_norm(pooled[part], (20,)) for part in pooling.split("+")]
    block = BlockPooling(20, pooling=pooling)
    assert block.output_width == 20 * num_parts
    torch.testing.assert_close(block(patches), torch.cat(expected, dim=-1))


def test_the_mean_over_views_is_over_those_that_are_there(patches: Tensor) -> None:
    encoder = ResultEncoder(20, poolings=("gem", "max"), hidden_width=12, width=8, views="mean")
    mask = torch.tensor([[True, False, True, True, False], [True] * 5, [False, False, False, True, False]])
    encoded = encoder(list(patches), view_mask=mask)
    one_by_one = torch.stack(
        [encoder(list(patches[:, :, view : view + 1]), view_mask=torch.ones(3, 1).bool()) for view in range(5)], dim=1
    )
    expected = torch.stack([rows[kept].mean(dim=0) for rows, kept in zip(one_by_one, mask, strict=True)])
    torch.testing.assert_close(encoded, expected)
    changed = patches.masked_fill(~mask[None, :, :, None, None], 50.0)
    assert torch.equal(encoder(list(changed), view_mask=mask), encoded)


def test_each_block_is_reduced_by_a_layer_of_its_own(patches: Tensor) -> None:
    encoder = ResultEncoder(20, poolings=("gem", "mean+max"), hidden_width=12, width=8, block_width=5)
    reduced = [block(values) for block, values in zip(encoder.blocks, patches, strict=True)]
    assert [values.shape for values in reduced] == [(3, 5, 5), (3, 5, 5)]
    first, second = encoder.blocks
    assert isinstance(first, BlockPooling) and isinstance(second, BlockPooling)
    assert isinstance(first.reduce, torch.nn.Linear) and isinstance(second.reduce, torch.nn.Linear)
    assert (first.reduce.in_features, second.reduce.in_features) == (20, 40)
    assert encoder.gate is not None and encoder.gate[0].in_features == 10


def test_without_a_gate_the_joined_blocks_are_projected_as_they_are(patches: Tensor) -> None:
    encoder = ResultEncoder(20, poolings=("gem", "max"), hidden_width=12, width=8, gate=False)
    assert not [name for name, _ in encoder.named_parameters() if name.startswith("gate")]
    joined = torch.cat([block(values) for block, values in zip(encoder.blocks, patches, strict=True)], dim=-1)
    encoded = encoder(list(patches), view_mask=torch.ones(3, 5, dtype=torch.bool))
    torch.testing.assert_close(encoded, encoder.head(joined).amax(dim=1))


def test_gate_is_between_none_and_all_of_a_feature(encoder: ResultEncoder, generator: torch.Generator) -> None:
    assert encoder.gate is not None
    gate = encoder.gate(10 * torch.randn(50, 40, generator=generator))
    assert gate.shape == (50, 40)
    assert gate.min() > 0
    assert gate.max() < 1


def encoders() -> tuple[ResultEncoder, TargetEncoder]:
    encoder = ResultEncoder(6, poolings=("gem",), hidden_width=5, width=4)
    return encoder, TargetEncoder(encoder)


def few_patches(generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(3, 2, 7, 6, generator=generator)]


def test_starts_equal_and_takes_no_gradient(generator: torch.Generator) -> None:
    encoder, target = encoders()
    blocks, mask = few_patches(generator), torch.ones(3, 2, dtype=torch.bool)
    encoded = target(blocks, view_mask=mask)
    assert torch.equal(encoded, encoder(blocks, view_mask=mask))
    assert not encoded.requires_grad
    assert not any(parameter.requires_grad for parameter in target.parameters())


def test_follows_by_the_decay() -> None:
    """From 1 towards 3 with decay 0.75: 1.5, then towards 3 again: 1.875."""
    encoder, target = encoders()
    for parameter in target.parameters():
        parameter.fill_(1.0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(3.0)
    for expected in (1.5, 1.875):
        target.follow(encoder, decay=0.75)
        assert all(torch.equal(p, torch.full_like(p, expected)) for p in target.parameters())
    assert all((parameter == 3.0).all() for parameter in encoder.parameters())


def test_is_part_of_the_state() -> None:
    _, target = encoders()
    assert {f"average.{name}" for name in target.average.state_dict()} == target.state_dict().keys()
