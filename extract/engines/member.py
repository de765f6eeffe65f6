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
from ...atomic import joint_folder, write_text
from ...cache.store import FeatureStore
from ...configs.place import require_folder
from ...errors import NotFoundError, WeldcacheError, refusal_of
from ...progress import quieted
from ...settings import Settings
from ..pool.decode_process import WorkerTraceback
from ..prepare import ask, prepare_job
from ..summary import ExtractSummary, summarise
from .engine import EngineName, Place, placed
from .joining import joined, read_job
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
    """Have a file beside the store, until the end, which shows workers that they see the folder of who sent them."""
    path = _order_path(order)
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
            path, identity = asked.folder, order.identity
            job = partial(prepare_job, asked, engine=order.engine, workers=order.workers, identity=identity)
            stack.enter_context(joined(path, identity=identity, listing=asked.listing, prepare=job))
            self._store = FeatureStore.open(path)
            self._request = asked.request.as_held(self._store.index)
            self._work = stack.enter_context(SpanWorker(self._store, self._request, settings))
            seconds = settings.extract.span_seconds
            marks = Marks(path, worker=f"worker {number}", num_spans=None, span_seconds=seconds)
            self._marks = stack.enter_context(marks)
            self._held = stack.pop_all()

    def ready(self) -> Ready:
        """What there is to do."""
        job = read_job(self._store.folder)
        return Ready(len(self._work.groups), job.num_rows, job.num_done, job.noun)

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
        """What the store holds now."""
        samples = self._request.asked_samples
        return summarise(self._store, self._request, samples, num_tried=num_tried, seconds=0.0)

    def close(self) -> None:
        """Let go of everything."""
        self._held.close()


def _store_path(order: Order) -> Path:
    place = Settings.model_validate(order.settings).cache.path
    return Path(order.folder) / require_folder(place, what="extracts into")


def _order_path(order: Order) -> Path:
    """Named by the extraction: another one that is begun meanwhile, and refused, leaves it alone."""
    return joint_folder(_store_path(order)) / f"order-{order.identity}"


def _require_same_folder(order: Order) -> None:
    """Refuse to work where other files have the names that are meant: every machine would fill a store of its own."""
    where = f"{socket.gethostname()}, where a worker runs,"
    try:
        os.chdir(order.folder)
    except OSError:
        raise NotFoundError(
            f"{where} has no {order.folder}. Start the extraction in a folder that all machines see by the same name."
        ) from None
    if not _order_path(order).exists():
        raise NotFoundError(
            f"{where} does not see the {_store_path(order).parent} in which the store is to be. Put store and data set "
            "on a drive that all machines see by the same name."
        )
