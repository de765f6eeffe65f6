"""Scores of one split by a trained run, in several ways: by averaged or raw weights, and without some feature sets."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import nn

from ..cache.status import Status
from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..configs.place import BucketUrl, StorePlace
from ..train.data.batches import BatchSource, Order
from ..train.data.features import FeatureReader, Rows
from ..train.data.resident import FeaturePool
from ..train.data.streamed import StreamedFeatures
from ..train.runs.trained_run import TrainedRun, Weights
from ..train.scoring import output_rows, score_rows
from ..train.types import Batch
from .judged_rows import JudgedRows, SeenRows, rows_to_judge, seen_rows
from .scores import ScoreTable, score_table

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]
Models = Mapping[Weights, nn.Module]
FeatureSets = frozenset[str]


@dataclass(frozen=True)
class Way:
    """One way to score samples: with these weights, as if no sample had the feature sets `without`."""

    weights: Weights
    without: FeatureSets = frozenset()


AVERAGED, RAW = Way("averaged"), Way("raw")


@dataclass(frozen=True, eq=False)
class DealtOut:
    """A `BatchSource` of samples that have some of their `arrays` of the `others`, one for each."""

    samples: BatchSource
    others: Int64[torch.Tensor, " samples"]
    arrays: frozenset[str]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def device(self) -> torch.device:
        return self.samples.device

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        dealt = self.arrays if arrays is None else self.arrays.intersection(arrays)
        theirs = self.samples.batches([self.others[places] for places in order], arrays=dealt)
        for batch, other in zip(self.samples.batches(order, arrays=arrays), theirs, strict=True):
            yield batch.beside(other)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores rows of a store by a trained run, which is shown of no row what none of its training samples had.

    Attributes:
        run: says what the models look at, and the arithmetic and batches that they were validated with.
        store: holds the features.
        models: by weights, in evaluation mode.
        pool: where the features are already, on the models' device; None: they are read from the store.
    """

    run: TrainedRun
    store: FeatureStore
    models: Models
    pool: FeaturePool | None = None

    @cached_property
    def hidden(self) -> FeatureSets:
        """The feature sets that the models are never shown."""
        return hidden_from(self.run)

    @cached_property
    def seen(self) -> SeenRows:
        """What training knew of the store; raises what `seen_rows` raises."""
        return seen_rows(self.run, self.store)

    @property
    def plain_ways(self) -> tuple[Way, ...]:
        """By each of the models, with nothing hidden."""
        return tuple(Way(weights) for weights in self.models)

    def rows_of(self, split: str) -> JudgedRows:
        """The rows of a split that may be judged; raises what `rows_to_judge` raises."""
        return rows_to_judge(self.store, split, recipe=self.run.recipe, task=self.run.task, seen=self.seen)

    def __call__(self, rows: Rows, ways: Collection[Way]) -> dict[Way, Scores]:
        """Scores of `rows` in each way. Every row is fetched once, and memory does not grow with their number."""
        if not len(rows):
            return dict.fromkeys(ways, np.empty(0))
        return score_in_ways(self.run, self.models, self.samples(rows), ways)

    def outputs(self, rows: Rows, names: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """What the averaged weights predict of each row beside its score, by name."""
        return predicted_outputs(self.run, self.models, self.samples(rows), names) if names else {}

    def dealt_outputs(
        self, rows: Rows, names: Collection[str], generator: np.random.Generator
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        """What `outputs` gives where each row has one modality of another of them, by the name of the modality."""
        needs, samples = self.run.recipe.needs(), self.samples(rows)
        found = {}
        for modality, sets in needs.modalities.items():
            if modality not in self.run.untrained:
                arrays = [request.name for request in needs.features if request.feature_set in sets]
                others = torch.from_numpy(generator.permutation(len(rows)))
                dealt = DealtOut(samples, others, frozenset(arrays))
                found[modality] = predicted_outputs(self.run, self.models, dealt, names)
        return found

    def lacking(self, rows: Rows) -> list[FeatureSets]:
        """The optional feature sets that each row lacks and training had, one set a row.

        By feature set and not by modality: a row may have a part of one.
        """
        optional = set(self.run.recipe.needs().optional) - self.hidden
        lacking = {name: (self.store.status(name)[rows] != Status.COMPLETE).tolist() for name in sorted(optional)}
        return [frozenset(name for name, lacks in lacking.items() if lacks[place]) for place in range(len(rows))]

    def samples(self, rows: Rows) -> BatchSource:
        """What the models look at of `rows`, batch by batch, on the models' device."""
        needs = self.run.recipe.needs()
        if self.pool is not None:
            return self.pool.source(rows, needs)
        model = self.models["averaged"]
        device = next(chain(model.parameters(), model.buffers())).device  # what is fitted has buffers alone
        return StreamedFeatures(FeatureReader(self.store, needs.features), rows, device)


def hidden_from(run: TrainedRun) -> FeatureSets:
    """The feature sets that a run's models are never shown: of modalities that none of its training samples had."""
    return run.recipe.needs().sets_of(run.untrained)


def score_in_ways(run: TrainedRun, models: Models, samples: BatchSource, ways: Collection[Way]) -> dict[Way, Scores]:
    """Scores of samples, wherever they come from, in each way."""
    hidden = hidden_from(run)
    scores = score_rows(
        run.recipe,
        {way: models[way.weights] for way in ways},
        samples,
        # The batches of validation, so that on a CPU what it recorded comes out again to the last bit.
        batch_size=run.settings.train.batch_size,
        precision=run.precision,
        without={way: way.without | hidden for way in ways},
    )
    return {way: values.astype(np.float64) for way, values in scores.items()}


def predicted_outputs(
    run: TrainedRun, models: Models, samples: BatchSource, names: Collection[str]
) -> dict[str, NDArray[np.float32]]:
    """What the averaged weights predict of samples beside their scores, by name."""
    return output_rows(
        run.recipe,
        models["averaged"],
        samples,
        outputs=names,
        batch_size=run.settings.train.batch_size,
        precision=run.precision,
        without=hidden_from(run),
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """The samples of a split that a run can score, with the scores that the models gave.

    Attributes:
        split: its name.
        rows: their rows, and who of the split is not among them.
        table: what is known of them, and their scores by each of the model's weights.
        ways: their scores in each way.
        hidden: by modality the way in which none of them had it.
        lacking_sets: the feature sets that each sample lacks and training had.
        lacking: which samples lack a modality, by its name; without modalities that all have.
        outputs: what the averaged weights predict of each sample beside its score, by the names that were asked for.
        scale_ways: in which a scale was asked for; of validation alone.
        score_normals: scores those that are normal and lack nothing, in these ways.
        further: outputs of other names, which costs another pass.
        deal_out: outputs, by their names, where the samples have one modality of one another, dealt out by chance; of
            each modality by its name.
    """

    split: str
    rows: JudgedRows
    table: ScoreTable
    ways: Mapping[Way, Scores]
    hidden: Mapping[str, Way] = field(default_factory=dict)
    lacking_sets: Sequence[FeatureSets] = ()
    lacking: Mapping[str, Mask] = field(default_factory=dict)
    outputs: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    scale_ways: Sequence[Way] = ()
    score_normals: Callable[[], Mapping[Way, Scores]] = dict
    further: Callable[[Collection[str]], Mapping[str, NDArray[np.float32]]] = lambda names: {}
    deal_out: Callable[[np.random.Generator], Mapping[str, Mapping[str, NDArray[np.float32]]]] = lambda generator: {}

    @cached_property
    def normals(self) -> Mapping[Way, Scores]:
        """Scores of those that are normal and lack nothing, in `scale_ways`.

        They are scored when first asked for, as who keeps a calibration needs none: it is a pass a modality.
        """
        return self.score_normals()

    @property
    def whole(self) -> Mask:
        """Which of them lack nothing of what training had."""
        return np.array([not names for names in self.lacking_sets], dtype=bool)


def load_models(run: TrainedRun, *, store: FeatureStore, device: torch.device) -> Models:
    """The model of a run's best epoch with each of the weights that it has, to score `store`.

    Raises what `TrainedRun.require_same_features` and `TrainedRun.model` raise.
    """
    run.require_same_features(store)
    return {weights: run.model(weights, device=device, shapes=run.shapes(store)) for weights in run.weights}


def scorer_of(run: TrainedRun, *, cache: StorePlace | None, device: str) -> Scorer:
    """Scores by the run's models what lies in `cache`, or else in the store that it was trained on; `device` is the
    setting train.device.

    Raises:
        NotFoundError: if there is no such store, or the run was interrupted before its first checkpoint.
        FingerprintError: if the store holds other features than those that the run was trained on, or another split
            of the name that it was trained with.
    """
    store = run.divided(FeatureStore.open(cache or _cache_of(run)))
    models = load_models(run, store=store, device=resolve_device(device, setting="train.device"))
    return Scorer(run, store, models=models)


def _cache_of(run: TrainedRun) -> StorePlace:
    recorded = run.settings.cache.path
    if isinstance(recorded, BucketUrl):
        return recorded
    from_run = os.path.relpath(recorded, run.settings.runs.folder / run.folder.name)
    moved_along = Path(os.path.normpath(run.folder.path / from_run))
    return moved_along if moved_along.exists() else recorded


def score_split(
    scorer: Scorer,
    split: str,
    *,
    hide: Mapping[str, Collection[str]] | None = None,
    scale_ways: Collection[Way] = (),
    outputs: Collection[str] = (),
) -> Scored:
    """Score what may be judged of a split; every sample is fetched once, and whole normals again if a scale is made.

    Args:
        scorer: by the models of a run.
        split: the split's name.
        hide: feature sets by the modality that they describe, to be hidden from the model one modality at a time;
            modalities that training never had are hidden anyway.
        outputs: names of what to keep of the predictions beside the scores.
        scale_ways: in which to score the normals again that lack nothing, as by `ways_for_scale`.

    Raises:
        NotFoundError: if the split is not there, none of its samples can be scored, or the store lacks samples that
            the run was trained on.
        MetricError: if a score is not finite, or no normal sample may be judged.
    """
    rows = scorer.rows_of(split)
    hidden = hidden_ways(scorer, hide or {})
    ways = scorer(rows.usable, [*scorer.plain_ways, *hidden.values()])
    entries, lacking_sets = scorer.store.index.select(rows.usable), scorer.lacking(rows.usable)
    lacking = {modality: np.isin(rows.usable, without) for modality, without in rows.without.items()}
    named = ["+".join(name for name, mask in lacking.items() if mask[place]) for place in range(len(rows.usable))]
    is_whole_normal = (entries.labels == 0) & np.array([not names for names in lacking_sets], dtype=bool)
    return Scored(
        split=split,
        rows=rows,
        table=score_table(entries, scores=ways[AVERAGED], raw_scores=ways.get(RAW), lacks=named),
        ways=ways,
        hidden=hidden,
        lacking_sets=lacking_sets,
        lacking=lacking,
        outputs=scorer.outputs(rows.usable, outputs),
        scale_ways=tuple(scale_ways),
        score_normals=lambda: scorer(rows.usable[is_whole_normal], scale_ways) if scale_ways else {},
        further=lambda names: scorer.outputs(rows.usable, names),
        deal_out=lambda generator: scorer.dealt_outputs(rows.usable, outputs, generator),
    )


def hidden_ways(scorer: Scorer, hide: Mapping[str, Collection[str]]) -> dict[str, Way]:
    """The way to score without each modality; not of those that training never had."""
    return {
        modality: Way("averaged", frozenset(names))
        for modality, names in hide.items()
        if modality not in scorer.seen.untrained
    }


def ways_to_measure(ways: Collection[Way], *, lacking: Collection[FeatureSets]) -> tuple[Way, ...]:
    """How the whole validation normals have to be scored to put scores of samples on their scale.

    Args:
        ways: in which the samples are scored.
        lacking: the feature sets that a sample lacks, of each.

    Returns:
        nothing where no sample lacks anything.
    """
    patterns = sorted(set(lacking), key=sorted)
    if not any(patterns):
        return ()
    whole = [Way(way.weights) for way in ways]
    hidden = [Way(way.weights, way.without | pattern) for way in ways for pattern in patterns]
    return tuple(dict.fromkeys([*whole, *hidden]))


def ways_for_scale(scorer: Scorer) -> tuple[Way, ...]:
    """The ways in which whole normals have to be scored to put on their scale any sample of the store, and any new one
    that lacks one modality."""
    needs, store = scorer.run.recipe.needs(), scorer.store
    required = set(needs.feature_sets) - set(needs.optional)
    usable = np.ones(len(store.index), dtype=bool)
    for name in required:
        usable &= store.status(name) == Status.COMPLETE
    patterns = set(scorer.lacking(np.flatnonzero(usable)))
    hidden = hidden_ways(scorer, needs.dispensable).values()
    of_store = ways_to_measure([*scorer.plain_ways, *hidden], lacking=patterns)
    one_less = {frozenset(sets) - scorer.hidden for sets in needs.dispensable.values()}
    of_new = ways_to_measure([AVERAGED, *hidden], lacking=one_less)
    everything = frozenset(needs.optional) - scorer.hidden
    ways = dict.fromkeys([*of_store, *of_new])
    return tuple(way for way in ways if required or not everything <= way.without)  # of nothing there is no score
