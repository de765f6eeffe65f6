"""What recipes and the engine hand one another: what is needed of a store, batches, encodings, losses, predictions."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

Encodings = Mapping[str, Tensor]
"""What a module makes of a batch, by name, row axis first: all that loss and prediction ask for."""

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of one row by `<feature set>/<array>`, shape of each constant, by `classes/<target>` how many classes there are
in a target that the loss learns from, and by `targets/<target>` the shape of one that has several values a row."""


@dataclass(frozen=True)
class FeatureRequest:
    """One cached array that a recipe looks at.

    A row takes part only if its `feature_set` is complete, or if that is `optional` and another set is there. What is
    asked for `where_held`, such as the lengths of an array that may be ragged, batches lack where the set has none. Of
    an array that is `compared` the numbers are evidence, which those of masks, lengths and times are not.
    """

    feature_set: str
    array: str
    optional: bool = False
    where_held: bool = False
    compared: bool = False

    @property
    def name(self) -> str:
        """The array's name in the store and in a batch."""
        return f"{self.feature_set}/{self.array}"


@dataclass(frozen=True)
class Needs:
    """What a recipe needs of a store.

    Attributes:
        features: the arrays that batches hold.
        modalities: feature sets by the modality that they describe, required ones too. A feature is what was made of
            one stream, such as the pooled and the patch tokens of photographs; a modality is what a recipe takes as one
            kind of evidence, and may rest on several feature sets: a row has it where it has all of them.
        hidden: modalities that training hides of some rows, so that the model knows what their absence is like.
        constants: constants of the store, which `measure` gets.
        measures: names of those arrays and targets that `measure` gets of the training rows.
        targets: what the loss learns from; a recipe never sees them while it encodes.
        outputs: names of what its predictions hold beside the score, such as `logits`: a task may ask for some.
    """

    features: tuple[FeatureRequest, ...]
    modalities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """The feature sets of all arrays."""
        return tuple(dict.fromkeys(request.feature_set for request in self.features))

    @property
    def optional(self) -> tuple[str, ...]:
        """The feature sets that rows may lack."""
        return tuple(dict.fromkeys(request.feature_set for request in self.features if request.optional))

    @property
    def names(self) -> tuple[str, ...]:
        """Feature sets and constants; what else a store holds does not matter to the recipe."""
        return (*self.feature_sets, *self.constants)

    @property
    def dispensable(self) -> Mapping[str, tuple[str, ...]]:
        """The modalities that the model can do without, one at a time: those whose feature sets are all optional."""
        optional = set(self.optional)
        return {modality: sets for modality, sets in self.modalities.items() if optional.issuperset(sets)}

    @staticmethod
    def of_all(each: Collection["Needs"], *, optional: Collection[str] = ()) -> "Needs":
        """What several models need that look at the same rows, but for what is measured; `optional` sets may be lacked.

        An array that may be missing where its set is there is one of which all who ask for it say so. A modality is
        all that any of them knows of it.
        """
        where_held: dict[tuple[str, str], bool] = {}
        compared = {(r.feature_set, r.array) for needs in each for r in needs.features if r.compared}
        modalities: dict[str, tuple[str, ...]] = {}
        for needs in each:
            for request in needs.features:
                array = (request.feature_set, request.array)
                where_held[array] = where_held.get(array, True) and request.where_held
            for modality, names in needs.modalities.items():
                modalities[modality] = tuple(dict.fromkeys([*modalities.get(modality, ()), *names]))
        return Needs(
            tuple(
                FeatureRequest(
                    name, array, optional=name in optional, where_held=held, compared=(name, array) in compared
                )
                for (name, array), held in sorted(where_held.items())
            ),
            modalities=modalities,
            constants=tuple(dict.fromkeys(name for needs in each for name in needs.constants)),
            targets=tuple(dict.fromkeys(name for needs in each for name in needs.targets)),
        )

    def sets_of(self, modalities: Collection[str]) -> frozenset[str]:
        """The feature sets that describe some of the modalities."""
        return frozenset(name for modality in modalities for name in self.modalities[modality])

    def sets_shown(self, untrained: Collection[str]) -> tuple[str, ...]:
        """The feature sets without those of the modalities that training never had, of which no model is shown any."""
        hidden = self.sets_of(untrained)
        return tuple(name for name in self.feature_sets if name not in hidden)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a store, row axis first.

    Attributes:
        features: by `<feature set>/<array>`, in the storage type of the cache.
        present: of each feature set that rows may lack, which have it; where one does not, its arrays hold zeros, which
            say nothing.
        targets: by name. They are there to learn from and not to look at: see `inputs`.
    """

    features: Mapping[str, Tensor]
    present: Mapping[str, Tensor] = field(default_factory=dict)
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(self.tensors()))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return next(self.tensors()).device

    @property
    def num_bytes(self) -> int:
        """What all tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def tensors(self) -> Iterator[Tensor]:
        """All of them, features first."""
        for of_kind in (self.features, self.present, self.targets):
            yield from of_kind.values()

    def inputs(self) -> "Batch":
        """What a recipe may encode: all but the targets."""
        return replace(self, targets={})

    def without(self, feature_sets: Collection[str]) -> "Batch":
        """As if no row had these feature sets, all of which rows may lack."""
        hidden = {name: torch.zeros_like(self.present[name]) for name in feature_sets}
        return replace(self, present={**self.present, **hidden})

    def only(self, arrays: Collection[str]) -> "Batch":
        """These arrays with the presence of their feature sets, and these targets."""
        sets = {name.rpartition("/")[0] for name in arrays}
        return Batch(
            {name: tensor for name, tensor in self.features.items() if name in arrays},
            {name: tensor for name, tensor in self.present.items() if name in sets},
            {name: tensor for name, tensor in self.targets.items() if name in arrays},
        )

    def beside(self, other: "Batch") -> "Batch":
        """All tensors of both, which are of the same rows; where both have one, the other's."""
        return Batch(
            {**self.features, **other.features},
            {**self.present, **other.present},
            {**self.targets, **other.targets},
        )


def mapped(change: Callable[..., Tensor], batch: Batch, *others: Batch) -> Batch:
    """What `change` makes of each tensor of `batch`, given together with those of the same name in the others."""

    def each(kind: str) -> dict[str, Tensor]:
        first, *rest = (getattr(each, kind) for each in (batch, *others))
        return {name: change(tensor, *(tensors[name] for tensors in rest)) for name, tensor in first.items()}

    return Batch(each("features"), each("present"), each("targets"))


@dataclass(frozen=True, eq=False)
class Losses:
    """What is learned from a batch.

    Attributes:
        total: what is minimised.
        terms: its parts before weighting.
        watched: representations, (row, dim), whose collapse is watched; NaN in rows that have none.
    """

    total: Float[Tensor, ""]
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    watched: Mapping[str, Float[Tensor, "batch dim"]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a recipe says of each row of a batch, which does not depend on the other rows.

    Attributes:
        score: of anomaly, higher = more anomalous.
        outputs: such as logits, by name.
        maps: scores by place, such as one a patch or a step, by name.
    """

    score: Float[Tensor, " batch"]
    outputs: Mapping[str, Tensor] = field(default_factory=dict)
    maps: Mapping[str, Tensor] = field(default_factory=dict)
