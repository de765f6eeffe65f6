"""What is left to do of each trial: held against what is there already, before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...atomic import is_empty_folder
from ...cache.provenance import differences, differences_told
from ...cache.store import FeatureStore
from ...configs.schema import Settings
from ...documents import fingerprint
from ...errors import MetricError, OutputExistsError
from ...train.data.feature_reader import Rows
from ...train.data.requests import require_features, used_names
from ...train.data.samples import choose_samples
from ...train.recipes.recipe import FeatureRequest
from ...train.recipes.registry import make_recipe
from ...train.runs.checkpoint import deciding_settings
from ...train.runs.documents import fingerprints_of
from ...wording import lined_up
from ..judged_rows import SeenRows, rows_to_judge
from .trial import Trial
from .trial_record import read_trial

_SHOWN = 5

Step = Literal["train", "go on", "score", "done"]


@dataclass(frozen=True, eq=False)
class TrialRequest:
    """What a variant asks of the store, whatever its seed.

    Attributes:
        requests: the arrays that its recipe looks at.
        train: rows of the normals that it trains on.
        validation: rows that it is validated on.
        scored: rows of the split that it is scored on.
        cache: what made the features that it uses.
    """

    requests: tuple[FeatureRequest, ...]
    train: Rows
    validation: Rows
    scored: Rows
    cache: Mapping[str, Any]


def request_of(settings: Settings, store: FeatureStore, *, split: str) -> TrialRequest:
    """Look at the store on behalf of a variant.

    Raises:
        NotFoundError: if the store lacks features, or a split has no rows with them.
        SettingsError: if the monitor needs defects in validation and there are none.
        MetricError: if the split has no normals or no defects to score.
    """
    recipe = make_recipe(settings.train.recipe, settings)
    require_features(store, recipe)
    samples = choose_samples(store, recipe, monitor=settings.train.monitor)
    seen = SeenRows(samples.train, samples.validation, samples.untrained)
    scored = rows_to_judge(store, split, recipe=recipe, seen=seen).usable
    _require_both_labels(scored, store, split=split)
    return TrialRequest(
        requests=tuple(recipe.requires()),
        train=samples.train,
        validation=samples.validation,
        scored=scored,
        cache=store.manifest_of(used_names(recipe)),
    )


def _require_both_labels(rows: Rows, store: FeatureStore, *, split: str) -> None:
    num_defect, num = int(np.sum(store.index.labels[rows] == 1)), len(rows)
    if num_defect in (0, num):
        raise MetricError(
            f"There are {num - num_defect} normals and {num_defect} defects of {split} to score, and AUROC compares "
            "the two. Choose another split with --split, or extract the others."
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
