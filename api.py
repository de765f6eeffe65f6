"""What the commands do, for a notebook: the same settings and the same words, with tables and tensors for results::

    from weldcache import api

    settings = api.load_settings("demo", folder="demo", changes={"train.epochs": 20})
    api.extract(settings)
    run = api.train(settings)
    api.evaluate(settings).report
    api.scores(run, split="test").groupby("class")["score"].describe()
    api.runs(settings)

Every function raises a `WeldcacheError` whose message says what is wrong, where, and what to do. Without `settings`,
those of the folder here are meant.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from . import settings as settings_files
from .cache.buckets.inventory import Mirrored
from .cache.buckets.mirror import mirror as carry
from .cache.exchange import export_hdf5, import_hdf5
from .cache.sample_table import Store
from .cache.splits import OFFICIAL, Split
from .cache.splitting import Dealing, split_store
from .cache.store import FeatureStore
from .cache.verification.outcome import Verification
from .configs.layers import Layer
from .configs.place import BucketUrl, place_of
from .errors import WeldcacheError
from .evaluate.audit.audit import Request as AuditRequest
from .evaluate.audit.audit import audit as run_audit
from .evaluate.audit.outcome import Audit
from .evaluate.comparison.compare import ComparedRuns, compare_runs
from .evaluate.judge import headline_of
from .evaluate.new.score import score_paths
from .evaluate.new.scorer import ScoredSample
from .evaluate.pipeline import Evaluation, fuse_and_calibrate, score_samples, train_and_calibrate
from .evaluate.pipeline import evaluate as judge
from .evaluate.sweeps.request import load_request, require_optuna
from .evaluate.trials.bench import Bench
from .evaluate.trials.bench import bench as run_bench
from .evaluate.trials.recommend import recommend as run_recommend
from .evaluate.trials.recommendation import Recommendation
from .evaluate.trials.variant_list import load_variant_list
from .extract.engines.engine import ALONE, Engine
from .extract.estimation.estimate import Estimate, estimate
from .extract.pipeline import extract as fill_store
from .extract.summary import ExtractSummary
from .extract.verification.verify import verify as verify_store
from .settings import Settings
from .train.combination import parse_weighting
from .train.fit import require_read
from .train.nn.joined_scores import FusedBy
from .train.runs.catalogue import list_runs
from .train.runs.names import find_run
from .train.runs.trained_run import TrainedRun
from .train.runs.trained_run import load_run as read_run

__all__ = [
    "Audit",
    "Bench",
    "ComparedRuns",
    "Dealing",
    "Engine",
    "Estimate",
    "Evaluation",
    "ExtractSummary",
    "Mirrored",
    "Recommendation",
    "Settings",
    "Split",
    "Store",
    "TrainedRun",
    "Verification",
    "WeldcacheError",
    "audit",
    "bench",
    "compare",
    "evaluate",
    "export_store",
    "extract",
    "fuse",
    "import_store",
    "load_run",
    "load_settings",
    "mirror",
    "open_store",
    "plan",
    "recommend",
    "runs",
    "score",
    "scores",
    "split",
    "sweep",
    "train",
    "verify",
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
        SettingsError: if a name is unknown or a value out of range, or the recipe does not read what `changes` says
            of training.
        NotFoundError: if `config` is neither a preset nor a file.
    """
    here = Path(folder)
    layer = Layer.of_keys(_plain(changes), origin="changes", folder=here.absolute())
    named = None if config is None else os.fspath(config)
    settings = settings_files.load_settings(named, layers=[layer], folder=here)
    require_read(settings, layer.keys)
    return settings


def plan(
    settings: Settings | None = None,
    *,
    split: Literal["train", "val", "test", "all"] = "all",
    measure: bool = True,
    refresh: bool = False,
) -> Estimate:
    """`weldcache plan`: what `extract` would do and cost; without `measure` rows and bytes alone, in no time.

    Raises:
        NotFoundError: if there is no data set, or nothing of the split.
        FingerprintError: if the store was made from something else.
    """
    return estimate(settings or load_settings(), split=split, measure=measure, refresh=refresh)


