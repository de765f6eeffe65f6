"""Several detectors as one recipe, each fitted to the same normal samples: how usual every modality is, and the match.

Each member's scores are taken in units of their spread on normals, and become one. That spread is measured on rows that
the member was not fitted to, part by part: of its own rows a model thinks too well.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import StoreName
from ...errors import SettingsError, TrainingError
from ...progress import say
from ..nn.joined_scores import Combine, JoinedScores, ScoreMoments
from ..settings import AnyRecipe, RecipeSettings
from ..types import Batch, Encodings, FeatureRequest, Needs, Prediction, Shapes, mapped
from .folds import Folds
from .recipe import MEMBERS, Fitted, figures_of, make_recipe


class MatchFusionSettings(RecipeSettings):
    """Detectors by name, fitted together: their scores, in standard deviations of normal samples, as one."""

    name: Literal["match_fusion"] = Field("match_fusion", description="What is learned, and how it predicts.")
    # A default, so that who asks for it by name alone is told how it is made, and not which fields are missing.
    members: Mapping[StoreName, AnyRecipe] = Field({}, description="Recipes that are fitted, by names.")
    combine: Combine = Field(
        "excess",
        description="excess: root of the mean square of what is above the mean of normals, so that one member alone "
        "can raise an alarm; sum: of all standard scores.",
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        10,
        description="Parts of the normal samples, each scored by members fitted to the others, to measure the units of "
        "scores.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With the members' settings for a store that holds these arrays."""
        members = {name: member.for_store(arrays) for name, member in self.members.items()}
        return self.model_copy(update={"members": members})


