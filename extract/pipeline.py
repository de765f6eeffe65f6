"""Stage one, from a data set's files to complete rows in the store.

    request -> plan -> decode workers -> encoders -> writer -> status

Kill it at any point: what is complete stays, and the next run does the rest.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import locked_folder, remove_partial
from ..cache.notes import Note, grouped, notes_of
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..documents import fingerprint
from ..errors import OutputExistsError, disk_errors
from ..progress import say
from ..settings import Settings
from ..wording import count_of, first_of, format_seconds, listed
from .engines.engine import ALONE, Engine, Place, place_here, placed
from .engines.joining import Job, joined
from .engines.rank import work_as_rank
from .engines.spans import cut_spans
from .estimation.estimate import plan_and_estimate, require_disk_space
from .estimation.told import describe
from .group_runner import run_plan
from .plan import ExtractPlan
from .reconcile import reconcile
from .request import Request, make_request
from .sides import bottleneck, describe_busy
from .sources.source import Sample

_WORTH_MEASURING = 4  # groups to do; the speeds are measured in the time that one or two take
_KINDS_SHOWN = 20  # of notes, at the end


@dataclass(frozen=True)
class ExtractSummary:
    """What a run did and what the store holds now, for the rows asked for."""

    noun: str  # what one row is called
    num_rows: int
    num_tried: int  # rows that this run worked on
    counts: Mapping[str, Mapping[str, int]]  # feature set -> status name -> rows
    notes: Sequence[Note]
    num_failed: int  # rows on which a backbone failed, or memory ran out
    seconds: float
    busy: Mapping[str, float]  # share of the run that each side was at work; empty where there was nothing to do
    random_backbones: bool
    is_all: bool  # whether these are all rows that were asked for, and not the part of one rank

    @property
    def unusable(self) -> list[str]:
        """Feature sets of which no row is complete, although files are there; of a part that is not known."""
        return [
            name
            for name, counts in self.counts.items()
            if self.is_all and not counts.get("complete") and (counts.get("unreadable") or counts.get("missing"))
        ]


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
        BusyError: if others write to the store.
        SettingsError: if the engine cannot be had as it is asked for.
    """
    started = time.monotonic()
    place = place_here(workers=engine.workers) if engine.name == "rank" else None
    if place is not None:
        settings = placed(settings, place)
    asked = _Asked(settings, make_request(settings, split=split, needs_files=True), refresh=refresh, relabel=relabel)
    done = _alone(asked) if place is None else _as_rank(asked, engine, place)
    return _summarise(done, seconds=time.monotonic() - started)


@dataclass(frozen=True)
class _Asked:
    """What is asked of an extraction, whoever works on it."""

    settings: Settings
    request: Request
    refresh: bool
    relabel: bool

    @property
    def store_path(self) -> Path:
        return self.settings.cache.path


@dataclass(frozen=True)
class _Done:
    """What this process was to do, and whether that is all that was asked for."""

    store: FeatureStore
    request: Request
    samples: Sequence[Sample]
    num_tried: int
    busy: Mapping[str, float] = field(default_factory=dict)
    is_all: bool = True


def _alone(asked: _Asked) -> _Done:
    """This process does everything, and nobody else writes to the store meanwhile."""
    _require_store(asked)
    with locked_folder(asked.store_path):
        store, request, plan = _prepare(asked)
        busy = run_plan(plan, store, request, asked.settings) if plan.jobs else {}
    return _Done(store, request, request.asked_samples, num_tried=plan.num_todo, busy=busy)


def _as_rank(asked: _Asked, engine: Engine, place: Place) -> _Done:
    """This process does its part, together with others who do theirs; the first of them prepares the store."""
    identity = fingerprint(
        {
            "workers": place.world,
            "made": asked.request.manifest(),
            "keys": asked.request.index.keys.tolist(),
            "splits": list(asked.request.splits),
        }
    )
    path = asked.store_path
    with joined(path, identity=identity, prepare=lambda: _prepare_job(asked, engine, place.world, identity)):
        store = FeatureStore.open(path)
        request = asked.request.as_held(store.index)
        samples, outcomes = work_as_rank(place, store, request, asked.settings)
    return _Done(store, request, samples, sum(outcome.num_tried for outcome in outcomes), is_all=place.world == 1)


