"""What a recipe is: the features it needs, the module it builds on them, how that learns, and what it predicts.

The engine (loop, checkpoints, scoring) works with these interfaces alone; only recipes know what features mean. A batch
goes through the module once: losses, predictions and the watch for collapse all follow from its encodings.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..settings import RECIPES, RecipeSettings
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes


@runtime_checkable
class Recipe(Protocol):
    """What is learned from cached features, and how it predicts. Every recipe is `Trained` or `Fitted` besides."""

    def needs(self) -> Needs:
        """What it needs of a store."""

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What to do about feature sets and constants that a store lacks, in sentences; `held` are those it has."""

    def build(self, shapes: Shapes) -> nn.Module:
        """A new module; initial weights come from torch's global generators, which the caller seeds."""

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Put a batch, which has no targets, through the module.

        `generator`, on the features' device, draws augmentations, which may mix rows. None, as in validation: there
        are none, and the encodings of a row do not depend on the other rows.
        """

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """What encodings without augmentation say of each row."""


@runtime_checkable
class Measured(Recipe, Protocol):
    """A recipe that has a loss."""

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """What is learned from a batch, whose `targets` are those that the recipe needs."""


@runtime_checkable
class Trained(Measured, Protocol):
    """A recipe that learns by gradient, epoch by epoch."""

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Fill the module's buffers with what is measured on all training rows rather than learned by gradient.

        A parameter may begin at what was measured. `train` goes through the training rows once, in parts that fit the
        memory.
        """


@runtime_checkable
class Stackable(Trained, Protocol):
    """A trained recipe several of whose modules can be trained as one, by torch.vmap.

    What it draws while it encodes comes from the generator that it is given, by torch.rand or torch.randn, or is
    dropout; without a generator, from one of a fixed seed. It neither asks a tensor for its value nor changes one in
    place. It is not one that `Remembers`.
    """

    @property
    def varied(self) -> Collection[str] | None:
        """Settings of its section in which those modules may differ, by dotted name: probabilities of dropout, and what
        the module holds as `Numbers`. None where it cannot be stacked as it is set."""


@runtime_checkable
class Remembers(Trained, Protocol):
    """A recipe that learns by gradient, and predicts by what it keeps of the training rows beside."""

    def remember(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> None:
        """Fill the module's buffers, which may have no rows before, from the encodings without augmentation of all
        training rows, as the module makes them after an epoch, and their targets."""


@runtime_checkable
class Fitted(Recipe, Protocol):
    """A recipe that goes through the training rows once or a few times, and has learned."""

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fill the module's buffers, whose sizes may follow from the data.

        `batches` goes through the training rows, in parts that fit the memory, as often as it is iterated: each time
        the same rows in the same parts and the same order; see `kept`. Memory must not grow with them beyond what the
        module keeps.
        `generator`, on the CPU so that a seed draws the same on every device, draws what is chosen by chance.
        """


@runtime_checkable
class ReadFromStore(Protocol):
    """What `fit` is given by the engine: batches of which a recipe may say how often and what of them it goes through,
    so that less is read. The numbers are the same."""

    def __iter__(self) -> Iterator[Batch]: ...

    def only(self, arrays: Collection[str]) -> "ReadFromStore":
        """Batches of these arrays, their presence, and targets of these names."""

    def kept(self) -> "ReadFromStore":
        """To go through often: what of them fits the memory is read once."""


def kept(batches: Iterable[Batch]) -> Iterable[Batch]:
    """What `ReadFromStore.kept` says of batches that have it; others as they are."""
    return batches.kept() if isinstance(batches, ReadFromStore) else batches


def only(batches: Iterable[Batch], arrays: Collection[str]) -> Iterable[Batch]:
    """What `ReadFromStore.only` says of batches that have it; others whole."""
    return batches.only(arrays) if isinstance(batches, ReadFromStore) else batches


def make_recipe(settings: RecipeSettings) -> Recipe:
    """The recipe that these settings chose, set up by them.

    Raises:
        SettingsError: if they contradict one another.
    """
    made: Recipe = RECIPES.code(settings.name)(settings)
    return made


@runtime_checkable
class Limited(Protocol):
    """What a recipe has beside the others where some modalities alone teach it less, or nothing."""

    def limits(self, modalities: Collection[str]) -> str:
        """What to know where the training rows have these modalities alone, as a sentence; "" where nothing is.

        Raises:
            NotFoundError: if there is nothing to learn from them.
        """


def limits_of(recipe: Recipe, modalities: Collection[str]) -> str:
    """What `limits` says of a recipe that has it; "" of any other."""
    return recipe.limits(modalities) if isinstance(recipe, Limited) else ""


@runtime_checkable
class TellsFigures(Protocol):
    """What a recipe that is fitted has beside the others where figures say how well it fits."""

    def figures(self, model: nn.Module) -> Mapping[str, float]:
        """Figures of a module that is fitted, by name; they are kept in the run and shown in its reports."""


def figures_of(recipe: Recipe, model: nn.Module) -> Mapping[str, float]:
    """What `figures` says of a recipe that has it; nothing of any other."""
    return recipe.figures(model) if isinstance(recipe, TellsFigures) else {}


@runtime_checkable
class LeavesOneOut(Protocol):
    """What a recipe has beside the others that keeps the training rows, and can score each by the others."""

    def left_out(self, model: nn.Module) -> Tensor:
        """The scores of the training rows that a fitted module keeps, each as if it were not among them.

        Raises:
            SettingsError: if what it keeps are not rows.
        """


MEMBERS = "members"
"""The output of a recipe's predictions that holds a score of each of several members, (row, member), as their joint
score puts them together: in standard deviations from the mean of normals."""


@runtime_checkable
class Joined(Protocol):
    """What a recipe has beside the others that puts scores of several members together and tells them too."""

    @property
    def member_names(self) -> Sequence[str]:
        """Names of the members, in the order of the output `MEMBERS`."""


MODALITY_SHARES = "modality_shares"
"""The output of a recipe's predictions that holds how much each of its modalities has a part in them, (row, modality),
in the order of its needs; 0 of one that a row lacks."""
