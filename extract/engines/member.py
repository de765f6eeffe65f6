"""A worker of a crew, wherever it is: it is told once what is asked for, and then what to do, span after span.

The first one prepares the store while the others wait, as among ranks: whoever hands out the spans needs neither
backbones nor a GPU.
"""

import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ... import errors
from ...atomic import joint_folder, scratch_folder, write_text
from ...cache.buckets.bucket import Bucket
from ...cache.buckets.opened_copy import scratch_path
from ...cache.buckets.working_copy import WorkingCopy
from ...cache.store import FeatureStore
from ...configs.place import BucketUrl
from ...errors import NotFoundError, WeldcacheError, refusal_of
from ...progress import quieted
from ...settings import Settings
from ..into_bucket import join_copy
from ..pool.decode_process import WorkerTraceback
from ..prepare import Asked, ask, prepare_job
from ..summary import ExtractSummary, summarise
from .engine import EngineName, Place, placed
from .joining import joined, read_shared_job
from .marks import Marks
from .spans import Span, SpanOutcome, SpanWorker


@dataclass(frozen=True)
class Order:
    """What all workers of a crew are told: what is asked for, and from where.

    Attributes:
        settings: as JSON values; they hold no credentials.
        folder: in which paths of the settings are meant.
        identity: of this extraction, no other has it.
        quiet: nothing is said on the way.
    """

    settings: Mapping[str, Any]
    split: str
    refresh: bool
    relabel: bool
    folder: str
    engine: EngineName
    workers: int
    identity: str
    quiet: bool


@dataclass(frozen=True)
class Ready:
    """A worker can take spans; what there is to do."""

    num_groups: int
    num_rows: int
    num_done: int
    noun: str


@dataclass(frozen=True)
class Failure:
    """An error that ended what a worker was at, in a form that any process can read."""

    kind: str
    message: str
    trace: str

    def raised(self) -> None:
        """Raise the same of what is meant for the user, and a fault of the program for all else."""
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, WeldcacheError):
            raise kind(self.message)
        raise RuntimeError(f"{self.kind}: {self.message}") from WorkerTraceback(f"in a worker:\n{self.trace}")


@dataclass(frozen=True)
class Death:
    """A worker ended; `how` in words."""

    how: str


def failure_of(error: Exception) -> Failure:
    """An error as a worker tells it."""
    refusal = None if isinstance(error, WeldcacheError) else refusal_of(error)
    if refusal is not None:
        kind = "BadInputError" if refusal.exit_code == 2 else "WeldcacheError"
        return Failure(kind, refusal.sentence, traceback.format_exc())
    return Failure(type(error).__name__, str(error), traceback.format_exc())


@contextmanager
def placed_order(order: Order) -> Iterator[None]:
    """Have a file beside the store, until the end, which shows workers that they see the folder of who sent them; none
    where the store is in a bucket."""
    if (store_path := _store_path(order)) is None:
        yield
        return
    path = _order_path(store_path, order)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class Member:
    """One worker. Its methods are called by name with the arguments that a `Crew` was given."""

    def __init__(self, order: Order, *, number: int, place: Place, threads: int) -> None:
        """Join the others, as `place` says; raises as `pipeline.extract`."""
        _require_same_folder(order)
        torch.set_num_threads(threads)
        settings = placed(Settings.model_validate(order.settings), place)
        with ExitStack() as stack:
            stack.enter_context(quieted(order.quiet))
            asked = ask(settings, split=order.split, refresh=order.refresh, relabel=order.relabel)
            if isinstance(settings.cache.path, BucketUrl):
                self._working: WorkingCopy | None = self._join_in_bucket(
                    settings.cache.path, asked, order, place, stack
                )
                self._store = self._working.store
            else:
                self._working = None
                self._store = self._join_in_folder(asked, order, stack)
            self._request = asked.request.as_held(self._store.index)
            work = SpanWorker(self._store, self._request, settings, working=self._working)
            self._work = stack.enter_context(work)
            seconds = settings.extract.span_seconds
            folder = self._store.folder
            marks = Marks(folder, worker=f"worker {number}", num_spans=None, span_seconds=seconds)
            self._marks = stack.enter_context(marks)
            self._held = stack.pop_all()

    def _join_in_folder(self, asked: Asked, order: Order, stack: ExitStack) -> FeatureStore:
        path, identity = asked.folder, order.identity
        job = partial(prepare_job, asked, engine=order.engine, workers=order.workers, identity=identity)
        stack.enter_context(joined(path, identity=identity, listing=asked.listing, prepare=job))
        self._job = read_shared_job(path)
        return FeatureStore.open(path)

    def _join_in_bucket(
        self, url: BucketUrl, asked: Asked, order: Order, place: Place, stack: ExitStack
    ) -> WorkingCopy:
        scratch = scratch_path(url)
        # By its own name: what a worker of this number has left that was killed is removed.
        folder = stack.enter_context(scratch_folder(scratch.with_name(f"{scratch.name}-{place.rank}")))
        working, self._job = join_copy(
            Bucket(url),
            folder / "store",
            asked,
            engine=order.engine,
            workers=order.workers,
            identity=order.identity,
        )
        return working

    def ready(self) -> Ready:
        """What there is to do."""
        return Ready(len(self._work.groups), self._job.num_rows, self._job.num_done, self._job.noun)

    def work(self, span: Span) -> SpanOutcome:
        """Bring what is missing of a span into the store."""
        self._marks.begin(span)
        outcome = self._work(span, on_group=lambda _: None)
        self._marks.finish(outcome)
        return outcome

    def give_up(self, span: Span, reason: str) -> SpanOutcome:
        """Record why a span cannot be done; see `SpanWorker.give_up`."""
        outcome = self._work.give_up(span, reason)
        self._marks.finish(outcome)
        return outcome

    def summarise(self, num_tried: int) -> ExtractSummary:
        """What the store holds now; one in a bucket is ended before."""
        store = self._store
        if self._working is not None:
            self._working.finish()
            store = FeatureStore.open(store.path)  # with what others have delivered
        return summarise(store, self._request, self._request.asked_samples, num_tried=num_tried, seconds=0.0)

    def close(self) -> None:
        """Let go of everything."""
        self._held.close()


def _store_path(order: Order) -> Path | None:
    """Where the store is or will be; None in a bucket."""
    place = Settings.model_validate(order.settings).cache.path
    return None if isinstance(place, BucketUrl) else Path(order.folder) / place


def _order_path(store_path: Path, order: Order) -> Path:
    """Named by the extraction: another one that is begun meanwhile, and refused, leaves it alone."""
    return joint_folder(store_path) / f"order-{order.identity}"


def _require_same_folder(order: Order) -> None:
    """Refuse to work where other files have the names that are meant: every machine would fill a store of its own."""
    where = f"{socket.gethostname()}, where a worker runs,"
    try:
        os.chdir(order.folder)
    except OSError:
        raise NotFoundError(
            f"{where} has no {order.folder}. Start the extraction in a folder that all machines see by the same name."
        ) from None
    store_path = _store_path(order)
    if store_path is not None and not _order_path(store_path, order).exists():
        raise NotFoundError(
            f"{where} does not see the {store_path.parent} in which the store is to be. Put store and data set "
            "on a drive that all machines see by the same name."
        )
