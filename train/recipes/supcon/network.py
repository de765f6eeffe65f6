"""The network: tokens of each modality, learned tokens that ask these in turn, and what is kept to vote on classes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...nn.nearest_neighbours import NearestNeighbours
from ...nn.standardise import Standardise
from ..causal_film.process import Projector

_TIE = 1e-3  # of a vote, a neighbour's cosine: where classes have as many votes, the nearer one is told


@dataclass(frozen=True)
class Tokens:
    """What is known of one modality: `values` (batch, token, width), and which of them are `real`; a row without any
    lacks the modality."""

    values: Float[Tensor, "batch tokens width"]
    real: Bool[Tensor, "batch tokens"]

    @property
    def there(self) -> Bool[Tensor, " batch"]:
        """Which rows have the modality."""
        return self.real.any(dim=1)

    @property
    def padding(self) -> Bool[Tensor, "batch tokens"]:
        """What attention has to pass over; of a row that has nothing, nothing, or it would be no number."""
        return ~self.real & self.there.unsqueeze(1)


@dataclass(frozen=True)
class Fused:
    """A batch's embeddings.

    Attributes:
        attention: by modality, how much each fusion token looks at each token of it; zeros where a row lacks it.
        shares: of each modality, how much it moves the fusion tokens, as a share of what all do.
    """

    embedding: Float[Tensor, "batch width"]
    attention: Mapping[str, Float[Tensor, "batch fusion_tokens tokens"]]
    shares: Float[Tensor, "batch modalities"]


class TokenHead(nn.Module):
    """Each token by itself to the width of the fusion."""

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.project = Projector(channels, hidden_width=width, width=width)

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(self.project(tokens.values), tokens.real)


class SeriesEncoder(nn.Module):
    """A transformer over a series: the mean of `stride` steps is a token, which knows its place by sines."""

    def __init__(self, channels: int, *, width: int, layers: int, heads: int, stride: int, dropout: float, to: int):
        super().__init__()
        self.stride = stride
        self.embed = nn.Linear(channels, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.contract = nn.Linear(width, to)

    def forward(self, steps: Tokens) -> Tokens:
        """Tokens of the width `to`."""
        strided = self._strided(steps)
        embedded = self.embed(strided.values)
        embedded = embedded + _places(embedded.shape[1], width=embedded.shape[2]).to(embedded)
        encoded = self.encoder(embedded, src_key_padding_mask=strided.padding)
        return Tokens(self.contract(encoded), strided.real)

    def _strided(self, steps: Tokens) -> Tokens:
        """Means of the real steps among each `stride` of them."""
        if self.stride == 1:
            return steps
        lacking = -steps.real.shape[1] % self.stride
        real = nn.functional.pad(steps.real, (0, lacking))
        real = rearrange(real, "batch (token step) -> batch token step", step=self.stride)
        values = nn.functional.pad(steps.values, (0, 0, 0, lacking))
        values = rearrange(values, "batch (token step) channel -> batch token step channel", step=self.stride)
        summed = values.masked_fill(~real.unsqueeze(-1), 0.0).sum(dim=2)
        return Tokens(summed / real.sum(dim=2, keepdim=True).clamp(min=1), real.any(dim=2))


def _places(num: int, *, width: int) -> Float[Tensor, "num width"]:
    """Sines and cosines of places, as Vaswani et al. 2017 have them (arXiv 1706.03762, section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(num).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class CrossAttentionFusion(nn.Module):
    """Learned tokens that ask each modality in turn, and are joined to one embedding.

    What a row lacks leaves its tokens as they are.
    """

    def __init__(self, modalities: tuple[str, ...], *, width: int, num_tokens: int, num_heads: int, dropout: float):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(num_tokens, width) / math.sqrt(width))
        self.attention = nn.ModuleDict(
            {name: nn.MultiheadAttention(width, num_heads, dropout, batch_first=True) for name in modalities}
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in modalities})
        self.joined = nn.Linear(num_tokens * width, width)

    def forward(self, modalities: Mapping[str, Tokens]) -> Fused:
        """Embeddings, and what they looked at."""
        first = next(iter(modalities.values()))
        tokens = self.tokens.expand(len(first.values), -1, -1)
        attention, moves = {}, []
        for name, attend in self.attention.items():
            asked = modalities[name]
            there = asked.there.reshape(-1, 1, 1)
            found, weights = attend(tokens, asked.values, asked.values, key_padding_mask=asked.padding)
            tokens = torch.where(there, self.norms[name](tokens + found), tokens)
            attention[name] = weights.masked_fill(~there, 0.0)
            moves.append(found.detach().float().masked_fill(~there, 0.0).norm(dim=(1, 2)))
        moved = torch.stack(moves, dim=1)
        shares = moved / moved.sum(dim=1, keepdim=True).clamp(min=torch.finfo(moved.dtype).tiny)
        return Fused(self.joined(tokens.flatten(1)), attention, shares)


class SupConNetwork(nn.Module):
    """Heads of the modalities, their fusion, and what comes of an embedding: a vector to compare, and classes.

    `voters` are the embeddings of the training rows and `voter_classes` whether each is of a class; there are none
    before they are remembered.
    """

    voter_classes: Tensor

    def __init__(
        self,
        heads: Mapping[str, nn.Module],
        *,
        channels: Mapping[str, int],
        fusion: CrossAttentionFusion,
        width: int,
        projection: int,
        num_classes: int,
        num_neighbours: int,
    ) -> None:
        super().__init__()
        self.standardise = nn.ModuleDict({name: Standardise(channels[name]) for name in heads})
        self.heads = nn.ModuleDict(heads)
        self.fusion = fusion
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, projection))
        self.classes = nn.Linear(width, num_classes)
        self.voters = NearestNeighbours(width, num_neighbours=num_neighbours, metric="cosine")
        self.register_buffer("voter_classes", torch.zeros(0, num_classes, dtype=torch.bool))

    def forward(self, inputs: Mapping[str, Tokens]) -> Fused:
        """What standardised tokens of the modalities come to."""
        fused: Fused = self.fusion({name: head(inputs[name]) for name, head in self.heads.items()})
        return fused

    def votes(self, embeddings: Float[Tensor, "batch width"]) -> Float[Tensor, "batch classes"]:
        """Logits of classes by the nearest voters: each has a vote, and one more vote is spread over all classes."""
        distances, places = self.voters.search(embeddings)
        weights = 1 + _TIE * (1 - distances)
        counted = (self.voter_classes[places] * weights.unsqueeze(-1)).sum(dim=1)
        return (counted + 1 / counted.shape[1]).log()
