"""Scores of one split by a trained run, and what they become where a modality is hidden from the model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..cache.index import Index
from ..cache.store import FeatureStore
from ..train.batches import BatchSource
from ..train.encoding import encode, passes
from ..train.feature_pool import FeaturePool
from ..train.feature_reader import FeatureReader
from ..train.samples import split_rows
from ..train.streamed import StreamedFeatures
from ..train.trained_run import WEIGHTS, TrainedRun, Weights
from .scores import ScoreTable

Scores = NDArray[np.float64]
Models = Mapping[Weights, nn.Module]


@dataclass(frozen=True)
class Variant:
    """One way to score samples: with these weights, as if no sample had the feature sets `without`."""

    weights: Weights
    without: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """The samples of a split that a run can score.

    Attributes:
        table: what is known of them, and their scores.
        without: by modality their scores with the averaged weights, as if none had it; empty where none was hidden.
        num_lacking: by modality how many of them lack it, and are scored all the same; only modalities that some lack.
        num_left_out: how many samples of the split could not be scored.
    """

    table: ScoreTable
    without: Mapping[str, Scores]
    num_lacking: Mapping[str, int]
    num_left_out: int


def load_models(run: TrainedRun, *, store: FeatureStore, device: torch.device) -> Models:
    """The model of a run's best epoch with averaged and with raw weights; raises what `TrainedRun.model` raises."""
    return {weights: run.model(weights, store=store, device=device) for weights in WEIGHTS}


def score_split(
    run: TrainedRun,
    store: FeatureStore,
    split: str,
    *,
    models: Models,
    pool: FeaturePool | None = None,
    hide: Mapping[str, Sequence[str]] | None = None,
) -> ScoredSplit:
    """Score a split; every sample is fetched once.

    Args:
        run: says what the models look at, and the arithmetic and batches that they were validated with.
        store: what is known of the samples, and their features.
        split: the split's name.
        models: as `load_models` gives them.
        pool: where the features are already, on the models' device; None: they are read from the store.
        hide: feature sets by the modality that they describe, to be hidden from the model one modality at a time.

    Raises:
        NotFoundError: if the split is not there, or none of its samples can be scored.
        MetricError: if a score is not finite.
    """
    rows = split_rows(store, split, recipe=run.recipe)
    requests = run.recipe.requires()
    source: BatchSource
    if pool is None:
        device = next(models["averaged"].parameters()).device
        source = StreamedFeatures(FeatureReader(store, requests), rows.usable, device)
    else:
        source = pool.source(rows.usable, requests)
    averaged, raw = Variant("averaged"), Variant("raw")
    hidden = {modality: Variant("averaged", tuple(names)) for modality, names in (hide or {}).items()}
    scores = _scores(run, models, source, variants=[averaged, raw, *hidden.values()])
    return ScoredSplit(
        table=_table(store.index.select(rows.usable), scores=scores[averaged], raw_scores=scores[raw]),
        without={modality: scores[variant] for modality, variant in hidden.items()},
        num_lacking={modality: len(lacking) for modality, lacking in rows.without.items()},
        num_left_out=int(np.sum(store.index.splits == split)) - len(rows.usable),
    )


@torch.no_grad()
def _scores(
    run: TrainedRun, models: Models, samples: BatchSource, *, variants: Iterable[Variant]
) -> dict[Variant, Scores]:
    """Scores of all samples in each way; memory does not grow with the samples."""
    settings = run.settings.train
    parts: dict[Variant, list[torch.Tensor]] = {variant: [] for variant in variants}
    # The batches of validation, so that on a CPU what it recorded comes out again to the last bit.
    for batch in passes(samples, batch_size=settings.batch_size):
        for variant, scores in parts.items():
            model = models[variant.weights]
            encodings = encode(run.recipe, model, batch, precision=settings.precision, without=variant.without)
            scores.append(run.recipe.score(model, encodings).float())
    return {variant: torch.cat(scores).cpu().double().numpy() for variant, scores in parts.items()}


def _table(entries: Index, *, scores: Scores, raw_scores: Scores) -> ScoreTable:
    return ScoreTable(
        keys=tuple(entries.keys.tolist()),
        splits=tuple(entries.splits.tolist()),
        class_names=tuple(entries.class_names.tolist()),
        sessions=tuple(entries.sessions.tolist()),
        labels=entries.labels.astype(np.int64),
        scores=scores,
        raw_scores=raw_scores,
        attributes=entries.attributes,
    )
