"""Late fusion of trained models as a recipe, so that a fused run is scored and judged like any other.

It is built from runs that are trained already (`train/fusion.py`) and is not trained itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..nn.late_fusion import LateFusion
from ..precision import Precision, arithmetic, coarsest
from ..types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes
from .recipe import Recipe, Trained

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
        return self.recipe.needs().sets_of(self.untrained)


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
        known = [(member.recipe.needs().modalities, member.untrained) for member in self.members]
        return frozenset(
            modality
            for modality in self.needs().dispensable
            if all(modality in untrained for modalities, untrained in known if modality in modalities)
        )

    def needs(self) -> Needs:
        """The members' together, but nothing to measure: they are calibrated. A feature set is optional where all who
        ask for it can do without; a modality is all that any of them knows of it, and is left out of all at once."""
        each = [member.recipe.needs() for member in self.members]
        where_held: dict[tuple[str, str], bool] = {}
        for request in (request for needs in each for request in needs.features):
            array = (request.feature_set, request.array)
            where_held[array] = where_held.get(array, True) and request.where_held
        modalities: dict[str, tuple[str, ...]] = {}
        for needs in each:
            for modality, names in needs.modalities.items():
                modalities[modality] = tuple(dict.fromkeys([*modalities.get(modality, ()), *names]))
        return Needs(
            tuple(
                FeatureRequest(name, array, optional=name in self._optional, where_held=where_held[name, array])
                for name, array in sorted(where_held)
            ),
            modalities=modalities,
            constants=tuple(dict.fromkeys(name for needs in each for name in needs.constants)),
            targets=tuple(dict.fromkeys(name for needs in each for name in needs.targets)),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What each member that lacks something advises."""
        found = []
        for member in self.members:
            own = [name for name in missing if name in member.recipe.needs().names]
            if own:
                found.append(member.recipe.advice(own, held=held))
        return " ".join(dict.fromkeys(found))

    def build(self, shapes: Shapes) -> LateFusion:
        """The members' modules, each built from the shapes of what it asks for itself."""
        return LateFusion(member.recipe.build(_shapes_of(member.recipe, shapes)) for member in self.members)

    def calibrate(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """There is nothing to measure on training rows."""

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The members' encodings, each in the arithmetic that the member was trained in, whichever is on outside."""
        assert isinstance(model, LateFusion)
        device = batch.device
        encodings: dict[str, Tensor] = {}
        for place, (member, module) in enumerate(zip(self.members, model.members, strict=True)):
            with torch.autocast(device.type, enabled=False), arithmetic(device, member.precision):
                own = member.recipe.encode(module, self._batch_of(member, batch), generator)
            encodings |= {f"{place}/{name}": encoding for name, encoding in own.items()}
        return encodings

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The members' losses, weighted like their scores: a figure to watch, which nothing minimises. NaN where a
        member was fitted and has none."""
        assert isinstance(model, LateFusion)
        losses = {
            member.name: member.recipe.loss(module, own, targets)
            for member, module, own in self._each(model, encodings)
            if isinstance(member.recipe, Trained)
        }
        totals = {name: each.total for name, each in losses.items()}
        total = torch.tensor(torch.nan)
        if len(totals) == len(self.members):
            total = (torch.stack(list(totals.values())) * model.weight).sum()
        return Losses(
            total=total,
            terms=totals,
            watched={f"{name}/{what}": rows for name, each in losses.items() for what, rows in each.watched.items()},
        )

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The members' scores, each in units of its spread on normals, averaged by their weights."""
        assert isinstance(model, LateFusion)
        scores = [member.recipe.predict(module, own).score for member, module, own in self._each(model, encodings)]
        fused: Tensor = model(torch.stack(scores, dim=1))
        return Prediction(fused)

    def _each(self, model: LateFusion, encodings: Encodings) -> Iterator[tuple[FusionMember, nn.Module, Encodings]]:
        for place, (member, module) in enumerate(zip(self.members, model.members, strict=True)):
            yield member, module, _of_member(encodings, place)

    def _batch_of(self, member: FusionMember, batch: Batch) -> Batch:
        """The batch as a member is shown it: sets that it could do without and another member could not are there, and
        those that it never saw are not."""
        needs = member.recipe.needs()
        everywhere = {
            name: torch.ones(len(batch), dtype=torch.bool, device=batch.device)
            for name in needs.optional
            if name not in self._optional
        }
        shown = replace(batch, present={**batch.present, **everywhere})
        return shown.without(member.hidden)


def _optional_sets(members: Iterable[FusionMember]) -> frozenset[str]:
    """The feature sets that every member can do without that asks for them."""
    each = [member.recipe.needs() for member in members]
    required = {name for needs in each for name in needs.feature_sets if name not in needs.optional}
    return frozenset(name for needs in each for name in needs.feature_sets) - required


def _shapes_of(recipe: Recipe, shapes: Shapes) -> Shapes:
    needs = recipe.needs()
    wanted = (*(request.name for request in needs.features), *needs.constants)
    return {name: shapes[name] for name in wanted if name in shapes}  # all but what the store does not hold


def _of_member(encodings: Encodings, place: int) -> Encodings:
    start = f"{place}/"
    return {name.removeprefix(start): values for name, values in encodings.items() if name.startswith(start)}
