"""Stage three: a trained run and a store become scores, scores become an assessment, an assessment a report."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from ..cache.provenance import library_versions
from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..configs.schema import Settings
from ..train.data.samples import VALIDATION_SPLIT
from ..train.runs.catalogue import settings_of_members
from ..train.runs.documents import shareable
from ..train.runs.folder import find_run
from ..train.runs.trained_run import TrainedRun, load_run
from .judging import judge
from .report.report_json import report_document
from .report.table import summary
from .report.writer import write_report
from .results import Provenance
from .scoring import load_models, score_split


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found: the report as JSON values, as something that `rich` prints, and where it is."""

    report: Mapping[str, Any]
    summary: RenderableType
    report_path: Path


def evaluate(settings: Settings, *, run_name: str | None, split: str, cache: Path | None, command: str) -> Evaluation:
    """Score `split` with a run (None or `latest`: the newest finished one) and write its report into the run's folder.

    The features come from `cache`, or else from the store that the run was trained on: where it stands as seen from
    the run (so that a copied project is judged on its own store), or else where it stood.

    Raises:
        NotFoundError: if there is no such run, store or split.
        FingerprintError: if the store holds other features than those that the run was trained on.
        MetricError: if the split holds only normals or only defects.
    """
    run = load_run(find_run(settings.runs.folder, run_name).path)
    store = FeatureStore.open(cache or _cache_of(run))
    models = load_models(run, store=store, device=resolve_device(settings.train.device, setting="train.device"))
    validation = score_split(run, store, VALIDATION_SPLIT, models=models)
    judged = score_split(run, store, split, models=models, hide=run.recipe.needs().dispensable)
    assessment = judge(run, store, judged=judged, validation=validation, split=split, settings=settings.evaluate)
    provenance = _provenance(run, store, settings=settings, split=split, command=command)
    path = write_report(
        run.folder, assessment=assessment, test=judged.table, provenance=provenance, training_curve=run.metrics
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


def _provenance(run: TrainedRun, store: FeatureStore, *, settings: Settings, split: str, command: str) -> Provenance:
    return Provenance(
        run_name=run.folder.name,
        split=split,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=run.manifest["seed"],
        fingerprint=run.manifest["fingerprint"],
        settings=_settings_told(run, store, settings=settings),
        versions=library_versions(),
        backbones_are_random=run.manifest["backbones_are_random"],
    )


def _settings_told(run: TrainedRun, store: FeatureStore, *, settings: Settings) -> dict[str, Any]:
    """What made the scores: the run's settings, of a fused run its members'; `evaluate` is the one in force now."""
    cache = run.settings.cache.model_copy(update={"path": store.path})
    resolved = run.settings.model_copy(update={"evaluate": settings.evaluate, "cache": cache})
    told: dict[str, Any] = shareable(resolved).model_dump(mode="json")
    if "members" not in run.manifest:
        return told
    members = settings_of_members(run.manifest["members"], run=run.folder)
    own = {name: each.model_dump(mode="json") for name, each in members.items()}
    return {"cache": told["cache"], "evaluate": told["evaluate"], "members": own}
