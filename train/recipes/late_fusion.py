"""Late fusion of trained models as a recipe, so that a fused run is scored and judged like any other.

Its settings hold those of its members, which are runs that have learned already (`train/fusion.py`); it does not learn.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..nn.joined_scores import NU, FusedBy, combined
from ..nn.one_class_svm import OneClassBoundary
from ..scoring import arithmetic
from ..settings import AnyRecipe, Precision, RecipeSettings
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .recipe import MEMBERS, Measured, Recipe, make_recipe


class LateFusionSettings(RecipeSettings):
    """Scores of several recipes as one: what `weldcache fuse` makes of finished runs, by the names of these."""

    name: Literal["late_fusion"] = Field("late_fusion", description="What is learned, and how it predicts.")
    # Defaults, so that who asks for a fusion by settings is told how one is made, and not which fields are missing.
    members: Mapping[str, AnyRecipe] = Field({}, description="The recipe of each run.")
    precision: Mapping[str, Precision] = Field({}, description="The arithmetic that each run was trained in.")
    untrained: Mapping[str, tuple[str, ...]] = Field(
        {}, description="Modalities of each run that none of its training samples had; it is shown them of no sample."
    )

    combine: FusedBy = Field("mean", description="How their scores become one; see `weldcache fuse --help`.")

    @model_validator(mode="after")
    def _all_is_known_of_each(self) -> "LateFusionSettings":
        if not self.members:
            raise ValueError("late_fusion does not learn itself; `weldcache fuse RUN RUN` makes it of finished runs")
        if len(self.members) < 2 or not self.members.keys() == self.precision.keys() == self.untrained.keys():
            raise ValueError("members, precision and untrained must name the same runs, two at least")
        return self


class LateFusion(nn.Module):
    """Models side by side, whose scores become one, each in units of its own spread on normal samples.

    Weights, by which a mean is taken, are equal and nothing is scaled until it is told.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor

    def __init__(self, members: Iterable[nn.Module], *, combine: FusedBy = "mean") -> None:
        super().__init__()
        self.combine: FusedBy = combine
        self.members = nn.ModuleList(members)
        count = len(self.members)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))
        self.register_buffer("weight", torch.full((count,), 1 / count))
        self.boundary = OneClassBoundary(count) if combine == "svm" else None

    def use(self, *, mean: Sequence[float], std: Sequence[float], weight: Sequence[float]) -> None:
        """Combine scores by these from now on, one number a member; weights are convex."""
        for buffer, values in ((self.mean, mean), (self.std, std), (self.weight, weight)):
            buffer.copy_(torch.tensor(values))

    def bound(self, scores: Float[Tensor, "normals members"]) -> None:
        """Find the boundary of a `svm` around scores of normals, once their units are known."""
        if self.boundary is not None:
            self.boundary.learn(self.standard(scores.to(self.mean.device)), nu=NU)

    def standard(self, scores: Float[Tensor, "batch members"]) -> Float[Tensor, "batch members"]:
        """Each score in standard deviations from the mean of normals."""
        return (scores - self.mean) / self.std

    def forward(self, standard: Float[Tensor, "batch members"]) -> Float[Tensor, " batch"]:
        """The members' standard scores as one: their weighted mean, or as `combined` says."""
        if self.combine != "mean":
            return combined(standard, self.combine, mean=self.mean, std=self.std, boundary=self.boundary)
        # A sum and not a matrix product, whose rounding may depend on how many rows there are.
        weighted: Tensor = (standard * self.weight).sum(dim=1)
        return weighted


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
    """The members' recipes side by side; their embeddings are named `<member>/<name>`.

    Of members some of which have a loss it is a `MeasuredLateFusion`: see `fused_recipe`.
    """

    def __init__(self, members: Sequence[FusionMember], *, combine: FusedBy = "mean") -> None:
        self._combine: FusedBy = combine
        assert len({member.name for member in members}) == len(members) > 1
        self.members = tuple(members)
        self._optional = _optional_sets(members)

    @property
    def member_names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    def untrained(self) -> frozenset[str]:
        """The modalities that no member knows which looks at them."""
        known = [(member.recipe.needs().modalities, member.untrained) for member in self.members]
        return frozenset(
            modality
            for modality in self.needs().dispensable
            if all(modality in untrained for modalities, untrained in known if modality in modalities)
        )

    def needs(self) -> Needs:
        """The members' together, but nothing to measure: they are trained. A feature set is optional where all who
        ask for it can do without; a modality is left out of all at once."""
        each = [member.recipe.needs() for member in self.members]
        together = Needs.of_all(each, optional=self._optional)
        return replace(together, hidden=_hidden(each), outputs=(MEMBERS,))

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        found = []
        for member in self.members:
            own = [name for name in missing if name in member.recipe.needs().names]
            if own:
                found.append(member.recipe.advice(own, held=held))
        return " ".join(dict.fromkeys(found))

    def build(self, shapes: Shapes) -> LateFusion:
        """The members' modules, each built from the shapes of what it asks for itself."""
        modules = (member.recipe.build(_shapes_of(member.recipe, shapes)) for member in self.members)
        return LateFusion(modules, combine=self._combine)

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

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The members' scores, each in units of its spread on normals, as one; and each of these."""
        assert isinstance(model, LateFusion)
        each = [member.recipe.predict(module, own).score for member, module, own in self._each(model, encodings)]
        standard = model.standard(torch.stack(each, dim=1))
        return Prediction(model(standard), outputs={MEMBERS: standard})

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


