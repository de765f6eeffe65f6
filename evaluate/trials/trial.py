"""A trial: settings become a run, and the run becomes scores that are kept. What is there already is not done again.

Before anything runs, `next_step` says what is left of a trial; `run_trial` does it. A trial that was interrupted goes
on from its last checkpoint, and one that was trained is only scored.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from ...atomic import is_empty_folder, remove_partial
from ...cache.provenance import differences, differences_told
from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...documents import fingerprint
from ...errors import OutputExistsError
from ...settings import Settings
from ...train.data.features import Rows, require_features
from ...train.data.resident import FeaturePool
from ...train.data.samples import choose_samples
from ...train.display import ShowTraining
from ...train.pipeline import train
from ...train.recipes.recipe import make_recipe
from ...train.runs.checkpoint import deciding_settings
from ...train.runs.documents import fingerprints_of
from ...train.runs.folder import RunFolder
from ...train.runs.log import seconds_of
from ...train.runs.trained_run import load_run
from ...train.tasks import LOSS, monitor_of, task_for
from ...train.types import Needs
from ...wording import lined_up
from ..judge import judge_of
from ..judged_rows import SeenRows, rows_to_judge
from ..judging import background_of, judge_split, keep_calibration
from ..scores import write_columns
from ..scoring import AVERAGED, Scorer, load_models
from .measure import Measure
from .peak_memory import PeakMemory
from .record import ScoredTrial, TrialRecord, TrialScores, read_trial, record_path, scores_path, write_trial

_SHOWN = 5

Step = Literal["train", "go on", "score", "done"]

Entry = tuple[str, str]
"""A split of the store and a variant."""


@dataclass(frozen=True)
class Trial:
    """One variant with one seed; `settings` are complete, seed and folder of runs included.

    Attributes:
        store_split: the split of the store that the list was asked for; "" where each variant goes by its own setting.
    """

    variant: str
    seed: int
    settings: Settings
    run: RunFolder
    store_split: str = ""

    @property
    def entry(self) -> Entry:
        """What the trials of other seeds have in common with it."""
        return self.store_split, self.variant


@dataclass(frozen=True, eq=False)
class TrialRequest:
    """What a variant asks of the store, whatever its seed.

    Attributes:
        needs: what its recipe needs.
        train: rows that it trains on.
        validation: rows that it is validated on.
        scored: rows of the split that it is scored on.
        cache: what made the features that it uses.
    """

    needs: Needs
    train: Rows
    validation: Rows
    scored: Rows
    cache: Mapping[str, Any]


def request_of(settings: Settings, store: FeatureStore, *, split: str, measure: Measure) -> TrialRequest:
    """Look at the store on behalf of a variant.

    Raises:
        NotFoundError: if the store lacks features, or a split has no rows with them.
        SettingsError: if the recipe learns for another task, or validation lacks what its monitor needs.
        MetricError: if the split has no samples on which anything can be measured.
    """
    recipe, store = make_recipe(settings.recipe), store.divided_by(settings.train.split)
    require_features(store, recipe)
    task = task_for(settings.train, settings.recipe.name, recipe.needs())
    samples = choose_samples(store, recipe, task=task, monitor=monitor_of(settings.train))
    seen = SeenRows(samples.train, samples.validation, samples.untrained)
    scored = rows_to_judge(store, split, recipe=recipe, seen=seen, task=task).usable
    measure.require(measure.truth(store.index.select(scored)), split=split)
    return TrialRequest(
        needs=recipe.needs(),
        train=samples.train,
        validation=samples.validation,
        scored=scored,
        cache=store.manifest_of(recipe.needs().names),
    )


def next_step(trial: Trial, request: TrialRequest, store: FeatureStore, *, split: str, overwrite: bool) -> Step:
    """What is left to do of a trial.

    Raises:
        OutputExistsError: if what is there asks for something else, or cannot be scored any more.
    """
    run = trial.run
    if overwrite or not run.path.exists() or is_empty_folder(run.path):
        return "train"
    if not run.exists:
        raise OutputExistsError(f"{run.path} is there and is not a run; move it away.")
    found = _differences(trial, request, store)
    done = read_trial(run, split)
    if done is not None and done.record.samples != _fingerprint(store, request.scored):
        found.append(f"other samples of the split {split} there than now")
    if found:
        raise OutputExistsError(f"{run.path} asks for something else:\n{lined_up(found, most=_SHOWN)}")
    if done is not None:
        return "done"
    if not run.finished:
        return "go on"
    if not run.best_path.is_file():
        raise OutputExistsError(f"{run.path} was not scored on {split}, and its weights were deleted")
    return "score"


def _differences(trial: Trial, request: TrialRequest, store: FeatureStore) -> list[str]:
    before, manifest = trial.run.settings(), trial.run.manifest()
    there = {
        "settings": deciding_settings(before),
        "cache": manifest["cache"],
        "samples": fingerprints_of(manifest["samples"]),
    }
    now = {
        "settings": deciding_settings(trial.settings),
        "cache": request.cache,
        "samples": {
            "train": _fingerprint(store, request.train),
            "validation": _fingerprint(store, request.validation),
        },
    }
    return differences_told(differences(there, now), mine="there", theirs="now")


def _fingerprint(store: FeatureStore, rows: Rows) -> str:
    return fingerprint(np.asarray(store.index.keys[rows]).tolist())


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
        peak = PeakMemory.from_now(resolve_device(trial.settings.train.device, setting="train.device"))
        if step != "score":
            train(
                trial.settings,
                run_name=trial.run.name,
                overwrite=step == "train" and trial.run.path.exists(),
                command=command,
                pool=pool,
                show=show,
            )
        whole = peak if step == "train" else None
        _score(trial, store, pool=pool, split=split, keep_weights=keep_weights, peak=whole)
    done = read_trial(trial.run, split)
    assert done is not None
    if not done.record.weights_kept:
        _delete_weights(trial.run)
    return done


def _score(
    trial: Trial,
    store: FeatureStore,
    *,
    pool: FeaturePool | None,
    split: str,
    keep_weights: bool,
    peak: PeakMemory | None,
) -> None:
    """`peak` is of all that was done of the trial; None where that was not done at one go."""
    run = load_run(trial.run.path)
    store = run.divided(store)
    device = resolve_device(run.settings.train.device, setting="train.device")
    scorer = Scorer(run, store, models=load_models(run, store=store, device=device), pool=pool)
    rows, started = scorer.rows_of(split), time.perf_counter()
    scorer(rows.usable, [AVERAGED])  # the judge scores them in other ways too, so that its time would say little
    score_seconds, peak_bytes = time.perf_counter() - started, None if peak is None else peak.num_bytes()
    judge = judge_of(run, run.settings.evaluate)
    background = background_of(judge, scorer, settings=run.settings.evaluate)
    keep_calibration(judge, background)
    judgement = judge_split(judge, scorer, split, background=background)
    table, state = judgement.table, trial.run.state()
    assert state is not None and state["best"] is not None
    for path in (scores_path(trial.run, split), record_path(trial.run, split)):
        remove_partial(path)
    write_columns(scores_path(trial.run, split), judgement.columns)
    record = TrialRecord(
        split=split,
        samples=fingerprint(table.keys),
        num_left_out=rows.num_left_out,
        validation={name: state["best"].get(name) for name in run.task.monitors() if name != LOSS},
        parameters=run.manifest["parameters"]["trainable"] or _numbers_kept(scorer.models["averaged"]),
        epochs=len(run.metrics),
        seconds=seconds_of(run.metrics),
        weights_kept=keep_weights,
        warnings=tuple(judgement.warnings),
        score_seconds=score_seconds,
        peak_bytes=peak_bytes,
    )
    write_trial(trial.run, record, TrialScores(table.keys, judgement.truth, judgement.answers))


def _numbers_kept(model: nn.Module) -> int:
    return sum(buffer.numel() for buffer in model.buffers())


def _delete_weights(run: RunFolder) -> None:
    for path in (run.best_path, run.last_path):
        path.unlink(missing_ok=True)
