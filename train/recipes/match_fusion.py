"""Several detectors as one recipe, each fitted to the same normal samples: how usual every modality is, and the match.

Each member's scores are taken in units of their spread on normals, and become one. That spread is measured on rows that
the member was not fitted to, part by part: of its own rows a model thinks too well.

So the training rows are gone through as often as all members together do it, once for each fold and once for all, and
once more a fold for the scores: 150 times for six members and ten folds. Where features are too large to be loaded,
what of them is small is read once all the same; what is not, such as patch tokens, whenever a member that looks at it
goes through the rows, and once a fold for the scores: 22 times where one member that needs one pass does.
"""

import copy
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal, NoReturn, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import StoreName
from ...errors import SettingsError, TooFewSamplesError, TrainingError, WeldcacheError
from ...progress import say
from ...wording import count_of, listed
from ..nn.joined_scores import Combine, JoinedScores, ScoreMoments
from ..nn.nearest_neighbours import Reservoir
from ..settings import AnyRecipe, RecipeSettings
from ..types import Batch, Encodings, Needs, Prediction, Shapes, mapped
from .folds import Folds
from .recipe import MEMBERS, Fitted, LeavesOneOut, figures_of, kept, make_recipe, only

_SCORES = 5_000  # rows whose scores a boundary is drawn around, at most
_JOINT: tuple[Combine, ...] = ("sum", "svm")  # for which scores of the same rows are asked


