"""The live display: how far training is, how well it does, and the curves of its epochs."""

import time
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ...configs.schema import TrainSettings
from ...wording import format_seconds
from ..runs.log import MetricRow
from .panels import lay_out

_NAMES = {"val_auroc": "val AUROC", "val_loss": "val loss"}
_HEADER_HEIGHT = 5
_REST = 20  # times the drawing's own time
_SPARE_HEIGHT = 1  # for the cursor: a display as high as the terminal would scroll it


class LiveDisplay:
    """A picture of the training, drawn whenever rich asks for it from its own thread.

    Being told something costs next to nothing. The curves are drawn again after an epoch, though with quick epochs not
    after each: drawing takes a twentieth of a core at most.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: TrainSettings,
        num_samples: int,
        history: Sequence[MetricRow],
        best: MetricRow | None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._rows = list(history)
        self._best = best
        self._total = settings.epochs * num_samples
        self._done_before = self._done = len(history) * num_samples
        self._started = time.monotonic()
        self._drawn: list[list[Segment]] = []
        self._drawn_for: tuple[int, ConsoleDimensions] | None = None
        self._rest_until = 0.0

    def advance(self, num_samples: int) -> None:
        """So many more samples have been trained on."""
        self._done += num_samples

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Add an epoch to the curves."""
        if improved:
            self._best = metrics
        self._rows.append(metrics)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Panel | Segment]:
        """Header and curves, never larger than the terminal."""
        width, height = options.size
        if height < _HEADER_HEIGHT + _SPARE_HEIGHT:
            yield self._bar(width=width)
            return
        yield self._header(width=width)
        for line in self._curves(console, options, height=height - _HEADER_HEIGHT - _SPARE_HEIGHT):
            yield from line
            yield Segment.line()

    def _header(self, *, width: int) -> Panel:
        inside = width - 4  # border and padding
        texts = [Text(words, no_wrap=True, overflow="ellipsis") for words in (self._last(), self._promise())]
        return Panel(
            Group(self._bar(width=inside), *texts),
            title=Text(f"train {self._name}", "bold"),
            title_align="left",
            border_style="bright_black",
            width=width,
            height=_HEADER_HEIGHT,
        )

    def _bar(self, *, width: int) -> Table:
        rate = (self._done - self._done_before) / max(time.monotonic() - self._started, 1e-9)
        eta = format_seconds((self._total - self._done) / rate) if rate else "-"
        words = [f"ETA {eta}", f"{rate:,.1f} samples/s", f"{self._done:,}/{self._total:,} samples"]
        fitting = words[: max(width // 30, 1)]
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        for _ in fitting:
            bar.add_column(no_wrap=True)
        bar.expand = True
        bar.add_row(
            Text(f"epoch {len(self._rows)}/{self._settings.epochs}", "bold"),
            ProgressBar(total=self._total, completed=self._done),
            *reversed(fitting),
        )
        return bar

    def _last(self) -> str:
        return describe_epoch(self._rows[-1]) if self._rows else "the first epoch is on its way"

    def _promise(self) -> str:
        """The best epoch, and how long training goes on without a better one."""
        if self._best is None:
            return ""
        monitor, epoch = self._settings.monitor, int(self._best["epoch"] or 0)
        left, ahead = self._settings.patience - (len(self._rows) - epoch), self._settings.epochs - len(self._rows)
        end = f", {left} of {self._settings.patience} epochs of patience left" if left < ahead else ""
        return f"best: epoch {epoch} with {_NAMES[monitor]} {self._best[monitor]:.4f}{end}"

    def settle(self) -> None:
        """Training is over: what is drawn next shows all epochs."""
        self._rest_until = 0.0

    def _curves(self, console: Console, options: ConsoleOptions, *, height: int) -> list[list[Segment]]:
        rows, size, started = tuple(self._rows), options.size, time.monotonic()
        fits = self._drawn_for is not None and self._drawn_for[1] == size
        if self._drawn_for == (len(rows), size) or (fits and started < self._rest_until):
            return self._drawn
        mark = None if self._best is None else (self._settings.monitor, int(self._best["epoch"] or 0) - 1)
        layout = lay_out(rows, best=mark, width=size.width, height=height)
        self._drawn = console.render_lines(layout, options.update(height=None), pad=False)
        self._drawn_for = len(rows), size
        now = time.monotonic()
        self._rest_until = now + _REST * (now - started)
        return self._drawn


def describe_epoch(metrics: MetricRow) -> str:
    """An epoch in a few words."""
    auroc = metrics["val_auroc"]
    second = f"val loss {metrics['val_loss']:.4f}" if auroc is None else f"val AUROC {auroc:.3f}"
    return f"epoch {metrics['epoch']}, loss {metrics['loss']:.4f}, {second}"
