"""An extraction into a bucket: working copies of the store, each on the machine of a worker, from which every span is
delivered. One process prepares the first of them; the others make theirs of what it has put into the bucket.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from ..atomic import scratch_folder
from ..cache.buckets.bucket import Bucket
from ..cache.buckets.inventory import EXTRACTION
from ..cache.buckets.opened_copy import (
    interrupted_copy,
    join_working_copy,
    open_working_copy,
    scratch_path,
    told_in,
)
from ..cache.buckets.working_copy import WorkingCopy
from ..cache.buckets.writing import WRITER, done_by_one, written_by_one, written_together
from ..cache.index import Index
from ..configs.place import BucketUrl, StorePlace
from ..documents import faults_told
from ..errors import BucketAccessError, BucketError, BusyError, StoreError, WeldcacheError
from ..progress import Progress
from .engines.engine import EngineName, Place
from .engines.joining import SETUP_SECONDS, SharedJob, other_samples
from .engines.rank import work_as_rank
from .engines.spans import SpanWorker, cut_spans
from .group_runner import kept_interrupt
from .prepare import Asked, job_of, prepare
from .sides import describe_busy
from .summary import ExtractSummary, summarise

_LOOK_SECONDS = 0.5


def extract_into_bucket(url: BucketUrl, asked: Asked, *, started: float) -> ExtractSummary:
    """This process does everything; see `pipeline.extract`."""
    bucket = Bucket(url)
    with written_by_one(bucket) as require_alone, finished_copy(bucket, index=asked.request.index) as working:
        store = working.store
        request, plan = prepare(store, asked)
        busy: dict[str, float] = {}
        if plan.jobs:
            working.begin()
            done = plan.num_rows - plan.num_todo
            with (
                Progress("extract", total=plan.num_rows, unit=f"{request.noun}s", done=done) as progress,
                kept_interrupt() as raise_if_interrupted,
                SpanWorker(store, request, asked.settings, working=working) as work,
            ):

                def on_group(num_rows: int) -> None:
                    progress.advance(num_rows, note=f"busy: {describe_busy(work.busy)}")
                    raise_if_interrupted()

                for span in cut_spans(len(work.groups), workers=1):
                    require_alone()
                    work(span, on_group=on_group)
                busy = work.busy
        require_alone()
        seconds = time.monotonic() - started
        samples = request.asked_samples
        return summarise(store, request, samples, num_tried=plan.num_todo, seconds=seconds, busy=busy)


def extract_into_bucket_as_rank(
    url: BucketUrl, asked: Asked, place: Place, *, identity: str, started: float
) -> ExtractSummary:
    """This process does its part, together with others who do theirs; whoever sees that all is delivered ends it."""
    bucket, scratch = Bucket(url), scratch_path(url)
    claimed = partial(done_by_one, bucket)
    with (
        written_together(bucket, token=identity) as require_alone,
        claimed(f"{EXTRACTION}/rank-{place.rank}.json", doing=f"is rank {place.rank} of the extraction into it"),
        scratch_folder(scratch.with_name(f"{scratch.name}-{place.rank}")) as folder,
    ):
        working, _ = join_copy(bucket, folder / "store", asked, engine="rank", workers=place.world, identity=identity)
        working.record_delivered()  # by a former process of this rank, too
        request = asked.request.as_held(working.store.index)
        samples, num_tried = work_as_rank(place, working.store, request, asked.settings, working=working)
        delivered = working.record_delivered()
        require_alone()
        work = SpanWorker(working.store, request, asked.settings, working=working)
        if all(span.name in delivered for span in work.unfinished(cut_spans(len(work.groups), workers=place.world))):
            with suppress(BusyError), claimed(f"{EXTRACTION}/end.json", doing="ends the extraction into it"):
                working.finish()
                bucket.remove([WRITER])
        seconds, is_all = time.monotonic() - started, place.world == 1
        return summarise(working.store, request, samples, num_tried=num_tried, seconds=seconds, is_all=is_all)


def join_copy(
    bucket: Bucket, folder: Path, asked: Asked, *, engine: EngineName, workers: int, identity: str
) -> tuple[WorkingCopy, SharedJob]:
    """A working copy, in the new `folder`, for one of several workers of the extraction `identity`, and what it is: who
    comes first prepares it, and the others wait for him.

    Raises:
        BusyError: if it is not ready in time, or was prepared for other samples than are asked for here.
    """
    since = time.monotonic()
    while (job := job_in(bucket)) is None or job.identity != identity:
        with ExitStack() as first:
            try:
                first.enter_context(done_by_one(bucket, f"{EXTRACTION}/first.json", doing="prepares it"))
            except BusyError:
                if time.monotonic() - since > SETUP_SECONDS:
                    raise
                time.sleep(_LOOK_SECONDS)
                continue
            if (job := job_in(bucket)) is None or job.identity != identity:
                working = open_working_copy(bucket, folder, index=asked.request.index)
                request, plan = prepare(working.store, asked)
                job = job_of(plan, working.store, request, asked, engine=engine, workers=workers, identity=identity)
                working.begin(job.model_dump(mode="json"))
                return working, job
    if job.listing != asked.listing:
        raise other_samples(str(bucket.url))
    return join_working_copy(bucket, folder), job


def job_in(bucket: Bucket) -> SharedJob | None:
    """The extraction by several workers that goes on in a bucket, or was interrupted; None where there is none.

    Raises:
        StoreError: if what tells of it is damaged.
    """
    told = told_in(bucket)
    try:
        return SharedJob.model_validate(told) if told else None
    except ValidationError as error:
        raise StoreError(f"{bucket.url} does not tell of an extraction ({faults_told(error)}).") from None


@contextmanager
def held_bucket(place: StorePlace) -> Iterator[Callable[[], None]]:
    """Keep others from a store in a bucket while several workers write to it, and let readers have what was delivered
    where they do not come to the end; nothing of a store in a folder. Yields what raises BusyError as `written_by_one`
    does."""
    if not isinstance(place, BucketUrl):
        yield lambda: None
        return
    bucket = Bucket(place)
    with written_by_one(bucket) as require_alone, _finished_after_failure(bucket):
        yield require_alone


@contextmanager
def finished_copy(bucket: Bucket, *, index: Index) -> Iterator[WorkingCopy]:
    """A working copy of the store in the bucket, which is brought up to date at the end. Where the work fails or is
    interrupted, readers have what was delivered by then, as of a store in a folder."""
    with _finished_after_failure(bucket), scratch_folder(scratch_path(bucket.url)) as folder:
        working = open_working_copy(bucket, folder / "store", index=index)
        yield working
        working.finish()


@contextmanager
def _finished_after_failure(bucket: Bucket) -> Iterator[None]:
    """Where what happens meanwhile fails, end the store with what was delivered; a working copy may hold more."""
    try:
        yield
    except (BucketError, BucketAccessError, BusyError):
        raise
    except BaseException:
        with suppress(WeldcacheError, OSError), scratch_folder(scratch_path(bucket.url)) as folder:
            working = interrupted_copy(bucket, folder / "store")
            if working is not None:
                working.finish()
        raise