@dataclass(frozen=True)
class JoinedMember:
    """One of the detectors, and the feature sets without which it has no score of a row."""

    name: str
    recipe: Fitted

    @cached_property
    def needs(self) -> Needs:
        """What it needs of a store."""
        return self.recipe.needs()

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The feature sets that it cannot do without."""
        return tuple(name for name in self.needs.feature_sets if name not in self.needs.optional)

    def has(self, batch: Batch) -> Bool[Tensor, " batch"]:
        """Which rows it can score: those that have all that it requires, and something that it looks at."""
        everywhere = torch.ones(len(batch), dtype=torch.bool, device=batch.device)
        there = everywhere.clone()
        for name in self.required:
            there &= batch.present.get(name, everywhere)
        if not self.required:
            there &= torch.stack([batch.present.get(name, everywhere) for name in self.needs.optional]).any(dim=0)
        return there

    def rows(self, batch: Batch, chosen: Bool[Tensor, " batch"]) -> Batch:
        """The chosen rows as it is shown them."""
        everywhere = torch.ones(len(batch), dtype=torch.bool, device=batch.device)
        arrays = {request.name for request in self.needs.features}
        own = Batch(
            {name: values for name, values in batch.features.items() if name in arrays},
            {name: batch.present.get(name, everywhere) for name in self.needs.optional},
        )
        return mapped(lambda values: values[chosen], own)


@dataclass(frozen=True)
class _Shown:
    """The rows of all batches that a member can score, but for those of the fold `without`."""

    member: JoinedMember
    batches: Iterable[Batch]
    folds: Folds
    without: int | None = None

    def __iter__(self) -> Iterator[Batch]:
        for batch, dealt in self.folds.deal(self.batches):
            chosen = self.member.has(batch)
            if self.without is not None:
                chosen &= dealt != self.without
            if chosen.any():
                yield self.member.rows(batch, chosen)


class MatchFusionRecipe:
    """The members' recipes side by side. A row that lacks what a member looks at is scored by the others."""

    def __init__(self, members: Sequence[JoinedMember], *, combine: Combine, folds: int) -> None:
        self.members = tuple(members)
        self._combine: Combine = combine
        self._num_folds = folds
        # Whoever has one of these has a score, whatever else is missing: a member asks for nothing beside it.
        self._optional = {member.required[0] for member in members if len(member.required) == 1}

    @property
    def member_names(self) -> tuple[str, ...]:
        """The members' names, by which their scores are told."""
        return tuple(member.name for member in self.members)

    def needs(self) -> Needs:
        """The members' together. A feature set is optional where a member is content with it alone, others are not."""
        where_held: dict[tuple[str, str], bool] = {}
        modalities: dict[str, tuple[str, ...]] = {}
        for member in self.members:
            for request in member.needs.features:
                array = (request.feature_set, request.array)
                where_held[array] = where_held.get(array, True) and request.where_held
            for modality, names in member.needs.modalities.items():
                modalities[modality] = tuple(dict.fromkeys([*modalities.get(modality, ()), *names]))
        return Needs(
            tuple(
                FeatureRequest(name, array, optional=name in self._optional, where_held=held)
                for (name, array), held in sorted(where_held.items())
            ),
            modalities=modalities,
            # Who lacks something is scored by members that know nothing of it: its absence is not strange to them.
            hidden=tuple(name for name, sets in modalities.items() if self._optional.issuperset(sets)),
            constants=tuple(dict.fromkeys(name for member in self.members for name in member.needs.constants)),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            "Run `weldcache extract --config match`, which makes what the preset looks at, or say in recipe.members "
            "what is there to look at."
        )

    def build(self, shapes: Shapes) -> JoinedScores:
        members = nn.ModuleList(member.recipe.build(shapes) for member in self.members)
        return JoinedScores(members, combine=self._combine)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fit every member, and measure the units of its scores on rows that it was not fitted to; what is drawn are
        the folds, and what members draw.

        Raises:
            SettingsError, TrainingError: as the members' `fit`, and if no member has rows enough to be fitted to.
        """
        assert isinstance(model, JoinedScores)
        folds = Folds(self._num_folds, generator=generator)
        known = self._with_rows(batches)
        blank = [copy.deepcopy(module) for module in model.members]
        moments = ScoreMoments(len(self.members))
        for fold in range(folds.number):
            fitted = [copy.deepcopy(module) for module in blank]
            self._fit_members(fitted, batches, folds=folds, known=known, without=fold, generator=generator)
            for batch, dealt in folds.deal(batches):
                rows = mapped(lambda values, of=dealt == fold: values[of], batch.inputs())
                if len(rows):
                    moments.add(self._scores(fitted, rows, known=known))
        self._fit_members(list(model.members), batches, folds=folds, known=known, without=None, generator=generator)
        model.use(moments, known=torch.tensor(known))

    def _with_rows(self, batches: Iterable[Batch]) -> list[bool]:
        """Which members have training rows enough for the folds."""
        counts = torch.zeros(len(self.members), dtype=torch.int64)
        for batch in batches:
            counts += torch.stack([member.has(batch).sum().cpu() for member in self.members])
        fewest = 2 * self._num_folds
        for member, count in zip(self.members, counts.tolist(), strict=True):
            if count < fewest:
                say(f"{member.name} takes no part: {count:,} normal samples have what it looks at, and not {fewest}.")
        if (counts < fewest).all():
            raise TrainingError(
                f"No member has {fewest} normal samples with what it looks at; lower recipe.folds, or train on more."
            )
        return (counts >= fewest).tolist()

    def _fit_members(
        self,
        modules: Sequence[nn.Module],
        batches: Iterable[Batch],
        *,
        folds: Folds,
        known: Sequence[bool],
        without: int | None,
        generator: torch.Generator,
    ) -> None:
        for member, module, takes_part in zip(self.members, modules, known, strict=True):
            if takes_part:
                member.recipe.fit(module, _Shown(member, batches, folds, without), generator)

    def _scores(
        self, modules: Iterable[nn.Module], batch: Batch, *, known: Sequence[bool]
    ) -> Float[Tensor, "batch members"]:
        scores = torch.full((len(batch), len(self.members)), torch.nan, device=batch.device)
        for place, (member, module) in enumerate(zip(self.members, modules, strict=True)):
            chosen = member.has(batch)
            if known[place] and chosen.any():
                encodings = member.recipe.encode(module, member.rows(batch, chosen), None)
                scores[chosen, place] = member.recipe.predict(module, encodings).score.float()
        return scores

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Each member's standard score of the rows that have what it looks at, NaN of others."""
        assert isinstance(model, JoinedScores)
        return {MEMBERS: model.standard(self._scores(model.members, batch, known=model.known.tolist()))}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(model(encodings[MEMBERS]), outputs={MEMBERS: encodings[MEMBERS]})

    def figures(self, model: nn.Module) -> Mapping[str, float]:
        """The members' own, by their names."""
        assert isinstance(model, JoinedScores)
        pairs = zip(self.members, model.members, strict=True)
        return {
            f"{member.name}/{name}": figure
            for member, module in pairs
            for name, figure in figures_of(member.recipe, module).items()
        }


def match_fusion(settings: MatchFusionSettings) -> MatchFusionRecipe:
    """The recipe with its members, whose settings made theirs.

    Raises:
        SettingsError: if there are fewer than two, or one is not fitted.
    """
    if len(settings.members) < 2:
        raise SettingsError("recipe.members names two recipes at least; `weldcache train --config match` names some.")
    members = []
    for name, section in settings.members.items():
        recipe = make_recipe(section)
        if not isinstance(recipe, Fitted):
            raise SettingsError(
                f"recipe.members.{name} is {section.name}, which is not fitted in passes through the samples; late "
                "fusion is for runs of any recipe: see `weldcache fuse --help`."
            )
        members.append(JoinedMember(name, recipe))
    return MatchFusionRecipe(members, combine=settings.combine, folds=settings.folds)
