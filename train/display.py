"""What a training shows while it runs: a panel with each metric's course on a terminal, a line now and then elsewhere.

The courses are one line high. Curves to read figures from are what the loggers draw (`train.loggers`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from ..progress import Progress, error_console
from ..wording import in_words
from .runs.log import MetricRow
from .settings import TrainSettings
from .tasks import monitor_of

_REFRESHES = 4  # a second
_RATE_PERIOD = 300.0  # seconds that rate and ETA look back
_FRAME_HEIGHT = 7  # border, bar, best epoch, an empty line, the table's head, and the cursor's own line
_LEAST_WIDTH = 38  # below, the bar stands alone
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOT_SHOWN = ("epoch", "step", "seconds", "samples_per_second")


@runtime_checkable
class TrainingDisplay(Protocol):
    """Something that is told how a training gets on."""

    def advance(self, num_samples: int) -> None:
        """So many more samples have been trained on."""

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """An epoch is over; `improved` says that it is the best so far."""


@dataclass(frozen=True)
class ShownTraining:
    """A training as it is when it begins to be shown.

    Attributes:
        name: what the run is called.
        settings: how it trains.
        num_samples: samples of an epoch.
        noun: what one of them is called.
        history: rows of the epochs that are done already, where the run is gone on with.
        best: the row of the best of them.
    """

    name: str
    settings: TrainSettings
    num_samples: int
    noun: str
    history: Sequence[MetricRow]
    best: MetricRow | None

    @property
    def total(self) -> int:
        """Samples of all epochs: each counts once an epoch."""
        return self.settings.epochs * self.num_samples

    @property
    def done(self) -> int:
        """As many of them as `history` has gone through."""
        return len(self.history) * self.num_samples


ShowTraining = Callable[[ShownTraining], AbstractContextManager[TrainingDisplay]]
"""`training_display`, `training_line`, or what `shown_as` makes."""


def shown_as(display: Callable[[Sequence[MetricRow]], TrainingDisplay]) -> ShowTraining:
    """Trainings as part of something else that is shown: `display`, given the rows of epochs that are done already, is
    told how one gets on."""

    @contextmanager
    def show(training: ShownTraining) -> Iterator[TrainingDisplay]:
        yield display(training.history)

    return show


@contextmanager
def training_display(training: ShownTraining, *, console: Console | None = None) -> Iterator[TrainingDisplay]:
    """Show a training on `console`, by default stderr, for as long as the context lasts."""
    console = console or error_console()
    if not console.is_terminal or console.is_dumb_terminal or console.options.ascii_only:
        with training_line(training, console=console) as line:
            yield line
        return
    panel = _LivePanel(training)
    with Live(panel, console=console, refresh_per_second=_REFRESHES, vertical_overflow="crop"):
        yield panel


@contextmanager
def training_line(training: ShownTraining, *, console: Console | None = None) -> Iterator[TrainingDisplay]:
    """The same in one line, as every long job has it: for many trainings in a row, and where there is no terminal."""
    title, unit = f"train {training.name}", f"{training.noun} passes"
    with Progress(title, total=training.total, unit=unit, done=training.done, console=console) as progress:
        yield _Line(progress)


def describe_epoch(metrics: MetricRow) -> str:
    """An epoch in a few words: its loss, and what validation found."""
    return ", ".join([f"epoch {metrics['epoch']}", *figures_found(metrics)])


def figures_found(metrics: MetricRow) -> list[str]:
    """What validation found, figure by figure; none where it could measure nothing."""
    return [
        f"{in_words(name)} {value:.4g}" for name, value in metrics.items() if _is_judged(name) and value is not None
    ]


class _Line:
    """Epochs as the note of a progress line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def advance(self, num_samples: int) -> None:
        self._progress.advance(num_samples)

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        self._progress.advance(0, note=describe_epoch(metrics))


class _Rate(ProgressColumn):
    """Samples a second, of this process alone where a run is gone on with."""

    def __init__(self, noun: str) -> None:
        super().__init__()
        self._noun = noun

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self._noun}s/s", no_wrap=True)


