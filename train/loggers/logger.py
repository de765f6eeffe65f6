"""What a logger is, and what it is told of a run before its first epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ...settings import Settings
from ..runs.folder import RunFolder
from ..runs.log import MetricRow


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


@runtime_checkable
class Logger(Protocol):
    """Something that metrics go to, under the names that they have in metrics.jsonl; the epoch is the axis."""

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Take a row; `improved` says that it is the best so far. May raise: the training then goes on without."""
        ...

    def close(self, *, finished: bool) -> None:
        """Write what is still held back; `finished` says whether training reached its end."""
        ...


def values_of(metrics: MetricRow) -> dict[str, float]:
    """A row without its epoch, which is the axis, and without what is undefined."""
    return {name: float(value) for name, value in metrics.items() if name != "epoch" and value is not None}


def epoch_of(metrics: MetricRow) -> int:
    """The epoch of a row, from 1."""
    epoch = metrics["epoch"]
    assert isinstance(epoch, int)
    return epoch
