"""Attention without keys and values against torch's own, on the same weights."""

import pytest
import torch
from torch import Tensor, nn

from weldcache.train.nn.few_queries_attention import CrossAttendingLayer, attend, is_cheaper


def results(layer: nn.Module, *tensors: Tensor, padding: Tensor) -> list[Tensor]:
    layer.zero_grad()
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    outputs = layer(*leaves, memory_key_padding_mask=padding)
    outputs.square().sum().backward()
    found = [outputs.detach(), *(leaf.grad for leaf in leaves), *(p.grad for p in layer.parameters())]
    assert all(tensor is not None for tensor in found)
    return found


@pytest.mark.parametrize(("num_queries", "num_tokens"), [(5, 60), (40, 5)])
def test_layer_computes_what_torch_computes(num_queries: int, num_tokens: int, generator: torch.Generator) -> None:
    """Values and all gradients, also where there are more queries than pays."""
    theirs = nn.TransformerDecoderLayer(32, 4, dim_feedforward=64, batch_first=True).eval().double()
    ours = CrossAttendingLayer(32, 4, dim_feedforward=64, batch_first=True).eval().double()
    nn.init.normal_(theirs.multihead_attn.in_proj_bias)  # zero at the start, which would hide a forgotten one
    ours.load_state_dict(theirs.state_dict())
    assert is_cheaper(ours.multihead_attn, num_queries=num_queries, num_tokens=num_tokens) == (num_tokens == 60)
    queries = torch.randn(3, num_queries, 32, generator=generator, dtype=torch.float64)
    memory = torch.randn(3, num_tokens, 32, generator=generator, dtype=torch.float64)
    padding = torch.arange(num_tokens) >= torch.tensor([num_tokens, 3, 1]).unsqueeze(1)
    expected = results(theirs, queries, memory, padding=padding)
    for result, wanted in zip(results(ours, queries, memory, padding=padding), expected, strict=True):
        torch.testing.assert_close(result, wanted)


def test_dropout_hides_values_with_their_bias(generator: torch.Generator) -> None:
    """All values alike, one head: the output is the value times the weight that dropout has left, twice what was."""
    attention = nn.MultiheadAttention(4, 1, dropout=0.5, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.zero_()  # so that all weights are equal, and values are the bias alone
        attention.in_proj_bias.copy_(torch.ones(12))
        attention.out_proj.weight.copy_(torch.eye(4))
    memory, queries = torch.randn(2, 10, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
    attended = attend(attention, queries, memory=memory, padding=None)
    kept = attended * 10 / 2  # of the ten tokens
    torch.testing.assert_close(kept, kept.round())
    assert kept.min() >= 0 and kept.max() <= 10 and kept.std() > 0
    torch.testing.assert_close(attend(attention.eval(), queries, memory=memory, padding=None), torch.ones(2, 3, 4))


def test_weights_move_to_torch_and_back() -> None:
    theirs, ours = nn.TransformerDecoderLayer(16, 4), CrossAttendingLayer(16, 4)
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}
