"""Stage one, from a data set's files to complete rows in the store.

    request -> plan -> decode workers -> encoders -> writer -> status

Kill it at any point: what is complete stays, and the next run does the rest.
"""

import time
from dataclasses import replace
from functools import partial

from ..atomic import locked_folder
from ..cache.store import FeatureStore
from ..configs.place import BucketUrl
from ..documents import fingerprint
from ..settings import Settings
from .engines.crew import drive
from .engines.engine import ALONE, Engine, place_here, placed, require_gpus
from .engines.joining import held_rank, joined
from .engines.rank import work_as_rank
from .group_runner import run_plan
from .into_bucket import extract_into_bucket, extract_into_bucket_as_rank
from .prepare import Asked, ask, opened_store, prepare, prepare_job, require_store
from .summary import ExtractSummary, summarise


def extract(
    settings: Settings, *, split: str = "all", refresh: bool = False, relabel: bool = False, engine: Engine = ALONE
) -> ExtractSummary:
    """Bring the rows of `split` (train, val, test or all) into the store that `settings` name.

    With `refresh`, rows whose files have changed and feature sets that something else made are computed again. With
    `relabel`, what the data set says now of a row (its split, class, label, group) is taken over. `engine` says who
    works on it: whoever it is, the store ends up the same.

    Raises:
        NotFoundError: if there is no data set, it has no such split, or nothing of it is there.
        FingerprintError: if the store was made from something else; the message names each difference.
        StoreError: if the disk is too small, which is seen before anything is computed, or refuses a write.
        BusyError: if others write to the store, or another process is the same rank.
        SettingsError: if the engine cannot be had as it is asked for, or the store is to be in a bucket.
    """
    started = time.monotonic()
    if engine.name == "rank":
        return _as_rank(settings, split, refresh=refresh, relabel=relabel, workers=engine.workers, started=started)
    if engine.name == "local":
        require_gpus(engine)
    if engine.is_alone:
        asked = ask(settings, split=split, refresh=refresh, relabel=relabel)
        if isinstance(settings.cache.path, BucketUrl):
            return extract_into_bucket(settings.cache.path, asked, started=started)
        return _alone(asked, started=started)
    summary = drive(engine, settings, split=split, refresh=refresh, relabel=relabel)
    return replace(summary, seconds=time.monotonic() - started)


def _alone(asked: Asked, *, started: float) -> ExtractSummary:
    """This process does everything, and nobody else writes to the store meanwhile."""
    require_store(asked)
    with locked_folder(asked.folder):
        store = opened_store(asked)
        request, plan = prepare(store, asked)
        busy = run_plan(plan, store, request, asked.settings) if plan.jobs else {}
    seconds = time.monotonic() - started
    return summarise(store, request, request.asked_samples, num_tried=plan.num_todo, seconds=seconds, busy=busy)


def _as_rank(
    settings: Settings, split: str, *, refresh: bool, relabel: bool, workers: int | None, started: float
) -> ExtractSummary:
    """This process does its part, together with others who do theirs; the first of them prepares the store."""
    place = place_here(workers=workers)
    asked = ask(placed(settings, place), split=split, refresh=refresh, relabel=relabel)
    made, splits, listing = asked.request.manifest(), list(asked.request.splits), asked.listing
    identity = fingerprint({"workers": place.world, "made": made, "splits": splits})
    if isinstance(settings.cache.path, BucketUrl):
        return extract_into_bucket_as_rank(settings.cache.path, asked, place, identity=identity, started=started)
    path, job = asked.folder, partial(prepare_job, asked, engine="rank", workers=place.world, identity=identity)
    with joined(path, identity=identity, listing=listing, prepare=job), held_rank(path, place.rank):
        store = FeatureStore.open(path)
        request = asked.request.as_held(store.index)
        samples, num_tried = work_as_rank(place, store, request, asked.settings)
    seconds, is_all = time.monotonic() - started, place.world == 1
    return summarise(store, request, samples, num_tried=num_tried, seconds=seconds, is_all=is_all)
