"""One of several ranks: this process does its part of all spans, and asks nobody for more.

Which part that is depends on nothing but the rank and how many there are. What a rank that dies leaves undone is done
when it is started again, or by any later extraction.
"""

from collections.abc import Sequence

from ...cache.buckets.working_copy import WorkingCopy
from ...cache.store import FeatureStore
from ...progress import Progress
from ...settings import Settings
from ..group_runner import kept_interrupt
from ..request import Request
from ..sources.source import Sample
from .engine import Place
from .marks import Marks
from .spans import SpanWorker, cut_spans


def work_as_rank(
    place: Place,
    store: FeatureStore,
    request: Request,
    settings: Settings,
    *,
    working: WorkingCopy | None = None,
) -> tuple[Sequence[Sample], int]:
    """Bring this rank's samples into the store, which was prepared for it; return them, and how many were worked on.
    `working` is as of `SpanWorker`.

    Raises:
        BackboneError: if a backbone cannot be loaded.
        StoreError: if the disk is full or refuses a write.
    """
    name = f"rank {place.rank} of {place.world}"
    with SpanWorker(store, request, settings, working=working) as work:
        spans = cut_spans(len(work.groups), workers=place.world)[place.rank :: place.world]
        plan = work.plan(spans)
        done, unit = plan.num_rows - plan.num_todo, f"{request.noun}s"
        seconds = settings.extract.span_seconds
        outcomes = []
        with (
            Marks(store.folder, worker=name, num_spans=len(spans), span_seconds=seconds) as marks,
            Progress(f"extract, {name}", total=plan.num_rows, unit=unit, done=done) as progress,
            kept_interrupt() as raise_if_interrupted,
        ):

            def on_group(num_rows: int) -> None:
                progress.advance(num_rows)
                raise_if_interrupted()

            for span in spans:
                marks.begin(span)
                outcomes.append(work(span, on_group=on_group))
                marks.finish(outcomes[-1])
        samples = [sample for span in spans for group in work.groups[span.first : span.last] for sample in group]
        return samples, sum(outcome.num_tried for outcome in outcomes)