def extract(
    settings: Settings | None = None,
    *,
    split: Literal["train", "val", "test", "all"] = "all",
    refresh: bool = False,
    relabel: bool = False,
    engine: Engine = ALONE,
) -> ExtractSummary:
    """`weldcache extract`: bring the samples into the store that the settings name; `engine` is who works on it.

    What could not be read is in the summary's notes, and raises nothing.

    Raises:
        NotFoundError: if there is no data set, or nothing of the split.
        FingerprintError: if the store was made from something else; the message names each difference.
        StoreError: if the disk is too small, or refuses a write.
    """
    return fill_store(settings or load_settings(), split=split, refresh=refresh, relabel=relabel, engine=engine)


def verify(
    settings: Settings | None = None, *, live: int = 0, seed: int = 0, sources: bool = True, mend: bool = False
) -> Verification:
    """`weldcache verify`: whether the store can be trusted; `trustworthy` says it, and `findings` why not.

    `live` samples are computed again and compared; `sources`: whether the data set's files are looked at; `mend` marks
    what is damaged as missing.

    Raises:
        NotFoundError: if there is no store, or no data set where `live` needs one.
        BusyError: if somebody else writes to a store that is to be mended.
    """
    return verify_store(settings or load_settings(), live=live, seed=seed, sources=sources, mend=mend)


def audit(
    settings: Settings | None = None,
    *,
    run: str | None = None,
    split: Literal["val", "test"] = "test",
    live: int = 0,
    seed: int = 0,
    sources: bool = True,
    anchors: Mapping[str, float] | None = None,
) -> Audit:
    """`weldcache audit`: mistakes that software can catch, in whatever there is of a data set, a store and a run.

    `trustworthy` says whether nothing severe was found, `findings` what was. `run` None is the newest finished one, if
    there is one; `live` and `sources` are as in `verify`; `anchors` are what is known to be reached, by figure.

    Raises:
        NotFoundError: if there is neither data set nor store, or not the run that is asked for.
    """
    request = AuditRequest(run=run, part=split, live=live, seed=seed, sources=sources, anchors=anchors or {})
    return run_audit(settings or load_settings(), request)


def split(
    name: str, dealing: Dealing | None = None, *, settings: Settings | None = None, overwrite: bool = False
) -> list[Split]:
    """`weldcache split`: deal the store's rows anew (None: whole groups, a fifth each for val and test).

    Of folds there are as many splits as folds, `name_1` and so on; {"train.split": name} trains by one.

    Raises:
        OutputExistsError: if there is a split of that name, and it is not to be overwritten.
        SettingsError: if there is nothing by that name to deal by, or too little of it.
    """
    return split_store((settings or load_settings()).cache.path, name, dealing or Dealing(), overwrite=overwrite)[1]


def export_store(to: str | os.PathLike[str], *, settings: Settings | None = None, overwrite: bool = False) -> Path:
    """`weldcache export`: write the store to one HDF5 file, and return where that is.

    Raises:
        OutputExistsError: if the file is there, and is not to be overwritten.
        StoreError: if the store is damaged, or the disk refuses the write.
    """
    export_hdf5(FeatureStore.open((settings or load_settings()).cache.path), Path(to), overwrite=overwrite)
    return Path(to)


def import_store(file: str | os.PathLike[str], *, settings: Settings | None = None) -> Store:
    """`weldcache import`: make the store from a file that `export_store` wrote, bit for bit.

    Raises:
        OutputExistsError: if there is something already where the store would be.
        StoreError: if the file is damaged or cut short; nothing is left behind then.
    """
    return Store(import_hdf5(Path(file), (settings or load_settings()).cache.path))


