"""TensorBoard: event files in a run's folder, written anew from the run's history when it is gone on with."""

import shutil
import time

from torch.utils.tensorboard.writer import SummaryWriter

from ...settings import to_yaml
from ..runs.documents import shareable
from ..runs.log import MetricRow
from .logger import LoggedRun, epoch_of, values_of

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
