"""The moving target: starts equal, follows by the decay, takes no gradient."""

import torch
from torch import Tensor

from weldcache.train.nn.result_encoder import ResultEncoder
from weldcache.train.nn.target_encoder import TargetEncoder


def encoders() -> tuple[ResultEncoder, TargetEncoder]:
    encoder = ResultEncoder(6, poolings=("gem",), hidden_width=5, width=4)
    return encoder, TargetEncoder(encoder)


def patches(generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(3, 2, 7, 6, generator=generator)]


def test_starts_equal_and_takes_no_gradient(generator: torch.Generator) -> None:
    encoder, target = encoders()
    blocks, mask = patches(generator), torch.ones(3, 2, dtype=torch.bool)
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
