"""Two sides of normal samples, each predicted from the other: what neither lets expect is anomalous.

Between modalities it is CFM (Costanzino et al. 2024, "Multimodal Industrial Anomaly Detection by Crossmodal Feature
Mapping", arXiv 2312.04521), between a shallow and a deep block of one network it is L2BT (Costanzino et al. 2024,
"Learning to Be a Transformer to Pinpoint Anomalies", arXiv 2407.04092). Two perceptrons learn to map one side to the
other and back, by the cosine; the score is the product of both errors, which are distances of vectors of length 1.

CFM divides a picture's scores by a mean of its own, so that a picture that is strange all over looks usual. Here the
vectors are taken in units of their spread over the training samples, and nothing is divided by what the sample shows.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ...errors import NotFoundError, SettingsError
from ...wording import listed
from ..nn.standardise import Standardise
from ..settings import AUTO, NamedArray, StoredArray, of_last_block
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .joined_arrays import JoinedArrays, JoinedPlaces
from .places import PlaceSettings, StrangestSettings, TopPercent, mean_of_real, scored_places

_SIDES = ("process", "result")


class MappingSettings(StrangestSettings):
    """What can be set of both recipes."""

    standardise: bool = Field(True, description="Take each number in units of its spread over the training samples.")
    places: Positive | None = Field(
        256,
        description="Places of each sample, drawn at each step, that are learned from, where each is mapped by itself; "
        "null: all.",
    )


class CfmSettings(MappingSettings):
    """What is known of the process mapped to the result, and back."""

    name: Literal["cfm"] = Field("cfm", description="What is learned, and how it predicts.")
    process: tuple[NamedArray, ...] = Field(
        ("video/embedding", "sound_statistics/values", "sensor_statistics/values"),
        min_length=1,
        description="Arrays of the store on one side, which count alike; where one has many vectors a sample, their "
        "mean is looked at.",
    )
    result: tuple[NamedArray, ...] = Field(
        ("image/last/mean",), min_length=1, description="Arrays of the store on the other side."
    )
    vectors: Literal["mean", "each"] = Field(
        "mean",
        description="mean: a sample is one vector on each side; each: every place is mapped by itself, such as a patch "
        "or a step, of one array on each side whose places are the same.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        both = {side: tuple(of_last_block(array, arrays) for array in getattr(self, side)) for side in _SIDES}
        return self.model_copy(update=both)


class L2btSettings(PlaceSettings, MappingSettings):
    """The patches of a shallow block mapped to those of a deep one, and back."""

    name: Literal["l2bt"] = Field("l2bt", description="What is learned, and how it predicts.")
    shallow: StoredArray = Field(
        AUTO,
        description="The same places in a shallower block than recipe.array; auto: the shallowest of the same feature "
        "that the store holds.",
    )
    top_percent: TopPercent = 0.1

    def for_store(self, arrays: Collection[str]) -> Self:
        chosen = super().for_store(arrays)
        return chosen.model_copy(update={"shallow": _shallow(chosen.shallow, deep=chosen.array, arrays=arrays)})


def _shallow(array: str, *, deep: str, arrays: Collection[str]) -> str:
    """In place of `auto` the shallowest block of the deep array's feature; with no arrays to choose from, that itself.

    Raises:
        NotFoundError: if there are arrays, and none is of another block.
    """
    named = re.fullmatch(r"(.+/block_)\d+(/.+)", deep)
    if array != AUTO or named is None:
        return deep if array == AUTO else array
    before, after = named.groups()
    blocks = [re.fullmatch(rf"{re.escape(before)}(\d+){re.escape(after)}", held) for held in (*arrays, deep)]
    shallowest = f"{before}{min(int(block[1]) for block in blocks if block)}{after}"
    if deep in arrays and shallowest == deep:
        raise NotFoundError(
            f"The store holds {deep} and no shallower block of it, and l2bt maps patches of one block to those of "
            "another: name two among the blocks of the feature, and run `weldcache extract`."
        )
    return shallowest


class CrossMapping(nn.Module):
    """Perceptrons from one side to the other and back, of vectors that hold both sides, one behind the other.

    `first` and `second` are the widths of the arrays that each side is made of. Each array counts alike in its side's
    cosine, however wide it is.
    """

    balance: Tensor

    def __init__(self, first: Sequence[int], second: Sequence[int]) -> None:
        super().__init__()
        self.widths = [*first, *second]
        self.sides = [sum(first), sum(second)]
        self.standardise = Standardise(sum(self.sides))
        shares = [(sum(side) / (len(side) * width)) ** 0.5 for side in (first, second) for width in side]
        balance = torch.repeat_interleave(torch.tensor(shares), torch.tensor(self.widths))
        self.register_buffer("balance", balance, persistent=False)
        self.forth, self.back = _perceptron(*self.sides), _perceptron(*reversed(self.sides))

    def forward(
        self, vectors: Float[Tensor, "*batch width"]
    ) -> tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]:
        """1 - cosine of the second side and what the first lets expect, and the other way round; in float32."""
        first, second = torch.split(self.standardise(vectors) * self.balance, self.sides, dim=-1)
        return _cosine_distance(self.forth(first), second), _cosine_distance(self.back(second), first)


def _perceptron(width: int, to: int) -> nn.Sequential:
    """As both papers have it: two hidden layers, halfway between the widths."""
    hidden = (width + to) // 2
    return nn.Sequential(
        nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, to)
    )


def _cosine_distance(found: Float[Tensor, "*batch width"], wanted: Tensor) -> Float[Tensor, " *batch"]:
    return 1 - nn.functional.cosine_similarity(found.float(), wanted.float(), dim=-1)


def _sides(settings: CfmSettings | L2btSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arrays of each side."""
    if isinstance(settings, L2btSettings):
        return (settings.shallow,), (settings.array,)
    return settings.process, settings.result