class MatchFusionSettings(RecipeSettings):
    """Detectors by name, fitted together: their scores, in standard deviations of normal samples, as one."""

    name: Literal["match_fusion"] = Field("match_fusion", description="What is learned, and how it predicts.")
    # A default, so that who asks for it by name alone is told how it is made, and not which fields are missing.
    members: Mapping[StoreName, AnyRecipe] = Field({}, description="Recipes that are fitted, by names.")
    combine: Combine = Field(
        "excess",
        description="excess: root of the mean square of what is above the mean of normals, so that one member alone "
        "can raise an alarm; sum: of all standard scores, in units of their own spread; mean: of them; min: all "
        "members have to find a sample strange; max: one alone does; product: geometric mean of the scores over their "
        "means on normals, for scores above 0; svm: how far outside a one-class support vector machine around those of "
        "normals.",
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        10,
        description="Parts of the normal samples, each scored by members fitted to the others, to measure the units of "
        "scores.",
    )
    units: Literal["folds", "leave_one_out"] = Field(
        "folds",
        description="How the units of scores are measured. folds: as recipe.folds says; leave_one_out: members that "
        "keep all normal samples, such as nearest with one vector a sample, score each by the others, and are fitted "
        "once.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With the members' settings for a store that holds these arrays."""
        members = {name: member.for_store(arrays) for name, member in self.members.items()}
        return self.model_copy(update={"members": members})


@dataclass(frozen=True)
class JoinedMember:
    """One of the detectors.

    Attributes:
        name: by which its scores are told.
        recipe: what it looks at, and how it is fitted and scores.
    """

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
        if not self.required:
            return torch.stack([_presence(batch, name) for name in self.needs.optional]).any(dim=0)
        return torch.stack([_presence(batch, name) for name in self.required]).all(dim=0)

    def rows(self, batch: Batch, chosen: Bool[Tensor, " batch"]) -> Batch:
        """The chosen rows as it is shown them."""
        arrays = {request.name for request in self.needs.features}
        own = Batch(
            {name: values for name, values in batch.features.items() if name in arrays},
            {name: _presence(batch, name) for name in self.needs.optional},
        )
        return mapped(lambda values: values[chosen], own)


def _presence(batch: Batch, feature_set: str) -> Bool[Tensor, " batch"]:
    """Which rows have a feature set; all where none may lack it."""
    return batch.present.get(feature_set, torch.ones(len(batch), dtype=torch.bool, device=batch.device))


@contextmanager
def _as_member(name: str) -> Iterator[None]:
    """Errors name a member's settings as they are set here: `recipe.k` is `recipe.members.NAME.k`."""
    try:
        yield
    except (SettingsError, TrainingError) as error:
        told = re.sub(r"\brecipe\.(?=[a-z])", f"recipe.members.{name}.", str(error))
        raise type(error)(told) from error


@dataclass(frozen=True)
class _Shown:
    """The rows of all batches that a member can score, but for those of the fold `without`."""

    member: JoinedMember
    batches: Iterable[Batch]
    folds: Folds
    without: int | None = None

    def __iter__(self) -> Iterator[Batch]:
        arrays = {request.name for request in self.member.needs.features}
        for batch, dealt in self.folds.deal(only(self.batches, arrays)):
            chosen = self.member.has(batch)
            if self.without is not None:
                chosen &= dealt != self.without
            if chosen.any():
                yield self.member.rows(batch, chosen)


class MatchFusionRecipe:
    """The members' recipes side by side. A row that lacks what a member looks at is scored by the others."""

    def __init__(self, members: Sequence[JoinedMember], settings: MatchFusionSettings) -> None:
        self.members = tuple(members)
        self._settings = settings
        self._num_folds = settings.folds
        # Whoever has one of these has a score, whatever else is missing: a member asks for nothing beside it.
        self._optional = {member.required[0] for member in members if len(member.required) == 1}

    @property
    def member_names(self) -> tuple[str, ...]:
        """The members' names, by which their scores are told."""
        return tuple(member.name for member in self.members)

    def needs(self) -> Needs:
        """The members' together. A feature set is optional where a member is content with it alone, others are not."""
        together = Needs.of_all([member.needs for member in self.members], optional=self._optional)
        # Who lacks something is scored by members that know nothing of it: its absence is not strange to them.
        hidden = tuple(name for name, sets in together.modalities.items() if self._optional.issuperset(sets))
        return replace(together, hidden=hidden, outputs=(MEMBERS,))

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        lacking = [f"recipe.members.{each.name}" for each in self.members if {*each.needs.names} & {*missing}]
        return (
            "Run `weldcache extract` with these among extract.features, or say in "
            f"{listed(lacking)} what is there to look at; --set {lacking[0]}=null leaves a member out."
        )

    def build(self, shapes: Shapes) -> JoinedScores:
        modules = nn.ModuleList()
        for member in self.members:
            with _as_member(member.name):
                modules.append(member.recipe.build(shapes))
        return JoinedScores(modules, combine=self._settings.combine)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fit every member, and measure the units of its scores on rows that it was not fitted to; what is drawn are
        the folds, and what members draw.

        Raises:
            TrainingError: if members cannot be fitted, of which each is named with its reason, or if no member has rows
                enough to be fitted to.
        """
        assert isinstance(model, JoinedScores)
        batches = kept(batches)
        folds = Folds(self._num_folds, generator=generator)
        known = self._with_rows(model, batches, generator=generator)
        moments = ScoreMoments(len(self.members))
        scores = Reservoir(len(self.members), limit=_SCORES, generator=generator)
        if self._settings.units == "folds":
            for found in self._held_out(model, batches, folds=folds, known=known, generator=generator):
                moments.add(found)
                if model.boundary is not None:
                    scores.add(found)
        self._fit_members(list(model.members), batches, folds=folds, known=known, without=None, generator=generator)
        if self._settings.units == "leave_one_out":
            for found in self._left_out(model, known=known):
                moments.add(found)
        self._require_ratios(moments, known=known)
        model.use(moments, known=torch.tensor(known))
        model.bound(scores.vectors)

    def _held_out(
        self,
        model: JoinedScores,
        batches: Iterable[Batch],
        *,
        folds: Folds,
        known: Sequence[bool],
        generator: torch.Generator,
    ) -> Iterator[Float[Tensor, "rows members"]]:
        """Scores of all rows, each by members that were fitted to the other folds."""
        blank = [copy.deepcopy(module) for module in model.members]
        for fold in range(folds.number):
            fitted = [copy.deepcopy(module) for module in blank]
            self._fit_members(fitted, batches, folds=folds, known=known, without=fold, generator=generator)
            for batch, dealt in folds.deal(batches):
                rows = mapped(lambda values, of=dealt == fold: values[of], batch.inputs())
                if len(rows):
                    yield self._scores(fitted, rows, known=known)

    def _left_out(self, model: JoinedScores, *, known: Sequence[bool]) -> Iterator[Float[Tensor, "rows members"]]:
        """Each member's scores of the rows that it keeps, each by the others: NaN of the other members, as nobody says
        which rows these are."""
        for place, (member, module) in enumerate(zip(self.members, model.members, strict=True)):
            if known[place]:
                assert isinstance(member.recipe, LeavesOneOut)
                with _as_member(member.name):
                    left_out = member.recipe.left_out(module)
                found = torch.full((len(left_out), len(self.members)), torch.nan, device=left_out.device)
                found[:, place] = left_out
                yield found

    def _require_ratios(self, moments: ScoreMoments, *, known: Sequence[bool]) -> None:
        """Refuse a product of scores that are not all above 0, such as those that count from a boundary.

        Raises:
            TrainingError: names the member.
        """
        for member, lowest, takes_part in zip(self.members, moments.lowest.tolist(), known, strict=True):
            if self._settings.combine == "product" and takes_part and not lowest > 0:
                raise TrainingError(
                    f"recipe.combine=product is for scores above 0, such as distances, and {member.name} gives a "
                    f"normal sample {lowest:.4g}. Combine otherwise, or leave it out with --set "
                    f"recipe.members.{member.name}=null."
                )

    def _with_rows(self, model: JoinedScores, batches: Iterable[Batch], *, generator: torch.Generator) -> list[bool]:
        """Which members have training rows enough for the folds."""
        counted = torch.zeros(len(self.members), dtype=torch.int64)
        for batch in batches:
            counted += torch.stack([member.has(batch).sum().cpu() for member in self.members])
        counts: list[int] = counted.tolist()
        fewest = 2 * self._num_folds
        if max(counts) < fewest:
            self._refuse_few(model, batches, counts=counts, generator=generator)
        for member, count in zip(self.members, counts, strict=True):
            if count < fewest:
                say(f"{member.name} takes no part: {count:,} normal samples have what it looks at, and not {fewest}.")
        return [count >= fewest for count in counts]

    def _refuse_few(
        self, model: JoinedScores, batches: Iterable[Batch], *, counts: Sequence[int], generator: torch.Generator
    ) -> NoReturn:
        """Say how many folds there may be, and at once what members would ask for then."""
        told = f"No member has {2 * self._num_folds} normal samples with what it looks at"
        possible = max(counts) // 2
        if possible < 2:
            raise TooFewSamplesError(f"{told}: the most are {max(counts)}, and 2 folds take 4. Train on more.")
        told += f"; lower recipe.folds to {possible}, or train on more."
        folds, known = Folds(possible, generator=generator), [count >= 2 * possible for count in counts]
        try:
            self._fit_members(list(model.members), batches, folds=folds, known=known, without=0, generator=generator)
        except TrainingError as error:
            raise TooFewSamplesError(f"{told} With {possible} folds more is to be set. {error}") from error
        raise TooFewSamplesError(told)

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
        """Fit the members that take part to the rows of all folds but one.

        Raises:
            TrainingError: says of every member that cannot be fitted why, and how to do without it.
        """
        failed: dict[str, WeldcacheError] = {}
        for member, module, takes_part in zip(self.members, modules, known, strict=True):
            if takes_part:
                try:
                    with _as_member(member.name):
                        member.recipe.fit(module, _Shown(member, batches, folds, without), generator)
                except (SettingsError, TrainingError) as error:
                    failed[member.name] = error
        if failed:
            rows = "" if without is None else f" to the normal samples of {folds.number - 1} of {folds.number} folds"
            reasons = " ".join(f"{name}: {reason}" for name, reason in failed.items())
            out = " ".join(f"--set recipe.members.{name}=null" for name in failed)
            are_few = all(isinstance(error, TooFewSamplesError) for error in failed.values())
            raise (TooFewSamplesError if are_few else TrainingError)(
                f"{count_of(len(failed), 'member')} cannot be fitted{rows}. {reasons} Or leave out with {out}."
            )

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
        with _as_member(name):
            recipe = make_recipe(section)
        if settings.units == "leave_one_out" and not isinstance(recipe, LeavesOneOut):
            raise SettingsError(
                f"recipe.members.{name} is {section.name}, which keeps no normal samples to score each by the others; "
                "take recipe.units=folds."
            )
        if not isinstance(recipe, Fitted):
            raise SettingsError(
                f"recipe.members.{name} is {section.name}, which is not fitted in passes through the samples; late "
                "fusion is for runs of any recipe: see `weldcache fuse --help`."
            )
        members.append(JoinedMember(name, recipe))
    if settings.units == "leave_one_out" and settings.combine in _JOINT:
        raise SettingsError(
            f"recipe.combine={settings.combine} asks for all members' scores of the same rows, which "
            "recipe.units=leave_one_out does not have; take recipe.units=folds."
        )
    return MatchFusionRecipe(members, settings)
