"""Stage three: a trained run and a store become scores, scores become an assessment, an assessment a report."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType
from torch import nn

from ..cache.index import Index
from ..cache.provenance import library_versions
from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..configs.schema import Settings
from ..errors import NotFoundError
from ..train.run_folder import latest_run, named_run
from ..train.samples import VALIDATION_SPLIT
from ..train.scoring import score_rows
from ..train.trained_run import WEIGHTS, TrainedRun, load_run
from .assessment import assess
from .provenance import Provenance
from .report.report_json import report_document
from .report.table import summary
from .report.writer import write_report
from .scores import ScoreTable


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found: the report as JSON values, as something that `rich` prints, and where it is."""

    report: Mapping[str, Any]
    summary: RenderableType
    report_path: Path


def evaluate(settings: Settings, *, run_name: str | None, split: str, cache: Path | None, command: str) -> Evaluation:
    """Score `split` with a run (None: the latest) and write its report into the run's folder.

    The features come from `cache`, or else from the store that the run was trained on: where it stands as seen from
    the run (so that a copied project is judged on its own store), or else where it stood.

    Raises:
        NotFoundError: if there is no such run, store or split.
        FingerprintError: if the store holds other features than those that the run was trained on.
        MetricError: if the split holds only normals or only defects.
    """
    folder = settings.runs.folder
    run = load_run((latest_run(folder) if run_name is None else named_run(folder, run_name)).path)
    store = FeatureStore.open(cache or _cache_of(run))
    device = resolve_device(settings.train.device, setting="train.device")
    models: dict[str, nn.Module] = {weights: run.model(weights, store=store, device=device) for weights in WEIGHTS}
    validation, _ = _score(run, store, VALIDATION_SPLIT, models=models)
    judged, num_left_out = _score(run, store, split, models=models)
    trained_on = _trained_on(run, store)
    assessment = assess(
        test=judged,
        validation=validation,
        train_attributes=trained_on.attributes,
        train_sessions=trained_on.sessions.tolist(),
        target_fpr=settings.evaluate.target_fpr,
        seed=settings.evaluate.seed,
    )
    warnings = _warnings(run, split=split, num_left_out=num_left_out)
    assessment = replace(assessment, warnings=(*assessment.warnings, *warnings))
    provenance = _provenance(run, store, settings=settings, split=split, command=command)
    path = write_report(
        run.folder.path, assessment=assessment, test=judged, provenance=provenance, training_curve=run.metrics
    )
    return Evaluation(
        report=report_document(assessment, provenance=provenance),
        summary=summary(assessment, provenance=provenance),
        report_path=path,
    )


def _cache_of(run: TrainedRun) -> Path:
    recorded = run.settings.cache.path
    from_run = os.path.relpath(recorded, run.settings.runs.folder / run.folder.name)
    moved_along = Path(os.path.normpath(run.folder.path / from_run))
    return moved_along if moved_along.exists() else recorded


def _warnings(run: TrainedRun, *, split: str, num_left_out: int) -> list[str]:
    found = []
    if num_left_out:
        found.append(f"{num_left_out} samples of {split} lack a modality and are not scored; they are in no figure.")
    if not run.folder.finished:
        found.append(
            f"Training is not finished, this is epoch {run.best().epoch} of at most {run.settings.train.epochs}: "
            f"`weldcache train --run {run.folder.name}` goes on."
        )
    return found


def _trained_on(run: TrainedRun, store: FeatureStore) -> Index:
    """Who the run was trained on: what the controls compare with."""
    row_of = store.index.row_of()
    keys = run.manifest["samples"]["train"]
    missing = [key for key in keys if key not in row_of]
    if missing:
        raise NotFoundError(
            f"{store.path} lacks {len(missing)} of the {len(keys)} samples that {run.folder.path} was trained on, "
            f"{missing[0]} among them; evaluate it on the cache that it was trained on."
        )
    return store.index.select(np.array([row_of[key] for key in keys], dtype=np.int64))


def _score(
    run: TrainedRun, store: FeatureStore, split: str, *, models: Mapping[str, nn.Module]
) -> tuple[ScoreTable, int]:
    """Scores of the rows of `split` that have every feature set, and how many have not."""
    feature_sets = tuple(dict.fromkeys(request.feature_set for request in run.recipe.requires()))
    rows = store.rows(split, feature_sets=feature_sets)
    if not len(rows):
        raise NotFoundError(
            f"{store.path} has no features of the split {split}. Run `weldcache extract --split {split}`."
        )
    entries = store.index.select(rows)
    scores = score_rows(run.recipe, models, store, rows)
    table = ScoreTable(
        keys=tuple(entries.keys.tolist()),
        splits=tuple(entries.splits.tolist()),
        class_names=tuple(entries.class_names.tolist()),
        sessions=tuple(entries.sessions.tolist()),
        labels=entries.labels.astype(np.int64),
        scores=scores["averaged"].astype(np.float64),
        raw_scores=scores["raw"].astype(np.float64),
        attributes=entries.attributes,
    )
    return table, int(np.sum(store.index.splits == split)) - len(rows)


def _provenance(run: TrainedRun, store: FeatureStore, *, settings: Settings, split: str, command: str) -> Provenance:
    # The run's settings made the scores; the evaluation's own section is the one in force now.
    cache = run.settings.cache.model_copy(update={"path": store.path})
    resolved = run.settings.model_copy(update={"evaluate": settings.evaluate, "cache": cache})
    return Provenance(
        run_name=run.folder.name,
        split=split,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=run.manifest["seed"],
        fingerprint=run.manifest["fingerprint"],
        settings=json.loads(resolved.model_dump_json()),
        versions=library_versions(),
        backbones_are_random=run.manifest["backbones_are_random"],
    )
