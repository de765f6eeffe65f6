"""What workers said of themselves, as it is read."""

from pathlib import Path

from weldcache.atomic import joint_folder
from weldcache.extract.engines.marks import Marks, read_marks
from weldcache.extract.engines.spans import Span, SpanOutcome


def test_a_rank_that_is_started_again_takes_back_nothing_that_it_has_done(tmp_path: Path) -> None:
    store, first, second = tmp_path / "features.zarr", Span(0, 4), Span(4, 8)
    joint_folder(store).mkdir()

    def run(*outcomes: SpanOutcome) -> None:
        with Marks(store, worker="rank 0 of 1", num_spans=2, span_seconds=60.0) as marks:
            for outcome in outcomes:
                marks.begin(outcome.span)
                marks.finish(outcome)

    run(SpanOutcome(first, num_rows=8, num_tried=8, num_failed=2, seconds=1.0))
    run(
        SpanOutcome(first, num_rows=8, num_tried=2, num_failed=1, seconds=1.0),
        SpanOutcome(second, num_rows=8, num_tried=5, num_failed=0, seconds=1.0),
    )
    (state,) = read_marks(store)
    assert (state.num_rows, state.num_tried, state.num_failed) == (16, 13, 1)
