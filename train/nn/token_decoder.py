"""Decoders that rebuild the tokens of a picture or series out of a bottleneck, and cannot copy them.

Two ways keep what is strange from being rebuilt. Attention that cannot focus (linear attention: Guo et al. 2025,
"Dinomaly: The Less Is More Philosophy in Multi-Class Unsupervised Anomaly Detection", arXiv 2405.14325); or attention
to a few prototypes alone, which are drawn out of the sample's own tokens (Luo et al. 2025, "Exploring Intrinsic Normal
Prototypes within a Single Image for Universal Anomaly Detection", arXiv 2503.02424).
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .standardise import Standardise


class LinearAttention(nn.Module):
    """Attention of tokens to one another with elu + 1 in place of the softmax: it spreads over all of them."""

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], *, real: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Padding is not attended to."""
        query, key, value = rearrange(
            self.inputs(tokens), "batch token (part head dim) -> part batch head token dim", part=3, head=self.num_heads
        )
        query, key = nn.functional.elu(query) + 1, nn.functional.elu(key) + 1
        key = key * real[:, None, :, None]
        total = query @ key.sum(dim=2).unsqueeze(-1)
        found = query @ (key.transpose(-1, -2) @ value) / total.clamp(min=1e-6)
        attended: Tensor = self.output(rearrange(found, "batch head token dim -> batch token (head dim)"))
        return attended


class AttentionToPrototypes(nn.Module):
    """Attention of tokens to prototypes by the cosine, from which ReLU takes what is unlike."""

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(num_heads, 1, 1))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], prototypes: Float[Tensor, "batch prototypes width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """What the prototypes say of each token."""
        query, key, value = (
            rearrange(part, "batch token (head dim) -> batch head token dim", head=self.num_heads)
            for part in (self.query(tokens), self.key(prototypes), self.value(prototypes))
        )
        likeness = nn.functional.normalize(query, dim=-1) @ nn.functional.normalize(key, dim=-1).transpose(-1, -2)
        found = torch.relu(likeness * self.scale) @ value
        attended: Tensor = self.output(rearrange(found, "batch head token dim -> batch token (head dim)"))
        return attended


class Perceptron(nn.Sequential):
    """One hidden layer, four times as wide; with dropout before and behind each layer it is Dinomaly's bottleneck."""

    def __init__(self, width: int, *, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )


class UnfocusedBlock(nn.Module):
    """A block of a transformer with linear attention."""

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), LinearAttention(width, num_heads=num_heads)
        self.perceptron = nn.Sequential(nn.LayerNorm(width), Perceptron(width))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], *, real: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Tokens of the next block."""
        tokens = tokens + self.attention(self.norm(tokens), real=real)
        rebuilt: Tensor = tokens + self.perceptron(tokens)
        return rebuilt


class PrototypeBlock(nn.Module):
    """A block whose tokens are made of prototypes alone: nothing goes past the attention."""

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), AttentionToPrototypes(width, num_heads=num_heads)
        self.perceptron = nn.Sequential(nn.LayerNorm(width), Perceptron(width))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], prototypes: Float[Tensor, "batch prototypes width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Tokens of the next block."""
        tokens = self.attention(self.norm(tokens), self.norm(prototypes))
        rebuilt: Tensor = tokens + self.perceptron(tokens)
        return rebuilt


class Prototypes(nn.Module):
    """Learned queries that gather what is usual from a sample's own tokens."""

    def __init__(self, width: int, *, number: int, num_heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(number, width))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.perceptron = nn.Sequential(nn.LayerNorm(width), Perceptron(width))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], *, real: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch prototypes width"]:
        """The prototypes of each row."""
        queries, keys = self.queries.expand(len(tokens), -1, -1), self.norm(tokens)
        padding = ~real & real.any(dim=1, keepdim=True)  # where all is padding, what is attended to says nothing anyway
        gathered = self.attention(self.norm(queries), keys, keys, key_padding_mask=padding, need_weights=False)[0]
        prototypes = queries + gathered
        found: Tensor = prototypes + self.perceptron(prototypes)
        return found


class TokenDecoder(nn.Module):
    """Rebuilds the tokens of several blocks, one behind the other in width, out of the bottleneck of their mean.

    With two blocks or more these are two groups, the shallow ones and the deep ones, and the last half of the decoder
    rebuilds the shallow ones. `prototypes` is how many there are; 0: attention is linear, and there are none.
    """

    def __init__(
        self, width: int, *, num_blocks: int, depth: int, num_heads: int, dropout: float, prototypes: int
    ) -> None:
        super().__init__()
        assert depth > 1
        self.num_blocks = num_blocks
        self.standardise = Standardise(num_blocks * width)
        self.bottleneck = Perceptron(width, dropout=dropout)
        self.prototypes = Prototypes(width, number=prototypes, num_heads=num_heads) if prototypes else None
        block = PrototypeBlock if prototypes else UnfocusedBlock
        self.blocks = nn.ModuleList(block(width, num_heads=num_heads) for _ in range(depth))

    def forward(
        self, tokens: Float[Tensor, "batch tokens joined"], *, real: Bool[Tensor, "batch tokens"]
    ) -> tuple[list[Tensor], list[Tensor], Float[Tensor, "batch tokens"] | None]:
        """Of each group the tokens and what is rebuilt of them, (batch, tokens, width); and how far each token is from
        the nearest prototype, by the cosine, where there are some."""
        blocks = list(self.standardise(tokens).chunk(self.num_blocks, dim=-1))
        mean = torch.stack(blocks).mean(dim=0)
        prototypes = None if self.prototypes is None else self.prototypes(mean, real=real)
        state, states = self.bottleneck(mean), []
        for block in self.blocks:
            state = block(state, real=real) if prototypes is None else block(state, prototypes)
            states.append(state)
        gathered = None if prototypes is None else _distance_from_nearest(mean, prototypes)
        return _groups(blocks), _groups(states[::-1], number=len(_groups(blocks))), gathered


def _groups(parts: list[Tensor], *, number: int | None = None) -> list[Tensor]:
    """Means of two halves, or of all where there is but one part or one group is asked for."""
    if (len(parts) if number is None else number) == 1:
        return [torch.stack(parts).mean(dim=0)]
    half = len(parts) // 2
    return [torch.stack(part).mean(dim=0) for part in (parts[:half], parts[half:])]


def _distance_from_nearest(
    tokens: Float[Tensor, "batch tokens width"], prototypes: Float[Tensor, "batch prototypes width"]
) -> Float[Tensor, "batch tokens"]:
    likeness = nn.functional.normalize(tokens.float(), dim=-1) @ nn.functional.normalize(
        prototypes.float(), dim=-1
    ).transpose(-1, -2)
    return 1 - likeness.amax(dim=-1)
