"""The process side of Causal-FiLM: video and audio, modulated by the sensors, become the prediction of the result.

Sensors over time become FiLM modulations, video tokens look into audio tokens, and their mean is Z_process.
"""

import math
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from ...nn.mamba import Mamba

SensorEncoding = Literal["mamba", "gru"]

_NUM_SENSOR_LAYERS = 2


class Projector(nn.Module):
    """Backbone tokens to the width of the model: Linear, LayerNorm, GELU, Linear; takes tokens in half precision."""

    def __init__(self, input_width: int, *, hidden_width: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(input_width, hidden_width)
        self.norm = nn.LayerNorm(hidden_width)
        self.activation = nn.GELU()
        self.contract = nn.Linear(hidden_width, width)

    def forward(self, tokens: Float[Tensor, "batch time input_width"]) -> Float[Tensor, "batch time width"]:
        """Each token by itself; the result has the parameters' precision."""
        hidden = self.activation(self.norm(self.expand(tokens.to(self.expand.weight.dtype))))
        projected: Tensor = self.contract(hidden)
        return projected


class Modulation(NamedTuple):
    """FiLM (Perez et al. 2018, arXiv:1709.07871): a scale and a shift of each feature, (batch, 1, width) each.

    They are alike for all tokens of a row; zeros leave tokens as they are.
    """

    gamma: Tensor
    beta: Tensor

    def only_where(self, present: Bool[Tensor, " batch"]) -> "Modulation":
        """This one for rows where `present`, the identity for the others."""
        absent = ~present[:, None, None]
        return Modulation(gamma=self.gamma.masked_fill(absent, 0.0), beta=self.beta.masked_fill(absent, 0.0))


def modulate(tokens: Float[Tensor, "batch time width"], modulation: Modulation) -> Float[Tensor, "batch time width"]:
    """`tokens * (gamma + 1) + beta`."""
    return tokens * (modulation.gamma + 1) + modulation.beta


class ResidualMamba(nn.Module):
    """`x + Mamba(LayerNorm(x))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width, d_state=16, d_conv=4, expand=2)

    def forward(self, sequence: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """Add to each step what it and the earlier steps say."""
        added: Tensor = self.mamba(self.norm(sequence))
        return sequence + added


class MambaSensorEncoder(nn.Module):
    """Linear, two residual Mamba layers, LayerNorm; causal, so the last step has seen all and stands for it."""

    def __init__(self, num_channels: int, *, hidden_width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(num_channels, hidden_width)
        self.layers = nn.Sequential(*(ResidualMamba(hidden_width) for _ in range(_NUM_SENSOR_LAYERS)))
        self.norm = nn.LayerNorm(hidden_width)

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch hidden"]:
        """The last step, normalised."""
        sequence = self.layers(self.embed(sensors.to(self.embed.weight.dtype)))
        encoded: Tensor = self.norm(sequence[:, -1])
        return encoded


class GruSensorEncoder(nn.Module):
    """Linear, then two layers of gated recurrent units; the state after the last step."""

    def __init__(self, num_channels: int, *, hidden_width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(num_channels, hidden_width)
        self.gru = nn.GRU(hidden_width, hidden_width, num_layers=_NUM_SENSOR_LAYERS, batch_first=True)

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch hidden"]:
        """The upper layer's state at the last step, between -1 and 1."""
        states: Tensor = self.gru(self.embed(sensors.to(self.embed.weight.dtype)))[0]
        return states[:, -1]


SENSOR_ENCODERS: dict[SensorEncoding, type[MambaSensorEncoder] | type[GruSensorEncoder]] = {
    "mamba": MambaSensorEncoder,
    "gru": GruSensorEncoder,
}


class SensorModulator(nn.Module):
    """Sensors (batch, time, channels) to modulations of `width` features, which are the identity at the start.

    The head starts at zero, so the very first backward pass gives only the head a gradient; from the second step on
    every parameter has one.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        hidden_width: int,
        width: int,
        encoding: SensorEncoding = "mamba",
        num_modulations: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = SENSOR_ENCODERS[encoding](num_channels, hidden_width=hidden_width)
        self.head = nn.Linear(hidden_width, num_modulations * 2 * width)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self._num_modulations = num_modulations

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> tuple[Modulation, ...]:
        """As many modulations as were asked for, each from rows of the head that are its own."""
        parts = self.head(self.encoder(sensors)).unsqueeze(1).chunk(2 * self._num_modulations, dim=-1)
        return tuple(Modulation(gamma=gamma, beta=beta) for gamma, beta in zip(parts[::2], parts[1::2], strict=True))


class CrossAttendingLayer(nn.TransformerDecoderLayer):
    """torch's decoder layer, batch first, with the same parameters; the memory is attended to by `attend`.

    A score is q (W m): the projection W may go to the query as well as to the token m, and likewise a weighted sum of
    projected values is the projection of the weighted sum. With 16 video tokens that look at 292 audio tokens, in 4
    heads of width 128, that takes a sixth of the arithmetic, for the same result.

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


class ProcessEncoder(nn.Module):
    """Transformer decoder with video as query and audio as memory; mean over the video tokens; LayerNorm."""

    def __init__(self, width: int, *, num_layers: int = 2, num_heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        layer = CrossAttendingLayer(width, num_heads, dim_feedforward=2 * width, dropout=dropout, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, num_layers)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        video: Float[Tensor, "batch video_time width"],
        *,
        audio: Float[Tensor, "batch audio_time width"],
        audio_padding: Bool[Tensor, "batch audio_time"],
    ) -> Float[Tensor, "batch width"]:
        """Z_process; `audio_padding` is true where there is no audio, and must leave each row one token at least."""
        attended = self.decoder(video, audio, memory_key_padding_mask=audio_padding)
        encoded: Tensor = self.norm(attended.mean(dim=1))
        return encoded


class AntiGenDecoder(nn.Module):
    """Predicts from the process alone how the result should be encoded: Linear, LayerNorm, ReLU, dropout, Linear.

    It is small, so that it does not stretch to what anomalies do; between the two linear layers it is `bottleneck`
    wide, by default as wide as its input.
    """

    def __init__(self, width: int, *, bottleneck: int | None = None, dropout: float = 0.2) -> None:
        super().__init__()
        inner = bottleneck or width
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.LayerNorm(inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )

    def forward(self, z_process: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Z_pred, to be held against Z_result."""
        predicted: Tensor = self.layers(z_process)
        return predicted
