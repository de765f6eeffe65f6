"""What a logger is and what it is told of a run; a run's loggers, asked for by name and closed however it ends.

Each logger's module imports its library, which is an extra of weldcache: such a module is imported here alone, and
only for who asks for it.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from ...errors import SettingsError, WeldcacheError
from ...progress import say
from ...settings import RunsSettings, Settings
from ...wording import with_extra
from ..runs.folder import RunFolder
from ..runs.log import MetricRow

_LIBRARIES = {"tensorboard": ("tensorboard",), "wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}

# What the libraries do unless the user's environment says otherwise; they read it when they are imported. They report
# nothing about themselves, leave the terminal alone, and do not wait for minutes where there is no network.
_ENVIRONMENT = {
    "WANDB_PROJECT": "weldcache",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_INIT_TIMEOUT": "20",
    "WANDB_FINISH_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_EXPERIMENT_NAME": "weldcache",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@dataclass(frozen=True)
class LoggedRun:
    """A run as its loggers meet it.

    Attributes:
        folder: where the run is; loggers keep their own files there.
        settings: what it was started with.
        manifest: what is trained on what.
        history: the epochs that training goes on from, in order; none for a new run. A logger brings itself up to it,
            whatever it was told before an interruption.
        best: the row of the best of them.
    """

    folder: RunFolder
    settings: Settings
    manifest: Mapping[str, Any]
    history: Sequence[MetricRow]
    best: MetricRow | None

    @property
    def group(self) -> str | None:
        """What it belongs to: the list or sweep whose folder of runs it is in; None in the usual folder."""
        name = self.folder.path.resolve().parent.name
        return None if name == RunsSettings().folder.name else name


@dataclass(frozen=True)
class LoggedTable:
    """A table of a report: a name for files, its headings, and what people read in its cells."""

    name: str
    headings: Sequence[str]
    cells: Sequence[Sequence[str]]


@dataclass(frozen=True)
class LoggedEvaluation:
    """What an evaluation found, as the loggers of its run are told.

    Attributes:
        split: what was judged.
        figures: by name, such as auroc.
        report: the page that was written.
    """

    split: str
    figures: Mapping[str, float]
    tables: Sequence[LoggedTable]
    report: Path


@runtime_checkable
class Logger(Protocol):
    """Something that metrics go to, under the names that they have in metrics.jsonl; the epoch is the axis."""

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Take a row; `improved` says that it is the best so far. May raise: the training then goes on without."""

    def close(self, *, finished: bool) -> None:
        """Write what is still held back; `finished` says whether training reached its end."""


def values_of(metrics: MetricRow) -> dict[str, float]:
    """A row without its epoch, which is the axis, and without what is undefined."""
    return {name: float(value) for name, value in metrics.items() if name != "epoch" and value is not None}


def epoch_of(metrics: MetricRow) -> int:
    """The epoch of a row, from 1."""
    epoch = metrics["epoch"]
    assert isinstance(epoch, int)
    return epoch


class Loggers:
    """Several loggers as one, none of which can end a training."""

    def __init__(self) -> None:
        self._opened: dict[str, Logger] = {}

    def add(self, name: str, logger: Logger) -> None:
        """Take another logger in."""
        self._opened[name] = logger

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Give each logger a row; one that fails is left out from then on."""
        for name, logger in list(self._opened.items()):
            if not _succeeds(name, partial(logger.epoch_done, metrics, improved=improved)):
                del self._opened[name]

    def close(self, *, finished: bool) -> None:
        """Close those that are left."""
        for name, logger in self._opened.items():
            _succeeds(name, partial(logger.close, finished=finished))


def require_loggers(names: Sequence[str]) -> None:
    """Make sure that the libraries of these loggers are installed, without importing them.

    Raises:
        SettingsError: if one is missing; the message says how to install it.
    """
    for name in names:
        missing = [library for library in _LIBRARIES[name] if find_spec(library) is None]
        if missing:
            raise SettingsError(
                f"train.loggers names {name}, but {' and '.join(missing)} cannot be found. Install what it needs by "
                f"{with_extra(name)}, or take {name} out of train.loggers."
            )


@contextmanager
def open_loggers(names: Sequence[str], run: LoggedRun) -> Iterator[Loggers]:
    """Open the loggers of a run, bring them up to its history, and close them at the end, also after an error.

    Raises:
        SettingsError: if a library is missing, or a logger cannot be opened as its environment asks.
    """
    require_loggers(names)
    if names:
        _set_environment()
    loggers, finished = Loggers(), False
    try:
        for name in names:
            loggers.add(name, _open(name, run))
        yield loggers
        finished = True
    finally:
        loggers.close(finished=finished)


def log_evaluation(names: Sequence[str], run: LoggedRun, found: LoggedEvaluation) -> None:
    """Add an evaluation to the run as these loggers know it; what fails is told, and ends nothing."""
    if names:
        _set_environment()
    for name in names:
        _succeeds(name, partial(_add_evaluation, name, run, found), kept=f"{found.report} has all of it.")


def _add_evaluation(name: str, run: LoggedRun, found: LoggedEvaluation) -> None:
    require_loggers([name])
    import_module(f"{__package__}.{name}_logger").add_evaluation(run, found)


def _set_environment() -> None:
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def _open(name: str, run: LoggedRun) -> Logger:
    try:
        return cast(Logger, import_module(f"{__package__}.{name}_logger").open_logger(run))
    except WeldcacheError:
        raise
    except Exception as error:  # each library has its own; before the first epoch all mean the same
        raise SettingsError(
            f"Logging to {name} cannot begin: {error}. Mend it, or take {name} out of train.loggers."
        ) from error


def _succeeds(name: str, work: Callable[[], None], *, kept: str = "metrics.jsonl has every epoch.") -> bool:
    # Whatever a third-party library raises, its disk and its network are not worth the training.
    try:
        work()
    except Exception as error:
        say(f"Logging to {name} failed and is left out from here on ({error}). {kept}")
        return False
    return True
