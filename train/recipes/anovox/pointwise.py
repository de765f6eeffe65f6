"""Which points do not belong? Learned from a label of each point, or from labels of scenes alone (bags of points)."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ...nn.standardise import ChannelStatistics
from ...types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .learning import BinaryModule, PointRequests, Ratio, binary_loss, points_advice
from .networks import PointNetwork
from .settings import AnoVoxMilSettings, AnoVoxPointSettings

POINT_SCORES = "point_scores"
"""The output with a score of each point, (row, point); NaN where there is padding."""

_LABEL = "label"
_NO_POINTS = -30.0  # the logit of a scene without a point


class AnoVoxPointRecipe:
    """Learned from a label of each point; the score of a scene is that of its strangest point."""

    def __init__(self, settings: AnoVoxPointSettings | AnoVoxMilSettings) -> None:
        self._settings = settings
        self._points = PointRequests(settings.points)

    @property
    def target(self) -> str:
        """What is learned from."""
        return self._points.labels

    def needs(self) -> Needs:
        """The points and their labels; both are measured."""
        features = (self._points.points, self._points.length)
        return Needs(
            features,
            modalities={"lidar": (self._points.points.feature_set,)},
            measures=(*(request.name for request in features), self.target),
            targets=(self.target,),
            outputs=(POINT_SCORES,),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return points_advice(missing)

    def build(self, shapes: Shapes) -> BinaryModule[PointNetwork]:
        settings = self._settings
        network = PointNetwork(
            self._points.num_channels(shapes),
            width=settings.width,
            dropout=settings.dropout,
            sees_scene=not isinstance(settings, AnoVoxMilSettings),
            weighs=isinstance(settings, AnoVoxMilSettings) and settings.pooling == "attention",
        )
        return BinaryModule(network)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Statistics of the points, and how many negatives there are of each positive."""
        assert isinstance(model, BinaryModule)
        statistics, ratio = ChannelStatistics(len(model.network.scale.mean)), Ratio()
        for batch in train:
            points, real = self._points.read(batch)
            statistics.add(points[real])
            ratio.add(batch.targets[self.target])
        model.network.scale.use(statistics)
        of_each_positive = ratio.value
        if self._settings.pos_weight == "measured":
            model.pos_weight.fill_(of_each_positive)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Logits and weights of points; nothing is drawn from the generator."""
        assert isinstance(model, BinaryModule)
        points, real = self._points.read(batch)
        logits, weights = model.network(points, real)
        weights = {} if weights is None else {"weights": weights.float()}
        return {"logits": logits.float(), "real": real, **weights}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Cross-entropy or focal loss of the points whose label is known."""
        labels = targets[self.target].masked_fill(~encodings["real"], -1)
        return Losses(self._loss(model, encodings["logits"], labels))

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The largest logit of each scene, and the logit of each point."""
        logits, real = encodings["logits"], encodings["real"]
        return Prediction(
            logits.masked_fill(~real, _NO_POINTS).amax(dim=1),
            outputs={POINT_SCORES: logits.masked_fill(~real, torch.nan)},
        )

    def _loss(self, model: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
        assert isinstance(model, BinaryModule)
        return binary_loss(logits, labels, pos_weight=model.pos_weight, focal=self._settings.focal)


class AnoVoxMilRecipe(AnoVoxPointRecipe):
    """Learned from labels of scenes alone: a scene is a bag of points, and positive if one of them is."""

    def __init__(self, settings: AnoVoxMilSettings) -> None:
        super().__init__(settings)
        self._by_attention = settings.pooling == "attention"

    @property
    def target(self) -> str:
        return _LABEL

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The loss of the scenes' logits, which with pooling = max are those of their strangest points, and with that
        the mean loss of all points of negative scenes.

        The mean alone, as the original had it beside the largest of positive scenes, is no hindrance: one point of a
        thousand that is called positive in every scene costs it next to nothing.
        """
        labels = targets[_LABEL]
        scenes = self._loss(model, self._scenes(encodings), labels)
        if self._by_attention:
            return Losses(scenes)
        logits, real = encodings["logits"], encodings["real"]
        each = nn.functional.softplus(logits).masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1).clamp(min=1)
        is_negative = labels == 0
        of_negatives = each[is_negative].sum() / is_negative.sum().clamp(min=1)
        return Losses(scenes + of_negatives, terms={"scenes": scenes, "negatives": of_negatives})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        prediction = super().predict(model, encodings)
        return Prediction(self._scenes(encodings), outputs=prediction.outputs)

    def _scenes(self, encodings: Encodings) -> Tensor:
        """The logit of each scene."""
        logits, real = encodings["logits"], encodings["real"]
        if not self._by_attention:
            return logits.masked_fill(~real, _NO_POINTS).amax(dim=1)
        return (encodings["weights"] * logits.masked_fill(~real, 0.0)).sum(dim=1)