def mirror(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> Mirrored:
    """`weldcache mirror`: carry a store from a folder into a bucket, such as `s3://team/features.zarr`, or out of one.

    Raises:
        SettingsError: if not exactly one of the two is a URL of a bucket.
        NotFoundError: if there is no store at `source`, or no such bucket.
        OutputExistsError: if something else is at `destination`.
        BucketAccessError: if the bucket cannot be had.
    """
    return carry(_place(source), _place(destination))


def train(settings: Settings | None = None, *, run: str | None = None, overwrite: bool = False) -> TrainedRun:
    """`weldcache train`: train the settings' recipe on their store, and calibrate its scores.

    An unfinished run of the name `run` and the same settings is gone on with.

    Raises:
        NotFoundError: if there is no store, or it lacks a split or features.
        SettingsError: if settings do not fit the store, or those of an unfinished run.
        TrainingError: if training cannot go on.
    """
    trained = train_and_calibrate(
        settings or load_settings(), run_name=run, overwrite=overwrite, command="weldcache.api.train()"
    ).run
    return read_run(trained.path)


def fuse(
    *members: str,
    settings: Settings | None = None,
    run: str | None = None,
    weights: Literal["equal", "fit"] | Sequence[float] = "equal",
    combine: FusedBy = "mean",
    overwrite: bool = False,
) -> TrainedRun:
    """`weldcache fuse`: one run from the scores of others; `weights` alike, as separates validation best, or given.
    `combine`: their mean, their min or max, their product, or a one-class support vector machine around normals.

    Raises:
        NotFoundError: if a member is not there or not finished.
        SettingsError: if there are fewer than two members, or the weights are not for them.
        TrainingError: if members were validated on other samples.
    """
    weighting = parse_weighting(weights) if isinstance(weights, str) else tuple(map(float, weights))
    fused = fuse_and_calibrate(
        settings or load_settings(),
        members=members,
        weighting=weighting,
        combine=combine,
        run_name=run,
        overwrite=overwrite,
        command="weldcache.api.fuse()",
    ).run
    return read_run(fused.path)


def bench(
    variants: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    changes: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    splits: Sequence[str] | None = None,
    split: Literal["val", "test"] = "test",
    overwrite: bool = False,
    keep_weights: bool = False,
) -> Bench:
    """`weldcache bench`: train a list of variants, shipped or a YAML file, with several seeds, and rank them.

    The list is laid over `settings`, and `changes`, by dotted name, over both; `seeds` and `splits` (of the store) None
    are those of the list. What is done already is not repeated. `pd.DataFrame(table["variants"])` is a table of each of
    `bench.document["leaderboards"]`, one a split; a variant that failed is in it, and raises nothing.

    Raises:
        NotFoundError: if there is no such list or no store.
        SettingsError: if the list does not go together with the settings, or its variants have several judges.
        OutputExistsError: if a trial is there already that asks for something else.
    """
    return run_bench(
        load_variant_list(os.fspath(variants)),
        overrides=[f"{name}={json.dumps(value)}" for name, value in _plain(changes).items()],
        base=settings,
        seeds=seeds,
        store_splits=splits,
        split=split,
        overwrite=overwrite,
        keep_weights=keep_weights,
        command="weldcache.api.bench()",
    )


def sweep(
    space: str | os.PathLike[str] | None = None,
    *,
    ranges: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    changes: Mapping[str, Any] | None = None,
    trials: int | None = None,
    jobs: int = 1,
    together: int = 1,
    name: str | None = None,
    storage: str | None = None,
    keep_weights: bool = False,
) -> Mapping[str, Any]:
    """`weldcache sweep`: search settings by validation, and judge the best on the split test, which no trial saw.

    `space` is a file; `ranges` are what `--sweep` takes, such as {"train.lr": "1e-5..1e-2"}; `storage` is the URL of a
    database that several machines share. What is returned is what
    sweep.json says: `pd.DataFrame(found["trials"])` is its table.

    Raises:
        SettingsError: if the space holds no settings, or Optuna, which draws, is not installed.
        NotFoundError: if there is no such file or no store.
        OutputExistsError: if the folder holds trials of another sweep.
        TrainingError: if every trial failed.
        StudyUnreachableError: if the database does not answer.
    """
    require_optuna()
    from .evaluate.sweeps.sweep import begun_with
    from .evaluate.sweeps.sweep import sweep as run_sweep

    request = load_request(None if space is None else os.fspath(space), name=name, trials=trials, storage=storage)
    quick = [f"{key}={text}" for key, text in (ranges or {}).items()]
    overrides = [f"{key}={json.dumps(value)}" for key, value in _plain(changes).items()]
    request, base = begun_with(request, quick=quick, overrides=overrides, base=settings)
    found = run_sweep(
        request,
        base,
        jobs=jobs,
        together=together,
        keep_weights=keep_weights,
        command="weldcache.api.sweep()",
        overrides=overrides,
    )
    return found.document


def recommend(settings: Settings | None = None, *, validation_defects: bool = False) -> Recommendation:
    """`weldcache recommend`: rank the detectors that the store can feed, without a label of test.

    `train(found.chosen.settings)` fits the first; `validation_defects`: by validation's defects, which are known.

    Raises:
        NotFoundError: if there is no store, or too little of it to compare by.
        MetricError: if validation has no defects, and they are asked for.
    """
    return run_recommend(settings or load_settings(), validation_defects=validation_defects)


def runs(settings: Settings | None = None, *, nested: bool = False) -> pd.DataFrame:
    """`weldcache runs list`: one line a run by its name, the newest last; `nested` with those of a bench.

    `val_auroc` and the like are of the best epoch, `test_auroc` with `_low` and `_high` of the report on test.
    """
    entries = list_runs((settings or load_settings()).runs.folder, nested=nested, headlines=headline_of)
    return pd.DataFrame(
        [entry.as_row() for entry in entries], index=pd.Index([entry.name for entry in entries], name="run")
    )


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
    maps: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """`weldcache eval`: judge a run (None: the newest finished one), and write its report.

    Features come from the store `cache`, or from the one that the run was trained on. `maps` is a new folder for where
    each sample is strange.

    Raises:
        NotFoundError: if there is no such run, store or split, or no maps.
        FingerprintError: if the store holds other features than the run was trained on.
        MetricError: if the split cannot be judged.
    """
    store = None if cache is None else _place(cache)
    return judge(
        settings or load_settings(),
        run_name=run,
        split=split,
        cache=store,
        command="weldcache.api.evaluate()",
        maps=None if maps is None else Path(maps),
    )


def compare(*runs: str, settings: Settings | None = None, split: Literal["val", "test"] = "test") -> ComparedRuns:
    """`weldcache compare`: runs held against each other on the same samples of a split, beside their settings.

    `pd.DataFrame(found.paired.as_json()["ranking"])` is who is ahead. Where runs cannot be held against each other,
    `found.paired` is None and `found.refused` the error that says why.

    Raises:
        NotFoundError: if there is no such run.
        SettingsError: if there are fewer than two different ones.
    """
    return compare_runs(settings or load_settings(), runs, split=split)


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
    return score_samples(run, split=split, cache=None if cache is None else _place(cache), device=device)


def score(
    run: TrainedRun,
    *paths: str | os.PathLike[str],
    changes: Mapping[str, Any] | None = None,
    maps: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """`weldcache score`: what a run says of new samples, files, folders or a table, one line a sample by its key.

    No store is needed and no label. `problem` says why a sample has no score, `notes` what it lacks. `changes`, by
    dotted name, are to the run's settings: what would make other features or judge otherwise is refused. With `maps`, a
    new folder of that name is filled with where each sample is strange, as `weldcache eval --maps` does.

    Raises:
        SettingsError: if the changes are no settings, or would judge otherwise than the run was calibrated.
        NotFoundError: if a path is not there, or holds no sample, or there are no maps.
        OutputExistsError: if something is at `maps` already.
        SourceError: if one cannot be read as the run's data set was.
        FingerprintError: if other features would be made than those that the run was trained on.
        BackboneError: if a backbone cannot be had.
    """
    layer = Layer.of_keys(_plain(changes), origin="changes", folder=Path().absolute())
    settings = settings_files.load_settings(layers=[layer], base=run.settings)
    scored: list[ScoredSample] = []
    score_paths(
        run,
        [Path(path) for path in paths],
        settings=settings,
        lines=nullcontext(scored.append),
        maps=None if maps is None else Path(maps),
    )
    told = [{**each.columns, "problem": each.problem, "notes": "; ".join(each.notes)} for each in scored]
    return pd.DataFrame(told, index=pd.Index([each.sample.key for each in scored], name="key"))


def open_store(path: str | os.PathLike[str] | BucketUrl | None = None, *, split: str = OFFICIAL) -> "Store":
    """The feature store at `path`, a folder or a URL of a bucket, or that of the folder here.

    Its samples are divided as in `split`.

    Raises:
        NotFoundError: if there is none, or it has no such split.
        FingerprintError: if it has another version of the schema.
        StoreError: if it is damaged.
    """
    where = load_settings().cache.path if path is None else _place(path)
    return Store(FeatureStore.open(where, split=split))


def _place(told: str | os.PathLike[str] | BucketUrl) -> Path | BucketUrl:
    """The place that a caller names; settings have one already."""
    return told if isinstance(told, BucketUrl) else place_of(os.fspath(told))


def _plain(changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Changes as a file of settings would say them, in which a path is text."""
    return {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in (changes or {}).items()
    }