class _LivePanel:
    """A picture of the training, drawn whenever rich asks for it from its own thread."""

    def __init__(self, training: ShownTraining) -> None:
        self._name = training.name
        self._settings = training.settings
        self._rows = list(training.history)
        self._best = training.best
        rate = _Rate(training.noun)
        columns = (TextColumn("{task.description}", style="bold"), BarColumn(None), MofNCompleteColumn(), rate)
        self._bar = RichProgress(
            *columns, TextColumn("ETA"), TimeRemainingColumn(), expand=True, speed_estimate_period=_RATE_PERIOD
        )
        self._task = self._bar.add_task(self._epoch(), total=training.total, completed=training.done)

    def advance(self, num_samples: int) -> None:
        self._bar.advance(self._task, num_samples)

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        if improved:
            self._best = metrics
        self._rows.append(metrics)
        self._bar.update(self._task, description=self._epoch())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Never larger than the terminal: where rows have no room, the last ones are left out."""
        width, height = options.size
        if width < _LEAST_WIDTH or height < _FRAME_HEIGHT:
            yield self._bar
            return
        promise = Text(self._promise(), no_wrap=True, overflow="ellipsis")
        table = self._table(most=height - _FRAME_HEIGHT)
        content = Group(self._bar, promise, Text(), table) if table.row_count else Group(self._bar, promise)
        yield Panel(content, title=Text(f"train {self._name}", "bold"), title_align="left", border_style="bright_black")

    def _epoch(self) -> str:
        return f"epoch {len(self._rows)}/{self._settings.epochs}"

    def _promise(self) -> str:
        """The best epoch, and how long training goes on without a better one."""
        if self._best is None:
            return "" if self._rows else "the first epoch is on its way"
        monitor, epoch = monitor_of(self._settings), int(self._best["epoch"] or 0)
        left, ahead = self._settings.patience - (len(self._rows) - epoch), self._settings.epochs - len(self._rows)
        end = f", {left} of {self._settings.patience} epochs of patience left" if left < ahead else ""
        return f"best: epoch {epoch} with {in_words(monitor)} {self._best[monitor]:.4f}{end}"

    def _table(self, *, most: int) -> Table:
        """A line for each metric that was ever defined, what training is judged by first."""
        rows = tuple(self._rows)  # another thread may add to the list
        defined = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
        names = sorted((name for name in defined if name not in _NOT_SHOWN), key=lambda name: not _is_judged(name))
        best = None if self._best is None else int(self._best["epoch"] or 0) - 1
        table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", no_wrap=True)
        table.add_column("by epoch", ratio=1)
        for heading in ("last", "best epoch"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name in names[:most]:
            course = _Course([row.get(name) for row in rows], best=best)
            last, at_best = rows[-1].get(name), (self._best or {}).get(name)
            table.add_row(
                in_words(name), course, *("" if value is None else f"{value:.4g}" for value in (last, at_best))
            )
        return table


class _Course:
    """A metric's epochs from left to right, each as high as its value; what is no number leaves a gap."""

    def __init__(self, values: Sequence[float | None], *, best: int | None) -> None:
        self._values = values
        self._best = best  # position of the epoch that is marked

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        count, width = len(self._values), min(options.max_width, len(self._values))
        numbers = [value for value in self._values if value is not None and math.isfinite(value)]
        low, high = min(numbers, default=0.0), max(numbers, default=0.0)
        course = Text(no_wrap=True)
        for column in range(width):
            start, end = column * count // width, (column + 1) * count // width  # epochs that share a character
            marked = self._best is not None and start <= self._best < end
            value = self._values[self._best if marked and self._best is not None else end - 1]
            course.append(_block(value, low=low, high=high), "bold yellow" if marked else "cyan")
        yield course


def _block(value: float | None, *, low: float, high: float) -> str:
    if value is None or not math.isfinite(value):
        return " "
    value, low, high = value / 2, low / 2, high / 2  # halves, as the whole range may be infinite
    if low == high:
        return _BLOCKS[len(_BLOCKS) // 2]
    height = (value - low) / (high - low)
    return _BLOCKS[round(height * (len(_BLOCKS) - 1))]


def _is_judged(name: str) -> bool:
    return name == "loss" or name.startswith("val_")
