"""The loggers of a run: asked for by name, opened together, closed however training ends.

Each logger's module imports its library, which is an extra of weldcache: such a module is imported here alone, and
only for who asks for it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from ...errors import SettingsError, WeldcacheError
from ...progress import say
from ..runs.log import MetricRow
from .logger import LoggedRun, Logger

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
                f"train.loggers names {name}, but {' and '.join(missing)} cannot be found. Install what it needs with "
                f"`pip install 'weldcache[{name}]'`, or take {name} out of train.loggers."
            )


@contextmanager
def open_loggers(names: Sequence[str], run: LoggedRun) -> Iterator[Loggers]:
    """Open the loggers of a run, bring them up to its history, and close them at the end, also after an error.

    Raises:
        SettingsError: if a library is missing, or a logger cannot be opened as its environment asks.
    """
    require_loggers(names)
    if names:
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
    loggers, finished = Loggers(), False
    try:
        for name in names:
            loggers.add(name, _open(name, run))
        yield loggers
        finished = True
    finally:
        loggers.close(finished=finished)


def _open(name: str, run: LoggedRun) -> Logger:
    try:
        return _opener(name)(run)
    except WeldcacheError:
        raise
    except Exception as error:  # each library has its own; before the first epoch all mean the same
        raise SettingsError(
            f"Logging to {name} cannot begin: {error}. Mend it, or take {name} out of train.loggers."
        ) from error


def _opener(name: str) -> Callable[[LoggedRun], Logger]:
    match name:
        case "tensorboard":
            from .tensorboard_logger import open_tensorboard

            return open_tensorboard
        case "wandb":
            from .wandb_logger import open_wandb

            return open_wandb
        case "mlflow":
            from .mlflow_logger import open_mlflow

            return open_mlflow
    raise AssertionError(f"there is no logger {name}")


def _succeeds(name: str, work: Callable[[], None]) -> bool:
    # Whatever a third-party library raises, its disk and its network are not worth the training.
    try:
        work()
    except Exception as error:
        say(f"Logging to {name} failed and is left out from here on ({error}). metrics.jsonl has every epoch.")
        return False
    return True
