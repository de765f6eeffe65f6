"""Late fusion of trained models as a recipe, so that a fused run is scored and judged like any other.

It is built from runs that are trained already (`train/fusion.py`) and is not trained itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..nn.late_fusion import LateFusion
from ..precision import Precision, arithmetic, coarsest
from .recipe import (
    Batch,
    Encodings,
    FeatureRequest,
    Recipe,
    Shapes,
    dispensable_modalities,
    feature_sets_of,
    presence_name,
)

LATE_FUSION = "late_fusion"  # what a fused run's manifest calls its recipe


@dataclass(frozen=True)
class FusionMember:
    """One of the models that are fused.

    Attributes:
        name: of its run.
        recipe: what it looks at.
        precision: the arithmetic that it was trained in.
        untrained: modalities that none of its training samples had; it is shown them of no sample.
    """

    name: str
    recipe: Recipe
    precision: Precision
    untrained: frozenset[str] = frozenset()

    @property
    def hidden(self) -> frozenset[str]:
        """The feature sets that it is shown of no sample."""
        return feature_sets_of(self.recipe, self.untrained)


class LateFusionRecipe:
    """The members' recipes side by side; their embeddings are named `<member>/<name>`."""

    def __init__(self, members: Sequence[FusionMember]) -> None:
        assert len({member.name for member in members}) == len(members) > 1
        self.members = tuple(members)
        self._optional = _optional_sets(members)

    @property
    def precision(self) -> Precision:
        """The coarsest of the members' arithmetics."""
        return coarsest(
            member.recipe.precision if isinstance(member.recipe, LateFusionRecipe) else member.precision
            for member in self.members
        )

    def untrained(self) -> frozenset[str]:
        """The modalities that no member knows which looks at them."""
        return frozenset(
            modality
            for modality in dispensable_modalities(self)
            if all(modality in member.untrained for member in self.members if modality in member.recipe.modalities())
        )

    def requires(self) -> Sequence[FeatureRequest]:
        """What any member asks for; a feature set is optional where all who ask for it can do without."""
        names = {
            (request.feature_set, request.array) for member in self.members for request in member.recipe.requires()
        }
        return [FeatureRequest(name, array, optional=name in self._optional) for name, array in sorted(names)]

    def modalities(self) -> Mapping[str, Sequence[str]]:
        """The members' together: a modality is all that any of them knows of it, and is left out of all at once."""
        joined: dict[str, tuple[str, ...]] = {}
        for member in self.members:
            for modality, names in member.recipe.modalities().items():
                joined[modality] = tuple(dict.fromkeys([*joined.get(modality, ()), *names]))
        return joined

    def constants(self) -> Sequence[str]:
        """Those of the members."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.recipe.constants()))

    def measures(self) -> Sequence[str]:
        """Nothing: the members are calibrated."""
        return ()

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What each member that lacks something advises."""
        found = []
        for member in self.members:
            asked = {*(request.feature_set for request in member.recipe.requires()), *member.recipe.constants()}
            own = [name for name in missing if name in asked]
            if own:
                found.append(member.recipe.advice(own, held=held))
        return " ".join(dict.fromkeys(found))

    def build(self, shapes: Shapes) -> LateFusion:
        """The members' modules, each built from the shapes of what it asks for itself."""
        return LateFusion(member.recipe.build(_shapes_of(member.recipe, shapes)) for member in self.members)

    def calibrate(self, model: nn.Module, train: Iterable[Batch], constants: Batch) -> None:
        """There is nothing to measure on training rows."""

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The members' encodings, each in the arithmetic that the member was trained in, whichever is on outside."""
        assert isinstance(model, LateFusion)
        device = next(iter(batch.values())).device
        encodings: dict[str, Tensor] = {}
        for place, (member, module) in enumerate(zip(self.members, model.members, strict=True)):
            with torch.autocast(device.type, enabled=False), arithmetic(device, member.precision):
                own = member.recipe.encode(module, self._batch_of(member, batch), generator)
            encodings |= {f"{place}/{name}": encoding for name, encoding in own.items()}
        return encodings

    def loss(self, model: nn.Module, encodings: Encodings) -> dict[str, Tensor]:
        """The members' losses, weighted like their scores: a figure to watch, which nothing minimises."""
        assert isinstance(model, LateFusion)
        terms = {
            member.name: member.recipe.loss(module, own)["total"]
            for member, module, own in self._each(model, encodings)
        }
        return {"total": (torch.stack(list(terms.values())) * model.weight).sum(), **terms}

    def score(self, model: nn.Module, encodings: Encodings) -> Float[Tensor, " batch"]:
        """The members' scores, each in units of its spread on normals, averaged by their weights."""
        assert isinstance(model, LateFusion)
        scores = [member.recipe.score(module, own) for member, module, own in self._each(model, encodings)]
        fused: Tensor = model(torch.stack(scores, dim=1))
        return fused

    def embeddings(self, encodings: Encodings) -> Mapping[str, Float[Tensor, "batch dim"]]:
        """Those of the members."""
        return {
            f"{member.name}/{name}": embedded
            for place, member in enumerate(self.members)
            for name, embedded in member.recipe.embeddings(_of_member(encodings, place)).items()
        }

    def _each(self, model: LateFusion, encodings: Encodings) -> Iterator[tuple[FusionMember, nn.Module, Encodings]]:
        for place, (member, module) in enumerate(zip(self.members, model.members, strict=True)):
            yield member, module, _of_member(encodings, place)

    def _batch_of(self, member: FusionMember, batch: Batch) -> Batch:
        """The batch as a member is shown it: sets that it could do without and another member could not are there, and
        those that it never saw are not."""
        rows = len(next(iter(batch.values())))
        device = next(iter(batch.values())).device
        everywhere = {
            presence_name(request.feature_set): torch.ones(rows, dtype=torch.bool, device=device)
            for request in member.recipe.requires()
            if request.optional and request.feature_set not in self._optional
        }
        nowhere = {presence_name(name): torch.zeros(rows, dtype=torch.bool, device=device) for name in member.hidden}
        return {**batch, **everywhere, **nowhere}


def _optional_sets(members: Iterable[FusionMember]) -> frozenset[str]:
    requests = [request for member in members for request in member.recipe.requires()]
    required = {request.feature_set for request in requests if not request.optional}
    return frozenset(request.feature_set for request in requests) - required


def _shapes_of(recipe: Recipe, shapes: Shapes) -> Shapes:
    names = [*(request.name for request in recipe.requires()), *recipe.constants()]
    return {name: shapes[name] for name in names}


def _of_member(encodings: Encodings, place: int) -> Encodings:
    start = f"{place}/"
    return {name.removeprefix(start): values for name, values in encodings.items() if name.startswith(start)}
