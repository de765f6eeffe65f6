"""What the commands do, for a notebook: the same settings and the same words, with tables and tensors for results.

    from weldcache import api

    settings = api.load_settings("demo", folder="demo", changes={"train.epochs": 20})
    api.extract(settings)
    run = api.train(settings)
    api.evaluate(settings).report
    api.scores(run, split="test").groupby("class")["score"].describe()

Every function raises a `WeldcacheError` whose message says what is wrong, where, and what to do.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from . import settings as settings_files
from .cache.arrays import ArraySpec
from .cache.splits import OFFICIAL
from .cache.status import Status
from .cache.store import FeatureStore
from .cache.targets import Target
from .cache.tensors import read_tensor
from .configs.layers import Layer
from .errors import NotFoundError, WeldcacheError
from .evaluate.pipeline import Evaluation, calibrate, scorer_of
from .evaluate.pipeline import evaluate as judge
from .evaluate.scoring import AVERAGED, RAW
from .extract.pipeline import ExtractSummary
from .extract.pipeline import extract as fill_store
from .settings import Settings
from .train.data.samples import split_rows
from .train.pipeline import train as train_run
from .train.runs.names import find_run
from .train.runs.trained_run import TrainedRun
from .train.runs.trained_run import load_run as read_run
from .wording import nearest_hint

__all__ = [
    "Evaluation",
    "ExtractSummary",
    "Settings",
    "Store",
    "TrainedRun",
    "WeldcacheError",
    "evaluate",
    "extract",
    "load_run",
    "load_settings",
    "open_store",
    "scores",
    "train",
]


def load_settings(
    config: str | os.PathLike[str] | None = None,
    *,
    folder: str | os.PathLike[str] = ".",
    changes: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings that a command would have in `folder`: `config` is `--config`, `changes` are `--set`.

    `changes` are values by dotted name, such as {"recipe.name": "nearest", "recipe.k": 5}. Paths are meant from
    `folder`.

    Raises:
        SettingsError: if a name is unknown or a value out of range.
        NotFoundError: if `config` is neither a preset nor a file.
    """
    here = Path(folder)
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in (changes or {}).items()
    }
    layer = Layer.of_keys(plain, origin="changes", folder=here.absolute())
    named = None if config is None else os.fspath(config)
    return settings_files.load_settings(named, layers=[layer], folder=here)


def extract(
    settings: Settings | None = None,
    *,
    split: Literal["train", "val", "test", "all"] = "all",
    refresh: bool = False,
    relabel: bool = False,
) -> ExtractSummary:
    """`weldcache extract`: bring the samples into the store that the settings name (None: those of the folder here).

    What could not be read is in the summary's notes, and raises nothing.

    Raises:
        NotFoundError: if there is no data set, or nothing of the split.
        FingerprintError: if the store was made from something else; the message names each difference.
        StoreError: if the disk is too small, or refuses a write.
    """
    return fill_store(settings or load_settings(), split=split, refresh=refresh, relabel=relabel)


def train(settings: Settings | None = None, *, run: str | None = None, overwrite: bool = False) -> TrainedRun:
    """`weldcache train`: train the settings' recipe on their store, and calibrate its scores.

    An unfinished run of the name `run` and the same settings is gone on with.

    Raises:
        NotFoundError: if there is no store, or it lacks a split or features.
        SettingsError: if settings do not fit the store, or those of an unfinished run.
        TrainingError: if training cannot go on.
    """
    trained = train_run(
        settings or load_settings(), run_name=run, overwrite=overwrite, command="weldcache.api.train()"
    ).run
    calibrate(trained)
    return read_run(trained.path)


def load_run(name: str | None = None, *, settings: Settings | None = None) -> TrainedRun:
    """The run called `name`, or the newest finished one; `pd.DataFrame(run.metrics)` is its epochs.

    Raises:
        NotFoundError: if there is no such run; the message names the nearest.
        TrainingError: if one of its files is damaged or was edited.
    """
    return read_run(find_run((settings or load_settings()).runs.folder, name).path)