def _prepare(asked: _Asked) -> tuple[FeatureStore, Request, ExtractPlan]:
    """Bring the store, which this process holds, and the request together; tell what is to be done."""
    path = asked.store_path
    remove_partial(path / "zarr.json")  # of one that was killed while it replaced the store's description
    store = FeatureStore.open(path)
    request = asked.request.as_held(store.index)
    with disk_errors(path):
        reconcile(store, request, refresh=asked.refresh, relabel=asked.relabel)
    return store, request, _plan(store, request, asked.settings)


def _prepare_job(asked: _Asked, engine: Engine, workers: int, identity: str) -> Job:
    """As `_prepare`, for several processes."""
    _require_store(asked)
    with locked_folder(asked.store_path):
        store, request, plan = _prepare(asked)
    return Job(
        identity=identity,
        engine=engine.name,
        workers=workers,
        noun=request.noun,
        num_rows=plan.num_rows,
        num_done=plan.num_rows - plan.num_todo,
        num_spans=len(cut_spans(len(request.cut(store.batching["group_size"])), workers=workers)),
        started=time.time(),
    )


def _require_store(asked: _Asked) -> None:
    """Make the store, empty, unless it is there."""
    path = asked.store_path
    if (path / "zarr.json").exists():
        return
    try:
        with disk_errors(path):
            FeatureStore.create(path, index=asked.request.index)
    except OutputExistsError:
        # Another process may have made it meanwhile: then the lock on it says who goes on.
        if not (path / "zarr.json").exists():
            raise


def _plan(store: FeatureStore, request: Request, settings: Settings) -> ExtractPlan:
    """Cut what is missing into groups, and say what it will cost."""
    plan, expected = plan_and_estimate(store, request, settings, least_groups=_WORTH_MEASURING)
    with disk_errors(store.path):
        store.set_noun(request.noun)
        store.set_batching({"group_size": expected.group_size})
    if store.random_backbones:
        random, trained = store.made_with_random_weights
        which = f"Those of {listed(random)}" if trained else "These"
        say(
            f"{which} are random-weight demo backbones: they show that everything works, not what a trained one can do."
        )
    if not plan.jobs:
        say(f"{store.path}: all of {count_of(plan.num_rows, request.noun)} is done.")
        return plan
    for line in describe(expected):
        say(line)
    require_disk_space(expected)
    return plan


def _summarise(done: _Done, *, seconds: float) -> ExtractSummary:
    store, request = done.store, done.request
    keys = {sample.key for sample in done.samples}
    asked = np.isin(store.index.keys, list(keys))
    statuses = {name: store.status(name)[asked] for name in request.feature_sets}
    notes = notes_of(store, feature_sets=request.feature_sets)
    return ExtractSummary(
        noun=request.noun,
        num_rows=len(done.samples),
        num_tried=done.num_tried,
        counts={name: _count(status) for name, status in statuses.items()},
        notes=[note for note in notes if note.key in keys],
        num_failed=int(np.any([status == Status.MISSING for status in statuses.values()], axis=0).sum()),
        seconds=seconds,
        busy=done.busy,
        random_backbones=store.random_backbones,
        is_all=done.is_all,
    )


def _count(status: NDArray[np.uint8]) -> dict[str, int]:
    counted = Counter(Status(value).name.lower() for value in status.tolist())
    return dict(counted)


def describe_summary(summary: ExtractSummary) -> str:
    """The end of a run in a few lines: what is there, what is not and why, where the time went."""
    lines = [
        f"{name}: " + ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))
        for name, counts in summary.counts.items()
    ]
    notes = [group.told(summary.noun) for group in grouped(summary.notes)]
    lines += [f"  {line}" for line in first_of(notes, most=_KINDS_SHOWN, rest="; `weldcache info --json` lists all")]
    if summary.busy:
        lines.append(f"Busy: {describe_busy(summary.busy)}. The bottleneck is {bottleneck(summary.busy)}.")
        rate = summary.num_tried / max(summary.seconds, 1e-9)
        tried = count_of(summary.num_tried, summary.noun)
        lines.append(f"{tried} in {format_seconds(summary.seconds)}, {rate:.1f} {summary.noun}s/s.")
    return "\n".join(lines)
