"""Stage one, from a data set's files to complete rows in the store.

    request -> plan -> decode workers -> encoders -> writer -> status

Kill it at any point: what is complete stays, and the next run does the rest.
"""

import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.typing import NDArray

from ..atomic import locked_folder, remove_partial
from ..cache.notes import Note, grouped, notes_of
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..errors import OutputExistsError, disk_errors
from ..progress import Progress, say
from ..settings import Settings
from ..wording import count_of, first_of, format_seconds, listed
from .batching import AdaptiveEncoder, Encoded, encode_group
from .estimation.estimate import plan_and_estimate, require_disk_space
from .estimation.told import describe
from .features.kind import Encoder, Prepared
from .group_writer import GroupWriter
from .plan import ExtractPlan
from .pool.decode_pool import DecodePool
from .pool.read_job import ReadJob
from .reconcile import reconcile
from .request import Request, make_request
from .sides import bottleneck, cores_left_to, describe_busy, device_clock, num_workers

_WORTH_MEASURING = 4  # groups to do; the speeds are measured in the time that one or two take
_KINDS_SHOWN = 20  # of notes, at the end
_WRITES_AHEAD = 2  # groups that may wait for the disk before the device waits too


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

    @property
    def unusable(self) -> list[str]:
        """Feature sets of which no row is complete, although files are there."""
        return [
            name
            for name, counts in self.counts.items()
            if not counts.get("complete") and (counts.get("unreadable") or counts.get("missing"))
        ]


def extract(settings: Settings, *, split: str = "all", refresh: bool = False, relabel: bool = False) -> ExtractSummary:
    """Bring the rows of `split` (train, val, test or all) into the store that `settings` name.

    With `refresh`, rows whose files have changed and feature sets that something else made are computed again. With
    `relabel`, what the data set says now of a row (its split, class, label, group) is taken over.

    Raises:
        NotFoundError: if there is no data set, it has no such split, or nothing of it is there.
        FingerprintError: if the store was made from something else; the message names each difference.
        StoreError: if the disk is too small, which is seen before anything is computed, or refuses a write.
    """
    started = time.monotonic()
    request = make_request(settings, split=split, needs_files=True)
    path = settings.cache.path
    if not (path / "zarr.json").exists():
        _create_store(path, request)
    with locked_folder(path):
        remove_partial(path / "zarr.json")  # of one that was killed while it replaced the store's description
        store = FeatureStore.open(path)
        request = request.as_held(store.index)
        with disk_errors(path):
            reconcile(store, request, refresh=refresh, relabel=relabel)
        plan = _plan(store, request, settings)
        busy = run_plan(plan, store, request, settings) if plan.jobs else {}
    return _summarise(store, request, plan, busy=busy, seconds=time.monotonic() - started)


def _create_store(path: Path, request: Request) -> None:
    try:
        with disk_errors(path):
            FeatureStore.create(path, index=request.index)
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


def run_plan(plan: ExtractPlan, store: FeatureStore, request: Request, settings: Settings) -> dict[str, float]:
    """Overlap decoding, backbones and disk; return the share of the time that each was at work.

    The store must have the rows and feature sets of the plan, and nobody else may write to it.
    """
    workers, device = num_workers(settings.extract), resolve_device(settings.extract.device, setting="extract.device")
    at_once = store.batching["group_size"]
    encoders = {name: AdaptiveEncoder(encoder, name, at_once) for name, encoder in request.encoders.items()}
    readers = {name: encoder.reader for name, encoder in request.encoders.items()}
    set_names = {name: tuple(spec.name for spec in encoder.specs) for name, encoder in request.encoders.items()}
    pending: deque[Future[None]] = deque()
    written = frozenset(name for job in plan.jobs for name in job.write)
    for name, encoder in request.encoders.items():
        if written & set(set_names[name]):
            encoder.load()
    with (
        cores_left_to(workers),
        Progress(
            "extract", total=plan.num_rows, unit=f"{request.noun}s", done=plan.num_rows - plan.num_todo
        ) as progress,
        GroupWriter(store, set_names) as writer,
        ThreadPoolExecutor(1, thread_name_prefix="writer") as disk,
        kept_interrupt() as raise_if_interrupted,
        DecodePool(readers, workers=workers, root=request.root, limits=request.limits) as pool,
    ):
        started = time.monotonic()

        def shares() -> dict[str, float]:
            elapsed = max(time.monotonic() - started, 1e-9)
            decoding = pool.busy_seconds / max(workers, 1)
            return {
                "decode": decoding / elapsed,
                "backbones": writer.encoding_seconds / elapsed,
                "disk": writer.writing_seconds / elapsed,
            }

        for group in pool.read(plan.groups):
            with device_clock(device) as seconds:
                encoded = {name: _encode(encoder, name, group) for name, encoder in encoders.items()}
            pending.append(disk.submit(writer.write, group, encoded, seconds))
            while len(pending) > _WRITES_AHEAD or (pending and pending[0].done()):
                pending.popleft().result()
            progress.advance(sum(bool(item.job.write) for item in group), note=f"busy: {describe_busy(shares())}")
            raise_if_interrupted()
        while pending:
            pending.popleft().result()
        progress.advance(0, note=f"busy: {describe_busy(shares())}")
        return shares()


@contextmanager
def kept_interrupt() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C from getting lost: Python drops an exception that is raised inside a destructor or callback.

    Yields a function that raises KeyboardInterrupt if Ctrl-C came since; Ctrl-C itself raises it at once, as always.

    In another thread than the main one, which gets no signals, the function does nothing.
    """
    came = threading.Event()

    def raise_if_it_came() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    def on_signal(_: int, __: FrameType | None) -> None:
        came.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield raise_if_it_came
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield raise_if_it_came
    finally:
        signal.signal(signal.SIGINT, before)


def _wanted(encoder: Encoder, group: Sequence[ReadJob]) -> frozenset[str]:
    """Feature sets of the encoder that some row of the group lacks."""
    asked = frozenset(name for item in group for name in item.job.write)
    return asked & {spec.name for spec in encoder.specs}


def _readable(group: Sequence[ReadJob], feature: str) -> dict[int, Prepared]:
    """What could be read of a feature, by row."""
    found = {item.job.row: item.prepared.get(feature) for item in group}
    return {row: prepared for row, prepared in found.items() if isinstance(prepared, Prepared)}


def _encode(encoder: AdaptiveEncoder, feature: str, group: Sequence[ReadJob]) -> Encoded:
    readable, wanted = _readable(group, feature), _wanted(encoder.encoder, group)
    return encode_group(encoder, readable, feature_sets=wanted) if readable and wanted else Encoded([], {})


def _summarise(
    store: FeatureStore, request: Request, plan: ExtractPlan, *, busy: Mapping[str, float], seconds: float
) -> ExtractSummary:
    keys = {sample.key for sample in request.samples if sample.split in request.splits}
    asked = np.isin(store.index.keys, list(keys))
    statuses = {name: store.status(name)[asked] for name in request.feature_sets}
    notes = notes_of(store, feature_sets=request.feature_sets)
    return ExtractSummary(
        noun=request.noun,
        num_rows=plan.num_rows,
        num_tried=plan.num_todo,
        counts={name: _count(status) for name, status in statuses.items()},
        notes=[note for note in notes if note.key in keys],
        num_failed=int(np.any([status == Status.MISSING for status in statuses.values()], axis=0).sum()),
        seconds=seconds,
        busy=busy,
        random_backbones=store.random_backbones,
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
