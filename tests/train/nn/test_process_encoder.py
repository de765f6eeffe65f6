"""The process encoder: padding is not heard, every token is."""

import pytest
import torch
from torch import Tensor

from weldcache.train.nn.process_encoder import ProcessEncoder


@pytest.fixture
def encoder() -> ProcessEncoder:
    return ProcessEncoder(16).eval()


@pytest.fixture
def tokens(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(3, 5, 16, generator=generator), torch.randn(3, 7, 16, generator=generator)


def test_padding_of_audio_does_not_matter(encoder: ProcessEncoder, tokens: tuple[Tensor, Tensor]) -> None:
    video, audio = tokens
    padding = torch.arange(7).expand(3, 7) >= 4
    expected = encoder(video, audio=audio[:, :4], audio_padding=padding[:, :4])
    torch.testing.assert_close(encoder(video, audio=audio, audio_padding=padding), expected)
    louder = audio.masked_fill(padding.unsqueeze(-1), 100.0)
    assert torch.equal(
        encoder(video, audio=louder, audio_padding=padding), encoder(video, audio=audio, audio_padding=padding)
    )


def test_every_token_that_is_there_matters(encoder: ProcessEncoder, tokens: tuple[Tensor, Tensor]) -> None:
    video, audio = tokens[0].requires_grad_(), tokens[1].requires_grad_()
    padding = torch.arange(7).expand(3, 7) >= 4
    encoder(video, audio=audio, audio_padding=padding)[:, 0].sum().backward()
    assert video.grad is not None and audio.grad is not None
    assert (video.grad.abs().amax(dim=-1) > 0).all()
    assert torch.equal(audio.grad.abs().amax(dim=-1) > 0, ~padding)


def test_encoding_is_normalised(encoder: ProcessEncoder, tokens: tuple[Tensor, Tensor]) -> None:
    encoded = encoder(tokens[0], audio=tokens[1], audio_padding=torch.zeros(3, 7, dtype=torch.bool))
    torch.testing.assert_close(encoded.mean(dim=-1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded.std(dim=-1, correction=0), torch.ones(3), atol=1e-3, rtol=0)
