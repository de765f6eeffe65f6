"""An extraction into a bucket: a working copy of the store on this machine, from which every span is delivered."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..atomic import scratch_folder
from ..cache.buckets.bucket import Bucket
from ..cache.buckets.working_copy import WorkingCopy, open_working_copy, scratch_path
from ..cache.buckets.writing import written_by_one
from ..cache.index import Index
from ..configs.place import BucketUrl
from ..errors import BucketAccessError, BucketError, BusyError, WeldcacheError
from ..progress import Progress
from .engines.spans import SpanWorker, cut_spans
from .group_runner import kept_interrupt
from .prepare import Asked, prepare
from .sides import describe_busy
from .summary import ExtractSummary, summarise


def extract_into_bucket(url: BucketUrl, asked: Asked, *, started: float) -> ExtractSummary:
    """This process does everything; see `pipeline.extract`."""
    bucket = Bucket(url)
    with written_by_one(bucket) as require_alone, finished_copy(bucket, index=asked.request.index) as working:
        store = working.store
        request, plan = prepare(store, asked)
        busy: dict[str, float] = {}
        if plan.jobs:
            working.begin({})
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


@contextmanager
def finished_copy(bucket: Bucket, *, index: Index) -> Iterator[WorkingCopy]:
    """A working copy of the store in the bucket, which is brought up to date at the end. So it is, if anything was
    begun, where the work failed or was interrupted: what is there by then can be read, as of a store in a folder."""
    with scratch_folder(scratch_path(bucket.url)) as folder:
        working = open_working_copy(bucket, folder / "store", index=index)
        try:
            yield working
        except (BucketError, BucketAccessError, BusyError):
            raise
        except BaseException:
            if working.is_begun:
                with suppress(WeldcacheError):
                    working.finish()
            raise
        working.finish()
