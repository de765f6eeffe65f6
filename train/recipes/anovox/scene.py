"""Is there anything in a scene that does not belong? Learned from labels of scenes, from camera and lidar."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ....errors import SettingsError
from ...nn.standardise import ChannelStatistics
from ...types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes
from .learning import BinaryModule, PointRequests, Ratio, binary_loss, points_advice
from .networks import OriginalSceneNetwork, SceneNetwork
from .settings import AnoVoxSceneSettings

_LABEL = "label"
_PICTURE = (48, 64)  # rows and columns that the original takes


class AnoVoxSceneRecipe:
    """Settings turned into a network, a loss and a score: the logit of a scene."""

    def __init__(self, settings: AnoVoxSceneSettings) -> None:
        self._settings = settings
        self._is_original = settings.network == "original"
        image_set, _, array = settings.image.rpartition("/")
        self._tokens = FeatureRequest(image_set, array, compared=True)
        self._views = FeatureRequest(image_set, "views_present", where_held=True)
        self._pixels = FeatureRequest(settings.pixels, "values", compared=True)
        self._points = PointRequests(settings.points)

    def needs(self) -> Needs:
        """The arrays of the modalities that it looks at; those that are standardised are measured."""
        image = (self._pixels,) if self._is_original else (self._tokens, self._views)
        points = (self._points.points, self._points.length)
        looks_at = self._settings.looks_at
        features = (*(image if looks_at != "points" else ()), *(points if looks_at != "image" else ()))
        names = {"camera": image[0].feature_set, "lidar": self._points.points.feature_set}
        held = {request.feature_set for request in features}
        measured = () if self._is_original else tuple(request.name for request in features)
        return Needs(
            features,
            modalities={modality: (name,) for modality, name in names.items() if name in held},
            measures=(*measured, _LABEL),
            targets=(_LABEL,),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return points_advice(missing)

    def build(self, shapes: Shapes) -> BinaryModule[OriginalSceneNetwork | SceneNetwork]:
        """As wide as the tokens and the points are.

        Raises:
            SettingsError: if an array is not of the kind that the network takes.
        """
        settings = self._settings
        channels = None if settings.looks_at == "image" else self._points.num_channels(shapes)
        if self._is_original:
            if shapes[self._pixels.name][-1] != 3 * prod(_PICTURE) or channels != 4:
                rows, columns = _PICTURE
                raise SettingsError(
                    f"The original takes pictures of {rows} x {columns} pixels and points of x, y, z and intensity: "
                    f"set features.{settings.pixels}.height={rows}, features.{settings.pixels}.width={columns}, and "
                    f"features.{settings.points}.channels=[x,y,z,intensity]."
                )
            return BinaryModule(OriginalSceneNetwork())
        tokens = None
        if settings.looks_at != "points":
            shape = shapes[self._tokens.name]
            if len(shape) != 3:
                raise SettingsError(f"{self._tokens.name} has the shape {list(shape)}, not (views, patches, dim).")
            tokens = (shape[0] * shape[1], shape[2])
        network = SceneNetwork(
            tokens,
            channels,
            width=settings.width,
            num_heads=settings.num_heads,
            attention=settings.attention,
            dropout=settings.dropout,
        )
        return BinaryModule(network)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Statistics of tokens and points, without padding, and of how many normals there are of each anomaly."""
        assert isinstance(model, BinaryModule)
        network, ratio = model.network, Ratio()
        scales = {}
        if isinstance(network, SceneNetwork):
            held = {"image": network.image_scale, "points": network.point_scale}
            scales = {
                name: (scale, ChannelStatistics(len(scale.mean))) for name, scale in held.items() if scale is not None
            }
        for batch in train:
            ratio.add(batch.targets[_LABEL])
            for name, (_, statistics) in scales.items():
                values, real = self._image(batch) if name == "image" else self._points.read(batch)
                statistics.add(values[real])
        for scale, statistics in scales.values():
            scale.use(statistics)
        of_each_positive = ratio.value
        if self._settings.pos_weight == "measured":
            model.pos_weight.fill_(of_each_positive)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The logit, and what the head gets; nothing is drawn from the generator."""
        assert isinstance(model, BinaryModule)
        network = model.network
        if isinstance(network, OriginalSceneNetwork):
            rows, columns = _PICTURE
            values = batch.features[self._pixels.name][:, 0].float()  # of the first camera
            pictures = rearrange(
                values, "batch (row column colour) -> batch colour row column", row=rows, column=columns
            )
            logit, joined = network(pictures, self._points.read(batch)[0])
        else:
            image = (None, None) if network.image is None else self._image(batch)
            points = (None, None) if network.points is None else self._points.read(batch)
            logit, joined = network(*image, *points)
        return {"logit": logit.float(), "joined": joined.float()}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Cross-entropy or focal loss of the scenes whose label is known; what the head gets is watched."""
        assert isinstance(model, BinaryModule)
        loss = binary_loss(encodings["logit"], targets[_LABEL], pos_weight=model.pos_weight, focal=self._settings.focal)
        return Losses(loss, watched={"joined": encodings["joined"]})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["logit"])

    def _image(self, batch: Batch) -> tuple[Float[Tensor, "batch tokens dim"], Bool[Tensor, "batch tokens"]]:
        """The tokens of all views, and which of them are of a view that there is."""
        tokens = batch.features[self._tokens.name].float()
        real = tokens.new_ones(tokens.shape[:3], dtype=torch.bool)
        if self._views.name in batch.features:
            real &= batch.features[self._views.name].bool().unsqueeze(-1)
        return rearrange(tokens, "batch view patch dim -> batch (view patch) dim"), real.flatten(1)
