"""The recipe: a cloud becomes the peaks of a mixture, which the true mixture is held against."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ....errors import SettingsError
from ...nn.point_sets import PointNetPlusPlus
from ...orientation import CONCENTRATION, MIXTURE, ORIENTATION, SYMMETRY
from ...types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes
from .loss import LOSSES, Peaks, entropy, of_symmetry, true_peaks
from .settings import OrientationMvmSettings

_AXES = {"x": 0, "y": 1, "z": 2}


class OrientationNet(nn.Module):
    """The network, and heads for groups of peaks: of each group an angle, a concentration and a share.

    A group of symmetry n is n peaks evenly around the circle, of one concentration, which share what the group has; its
    vector stands for n times their angle. Symmetry 0 is the uniform distribution.
    """

    symmetries: Tensor
    group: Tensor
    offset: Tensor

    def __init__(self, width: int, *, symmetries: Sequence[int], kappas: tuple[float, float]) -> None:
        """`kappas` are the least and the largest concentration of a peak."""
        super().__init__()
        self.body = PointNetPlusPlus(width)
        self.angles = nn.Linear(4 * width, 2 * len(symmetries))
        self.kappas = nn.Linear(4 * width, len(symmetries))
        self.shares = nn.Linear(4 * width, len(symmetries))
        self.min_kappa, self.max_kappa = kappas
        group = [group for group, order in enumerate(symmetries) for _ in range(max(1, order))]
        offset = [2 * math.pi * place / max(1, order) for order in symmetries for place in range(max(1, order))]
        for name, values in (("symmetries", list(symmetries)), ("group", group), ("offset", offset)):
            self.register_buffer(name, torch.tensor(values), persistent=False)  # settings say these, not weights

    def begin(self, init: Literal["preset", "random", "zeros"]) -> None:
        """Where angles begin; `random` leaves the layers as they were drawn."""
        if init == "random":
            return
        with torch.no_grad():
            if init == "zeros":
                self.angles.weight.zero_()
                self.angles.bias.zero_()
                return
            start = 2 * math.pi * torch.arange(len(self.symmetries)) / len(self.symmetries)
            self.angles.bias.copy_(torch.stack([start.cos(), start.sin()], dim=1).flatten())

    def forward(self, vector: Float[Tensor, "batch width"]) -> Peaks:
        """The peaks, in float32 whatever the arithmetic."""
        across, along = self.angles(vector).float().unflatten(1, (-1, 2)).unbind(dim=2)
        # Of a vector of length 0 the angle is 0, and so is its gradient: from there it never moves.
        angle = torch.atan2(along, across) / self.symmetries.clamp(min=1)
        kappa = self.min_kappa + nn.functional.softplus(self.kappas(vector).float())
        kappa = kappa.clamp(max=self.max_kappa) * (self.symmetries > 0)
        log_share = self.shares(vector).float().log_softmax(dim=1) - self.symmetries.clamp(min=1).log()
        return Peaks(angle[:, self.group] + self.offset, kappa[:, self.group], log_share[:, self.group])


class OrientationMvmRecipe:
    """Settings turned into a module, a loss and a prediction."""

    def __init__(self, settings: OrientationMvmSettings) -> None:
        self._settings = settings
        self._points, self._order, self._first, self._second = (
            FeatureRequest(settings.feature, array) for array in ("points", "order", "neighbours_1", "neighbours_2")
        )

    def needs(self) -> Needs:
        """The points, and which of them lie together."""
        feature = self._settings.feature
        return Needs(
            (self._points, self._order, self._first, self._second),
            modalities={feature: (feature,)},
            targets=(ORIENTATION, SYMMETRY, CONCENTRATION),
            outputs=(MIXTURE,),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            "Make a feature of the kind cloud with two levels, as the preset modelnet does, or name the one that is "
            "there with --set recipe.feature=NAME."
        )

    def build(self, shapes: Shapes) -> OrientationNet:
        """A network of the settings' width; how many points there are does not matter to it.

        Raises:
            SettingsError: if the vertical is none of the channels.
        """
        if shapes[self._points.name][-1] < 3:
            raise SettingsError(f"{self._points.name} has no three channels x, y and z.")
        settings = self._settings
        free = settings.peaks == "free"
        net = OrientationNet(
            settings.width,
            symmetries=[1] * settings.num_peaks if free else settings.symmetries,
            kappas=(0.0 if free else settings.min_kappa, settings.max_kappa),  # a uniform answer takes flat ones
        )
        net.begin(settings.init)
        return net

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Nothing: clouds are normalised as they are read."""

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The peaks, the vector that they are made of, and by how many degrees each cloud was turned."""
        assert isinstance(model, OrientationNet)
        points = batch.features[self._points.name][..., :3].float()
        degrees = points.new_zeros(len(points))
        if generator is not None and self._settings.turn:
            degrees = torch.rand(len(points), generator=generator, device=points.device) * 360
            points = turned(points, degrees, axis=_AXES[self._settings.vertical])
        arrays = (batch.features[each.name] for each in (self._order, self._first, self._second))
        vector = model.body(points, *arrays)
        peaks = model(vector)
        return {
            "angle": peaks.angle,
            "kappa": peaks.kappa,
            "log_weight": peaks.log_weight,
            "vector": vector.float(),
            "turned": degrees,
        }

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Mean over rows of the loss that the settings name; the vector is watched."""
        truth = true_peaks(targets[ORIENTATION] + encodings["turned"], targets[SYMMETRY], targets[CONCENTRATION])
        predicted = _peaks(encodings)
        if self._settings.loss == "symmetry_kl":
            assert isinstance(model, OrientationNet)
            predicted = of_symmetry(predicted, targets[SYMMETRY], of_peaks=model.symmetries[model.group])
        found = LOSSES[self._settings.loss](truth, predicted)
        return Losses(found.mean(), watched={"vector": encodings["vector"]})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The mixture; the score is its entropy, how unsure it is."""
        peaks = _peaks(encodings)
        return Prediction(entropy(peaks), outputs={MIXTURE: peaks.stacked()})


def _peaks(encodings: Encodings) -> Peaks:
    return Peaks(encodings["angle"], encodings["kappa"], encodings["log_weight"])


def turned(
    points: Float[Tensor, "batch points 3"], degrees: Float[Tensor, " batch"], *, axis: int
) -> Float[Tensor, "batch points 3"]:
    """Clouds turned about an axis, anticlockwise for who looks against it."""
    radians = torch.deg2rad(degrees).unsqueeze(1)
    right, up = (axis + 1) % 3, (axis + 2) % 3
    found = points.clone()
    found[..., right] = radians.cos() * points[..., right] - radians.sin() * points[..., up]
    found[..., up] = radians.sin() * points[..., right] + radians.cos() * points[..., up]
    return found
