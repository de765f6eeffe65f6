"""The one entry to what a training shows: curves on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.live import Live

from ...configs.schema import TrainSettings
from ...progress import Progress
from ..runs.log import MetricRow
from .live import LiveDisplay, describe_epoch

_REFRESHES = 4  # a second


@runtime_checkable
class TrainingDisplay(Protocol):
    """Something that is told how a training gets on."""

    def advance(self, num_samples: int) -> None:
        """So many more samples have been trained on."""
        ...

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """An epoch is over; `improved` says that it is the best so far."""
        ...


ShowTraining = Callable[..., AbstractContextManager[TrainingDisplay]]
"""`training_display` or `training_line`."""


class _Line:
    """Epochs as the note of a progress line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def advance(self, num_samples: int) -> None:
        self._progress.advance(num_samples)

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        self._progress.advance(0, note=describe_epoch(metrics))


@contextmanager
def training_display(
    name: str,
    *,
    settings: TrainSettings,
    num_samples: int,
    history: Sequence[MetricRow],
    best: MetricRow | None,
    console: Console | None = None,
) -> Iterator[TrainingDisplay]:
    """Show the training of the run `name` on stderr for as long as the context lasts.

    Args:
        name: what the run is called.
        settings: how it trains.
        num_samples: samples of an epoch.
        history: rows of the epochs that are done already, where the run is gone on with.
        best: the row of the best of them.
        console: where to; by default stderr.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal or console.options.ascii_only:
        with training_line(
            name, settings=settings, num_samples=num_samples, history=history, best=best, console=console
        ) as line:
            yield line
        return
    display = LiveDisplay(name, settings=settings, num_samples=num_samples, history=history, best=best)
    with Live(display, console=console, refresh_per_second=_REFRESHES, vertical_overflow="crop"):
        try:
            yield display
        finally:
            display.settle()


@contextmanager
def training_line(
    name: str,
    *,
    settings: TrainSettings,
    num_samples: int,
    history: Sequence[MetricRow],
    best: MetricRow | None,
    console: Console | None = None,
) -> Iterator[TrainingDisplay]:
    """The same in one line, as every long job has it: for many trainings in a row, and where there is no terminal."""
    total, done = settings.epochs * num_samples, len(history) * num_samples
    with Progress(f"train {name}", total=total, unit="samples", done=done, console=console) as progress:
        yield _Line(progress)
