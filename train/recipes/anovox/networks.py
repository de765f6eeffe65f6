"""The networks of the recipes: tensors in, tensors out."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...nn.standardise import Standardise

_SIDE = 4  # of the original's grid of image tokens
_POINT_WIDTHS = (64, 128)


class OriginalSceneNetwork(nn.Module):
    """The original scene model: a convolutional network, a network of points that asks its tokens, and a head.

    The reports give widths and the number of parameters, 792,321, and neither the sizes of kernels nor what leads to
    the attention: kernels of 3, 5 and 5 and one linear layer from points to queries are the plainest choice with that
    number. Points that are padding are zeros here, and are taken for points, as they were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 5, padding=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(_SIDE),
        )
        self.tokens = nn.Linear(128, 256)
        self.points = _point_network(4, 256)
        self.queries = nn.Linear(256, 256)
        self.attention = nn.MultiheadAttention(256, 4, batch_first=True)
        self.head = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(
        self, pictures: Float[Tensor, "batch 3 height width"], points: Float[Tensor, "batch points 4"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 512"]]:
        """The logit of each scene, and what the head gets."""
        tokens = self.tokens(self.picture(pictures).flatten(2).transpose(1, 2))
        features = self.points(points)
        attended, _ = self.attention(self.queries(features), tokens, tokens, need_weights=False)
        joined = torch.cat([features.amax(dim=1), attended.mean(dim=1)], dim=1)
        return self.head(joined)[:, 0], joined


class SceneNetwork(nn.Module):
    """Image tokens and points to the logit of a scene; points ask tokens, and padding neither asks nor is pooled.

    Args:
        tokens: number and width of the image tokens; None: it looks at none.
        channels: of a point; None: it looks at none.
    """

    def __init__(
        self,
        tokens: tuple[int, int] | None,
        channels: int | None,
        *,
        width: int,
        num_heads: int,
        attention: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.image_scale = Standardise(tokens[1]) if tokens else None
        self.image = nn.Sequential(nn.Linear(tokens[1], width), nn.ReLU(), nn.Linear(width, width)) if tokens else None
        self.places = nn.Parameter(0.02 * torch.randn(tokens[0], width)) if tokens else None
        self.point_scale = Standardise(channels) if channels else None
        self.points = _point_network(channels, width) if channels else None
        asks = attention and tokens is not None and channels is not None
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True) if asks else None
        sides = (tokens is not None) + (channels is not None)
        self.head = nn.Sequential(
            nn.LayerNorm(sides * width),
            nn.Linear(sides * width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"] | None,
        tokens_real: Bool[Tensor, "batch tokens"] | None,
        points: Float[Tensor, "batch points channels"] | None,
        points_real: Bool[Tensor, "batch points"] | None,
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch joined"]]:
        """The logit of each scene, and what the head gets; padding may hold anything but NaN."""
        pooled, image = [], None
        if self.image is not None and self.image_scale is not None and tokens is not None and tokens_real is not None:
            image = self.image(self.image_scale(tokens))
            pooled.append(masked_max(image, tokens_real))  # wherever in the picture it is
        if self.points is not None and self.point_scale is not None and points is not None and points_real is not None:
            features = self.points(self.point_scale(points))
            if self.attention is not None and image is not None and tokens_real is not None:
                places = image + self.places
                asked, _ = self.attention(features, places, image, key_padding_mask=~tokens_real, need_weights=False)
                features = features + asked
            pooled.append(masked_max(features, points_real))
        joined = torch.cat(pooled, dim=1)
        return self.head(joined)[:, 0], joined


class PointNetwork(nn.Module):
    """The logit of each point.

    Args:
        channels: of a point.
        sees_scene: whether the largest features of all points of the scene are looked at beside a point's own. One that
            learns from labels of scenes must not: any point could then tell of the scene what another one is.
        weighs: whether points have weights, too, which add up to 1 over a scene (Ilse et al. 2018).
    """

    def __init__(self, channels: int, *, width: int, dropout: float, sees_scene: bool, weighs: bool) -> None:
        super().__init__()
        self.scale = Standardise(channels)
        self.points = _point_network(channels, width)
        self.sees_scene = sees_scene
        seen = 2 * width if sees_scene else width
        self.head = nn.Sequential(nn.Linear(seen, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))
        self.weights = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 1)) if weighs else None

    def forward(
        self, points: Float[Tensor, "batch points channels"], real: Bool[Tensor, "batch points"]
    ) -> tuple[Float[Tensor, "batch points"], Float[Tensor, "batch points"] | None]:
        """Logits and weights; those of padding mean nothing, and are weighed 0."""
        features = self.points(self.scale(points))
        seen = features
        if self.sees_scene:
            scene = masked_max(features, real).unsqueeze(1).expand_as(features)
            seen = torch.cat([features, scene], dim=-1)
        logits = self.head(seen)[..., 0]
        if self.weights is None:
            return logits, None
        weights = self.weights(features)[..., 0].float().masked_fill(~real, -torch.inf).softmax(dim=1)
        return logits, weights.nan_to_num(0.0)


def _point_network(channels: int, width: int) -> nn.Sequential:
    first, second = _POINT_WIDTHS
    return nn.Sequential(
        nn.Linear(channels, first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, width),
    )


def masked_max(
    values: Float[Tensor, "batch places dim"], real: Bool[Tensor, "batch places"]
) -> Float[Tensor, "batch dim"]:
    """The largest of the values that are `real`, by dimension; 0 where none is."""
    largest = values.masked_fill(~real.unsqueeze(-1), -torch.inf).amax(dim=1)
    return torch.where(real.any(dim=1, keepdim=True), largest, torch.zeros_like(largest))
