"""The judgement of a run: the assessment of its scores, and of what its folder and the store say of how they came
about."""

from collections.abc import Iterator
from dataclasses import replace

from ..cache.store import FeatureStore
from ..configs.schema import EvaluateSettings
from ..train.runs.trained_run import TrainedRun
from ..train.training_caveats import training_caveats
from ..wording import count_of
from .assessment import assess
from .controls import file_metadata
from .judged_rows import rows_caveats, seen_rows, withdrawn_caveats
from .modalities import change_caveats, lacking_caveats, modalities_seen_missing, modality_results
from .recorded import collapse_caveats, representations, reproduction_caveats
from .results import Assessment
from .scoring import ScoredSplit
from .whole_samples import scale_caveats, whole_samples
from .whole_scale import FEWEST_NORMALS


def judge(
    run: TrainedRun,
    store: FeatureStore,
    *,
    judged: ScoredSplit,
    validation: ScoredSplit,
    split: str,
    settings: EvaluateSettings,
) -> Assessment:
    """Every number and every warning of a report on the samples `judged`, whose threshold `validation` gives.

    Raises:
        MetricError: if they are of one label only.
        NotFoundError: if the run was interrupted before its first checkpoint.
    """
    seen, best = seen_rows(run, store), run.best()
    trained_on = store.index.select(seen.train)
    assessment = assess(
        test=judged.table,
        validation=validation.table,
        train_attributes=trained_on.attributes,
        files=file_metadata(store, judged.rows.usable, recipe=run.recipe),
        train_files=file_metadata(store, seen.train, recipe=run.recipe),
        train_sessions=trained_on.groups.tolist(),
        target_fpr=settings.target_fpr,
        seed=settings.seed,
    )
    recorded, seen_missing = best.metrics.get("val_auroc"), modalities_seen_missing(run)
    modalities = modality_results(judged, seen_missing=seen_missing)
    watched = representations(run.metrics, best_epoch=best.epoch)
    whole = whole_samples(judged)
    warnings = (
        *rows_caveats(judged.rows, validation.rows, split=split),
        *reproduction_caveats(
            validation.as_scored,
            recorded=recorded,
            recorded_keys=run.manifest["samples"]["validation"],
            precision=run.precision,
        ),
        *training_caveats(store, seen.train, recipe=run.recipe, untrained=seen.untrained),
        *withdrawn_caveats(seen, store),
        *scale_caveats(judged, validation=validation, split=split, auroc=assessment.auroc, whole=whole),
        *assessment.warnings,
        *_about_fusion(run),
        *lacking_caveats(judged, split=split, seen_missing=seen_missing),
        *change_caveats(modalities),
        *collapse_caveats(watched, num_normal=assessment.threshold.num_normal),
        *_about_completeness(run, split=split, num_lacking=judged.rows.num_lacking, best_epoch=best.epoch),
    )
    return replace(
        assessment,
        warnings=warnings,
        recorded_validation_auroc=recorded,
        modalities=modalities,
        representations=watched,
        whole=whole,
        validation_is_rescaled=bool(validation.rescaled.any()),
    )


def _about_fusion(run: TrainedRun) -> Iterator[str]:
    num_normal = run.manifest["counts"].get("validation_normals", 0)
    if "members" in run.manifest and num_normal < FEWEST_NORMALS:
        yield (
            "The members' scores were brought together by their spread over "
            f"{count_of(num_normal, 'validation normal')} alone: with others they might count otherwise, and no "
            "interval holds the error of that."
        )


def _about_completeness(run: TrainedRun, *, split: str, num_lacking: int, best_epoch: int) -> Iterator[str]:
    if num_lacking:
        yield (
            f"Not scored, and in no figure: {count_of(num_lacking, 'sample')} of {split} without features that this "
            "model needs."
        )
    if not run.folder.finished:
        yield (
            f"Training is not finished, this is epoch {best_epoch} of at most {run.settings.train.epochs}: "
            f"{run.folder.how_to_go_on()}"
        )