class MeasuredLateFusion(LateFusionRecipe):
    """With the losses of those members that have one."""

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The members' losses, weighted like their scores: a figure to watch, which nothing minimises. NaN where a
        member has none."""
        assert isinstance(model, LateFusion)
        losses = {
            member.name: member.recipe.loss(module, own, targets)
            for member, module, own in self._each(model, encodings)
            if isinstance(member.recipe, Measured)
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


def fused_recipe(members: Sequence[FusionMember], *, combine: FusedBy = "mean") -> LateFusionRecipe:
    """The members' recipes side by side, with a loss where some of them have one."""
    has_loss = any(isinstance(member.recipe, Measured) for member in members)
    return (MeasuredLateFusion if has_loss else LateFusionRecipe)(members, combine=combine)


def late_fusion(settings: LateFusionSettings) -> LateFusionRecipe:
    """The recipe with its members, whose settings made theirs."""
    return fused_recipe(
        [
            FusionMember(name, make_recipe(member), settings.precision[name], frozenset(settings.untrained[name]))
            for name, member in settings.members.items()
        ],
        combine=settings.combine,
    )


def _hidden(each: Sequence[Needs]) -> tuple[str, ...]:
    """The modalities that training hid now and then from every member that can do without them."""
    dispensable = dict.fromkeys(modality for needs in each for modality in needs.dispensable)
    return tuple(
        modality
        for modality in dispensable
        if all(modality in needs.hidden for needs in each if modality in needs.dispensable)
    )


def _optional_sets(members: Iterable[FusionMember]) -> frozenset[str]:
    """The feature sets that every member can do without that asks for them."""
    each = [member.recipe.needs() for member in members]
    required = {name for needs in each for name in needs.feature_sets if name not in needs.optional}
    return frozenset(name for needs in each for name in needs.feature_sets) - required


def _shapes_of(recipe: Recipe, shapes: Shapes) -> Shapes:
    needs = recipe.needs()
    classes = (f"classes/{name}" for name in needs.targets)
    wanted = (*(request.name for request in needs.features), *needs.constants, *classes)
    return {name: shapes[name] for name in wanted if name in shapes}  # all but what the store does not hold


def _of_member(encodings: Encodings, place: int) -> Encodings:
    start = f"{place}/"
    return {name.removeprefix(start): values for name, values in encodings.items() if name.startswith(start)}
