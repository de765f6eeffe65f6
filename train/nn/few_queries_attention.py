"""Attention of few queries to many tokens, without keys and values for each of the tokens.

A score is q (W m): the projection W may go to the query as well as to the token m, and likewise a weighted sum of
projected values is the projection of the weighted sum. With 16 video tokens that look at 292 audio tokens, in 4 heads
of width 128, that takes a sixth of the arithmetic, for the same result.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class CrossAttendingLayer(nn.TransformerDecoderLayer):
    """torch's decoder layer, batch first, with the same parameters; the memory is attended to by `attend`.

    Where the memory is padded, `memory_key_padding_mask` has to be boolean.
    """

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        num_queries, num_tokens = x.shape[1], mem.shape[1]
        if attn_mask is not None or not is_cheaper(self.multihead_attn, num_queries=num_queries, num_tokens=num_tokens):
            return super()._mha_block(x, mem, attn_mask, key_padding_mask, is_causal)
        attended: Tensor = self.dropout2(attend(self.multihead_attn, x, memory=mem, padding=key_padding_mask))
        return attended


def is_cheaper(attention: nn.MultiheadAttention, *, num_queries: int, num_tokens: int) -> bool:
    """Whether `attend` takes less arithmetic than keys and values for each token would."""
    width, num_heads = int(attention.embed_dim), int(attention.num_heads)
    usual = num_tokens * width**2 + num_queries * num_tokens * width
    ours = num_queries * width**2 + num_heads * num_queries * num_tokens * width
    return ours < usual


def attend(
    attention: nn.MultiheadAttention,
    queries: Float[Tensor, "batch queries width"],
    *,
    memory: Float[Tensor, "batch tokens width"],
    padding: Bool[Tensor, "batch tokens"] | None,
) -> Float[Tensor, "batch queries width"]:
    """What `attention` makes of `queries` and `memory`; tokens where `padding` is true are not seen.

    The keys' bias is left out: it adds the same to all scores of a query, which the softmax takes away again.
    """
    num_heads, head_width = attention.num_heads, attention.head_dim
    query_weight, key_weight, value_weight = attention.in_proj_weight.chunk(3)
    query_bias, _, value_bias = attention.in_proj_bias.chunk(3)
    asked = rearrange(functional.linear(queries, query_weight, query_bias), "b q (h d) -> b q h d", h=num_heads)
    asked = torch.einsum("bqhd,hdw->bhqw", asked, rearrange(key_weight, "(h d) w -> h d w", h=num_heads))
    scores = rearrange(asked, "b h q w -> b (h q) w") @ memory.mT / math.sqrt(head_width)
    if padding is not None:
        scores = scores.masked_fill(padding.unsqueeze(1), -torch.inf)
    weights = functional.dropout(scores.softmax(dim=-1), attention.dropout, training=attention.training)
    seen = rearrange(weights @ memory, "b (h q) w -> b h q w", h=num_heads)
    values = torch.einsum("bhqw,hdw->bqhd", seen, rearrange(value_weight, "(h d) w -> h d w", h=num_heads))
    # After dropout a query's weights do not add up to one, and every value has the bias in it.
    shares = rearrange(weights.sum(dim=-1), "b (h q) -> b q h 1", h=num_heads)
    values = values + shares * rearrange(value_bias, "(h d) -> h d", h=num_heads)
    attended: Tensor = attention.out_proj(rearrange(values, "b q h d -> b q (h d)"))
    return attended
