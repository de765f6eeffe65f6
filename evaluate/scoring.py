"""Scores of one split by a trained run, and what they become where a modality is hidden from the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..cache.status import Status
from ..cache.store import FeatureStore
from ..train.data.feature_pool import FeaturePool
from ..train.data.feature_reader import Rows
from ..train.data.samples import VALIDATION_SPLIT
from ..train.runs.trained_run import WEIGHTS, TrainedRun
from .judged_rows import JudgedRows, SeenRows, rows_to_judge, seen_rows
from .scores import ScoreScale, ScoreTable, score_table
from .variants import Models, Scorer, Scores, Variant
from .whole_scale import FeatureSets, Mask, on_whole_scale, variants_to_measure

_AVERAGED, _RAW = Variant("averaged"), Variant("raw")


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """The samples of a split that a run can score.

    Attributes:
        table: what is known of them, and their scores, those of samples that lack a modality on the scale of the whole
            ones where that can be.
        as_scored: the same with the scores that the models gave; what training recorded compares with these.
        without: by modality their scores with the averaged weights, as if none had it; empty where none was hidden.
            Where some sample lacks something they are on the scale of whole samples too.
        lacking: by modality which of them lack it, and are scored all the same; only modalities that some lack.
        whole: which of them lack nothing of what training had.
        rescaled: which of the others are on the scale of whole samples in `table`.
        num_scale_normals: how many validation normals that scale rests on; 0 where nobody asked for it.
        rows: their rows, and who of the split is not among them.
    """

    table: ScoreTable
    as_scored: ScoreTable
    without: Mapping[str, Scores]
    lacking: Mapping[str, Mask]
    whole: Mask
    rescaled: Mask
    num_scale_normals: int
    rows: JudgedRows

    @property
    def num_lacking(self) -> Mapping[str, int]:
        """How many samples lack each modality that some lack."""
        return {modality: int(mask.sum()) for modality, mask in self.lacking.items()}

    @property
    def num_rescaled(self) -> Mapping[str, int]:
        """How many of those are on the scale of whole samples."""
        return {modality: int((mask & self.rescaled).sum()) for modality, mask in self.lacking.items()}


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
    """Score what may be judged of a split; every sample is fetched once, and where some lack a modality, every whole
    validation normal. Modalities that training never had are shown to the model of no sample.

    Args:
        run: says what the models look at, and the arithmetic and batches that they were validated with.
        store: what is known of the samples, and their features; its validation normals make one scale of the scores.
        split: the split's name.
        models: as `load_models` gives them.
        pool: where the features are already, on the models' device; None: they are read from the store.
        hide: feature sets by the modality that they describe, to be hidden from the model one modality at a time.

    Raises:
        NotFoundError: if the split is not there, none of its samples can be scored, or the store lacks samples that
            the run was trained on.
        MetricError: if a score is not finite, or no normal sample may be judged.
    """
    scorer = Scorer(run, store, models=models, pool=pool)
    seen = seen_rows(run, store)
    rows = rows_to_judge(store, split, recipe=run.recipe, seen=seen)
    hidden = {
        modality: Variant("averaged", frozenset(names))
        for modality, names in (hide or {}).items()
        if modality not in seen.untrained
    }
    as_scored = scorer(rows.usable, [_AVERAGED, _RAW, *hidden.values()])
    lacking = _lacking_sets(scorer, rows.usable)
    whole = np.array([not names for names in lacking], dtype=bool)
    placed, on_scale, num_scale_normals = _on_one_scale(as_scored, scorer, seen, lacking=lacking)
    absent = {modality: np.isin(rows.usable, without) for modality, without in rows.without.items()}
    scales: list[ScoreScale] = [
        "whole" if lacks_nothing else "rescaled" if placed_there else "own"
        for lacks_nothing, placed_there in zip(whole.tolist(), on_scale.tolist(), strict=True)
    ]
    table = score_table(
        store.index.select(rows.usable),
        scores=placed[_AVERAGED],
        raw_scores=placed[_RAW],
        lacks=["+".join(name for name, mask in absent.items() if mask[place]) for place in range(len(whole))],
        scales=scales,
    )
    return ScoredSplit(
        table=table,
        as_scored=replace(table, scores=as_scored[_AVERAGED], raw_scores=as_scored[_RAW]),
        without={modality: placed[variant] for modality, variant in hidden.items()},
        lacking=absent,
        whole=whole,
        rescaled=on_scale & ~whole,
        num_scale_normals=num_scale_normals,
        rows=rows,
    )


def _on_one_scale(
    scores: Mapping[Variant, Scores], scorer: Scorer, seen: SeenRows, *, lacking: Sequence[FeatureSets]
) -> tuple[Mapping[Variant, Scores], Mask, int]:
    """Scores in each way on the scale of whole samples, which samples are on it, and on how many normals it rests."""
    to_measure = variants_to_measure(scores, lacking=lacking)
    if not to_measure:
        return scores, np.ones(len(lacking), dtype=bool), 0
    whole_normals = _whole_validation_normals(scorer, seen)
    normals = scorer(whole_normals, to_measure) if len(whole_normals) else dict.fromkeys(to_measure, np.empty(0))
    placed = {
        variant: on_whole_scale(values, variant, lacking=lacking, normals=normals) for variant, values in scores.items()
    }
    on_scale = placed[_AVERAGED][1] & placed[_RAW][1]
    return {variant: values for variant, (values, _) in placed.items()}, on_scale, len(whole_normals)


def _whole_validation_normals(scorer: Scorer, seen: SeenRows) -> Rows:
    validation = rows_to_judge(scorer.store, VALIDATION_SPLIT, recipe=scorer.run.recipe, seen=seen).usable
    normals: Rows = validation[scorer.store.index.labels[validation] == 0]
    return normals[[not names for names in _lacking_sets(scorer, normals)]]


def _lacking_sets(scorer: Scorer, rows: Rows) -> list[FeatureSets]:
    """Of each row the feature sets that it lacks, may lack, and training had: not by modality, of which it may have a
    part."""
    optional = set(scorer.run.recipe.needs().optional) - scorer.hidden
    lacking = {name: (scorer.store.status(name)[rows] != Status.COMPLETE).tolist() for name in sorted(optional)}
    return [frozenset(name for name, lacks in lacking.items() if lacks[place]) for place in range(len(rows))]
