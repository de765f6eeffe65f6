"""Groups of samples through decoders, backbones and disk, all three at work at the same time."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FrameType, TracebackType

from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..progress import Progress
from ..settings import Settings
from .batching import AdaptiveEncoder, Encoded, encode_group
from .features.kind import Encoder, Prepared
from .group_writer import GroupWriter
from .plan import ExtractPlan, Job
from .pool.decode_pool import DecodePool
from .pool.read_job import ReadJob
from .request import Request
from .sides import cores_left_to, describe_busy, device_clock, num_workers

_WRITES_AHEAD = 2  # groups that may wait for the disk before the device waits too


class GroupRunner:
    """Keeps decoders, backbones and a writer thread ready for the groups of a request; use as a context manager.

    The store must have the rows and feature sets of the groups, and nobody else may write to these rows.
    """

    def __init__(
        self,
        store: FeatureStore,
        request: Request,
        settings: Settings,
        *,
        recording: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`recording` is held while records are written, which many rows share: see `StoreWriter`."""
        self._workers = num_workers(settings.extract)
        self._device = resolve_device(settings.extract.device, setting="extract.device")
        at_once = store.batching["group_size"]
        self._encoders = {name: AdaptiveEncoder(encoder, name, at_once) for name, encoder in request.encoders.items()}
        readers = {name: encoder.reader for name, encoder in request.encoders.items()}
        set_names = {name: tuple(spec.name for spec in encoder.specs) for name, encoder in request.encoders.items()}
        self._writer = GroupWriter(store, set_names, recording=recording)
        self._pool = DecodePool(readers, workers=self._workers, root=request.root, limits=request.limits)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._opened = ExitStack()

    def __enter__(self) -> "GroupRunner":
        with ExitStack() as stack:
            stack.enter_context(cores_left_to(self._workers))
            stack.enter_context(self._writer)
            stack.enter_context(self._disk)
            stack.enter_context(self._pool)
            self._opened = stack.pop_all()
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def load(self, groups: Sequence[Sequence[Job]]) -> None:
        """Load the backbones that these groups need; raises BackboneError."""
        written = frozenset(name for group in groups for job in group for name in job.write)
        for adaptive in self._encoders.values():
            if written & {spec.name for spec in adaptive.encoder.specs}:
                adaptive.encoder.load()

    def run(self, groups: Sequence[Sequence[Job]], *, on_group: Callable[[int], None]) -> None:
        """Bring the groups into the store; all is recorded on return. `on_group` is told of each group how many rows of
        it had something to write, as soon as the backbones are through with it.

        Raises:
            BackboneError: if a backbone that is needed cannot be loaded.
            StoreError: if the disk is full or refuses the write.
        """
        self.load(groups)
        pending: deque[Future[None]] = deque()
        for group in self._pool.read(groups):
            with device_clock(self._device) as seconds:
                encoded = {name: _encode(encoder, name, group) for name, encoder in self._encoders.items()}
            pending.append(self._disk.submit(self._writer.write, group, encoded, seconds))
            while len(pending) > _WRITES_AHEAD or (pending and pending[0].done()):
                pending.popleft().result()
            on_group(sum(bool(item.job.write) for item in group))
        while pending:
            pending.popleft().result()
        self._disk.submit(self._writer.flush).result()

    @property
    def busy(self) -> dict[str, float]:
        """Share of the time since it was entered that each side was at work."""
        elapsed = max(time.monotonic() - self._started, 1e-9)
        decoding = self._pool.busy_seconds / max(self._workers, 1)
        return {
            "decode": decoding / elapsed,
            "backbones": self._writer.encoding_seconds / elapsed,
            "disk": self._writer.writing_seconds / elapsed,
        }


def run_plan(plan: ExtractPlan, store: FeatureStore, request: Request, settings: Settings) -> dict[str, float]:
    """Bring all groups of a plan into the store, and show how far it is; return the share of the time that each side
    was at work.

    The store must have the rows and feature sets of the plan, and nobody else may write to it.
    """
    done = plan.num_rows - plan.num_todo
    with (
        Progress("extract", total=plan.num_rows, unit=f"{request.noun}s", done=done) as progress,
        kept_interrupt() as raise_if_interrupted,
        GroupRunner(store, request, settings) as runner,
    ):

        def on_group(num_rows: int) -> None:
            progress.advance(num_rows, note=f"busy: {describe_busy(runner.busy)}")
            raise_if_interrupted()

        runner.run(plan.groups, on_group=on_group)
        progress.advance(0, note=f"busy: {describe_busy(runner.busy)}")
        return runner.busy


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