class CrossMappingRecipe:
    """Both recipes: what a side is differs."""

    def __init__(self, settings: CfmSettings | L2btSettings) -> None:
        # Of blocks that are still to be chosen, any: a recipe is asked for its task before there is a store.
        self._settings = settings.for_store(())
        self._setting = "recipe.shallow" if isinstance(settings, L2btSettings) else "recipe.process"
        self._sides = _sides(self._settings)
        self._by_place = isinstance(settings, L2btSettings) or settings.vectors == "each"
        arrays = [array for side in self._sides for array in side]
        named = {"recipe": settings.name, "setting": self._setting}
        self._joined = (
            JoinedPlaces(arrays, measured=settings.standardise, **named)
            if self._by_place
            else JoinedArrays(arrays, measured=settings.standardise, vectors="mean", optional=False, **named)
        )

    def needs(self) -> Needs:
        return self._joined.needs()

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            f"Choose features that are there with --set {self._setting}=... and the other side's setting, or run "
            "`weldcache extract` with these among extract.features."
        )

    def build(self, shapes: Shapes) -> CrossMapping:
        """As wide as the arrays.

        Raises:
            SettingsError: if there are no two arrays with the same places, where each place is mapped.
        """
        first, second = self._sides
        if self._by_place and (len(first) != 1 or len(second) != 1 or first == second):
            raise SettingsError(
                f"{listed(dict.fromkeys([*first, *second]))}: to map places takes one array on each side, such as "
                f"patch tokens of two blocks. Name them with --set {self._setting}=..., or extract another block."
            )
        widths = self._joined.widths(shapes)
        return CrossMapping(widths[: len(first)], widths[len(first) :])

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Spread of each number over all training rows."""
        assert isinstance(model, CrossMapping)
        if self._settings.standardise:
            self._joined.measure(model.standardise, train)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The errors of both directions, and which of them are of no padding; with a generator, as in training, of
        places that it draws."""
        vectors, real = self._joined.learned_from(batch, most=self._settings.places, generator=generator)
        forth, back = model(vectors)
        return {"forth": forth, "back": back, "real": real}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The sum of both errors."""
        terms = {way: mean_of_real(encodings[way], encodings["real"]) for way in ("forth", "back")}
        return Losses(terms["forth"] + terms["back"], terms=terms)

    @property
    def varied(self) -> Collection[str] | None:
        return ()

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The product of both errors as Euclid's distances: of vectors of length 1, half the squared one is
        1 - cosine."""
        squared = 4 * encodings["forth"].clamp(min=0) * encodings["back"].clamp(min=0)
        distances, real = squared.sqrt(), encodings["real"]
        if not self._by_place:
            return Prediction(distances)
        return scored_places(distances.masked_fill(~real, torch.nan), real, settings=self._settings)
