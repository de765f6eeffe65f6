"""One trial from its settings to its record: train, score with the weights that validation chose, write down."""

from ...atomic import remove_partial
from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...documents import fingerprint
from ...train.data.feature_pool import FeaturePool
from ...train.data.samples import VALIDATION_SPLIT
from ...train.display.display import ShowTraining
from ...train.pipeline import train
from ...train.runs.folder import RunFolder
from ...train.runs.log import seconds_of
from ...train.runs.trained_run import load_run
from ..judging import judge
from ..scores import write_scores
from ..scoring import load_models, score_split
from .trial import Trial
from .trial_record import ScoredTrial, TrialRecord, TrialScores, read_trial, record_path, scores_path, write_trial
from .trial_start import Step


def run_trial(
    trial: Trial,
    step: Step,
    store: FeatureStore,
    *,
    pool: FeaturePool | None,
    split: str,
    keep_weights: bool,
    command: str,
    show: ShowTraining,
) -> ScoredTrial:
    """Do what is left of a trial; `pool` has the features that all trials share, None: each loads its own.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the same trial goes on from its last checkpoint next time.
        WeldcacheError: whatever training and scoring raise.
    """
    if step != "done":
        if step != "score":
            train(
                trial.settings,
                run_name=trial.run.name,
                overwrite=step == "train" and trial.run.path.exists(),
                command=command,
                pool=pool,
                show=show,
            )
        _score(trial, store, pool=pool, split=split, keep_weights=keep_weights)
    done = read_trial(trial.run, split)
    assert done is not None
    if not done.record.weights_kept:
        _delete_weights(trial.run)
    return done


def _score(trial: Trial, store: FeatureStore, *, pool: FeaturePool | None, split: str, keep_weights: bool) -> None:
    run = load_run(trial.run.path)
    device = resolve_device(run.settings.train.device, setting="train.device")
    models = load_models(run, store=store, device=device)
    scored = score_split(run, store, split, models=models, pool=pool)
    validating = split == VALIDATION_SPLIT
    validation = scored if validating else score_split(run, store, VALIDATION_SPLIT, models=models, pool=pool)
    settings = run.settings.evaluate
    assessment = judge(run, store, judged=scored, validation=validation, split=split, settings=settings)
    table, state = scored.table, trial.run.state()
    assert state is not None and state["best"] is not None
    for path in (scores_path(trial.run, split), record_path(trial.run, split)):
        remove_partial(path)
    write_scores(scores_path(trial.run, split), table, threshold=assessment.threshold.value)
    record = TrialRecord(
        split=split,
        samples=fingerprint(table.keys),
        num_left_out=scored.rows.num_left_out,
        val_auroc=state["best"].get("val_auroc"),
        parameters=run.manifest["parameters"]["trainable"],
        epochs=len(run.metrics),
        seconds=seconds_of(run.metrics),
        weights_kept=keep_weights,
        warnings=assessment.warnings,
    )
    write_trial(trial.run, record, TrialScores(table.keys, table.labels, table.scores))


def _delete_weights(run: RunFolder) -> None:
    for path in (run.best_path, run.last_path):
        path.unlink(missing_ok=True)