def evaluate(
    settings: Settings | None = None,
    *,
    run: str | None = None,
    split: Literal["val", "test"] = "test",
    cache: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """`weldcache eval`: judge a run (None: the newest finished one), and write its report.

    Features come from the store `cache`, or from the one that the run was trained on.

    Raises:
        NotFoundError: if there is no such run, store or split.
        FingerprintError: if the store holds other features than the run was trained on.
        MetricError: if the split cannot be judged.
    """
    store = None if cache is None else Path(cache)
    return judge(
        settings or load_settings(), run_name=run, split=split, cache=store, command="weldcache.api.evaluate()"
    )


def scores(
    run: TrainedRun, *, split: str = "test", cache: str | os.PathLike[str] | None = None, device: str = "auto"
) -> pd.DataFrame:
    """What a run says of every sample of a split that it can score: `score`, higher = more anomalous, beside what is
    known of the sample.

    `raw_weights_score` is by the weights before averaging, where the run has some. A report leaves out samples that
    training saw or of which nothing is known; here they are.

    Raises:
        NotFoundError: if there is no such store or split, or it has no sample that can be scored.
        FingerprintError: if the store holds other features than the run was trained on.
    """
    scorer = scorer_of(run, cache=None if cache is None else Path(cache), device=device)
    rows = split_rows(scorer.store, split, recipe=run.recipe, untrained=run.untrained).usable
    found = scorer(rows, scorer.plain_ways)
    samples = Store(scorer.store).samples.iloc[rows]
    told = pd.concat([samples["index"], samples["targets"], samples["attributes"]], axis=1)
    told["score"] = found[AVERAGED]
    if RAW in found:
        told["raw_weights_score"] = found[RAW]
    return told


def open_store(path: str | os.PathLike[str] | None = None, *, split: str = OFFICIAL) -> "Store":
    """The feature store at `path`, or that of the folder here; its samples are divided as in `split`.

    Raises:
        NotFoundError: if there is none, or it has no such split.
        FingerprintError: if it has another version of the schema.
        StoreError: if it is damaged.
    """
    where = load_settings().cache.path if path is None else Path(path)
    return Store(FeatureStore.open(where, split=split))


@dataclass(frozen=True, eq=False)
class Store:
    """A store as a table of samples and as tensors; `held` is the store itself, with all that it knows."""

    held: FeatureStore

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One line a sample, by its key; the columns are those of `index`, `targets`, `attributes` and `status`.

        So `samples["targets"]` is a table too. A target with classes is categorical: its codes are those of the store,
        and unknown is missing. `status` is by feature set, such as `complete` or `absent`.
        """
        index = self.held.index
        parts = {
            "index": {"group": index.groups, "split": index.splits},
            "targets": {name: _column(target) for name, target in index.targets.items()},
            "attributes": dict(index.attributes),
            "status": {name: _statuses(self.held.status(name)) for name in self.held.feature_sets},
        }
        keys = pd.Index(index.keys.tolist(), name="key")
        return pd.concat({part: pd.DataFrame(columns, index=keys) for part, columns in parts.items()}, axis=1)

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """Every array with its shape and type, by the name that `tensor` takes."""
        return {
            f"{feature_set}/{name}": spec
            for feature_set in self.held.feature_sets
            for name, spec in self.held.arrays(feature_set).items()
        }

    def complete(self, *feature_sets: str) -> pd.DataFrame:
        """The samples that have all of these.

        Raises:
            StoreError: if the store has no such feature set.
        """
        has_all = np.ones(len(self.held.index), dtype=bool)
        for name in feature_sets:
            self.held.arrays(name)  # which refuses what the store does not have
            has_all &= self.held.status(name) == Status.COMPLETE
        return self.samples.iloc[np.flatnonzero(has_all)]

    def tensor(self, array: str, keys: Iterable[str] | None = None) -> Tensor:
        """An array such as `video/tokens` on the CPU, one row for each of `keys` (None: all samples), in their order.

        Raises:
            NotFoundError: if there is no sample of a key.
            StoreError: if there is no such array, or a sample does not have it: see `complete`.
        """
        row_of = self.held.index.row_of()
        asked = list(row_of if keys is None else keys)
        for key in asked:
            if key not in row_of:
                raise NotFoundError(f"{self.held.path} has no sample {key!r}.{nearest_hint(str(key), row_of)}")
        return read_tensor(self.held, array, np.array([row_of[key] for key in asked], dtype=np.int64))


def _column(target: Target) -> Any:
    """A target as a column; one array a sample where it is more than a number."""
    if target.values.ndim > 1:
        lengths = target.lengths
        return (
            list(target.values)
            if lengths is None
            else [values[: max(length, 0)] for values, length in zip(target.values, lengths, strict=True)]
        )
    if target.spec.classes is None:
        return target.values
    return pd.Categorical.from_codes(target.values, categories=pd.Index(target.spec.classes))


def _statuses(codes: NDArray[np.uint8]) -> Any:
    return pd.Categorical.from_codes(codes, categories=pd.Index([status.name.lower() for status in sorted(Status)]))
