"""TensorBoard: event files in a run's folder, written anew from the run's history when it is gone on with."""

import shutil
import time

from torch.utils.tensorboard.writer import SummaryWriter

from ...settings import to_yaml
from ..runs.documents import shareable
from ..runs.log import MetricRow
from .logger import LoggedEvaluation, LoggedRun, LoggedTable, epoch_of, values_of

FOLDER = "tensorboard"


class TensorBoardLogger:
    """Scalars by epoch, and the settings as text."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Write a row, for TensorBoard to see at its next look."""
        self.write(metrics, ended=time.time())
        self._writer.flush()

    def write(self, metrics: MetricRow, *, ended: float) -> None:
        """Hand a row of an epoch that ended at a time (seconds since 1970) to the writer's thread."""
        for name, value in values_of(metrics).items():
            self._writer.add_scalar(name, value, global_step=epoch_of(metrics), walltime=ended)

    def close(self, *, finished: bool) -> None:
        """Write what is left and end the writer's thread."""
        self._writer.close()


def open_logger(run: LoggedRun) -> TensorBoardLogger:
    """Start `<run>/tensorboard` with the run's history.

    Old event files are replaced: an event cannot be taken back, and epochs after the last checkpoint would be there
    twice.
    """
    folder = run.folder.path / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    writer = SummaryWriter(str(folder))
    logger = TensorBoardLogger(writer)
    writer.add_text("settings", "".join(f"    {line}\n" for line in to_yaml(shareable(run.settings)).splitlines()))
    ended = time.time() - sum(float(row["seconds"] or 0) for row in run.history)
    for row in run.history:
        ended += float(row["seconds"] or 0)
        logger.write(row, ended=ended)
    writer.flush()
    return logger


def add_evaluation(run: LoggedRun, found: LoggedEvaluation) -> None:
    """Figures as scalars at the best epoch, tables as text, and where the report is, in a further event file."""
    epoch = epoch_of(run.best) if run.best is not None else 0
    with SummaryWriter(str(run.folder.path / FOLDER), filename_suffix=f".{found.split}") as writer:
        for name, value in found.figures.items():
            writer.add_scalar(f"{found.split}/{name}", value, global_step=epoch)
        for table in found.tables:
            writer.add_text(f"{found.split}/{table.name}", _markdown(table), global_step=epoch)
        writer.add_text(f"{found.split}/report", found.report.name, global_step=epoch)


def _markdown(table: LoggedTable) -> str:
    lines = [table.headings, ["---"] * len(table.headings), *table.cells]
    return "\n".join(f"| {' | '.join(text.replace('|', '&#124;') for text in line)} |" for line in lines)
